//! Live views end to end: a terminal that sends, the real ports, viewers that behave well and badly.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cluster::{Media, MediaError};
use futures_util::{SinkExt, StreamExt};
use model::{Command, StreamKey};
use support::viewer::Viewer;
use support::{Act, Camera, Platform, Recording, recording, send, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

const SIM: &str = "13800138999";
const FLV: &str = "live/live-42-2-main.flv?ticket=good";

/// Pictures of a [`clip`], the first of every ten a key frame.
const PICTURES: usize = 20;

/// Two seconds of H.264 with sound.
fn clip() -> Arc<Recording> {
    Arc::new(packets(Camera::new().film("libx264", "352x288", 2, true)))
}

/// A recording packet by packet.
fn packets(film: Recording) -> Recording {
    recording(&film.into_iter().flat_map(|(_, packets)| packets).collect::<Vec<_>>())
}

/// The same without pauses.
fn burst(clip: &Recording) -> Arc<Recording> {
    Arc::new(clip.iter().map(|(_, packet)| (0, packet.clone())).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_drops_comes_back_under_a_viewer_who_stays() {
    let clip = clip();
    let acts = vec![Act::Send(Arc::clone(&clip)), Act::Nothing, Act::Send(clip)];
    let platform = Platform::start(SIM, acts, |_| {}).await;
    let mut viewer = Viewer::open(&platform, FLV).await;
    assert!(viewer.head().await.starts_with("HTTP/1.0 200"));
    let tags = viewer.tags().await;
    for kind in [8, 9] {
        let times: Vec<_> = tags.iter().filter(|tag| tag.kind == kind).map(|tag| tag.time_ms).collect();
        assert!(times.windows(2).all(|pair| pair[0] <= pair[1]), "{times:?}");
    }
    let pictures: Vec<_> = tags.iter().filter(|tag| tag.is_picture()).map(|tag| tag.time_ms).collect();
    assert_eq!(pictures.len(), 2 * PICTURES);
    assert!(pictures.windows(2).all(|pair| pair[0] < pair[1]), "{pictures:?}");
    let asked = platform.terminal.commands.lock().clone();
    assert!(asked.iter().filter(|command| matches!(command, Command::StartLive { .. })).count() >= 3);
    until("0x9102", || matches!(platform.terminal.commands.lock().last(), Some(Command::StopLive { .. })))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_viewer_jumps_to_a_key_frame_and_slows_nobody() {
    const CLIP_PICTURES: usize = 100;
    let clip = packets(Camera::new().film("libx264", "352x288", 10, false));
    let acts = vec![Act::Loop(burst(&clip))];
    let platform = Platform::start(SIM, acts, |settings| settings.ring_bytes_max = 1 << 20).await;
    let mut slow = Viewer::open(&platform, FLV).await;
    slow.head().await;
    let mut quick = Viewer::open(&platform, FLV).await;
    quick.head().await;
    // Far more than sockets and ring hold together.
    let reader = tokio::spawn(async move {
        let mut pictures = 0;
        while pictures < 10_000 {
            pictures += usize::from(quick.tag().await.expect("it runs").is_picture());
        }
    });
    tokio::time::timeout(Duration::from_secs(60), reader).await.expect("not slowed").expect("reads");
    // The clip repeats, so that what a viewer reads tells where in it a picture stands.
    let mut clip: Vec<Vec<u8>> = Vec::new();
    let mut last_ms = 0;
    let mut read = 0;
    let jump = loop {
        let tag = slow.tag().await.expect("it runs");
        if !tag.is_picture() {
            continue;
        }
        read += 1;
        assert!(read < 60_000, "what sockets and ring hold is read, and nothing was skipped");
        if clip.len() < CLIP_PICTURES {
            // Every picture of the clip is another one: one that comes again stands behind a jump.
            if clip.contains(&tag.body) {
                break tag;
            }
            clip.push(tag.body);
        } else {
            let in_turn = tag.body == clip[(read - 1) % CLIP_PICTURES];
            // What was skipped may be whole clips.
            if !in_turn || (tag.is_key_frame() && tag.time_ms > last_ms + 5_000) {
                break tag;
            }
        }
        last_ms = tag.time_ms;
    };
    assert!(jump.is_key_frame() && jump.time_ms > last_ms);
    assert!(platform.server.stats().units_dropped_for_viewers > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_right_ends_a_running_view_even_of_a_viewer_who_takes_nothing() {
    let clip = clip();
    let platform = Platform::start(SIM, vec![Act::Loop(burst(&clip))], |_| {}).await;
    let mut reading = Viewer::open(&platform, FLV).await;
    reading.head().await;
    let mut stuck = Viewer::open(&platform, FLV).await;
    stuck.head().await;
    let (status, master) = platform.request("GET", "/live/live-42-2-main/index.m3u8?ticket=good").await;
    assert_eq!(status, 200);
    let media = master.lines().last().expect("a line").to_owned();
    let (status, _) = platform.request("GET", &format!("/live/live-42-2-main/{media}")).await;
    assert_eq!(status, 200);
    assert_eq!(platform.server.viewers(), 3);

    platform.viewers.revoked.store(true, Ordering::Relaxed);
    tokio::time::timeout(Duration::from_secs(10), reading.tags()).await.expect("ends");
    until("three views ended", || platform.server.stats().views_revoked == 3).await;
    // What was under way is still read; then there is an end.
    tokio::time::timeout(Duration::from_secs(10), stuck.tags()).await.expect("ends");
    until("nobody to watch", || platform.server.viewers() == 0).await;
    let (status, _) = platform.request("GET", &format!("/live/live-42-2-main/{media}")).await;
    assert_eq!(status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_that_are_wrong_expired_or_of_another_stream_get_their_problem() {
    let platform = Platform::start(SIM, Vec::new(), |_| {}).await;
    for (ticket, status) in [("", 401), ("nonsense", 401), ("expired", 401), ("other", 403), ("foreign", 404)]
    {
        for path in ["live-42-2-main.flv", "live-42-2-main/index.m3u8"] {
            let (got, body) = platform.request("GET", &format!("/live/{path}?ticket={ticket}")).await;
            assert_eq!(got, status, "{ticket} {path}");
            let problem: serde_json::Value = serde_json::from_str(&body).expect("a problem");
            assert_eq!(problem["status"], status);
        }
    }
    assert_eq!(platform.server.stats().views_refused, 10);
    assert!(platform.terminal.commands.lock().is_empty());
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/live/live-42-0-main.flv?ticket=good", 404),
        ("GET", "/live/live-42-2-main/media.m3u8?session=0", 403),
        ("GET", "/live/live-42-2-main/../../etc/passwd", 403),
        ("POST", "/live/live-42-2-main.flv?ticket=good", 405),
        ("OPTIONS", "/live/live-42-2-main.flv", 204),
    ] {
        assert_eq!(platform.request(method, path).await.0, status, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_refuses_or_a_channel_that_is_taken_is_said() {
    let clip = clip();
    let acts = vec![Act::Refuse(3), Act::Loop(clip)];
    let platform = Platform::start(SIM, acts, |_| {}).await;
    let (status, body) = platform.request("GET", &format!("/{FLV}")).await;
    assert_eq!(status, 502, "{body}");
    let mut main = Viewer::open(&platform, FLV).await;
    main.head().await;
    let (status, body) = platform.request("GET", "/live/live-42-2-sub.flv?ticket=good").await;
    assert_eq!(status, 409);
    assert!(body.contains("live-42-2-main"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn flv_comes_by_web_socket_too() {
    let clip = clip();
    let platform = Platform::start(SIM, vec![Act::Send(clip)], |_| {}).await;
    let socket = TcpStream::connect(platform.server.viewer_addr()).await.expect("connects");
    let url = format!("ws://{}/{FLV}", platform.server.viewer_addr());
    let (mut socket, answer) = tokio_tungstenite::client_async(url, socket).await.expect("upgrades");
    assert_eq!(answer.status(), 101);
    socket.send(Message::Ping(bytes::Bytes::from_static(b"x"))).await.expect("sends");
    let mut flv = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Binary(chunk) = message {
            flv.extend_from_slice(&chunk);
        }
    }
    assert!(flv.starts_with(b"FLV"));
    let mut at = 13;
    let mut pictures = 0;
    while let Some([kind, a, b, c, ..]) = flv.get(at..at + 11) {
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        pictures += usize::from(*kind == 9 && flv[at + 12] == 1);
        at += length + 15;
    }
    assert_eq!((at, pictures), (flv.len(), PICTURES));
}

#[tokio::test(flavor = "multi_thread")]
async fn cmsv6_forms_play_and_fail_in_their_own_words() {
    let platform = Platform::start(SIM, vec![Act::Send(clip())], |_| {}).await;
    assert_eq!(platform.request("HEAD", "/hls/1_D_1_0.m3u8?jsession=good").await.0, 200);
    assert_eq!(platform.server.stats().views, 0);
    assert!(platform.terminal.commands.lock().is_empty());
    let path = "/3/3?AVType=1&jsession=good&DevIDNO=D&Channel=1&Stream=0";
    for (path, status, result) in [
        ("/3/3?AVType=1&jsession=bad&DevIDNO=D&Channel=1&Stream=0", 403, 5),
        ("/3/3?AVType=1&jsession=good&DevIDNO=X&Channel=1&Stream=0", 404, 21),
        ("/3/3?AVType=1&jsession=good&DevIDNO=D&Channel=x", 400, 3),
        ("/hls/1_D_1_0.m3u8?jsession=bad", 403, 5),
        ("/hls/1_X_1_0.m3u8?jsession=good", 404, 21),
        ("/hls/7.ts?session=0", 403, 5),
        ("/3/3?AVType=1&jsession=powerless&DevIDNO=D&Channel=1&Stream=0", 403, 2),
        ("/hls/1_D_1_0.m3u8?jsession=unread", 503, 4),
    ] {
        let (got, body) = platform.request("GET", path).await;
        assert_eq!(
            (got, body.as_str()),
            (status, &*format!("{{\"cmsserver\":1,\"result\":{result}}}")),
            "{path}"
        );
    }
    assert_eq!(platform.server.stats().views_refused, 6);
    let mut viewer = Viewer::open(&platform, &path[1..]).await;
    assert!(viewer.head().await.contains("video/x-flv"));
    let (status, playlist) = platform.request("GET", "/hls/1_D_1_0.m3u8?jsession=good").await;
    assert_eq!(status, 200);
    assert!(playlist.starts_with("#EXTM3U\n"), "{playlist}");
    let line = playlist.lines().find(|line| line.contains(".ts?")).expect("a segment");
    let (status, _) = platform.request("GET", &format!("/hls/{line}")).await;
    assert_eq!(status, 200);
    let (_, query) = line.split_once('?').expect("a query");
    for file in ["7.ts", "x.ts", "7.m4s"] {
        let gone = platform.request("GET", &format!("/hls/{file}?{query}")).await;
        assert_eq!(gone, (404, r#"{"cmsserver":1,"result":5}"#.to_owned()), "{file}");
    }
    assert_eq!(viewer.tags().await.iter().filter(|tag| tag.is_picture()).count(), PICTURES);
}

/// Each form in its own words: the v1 status, and the CMSV6 result beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_does_not_begin_says_why() {
    let flv = "/3/3?AVType=1&jsession=good&DevIDNO=D&Channel=1&Stream=0";
    for (act, status, result) in [
        (|| Act::Away, 503, 23),
        (|| Act::HangUp, 503, 26),
        (|| Act::Refuse(1), 502, 22),
        (|| Act::Nothing, 504, 22),
    ] as [(fn() -> Act, u16, u8); 4]
    {
        let acts = (0..4).map(|_| act()).collect();
        let platform = Platform::start(SIM, acts, |settings| settings.start_s = 1).await;
        for path in ["/live/live-42-2-main.flv", "/live/live-42-2-main/index.m3u8"] {
            let (got, body) = platform.request("GET", &format!("{path}?ticket=good")).await;
            assert_eq!(got, status, "{path}: {body}");
            assert!(body.contains("\"detail\":"), "{path}: {body}");
        }
        for path in [flv, "/hls/1_D_1_0.m3u8?jsession=good"] {
            let answer = platform.request("GET", path).await;
            assert_eq!(answer, (status, format!("{{\"cmsserver\":1,\"result\":{result}}}")), "{path}");
        }
    }
    let platform = Platform::start(SIM, vec![Act::Loop(clip())], |settings| settings.viewers_max = 1).await;
    let mut viewer = Viewer::open(&platform, FLV).await;
    viewer.head().await;
    assert_eq!(platform.request("GET", "/live/live-42-2-main.flv?ticket=good").await.0, 503);
    let full = platform.request("GET", flv).await;
    assert_eq!(full, (503, r#"{"cmsserver":1,"result":6}"#.to_owned()), "the device is not offline");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hls_playlist_ends_and_its_numbers_go_on() {
    let clip = clip();
    let acts = vec![Act::Send(Arc::clone(&clip)), Act::Send(clip)];
    let platform = Platform::start(SIM, acts, |_| {}).await;
    let (_, master) = platform.request("GET", "/live/live-42-2-main/index.m3u8?ticket=good").await;
    let media = format!("/live/live-42-2-main/{}", master.lines().last().expect("a line"));
    let mut playlist = String::new();
    while !playlist.contains("#EXT-X-ENDLIST") {
        let (status, text) = platform.request("GET", &media).await;
        assert_eq!(status, 200);
        let number = |text: &str| {
            let line =
                text.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:").map(str::to_owned));
            line.map_or(0, |line| line.parse::<u64>().expect("a number"))
        };
        assert!(number(&text) >= number(&playlist));
        playlist = text;
    }
    assert_eq!(playlist.matches("#EXTINF").count(), 2, "{playlist}");
    assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{playlist}");
    assert!(playlist.contains("#EXT-X-MAP:URI=\"init-"), "{playlist}");
    assert!(playlist.contains("#EXT-X-TARGETDURATION:2\n"), "{playlist}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_the_newest_key_frame_of_a_running_stream() {
    let clip = clip();
    let platform = Platform::start(SIM, vec![Act::Loop(clip)], |_| {}).await;
    let stream: StreamKey = "live-42-2-main".parse().expect("a key");
    assert_eq!(platform.server.snapshot(stream).await, Err(MediaError::NotRunning(stream)));
    let mut viewer = Viewer::open(&platform, FLV).await;
    viewer.head().await;
    let jpeg = platform.server.snapshot(stream).await.expect("a picture");
    assert!(jpeg.starts_with(&[0xff, 0xd8, 0xff]) && jpeg.ends_with(&[0xff, 0xd9]));
    // Frame header: SOF0, length, 8 bits, height, width.
    let frame = jpeg.windows(2).position(|two| two == [0xff, 0xc0]).expect("a baseline JPEG");
    assert_eq!(jpeg[frame + 5..frame + 9], [1, 32, 1, 96]);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_request_or_without_packets_are_closed_and_counted() {
    let clip = clip();
    let platform = Platform::start(SIM, Vec::new(), |settings| settings.first_packet_s = 1).await;
    let live = platform.server.live_addr();
    let closed = async |mut socket: TcpStream| {
        let mut byte = [0];
        let read =
            tokio::time::timeout(Duration::from_secs(10), socket.read(&mut byte)).await.expect("closed");
        assert!(matches!(read, Ok(0) | Err(_)));
    };
    let mut nobody = TcpStream::connect(live).await.expect("connects");
    let _ = send(&mut nobody, &burst(&clip)).await;
    closed(nobody).await;
    until("counted", || platform.server.stats().connections_without_request == 1).await;

    let silent = TcpStream::connect(live).await.expect("connects");
    closed(silent).await;
    let mut garbage = TcpStream::connect(live).await.expect("connects");
    let _ = garbage.write_all(&vec![0x7e; 1 << 20]).await;
    closed(garbage).await;
    until("counted", || platform.server.stats().connections_without_packet == 2).await;
    assert_eq!(platform.server.stats().sources, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_for_nobody_on_a_running_connection_are_counted_and_skipped() {
    let clip = clip();
    let mixed: Recording = clip
        .iter()
        .flat_map(|(at_ms, packet)| {
            let mut other = packet.clone();
            other[14] = 9;
            [(*at_ms, packet.clone()), (*at_ms, other)]
        })
        .collect();
    let platform = Platform::start(SIM, vec![Act::Send(Arc::new(mixed))], |_| {}).await;
    let mut viewer = Viewer::open(&platform, FLV).await;
    viewer.head().await;
    assert_eq!(viewer.tags().await.iter().filter(|tag| tag.is_picture()).count(), PICTURES);
    assert_eq!(platform.server.stats().packets_for_nobody, u64::try_from(clip.len()).expect("few"));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_protocols_on_the_viewer_port_are_refused() {
    let platform = Platform::start(SIM, Vec::new(), |_| {}).await;
    for (bytes, answer) in [
        (&b"OPTIONS rtsp://h/x RTSP/1.0\r\nCSeq: 1\r\n\r\n"[..], "RTSP/1.0 501 "),
        (b"\x03\0\0\0\0", ""),
        (b"\x16\x03\x01\x02\0", ""),
        (b"01cd\x81\x62", ""),
    ] {
        let mut socket = TcpStream::connect(platform.server.viewer_addr()).await.expect("connects");
        socket.write_all(bytes).await.expect("sends");
        let mut got = Vec::new();
        // Closing with bytes unread resets the connection.
        let _ = socket.read_to_end(&mut got).await;
        assert!(String::from_utf8_lossy(&got).starts_with(answer));
    }
    assert_eq!(platform.server.stats().viewer_protocol_unknown, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_ends_its_views_and_stops_its_terminals() {
    let clip = clip();
    let platform = Platform::start(SIM, vec![Act::Loop(clip)], |_| {}).await;
    let mut viewer = Viewer::open(&platform, FLV).await;
    viewer.head().await;
    assert_eq!(platform.server.ready(), Ok(()));
    platform.server.shutdown().await;
    viewer.tags().await;
    assert!(platform.server.ready().is_err(), "nothing of it runs any more");
    assert!(matches!(platform.terminal.commands.lock().last(), Some(Command::StopLive { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_one_hls_view_however_often_it_is_used() {
    let clip = clip();
    let platform = Platform::start(SIM, vec![Act::Loop(clip)], |_| {}).await;
    let path = "/live/live-42-2-main/index.m3u8?ticket=good";
    assert_eq!(platform.request("HEAD", path).await.0, 200);
    assert_eq!(platform.server.stats().views, 0);
    assert!(platform.terminal.commands.lock().is_empty());
    let (_, first) = platform.request("GET", path).await;
    let (_, second) = platform.request("GET", path).await;
    assert_eq!(first, second);
    assert_eq!(platform.server.stats().views, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_one_ticket_that_overlap_open_one_view() {
    let platform = Platform::start(SIM, vec![Act::Loop(clip())], |_| {}).await;
    platform.terminal.gate.send_replace(false);
    let path = "/live/live-42-2-main/index.m3u8?ticket=good";
    let open = async {
        until("both requests", || platform.server.stats().views == 2).await;
        platform.terminal.gate.send_replace(true);
    };
    let (first, second, ()) =
        tokio::join!(platform.request("GET", path), platform.request("GET", path), open);
    assert_eq!(first.0, 200);
    assert_eq!(first, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_viewer_who_takes_nothing_does_not_hold_up_the_end() {
    let acts = vec![Act::Loop(burst(&clip()))];
    let platform = Platform::start(SIM, acts, |settings| settings.viewer_stall_s = 3_600).await;
    let socket = TcpStream::connect(platform.server.viewer_addr()).await.expect("connects");
    let url = format!("ws://{}/{FLV}", platform.server.viewer_addr());
    let (_stuck, _) = tokio_tungstenite::client_async(url, socket).await.expect("upgrades");
    // Far more than its socket holds.
    until("pictures", || platform.server.stats().units > 30_000).await;
    platform.server.shutdown().await;
    assert_eq!(Arc::strong_count(&platform.viewers), 1, "no task of the server is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_that_wait_for_a_key_frame_are_signs_of_life() {
    let film = Camera::new().film("libx264", "352x288", 5, false);
    // All key frames between the first second and the last are lost, and with each the pictures that lean on it.
    let film = (0..).zip(film).filter(|(number, _)| !matches!(number, 10 | 20 | 30));
    let acts = vec![Act::Send(Arc::new(film.map(|(_, packets)| packets).collect()))];
    let platform = Platform::start(SIM, acts, |settings| settings.source_idle_s = 2).await;
    let mut viewer = Viewer::open(&platform, FLV).await;
    viewer.head().await;
    let tags = viewer.tags().await;
    assert_eq!(tags.iter().filter(|tag| tag.is_picture()).count(), 20);
    assert_eq!(tags.iter().filter(|tag| tag.is_key_frame()).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_only_so_many_views() {
    let clip = clip();
    let platform =
        Platform::start(SIM, vec![Act::Loop(clip)], |settings| settings.viewers_per_account_max = 2).await;
    let mut viewers = Vec::new();
    for _ in 0..2 {
        let mut viewer = Viewer::open(&platform, FLV).await;
        viewer.head().await;
        viewers.push(viewer);
    }
    let (status, body) = platform.request("GET", &format!("/{FLV}")).await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("of this account"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_one_address_that_prove_nothing_are_bounded() {
    let clip = clip();
    let platform = Platform::start(SIM, vec![Act::Loop(clip)], |settings| {
        settings.newcomers_per_address_max = 2;
    })
    .await;
    // Who watches is none of them, and neither is the terminal that sends to them.
    let mut viewers = Vec::new();
    for _ in 0..3 {
        let mut viewer = Viewer::open(&platform, FLV).await;
        viewer.head().await;
        viewers.push(viewer);
    }
    for address in [platform.server.viewer_addr(), platform.server.live_addr()] {
        let before = platform.server.stats().connections_over_bound;
        let mut silent = Vec::new();
        for _ in 0..2 {
            silent.push(TcpStream::connect(address).await.expect("connects"));
        }
        let mut third = TcpStream::connect(address).await.expect("connects");
        let closed = tokio::time::timeout(Duration::from_secs(10), third.read(&mut [0])).await;
        assert!(matches!(closed.expect("at once"), Ok(0) | Err(_)), "{address}");
        assert_eq!(platform.server.stats().connections_over_bound, before + 1, "{address}");
    }
}
