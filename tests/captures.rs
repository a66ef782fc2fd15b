//! Recorded streams of real devices, replayed at their own time stamps through a real registration, a real
//! 0x9101 and the real ingest port, to viewers who came first: codec, size, every picture and the sound come
//! out of HTTP-FLV and both forms of HLS.

mod stage;
mod support;

use std::time::Duration;

use futures_util::future::join_all;
use stage::{Play, Recording, Stage, correlation, probe, recordings, sound};
use support::installation::Form;

/// The longest recording takes a minute.
const WITHIN: Duration = Duration::from_secs(180);
/// What takes longer goes on beside the others.
const SHORT_MAX: Duration = Duration::from_secs(10);
/// Twenty viewers that decode are as many as two processors keep up with: one platform at a time shows its short
/// recordings.
static CROWD: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

crate::in_both_forms!(every_recorded_stream_comes_out_whole_in_every_form);

async fn every_recorded_stream_comes_out_whole_in_every_form(form: Form) {
    let recordings = recordings();
    if recordings.is_empty() {
        return;
    }
    // Once: what ends then is the source, not its first part.
    let shows: Vec<_> = recordings.iter().map(|(_, recording)| (recording, 1)).collect();
    let Some(stage) = Stage::new(form, &shows).await else { return };
    let (short, long): (Vec<Showing<'_>>, Vec<Showing<'_>>) = recordings
        .iter()
        .zip(&stage.plays)
        .map(|((file, recording), play)| Showing { file, recording, play })
        .partition(|showing| showing.recording.span <= SHORT_MAX);
    let (few, crowd) = (viewers(&long), viewers(&short));
    let short_ones = async {
        stage.open_for(few, long.iter().map(|showing| showing.play)).await;
        let _alone = CROWD.lock().await;
        let open = stage.open_for(few + crowd, short.iter().map(|showing| showing.play));
        tokio::join!(watch_all(&stage, &short), open);
    };
    tokio::join!(watch_all(&stage, &long), short_ones);
    stage.stop().await;
}

/// A recording and the terminal that shows it.
struct Showing<'a> {
    file: &'a str,
    recording: &'a Recording,
    play: &'a Play,
}

/// How many come: for the pictures in each form and, where there is any, for the sound.
fn viewers(showings: &[Showing<'_>]) -> u64 {
    showings.iter().map(|showing| if showing.recording.sound.is_empty() { 3 } else { 6 }).sum()
}

async fn watch_all(stage: &Stage, showings: &[Showing<'_>]) {
    join_all(showings.iter().map(|showing| async move {
        tokio::time::timeout(WITHIN, watch(stage, showing))
            .await
            .unwrap_or_else(|_| panic!("{} never ended", showing.file));
    }))
    .await;
}

async fn watch(stage: &Stage, showing: &Showing<'_>) {
    let Showing { file, recording, play } = showing;
    let forms = stage.forms(play).await;
    let sounds = async {
        match recording.sound.is_empty() {
            true => Vec::new(),
            false => join_all(forms.iter().map(|url| sound(url))).await,
        }
    };
    let (pictures, sounds) = tokio::join!(join_all(forms.iter().map(|url| probe(url))), sounds);
    for (form, probed) in ["HTTP-FLV", "HLS fMP4", "HLS MPEG-TS"].into_iter().zip(&pictures) {
        println!("{file}: {form}: {probed:?}");
        assert_eq!(probed, &recording.expected, "{file}: {form}");
    }
    for (form, made) in ["HTTP-FLV", "HLS fMP4", "HLS MPEG-TS"].into_iter().zip(&sounds) {
        let (likeness, meant) = (correlation(&recording.sound, made), recording.sound.len());
        println!("{file}: {form}: correlation {likeness:.3}, {} of {meant} samples", made.len());
        assert!(likeness >= 0.9, "{file}: {form}: correlation {likeness:.3}");
        assert!(
            made.len().abs_diff(meant) * 20 <= meant,
            "{file}: {form}: {} of {meant} samples",
            made.len()
        );
    }
}
