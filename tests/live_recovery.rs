//! A source that drops and comes back under a viewer who stays: 0x9101 goes out again, the view goes on in the
//! same connection with rising times, and when the source stays away it ends.

mod stage;

use std::time::{Duration, Instant};

use cluster::Media as _;
use futures_util::StreamExt as _;
use stage::{Recording, Stage, recordings};

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_drops_comes_back_under_a_viewer_who_stays() {
    let Some(recording) = recording("adpcm") else { return };
    let stage = Stage::new(&recording, 2).await;
    let [url, ..] = stage.forms();
    let watched = tokio::spawn(async move {
        let body = reqwest_get(&url).await;
        body.concat()
    });
    stage.open_for(1).await;
    let flv = watched.await.expect("the view runs and ends");
    let times = picture_times_ms(&flv);
    assert_eq!(times.len() as u64, 2 * recording.expected.frames);
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
    assert!(stage.gate.requests() > 2, "a lost source is asked again");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_stream_has_a_snapshot() {
    let Some(recording) = recording("720x576") else { return };
    let stage = Stage::new(&recording, 1).await;
    assert!(stage.media.snapshot(stage.stream).await.is_err());
    let [url, ..] = stage.forms();
    let watched = tokio::spawn(async move { reqwest_get(&url).await.len() });
    stage.open_for(1).await;
    let until = Instant::now() + Duration::from_secs(30);
    let jpeg = loop {
        if let Ok(jpeg) = stage.media.snapshot(stage.stream).await {
            break jpeg;
        }
        assert!(Instant::now() < until, "no snapshot came");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(jpeg.starts_with(&[0xff, 0xd8, 0xff]));
    assert!(watched.await.expect("the view runs and ends") > 0);
    stage.stop().await;
}

/// The one with `part` in its name; none, which is said, where there are no recordings at all.
fn recording(part: &str) -> Option<Recording> {
    let recordings = recordings();
    let is_there = !recordings.is_empty();
    let found = recordings.into_iter().find(|(file, _)| file.contains(part)).map(|(_, recording)| recording);
    assert!(found.is_some() || !is_there, "no recording is named {part}");
    found
}

/// The chunks of an endless body, until it ends.
async fn reqwest_get(url: &str) -> Vec<Vec<u8>> {
    // The platform installs the process's TLS provider in `serve`; a client of plain HTTP needs one all the same.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let answer = reqwest::get(url).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    answer.bytes_stream().map(|chunk| chunk.expect("a chunk").to_vec()).collect().await
}

/// Times of the pictures of an FLV stream.
fn picture_times_ms(flv: &[u8]) -> Vec<u32> {
    assert!(flv.starts_with(b"FLV"));
    let (mut times, mut at) = (Vec::new(), 13);
    while let Some([kind, a, b, c, t1, t2, t3, t0, ..]) = flv.get(at..at + 11) {
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        if *kind == 9 && flv.get(at + 12) == Some(&1) {
            times.push(u32::from_be_bytes([*t0, *t1, *t2, *t3]));
        }
        at += length + 15;
    }
    times
}
