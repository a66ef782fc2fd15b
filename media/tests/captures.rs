//! Recorded streams of real devices, sent at their own time stamps to viewers who came first: every picture
//! of the recording, and its sound, come out of every form.

mod support;

use std::sync::Arc;
use std::time::Duration;

use protocol::{adpcm, g711};
use support::{Act, Platform, Probed, correlation, probe, recording, shared, sound, until};

struct Capture {
    bytes: Vec<u8>,
    sim: String,
    channel: u64,
    expected: Probed,
    sound: Vec<i16>,
}

fn captures() -> Vec<(String, Capture)> {
    let Some(shared) = shared() else { return Vec::new() };
    let folder = shared.join("captures");
    let index = std::fs::read_to_string(folder.join("captures.json")).expect("captures.json");
    let index: serde_json::Value = serde_json::from_str(&index).expect("JSON");
    let files = index.as_object().expect("an object by file");
    files
        .iter()
        .map(|(file, facts)| {
            let bytes = std::fs::read(folder.join(file)).expect("the capture");
            let capture = Capture {
                sim: facts["sim"][0].as_str().expect("a SIM").to_owned(),
                channel: facts["channels"][0].as_u64().expect("a channel"),
                expected: Probed {
                    codec: facts["ffprobe"]["codec_name"].as_str().expect("a codec").to_owned(),
                    width: facts["ffprobe"]["width"].as_u64().expect("a width"),
                    height: facts["ffprobe"]["height"].as_u64().expect("a height"),
                    frames: facts["ffprobe"]["nb_read_frames"]
                        .as_str()
                        .and_then(|count| count.parse().ok())
                        .expect("a count"),
                },
                sound: decode(&bytes),
                bytes,
            };
            (file.clone(), capture)
        })
        .collect()
}

/// The capture's sound by the codecs alone, without the media server.
fn decode(bytes: &[u8]) -> Vec<i16> {
    let mut samples = Vec::new();
    let mut splitter = protocol::jt1078::Splitter::new(None);
    let mut buffer = bytes::BytesMut::from(bytes);
    let mut take = |packet: protocol::jt1078::SharedPacket| match packet.header.payload_type.0 {
        6 => samples.extend(packet.body.iter().map(|byte| g711::decode_alaw(*byte))),
        26 => {
            adpcm::decode(&packet.body[4..], &mut samples);
        }
        _ => {}
    };
    while let Some(packet) = splitter.split(&mut buffer) {
        take(packet);
    }
    while let Some(packet) = splitter.finish(&mut buffer) {
        take(packet);
    }
    samples
}

#[tokio::test(flavor = "multi_thread")]
async fn every_picture_and_the_sound_come_out_of_every_form() {
    let mut tasks = tokio::task::JoinSet::new();
    for (file, capture) in captures() {
        tasks.spawn(async move {
            let acts = vec![Act::Send(Arc::new(recording(&capture.bytes)))];
            let platform = Platform::start(&capture.sim, acts, |_| {}).await;
            platform.terminal.gate.send_replace(false);
            let channel = capture.channel;
            let flv = platform.url(&format!("live/live-42-{channel}-main.flv?ticket=good"));
            let hls = platform.url(&format!("live/live-42-{channel}-main/index.m3u8?ticket=good"));
            let cms = platform.url(&format!("hls/1_D_{}_0.m3u8?jsession=good", channel - 1));
            let all_there = async {
                until("six viewers", || platform.server.stats().views == 6).await;
                platform.terminal.gate.send_replace(true);
            };
            let (one, two, three, four, five, six, ()) = tokio::join!(
                probe(&flv),
                probe(&hls),
                probe(&cms),
                sound(&flv),
                sound(&hls),
                sound(&cms),
                all_there
            );
            println!("{file}: {:?}", platform.server.stats());
            println!("{file}: flv {one:?}\n  fmp4 {two:?}\n  ts {three:?}");
            for (form, made) in [("flv", &four), ("fmp4", &five), ("ts", &six)] {
                if !capture.sound.is_empty() {
                    println!(
                        "{file}: {form}: {} samples of {}, correlation {:.3}",
                        made.len(),
                        capture.sound.len(),
                        correlation(&capture.sound, made)
                    );
                }
            }
            for probed in [one, two, three] {
                assert_eq!(probed.as_ref(), Ok(&capture.expected), "{file}");
            }
            for made in [four, five, six] {
                if capture.sound.is_empty() {
                    assert!(made.is_empty(), "{file}");
                } else {
                    assert!(correlation(&capture.sound, &made) >= 0.9, "{file}");
                    let ratio = made.len() as f64 / capture.sound.len() as f64;
                    assert!((0.95..=1.05).contains(&ratio), "{file}: {ratio}");
                }
            }
            platform.server.shutdown().await;
        });
    }
    while let Some(done) =
        tokio::time::timeout(Duration::from_secs(120), tasks.join_next()).await.expect("in time")
    {
        done.expect("the capture plays");
    }
}
