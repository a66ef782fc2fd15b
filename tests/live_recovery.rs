//! A source that drops and comes back under a viewer who stays: 0x9101 goes out again, the view goes on in the
//! same connection with rising times, and when the source stays away it ends. A stream that runs has a snapshot.

mod stage;
mod support;

use std::time::Duration;

use futures_util::StreamExt as _;
use stage::{Play, Recording, Stage, recordings};
use support::installation::Form;
use support::wait_until;

/// How long the first picture may take.
const WITHIN: Duration = Duration::from_secs(60);

crate::in_both_forms!(a_running_stream_has_a_snapshot_and_comes_back_when_its_source_drops);

/// Both on one platform: starting another takes longer than either.
async fn a_running_stream_has_a_snapshot_and_comes_back_when_its_source_drops(form: Form) {
    let (Some(drops), Some(runs)) = (recording("adpcm"), recording("720x576")) else { return };
    let Some(stage) = Stage::new(form, &[(&drops, 2), (&runs, 1)]).await else { return };
    let [dropping, running] = stage.plays.as_slice() else { unreachable!("two recordings") };
    tokio::join!(
        a_source_that_drops_comes_back_under_a_viewer_who_stays(&stage, dropping, drops.expected.frames),
        a_running_stream_has_a_snapshot(&stage, running),
        stage.open_for(2, &stage.plays),
    );
    stage.stop().await;
}

/// Its recording has `frames` pictures and is shown twice.
async fn a_source_that_drops_comes_back_under_a_viewer_who_stays(stage: &Stage, play: &Play, frames: u64) {
    let [url, ..] = stage.forms(play).await;
    let flv = reqwest_get(&url).await.concat();
    let times = picture_times_ms(&flv);
    assert_eq!(times.len() as u64, 2 * frames);
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
    assert!(play.curtain.refused() > 0, "a lost source is asked again");
}

async fn a_running_stream_has_a_snapshot(stage: &Stage, play: &Play) {
    assert_eq!(stage.snapshot(play).await, None);
    let [url, ..] = stage.forms(play).await;
    let snapshot = wait_until("a snapshot", WITHIN, async || stage.snapshot(play).await);
    let (watched, jpeg) = tokio::join!(reqwest_get(&url), snapshot);
    assert!(jpeg.starts_with(&[0xff, 0xd8, 0xff]));
    assert!(!watched.is_empty());
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
