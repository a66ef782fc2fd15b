//! Codecs through the media server: H.265 in every form, a codec that changes under a viewer, sound that is
//! named and never comes, sound that begins late, key frames that become rare.

mod support;

use std::sync::Arc;

use model::AvAttributes;
use support::viewer::{Tag, Viewer};
use support::{Act, Camera, Platform, Probed, Recording, probe, until};

const SIM: &str = "13800138999";
const FLV: &str = "live/live-42-2-main.flv?ticket=good";

/// Codec ids of FLV pictures.
const AVC: u8 = 7;
const HEVC: u8 = 12;

/// Of the picture tags: codec id, and whether it is a sequence header.
fn pictures(tags: &[Tag]) -> Vec<(u8, bool)> {
    tags.iter().filter(|tag| tag.kind == 9).map(|tag| (tag.body[0] & 0x0f, tag.body[1] == 0)).collect()
}

async fn stage(recording: Recording) -> Platform {
    let platform = Platform::start(SIM, vec![Act::Send(Arc::new(recording))], |_| {}).await;
    platform.terminal.gate.send_replace(false);
    platform
}

/// Lets the terminal send once so many viewers are there.
async fn open_for(platform: &Platform, viewers: u64) {
    until("the viewers", || platform.server.stats().views == viewers).await;
    platform.terminal.gate.send_replace(true);
}

#[tokio::test(flavor = "multi_thread")]
async fn h265_comes_out_of_every_form() {
    let platform = stage(Camera::new().film("libx265", "320x240", 3, true)).await;
    let mut viewer = Viewer::open(&platform, FLV).await;
    let fmp4 = platform.url("live/live-42-2-main/index.m3u8?ticket=good");
    let ts = platform.url("hls/1_D_1_0.m3u8?jsession=good");
    let flv = async {
        viewer.head().await;
        viewer.tags().await
    };
    let (flv, fmp4, ts, ()) = tokio::join!(flv, probe(&fmp4), probe(&ts), open_for(&platform, 3));
    let expected = Probed { codec: "hevc".to_owned(), width: 320, height: 240, frames: 30 };
    assert_eq!(fmp4.as_ref(), Ok(&expected), "fMP4");
    assert_eq!(ts.as_ref(), Ok(&expected), "MPEG-TS");
    // FFmpeg before 6.1 reads no H.265 in FLV; players that take the legacy id do.
    let pictures = pictures(&flv);
    assert_eq!(pictures[0], (HEVC, true));
    assert_eq!(pictures[1..], [(HEVC, false)].repeat(30));
    assert!(flv.iter().any(Tag::is_sound));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_codec_that_changes_under_a_viewer_begins_every_form_anew() {
    let mut camera = Camera::new();
    let mut recording = camera.film("libx264", "320x240", 2, false);
    recording.extend(camera.film("libx265", "640x480", 2, false));
    recording.extend(camera.film("libx264", "640x480", 2, false));
    let platform = stage(recording).await;
    let mut viewer = Viewer::open(&platform, FLV).await;
    let flv = async {
        viewer.head().await;
        viewer.tags().await
    };
    let playlist = async {
        let (_, master) = platform.request("GET", "/live/live-42-2-main/index.m3u8?ticket=good").await;
        let media = format!("/live/live-42-2-main/{}", master.lines().last().expect("a line"));
        loop {
            let (status, text) = platform.request("GET", &media).await;
            assert_eq!(status, 200, "{text}");
            if text.contains("#EXT-X-ENDLIST") {
                break text;
            }
        }
    };
    let (flv, playlist, ()) = tokio::join!(flv, playlist, open_for(&platform, 2));
    let mut expected = Vec::new();
    for codec in [AVC, HEVC, AVC] {
        expected.push((codec, true));
        expected.extend([(codec, false)].repeat(20));
    }
    assert_eq!(pictures(&flv), expected);
    let times: Vec<_> = flv.iter().filter(|tag| tag.is_picture()).map(|tag| tag.time_ms).collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
    assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 2, "{playlist}");
    assert_eq!(playlist.matches("#EXT-X-MAP:").count(), 3, "{playlist}");
}

#[tokio::test(flavor = "multi_thread")]
async fn key_frames_that_become_rare_change_no_target_and_lose_no_picture() {
    let mut camera = Camera::new();
    let mut recording = camera.film("libx264", "320x240", 4, true);
    camera.key_every = 60;
    recording.extend(camera.film("libx264", "320x240", 6, true));
    let platform = stage(recording).await;
    let fmp4 = platform.url("live/live-42-2-main/index.m3u8?ticket=good");
    let ts = "hls/1_D_1_0.m3u8?jsession=good";
    let playlist = async {
        let mut targets = std::collections::BTreeSet::new();
        loop {
            let (status, text) = platform.request("GET", &format!("/{ts}")).await;
            assert_eq!(status, 200, "{text}");
            let target = text.lines().find(|line| line.starts_with("#EXT-X-TARGETDURATION:"));
            targets.insert(target.expect("a target").to_owned());
            if text.contains("#EXT-X-ENDLIST") {
                break (targets, text);
            }
        }
    };
    let ts = platform.url(ts);
    let (fmp4, ts, (targets, playlist), ()) =
        tokio::join!(probe(&fmp4), probe(&ts), playlist, open_for(&platform, 3));
    let expected = Probed { codec: "h264".to_owned(), width: 320, height: 240, frames: 100 };
    assert_eq!(fmp4.as_ref(), Ok(&expected), "fMP4");
    assert_eq!(ts.as_ref(), Ok(&expected), "MPEG-TS");
    assert_eq!(targets.into_iter().collect::<Vec<_>>(), ["#EXT-X-TARGETDURATION:2"]);
    let durations: Vec<_> = playlist.lines().filter(|line| line.starts_with("#EXTINF:")).collect();
    assert_eq!(durations.len(), 5, "{playlist}");
    assert!(!playlist.contains("#EXT-X-DISCONTINUITY\n"), "{playlist}");
}

/// What 0x1003 says of a terminal with a microphone for G.711A.
fn with_g711a() -> AvAttributes {
    AvAttributes {
        audio_payload_type: 6,
        audio_codec: None,
        audio_channels: 1,
        audio_sample_rate_hz: 8_000,
        audio_sample_bits: 16,
        audio_frame_bytes: 320,
        audio_output: false,
        video_payload_type: 98,
        video_codec: None,
        audio_channels_max: 1,
        video_channels_max: 4,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_that_is_named_and_never_comes_is_silence() {
    let platform = stage(Camera::new().film("libx264", "320x240", 4, false)).await;
    *platform.terminal.av.lock() = Some(with_g711a());
    let mut viewer = Viewer::open(&platform, FLV).await;
    let flv = async {
        viewer.head().await;
        viewer.tags().await
    };
    let (flv, ()) = tokio::join!(flv, open_for(&platform, 1));
    assert_eq!(viewer.flags, 5, "sound and pictures");
    let last = |is: fn(&Tag) -> bool| flv.iter().filter(|tag| is(tag)).map(|tag| tag.time_ms).max();
    let (picture, sound) = (last(Tag::is_picture).expect("pictures"), last(Tag::is_sound).expect("silence"));
    assert!(sound + 1_500 > picture, "sound to {sound} ms, pictures to {picture} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_track_that_was_promised_goes_on_as_silence_when_the_source_comes_back_without() {
    let loud = Camera::new().film("libx264", "320x240", 2, true);
    let silent = Camera::new().film("libx264", "320x240", 4, false);
    let acts = vec![Act::Send(Arc::new(loud)), Act::Send(Arc::new(silent))];
    let platform = Platform::start(SIM, acts, |_| {}).await;
    let mut viewer = Viewer::open(&platform, FLV).await;
    viewer.head().await;
    assert_eq!(viewer.flags, 5, "sound and pictures");
    let flv = viewer.tags().await;
    assert_eq!(pictures(&flv).iter().filter(|(_, header)| !header).count(), 60);
    let last = |is: fn(&Tag) -> bool| flv.iter().filter(|tag| is(tag)).map(|tag| tag.time_ms).max();
    let (picture, sound) = (last(Tag::is_picture).expect("pictures"), last(Tag::is_sound).expect("sound"));
    assert!(sound + 1_500 > picture, "sound to {sound} ms, pictures to {picture} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_that_begins_late_is_for_those_who_come_after() {
    let mut camera = Camera::new();
    let mut recording = camera.film("libx264", "320x240", 2, false);
    recording.extend(camera.film("libx264", "320x240", 4, true));
    let platform = stage(recording).await;
    let mut early = Viewer::open(&platform, FLV).await;
    let watched = async {
        early.head().await;
        early.tags().await
    };
    let joined = async {
        open_for(&platform, 1).await;
        let first = platform.server.stats().units;
        until("sound", || platform.server.stats().units > first + 35).await;
        let mut late = Viewer::open(&platform, FLV).await;
        late.head().await;
        (late.tags().await, late.flags)
    };
    let (tags, (late, flags)) = tokio::join!(watched, joined);
    assert_eq!((early.flags, tags.iter().filter(|tag| tag.kind == 8).count()), (1, 0));
    assert_eq!(flags, 5);
    assert!(late.iter().any(Tag::is_sound));
}
