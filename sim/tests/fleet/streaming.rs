//! Live requests: clips, and recorded streams at their own time stamps.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use protocol::jt808::server::{Answer, Downlink};
use sim::{Attributes, Fleet, Replay, Settings};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::platform::Platform;

fn start_live(port: u16, channel: u8) -> Downlink {
    let mut body = vec![9];
    body.extend(b"127.0.0.1");
    body.extend(port.to_be_bytes());
    body.extend([0, 0, channel, 0, 0]);
    Downlink { id: 0x9101, body: body.into() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_streams_until_it_is_told_to_stop() {
    if std::process::Command::new("ffmpeg").arg("-version").output().is_err() {
        println!("skipped: ffmpeg is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut platform = Platform::start(None).await;
    let media = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = media.local_addr().unwrap().port();
    let fleet = Fleet::start(Settings {
        gateway: platform.address.clone(),
        terminals: 1,
        editions: vec![2019],
        clips: Some(folder.path().to_owned()),
        ..Settings::default()
    })
    .unwrap();

    platform.commands.send(Downlink { id: 0x9003, body: Default::default() }).unwrap();
    let Some(Answer::Message { id: 0x1003, body }) = platform.answers.recv().await else {
        panic!("attributes")
    };
    assert_eq!(&body[..], [6, 1, 0, 1, 1, 0x40, 0, 98, 4, 4]);

    platform.commands.send(start_live(port, 9)).unwrap();
    assert_eq!(platform.answers.recv().await, Some(Answer::General(3)), "there is no channel 9");

    platform.commands.send(start_live(port, 2)).unwrap();
    assert_eq!(platform.answers.recv().await, Some(Answer::General(0)));
    let (mut stream, _) = media.accept().await.unwrap();
    let mut bytes = Vec::new();
    while bytes.len() < 60_000 {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
    }
    assert_eq!(bytes[..6], *b"01cd\x81\x62");
    assert_eq!(hex::encode(&bytes[8..18]), "00000000013800000001");
    assert_eq!(bytes[18..20], [2, 0x01], "channel 2, a key picture, first part");
    let is_sound = |window: &[u8]| window.starts_with(b"01cd") && window[5] == 0x86 && window[19] == 0x30;
    assert!(bytes.windows(20).any(is_sound));

    platform.commands.send(Downlink { id: 0x9102, body: (&[2u8, 0, 0, 0][..]).into() }).unwrap();
    assert_eq!(platform.answers.recv().await, Some(Answer::General(0)));
    while stream.read_buf(&mut bytes).await.unwrap() > 0 {}
    fleet.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_capture_is_sent_byte_for_byte_at_its_own_pace() {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let shared = std::env::var_os("MOTORCADE_TEST_SHARED").map_or_else(beside, PathBuf::from);
    let path = shared.join("captures/dev640x480_h264_g711a_10bcd_part1.bin");
    if !path.exists() {
        println!("skipped: {} is absent", path.display());
        return;
    }
    let mut platform = Platform::start(None).await;
    let media = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let attributes = Attributes { audio_codec: 6, audio_frame_len: 200, video_codec: 98, channels: 1 };
    let replay = Replay::read(platform.address.clone(), &path, 10, attributes).unwrap();
    assert_eq!(replay.channel(), 1);
    let fleet = replay.start();
    let port = media.local_addr().unwrap().port();
    platform.commands.send(start_live(port, replay.channel())).unwrap();
    assert_eq!(platform.answers.recv().await, Some(Answer::General(0)));
    let (mut stream, _) = media.accept().await.unwrap();
    let (begin, mut bytes) = (Instant::now(), Vec::new());
    stream.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes, std::fs::read(&path).unwrap());
    // Its time stamps span 1,979 ms.
    assert!(begin.elapsed() > Duration::from_millis(1_500), "{:?}", begin.elapsed());
    fleet.stop().await.unwrap();
}
