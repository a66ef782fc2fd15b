//! Bad input on the live ports, and viewers who take nothing: for each case the counter, and what becomes of the
//! connection and its pictures, as docs/video-links.md says.

mod support;

use std::sync::Arc;
use std::time::Duration;

use protocol::jt1078::{DataType, PayloadType};
use support::viewer::Viewer;
use support::{Act, Camera, Platform, Recording, send, until};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

const SIM: &str = "13800138999";
const FLV: &str = "live/live-42-2-main.flv?ticket=good";
/// The bound of what has to happen at once.
const WITHIN: Duration = Duration::from_secs(10);

/// So many seconds of pictures, ten in each, of which the first is a key frame.
fn film(camera: &mut Camera, seconds: u64) -> Recording {
    camera.film("libx264", "352x288", seconds, false)
}

/// A terminal that sends `recording` once, and how many pictures and key frames of it a viewer sees.
async fn shown(recording: Recording) -> (Platform, usize, usize) {
    let platform = Platform::start(SIM, vec![Act::Send(Arc::new(recording))], |_| {}).await;
    let mut viewer = Viewer::open(&platform, FLV).await;
    viewer.head().await;
    let tags = viewer.tags().await;
    let pictures = tags.iter().filter(|tag| tag.is_picture()).count();
    let key_frames = tags.iter().filter(|tag| tag.is_key_frame()).count();
    (platform, pictures, key_frames)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_connection_for_a_source_that_runs_is_closed() {
    let film = Arc::new(film(&mut Camera::new(), 2));
    let platform = Platform::start(SIM, vec![Act::Loop(Arc::clone(&film))], |_| {}).await;
    let mut viewer = Viewer::open(&platform, FLV).await;
    viewer.head().await;
    assert!(viewer.tag().await.is_some(), "the first runs");

    let mut second = TcpStream::connect(platform.server.live_addr()).await.expect("connects");
    // It may be closed in the middle.
    let _ = send(&mut second, &film[..2].to_vec()).await;
    let closed = tokio::time::timeout(WITHIN, second.read(&mut [0])).await.expect("closed");
    assert!(matches!(closed, Ok(0) | Err(_)));
    assert_eq!(platform.server.stats().sources_refused, 1);

    let sources = platform.server.stats().sources;
    for _ in 0..30 {
        assert!(viewer.tag().await.is_some(), "the first goes on");
    }
    assert_eq!(platform.server.stats().sources, sources);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_packet_are_skipped_and_cost_no_picture() {
    let mut recording = film(&mut Camera::new(), 2);
    let garbage = vec![0x7e; 1_000];
    for picture in [3, 7, 12] {
        recording[picture].1.extend_from_slice(&garbage);
    }
    let (platform, pictures, _) = shown(recording).await;
    assert_eq!(platform.server.stats().bytes_skipped, 3_000);
    assert_eq!(platform.server.stats().frames_with_gap, 0);
    assert_eq!(pictures, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_go_on_at_the_next_key_frame_after_one_that_was_lost() {
    let mut recording = film(&mut Camera::new(), 3);
    recording.remove(14);
    let (platform, pictures, key_frames) = shown(recording).await;
    assert_eq!(platform.server.stats().frames_with_gap, 1);
    assert_eq!((pictures, key_frames), (24, 3), "those after the lost one lean on it");
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_cannot_be_passed_on_are_left_out() {
    /// G.729: of the standard's table, and decoded by nothing here.
    const G729: PayloadType = PayloadType(9);
    let mut camera = Camera::new();
    let mut recording = film(&mut camera, 1);
    for _ in 0..2 {
        recording.push(camera.made_up(DataType::P, PayloadType::AVS, &[0x5a; 300]));
    }
    for _ in 0..3 {
        recording.push(camera.made_up(DataType::Audio, G729, &[0x5a; 20]));
    }
    recording.extend(film(&mut camera, 1));
    let (platform, pictures, _) = shown(recording).await;
    assert_eq!(platform.server.stats().frames_unsupported, 5);
    assert_eq!(pictures, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_that_cannot_be_decoded_is_dropped_and_touches_no_picture() {
    let mut camera = Camera::new();
    let mut recording = film(&mut camera, 1);
    for _ in 0..4 {
        // No ADTS header begins like this.
        recording.push(camera.made_up(DataType::Audio, PayloadType::AAC, &[0x5a; 100]));
    }
    recording.extend(film(&mut camera, 1));
    let (platform, pictures, _) = shown(recording).await;
    assert_eq!(platform.server.stats().audio_dropped, 4);
    assert_eq!(pictures, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_who_takes_nothing_is_closed() {
    // Without pauses: far more than sockets hold.
    let film = film(&mut Camera::new(), 2).into_iter().map(|(_, packets)| (0, packets)).collect();
    let acts = vec![Act::Loop(Arc::new(film))];
    let platform = Platform::start(SIM, acts, |settings| settings.viewer_stall_s = 1).await;
    let mut stuck = Viewer::open(&platform, FLV).await;
    stuck.head().await;
    until("it to be closed", || platform.server.stats().viewers_stalled > 0).await;
    // What was under way is still read; then there is an end.
    tokio::time::timeout(WITHIN, stuck.tags()).await.expect("an end");
    assert_eq!(platform.server.stats().viewers_stalled, 1);

    let mut viewer = Viewer::open(&platform, FLV).await;
    viewer.head().await;
    for _ in 0..30 {
        assert!(viewer.tag().await.is_some(), "who reads is served");
    }
}
