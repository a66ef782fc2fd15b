//! Recorded streams of real devices, replayed at their own time stamps through a real registration, a real
//! 0x9101 and the real ingest port, to viewers who came first: codec, size, every picture and the sound come
//! out of HTTP-FLV and both forms of HLS.

mod stage;

use std::time::Duration;

use futures_util::future::join_all;
use stage::{Recording, Stage, correlation, probe, recordings, sound};

/// The longest recording takes a minute.
const WITHIN: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_stream_comes_out_whole_in_every_form() {
    let plays = recordings().into_iter().map(|(file, recording)| {
        tokio::spawn(async move {
            tokio::time::timeout(WITHIN, play(&file, &recording))
                .await
                .unwrap_or_else(|_| panic!("{file} never ended"));
        })
    });
    for played in join_all(plays).await {
        played.expect("the recording comes out whole");
    }
}

async fn play(file: &str, recording: &Recording) {
    // Once: what ends then is the source, not its first part.
    let stage = Stage::new(recording, 1).await;
    let forms = stage.forms();
    let has_sound = !recording.sound.is_empty();
    let viewers = if has_sound { 6 } else { 3 };
    let sounds = async {
        match has_sound {
            true => join_all(forms.iter().map(|url| sound(url))).await,
            false => Vec::new(),
        }
    };
    let pictures = join_all(forms.iter().map(|url| probe(url)));
    let (pictures, sounds, ()) = tokio::join!(pictures, sounds, stage.open_for(viewers));
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
    stage.stop().await;
}
