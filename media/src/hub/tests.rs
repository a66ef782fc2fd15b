//! The hub's states in virtual time, against a terminal that does as told.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use cluster::Bus;
use futures_util::StreamExt;
use model::{Channel, Filter, Profile, Sim, TerminalId};
use parking_lot::Mutex;
use protocol::media::VideoTrack;
use protocol::nal::{ParameterSets, VideoCodec};

use super::run::REPLACEABLE_AFTER;
use super::*;
use crate::unit::{Config, Unit};

/// A terminal: what it was sent, and what it answers.
struct Fake {
    commands: Mutex<Vec<(Instant, Command)>>,
    answer: Mutex<Result<Reply, SendError>>,
    linked: Mutex<Result<TerminalLink, SendError>>,
    /// Whether answers never come.
    deaf: AtomicBool,
}

#[async_trait]
impl Terminals for Fake {
    async fn link(&self, _terminal: TerminalId) -> Result<TerminalLink, SendError> {
        self.linked.lock().clone()
    }

    async fn send(&self, _terminal: TerminalId, command: Command) -> Result<Reply, SendError> {
        self.commands.lock().push((Instant::now(), command));
        if self.deaf.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        self.answer.lock().clone()
    }

    async fn disconnect(&self, _terminal: TerminalId) {}
}

struct Bench {
    fake: Arc<Fake>,
    hub: HubHandle,
    bus: Arc<Bus>,
}

fn sim() -> Sim {
    "13912345678".parse().expect("a SIM")
}

fn key(profile: Profile) -> StreamKey {
    StreamKey::live(TerminalId(42), Channel::new(1).expect("not 0"), profile)
}

fn bench(ports: u16) -> Bench {
    let fake = Arc::new(Fake {
        commands: Mutex::default(),
        answer: Mutex::new(Ok(Reply::Accepted)),
        linked: Mutex::new(Ok(TerminalLink { sim: sim(), sim_bytes: 6, av: None })),
        deaf: AtomicBool::new(false),
    });
    let bus = Arc::new(Bus::default());
    let ports = (0..ports).map(|place| LivePort { host: None, tcp_port: 6602 + place }).collect();
    let (hub, handle) = Hub::new(
        Arc::new(Settings::default()),
        Arc::clone(&fake) as Arc<dyn Terminals>,
        Arc::clone(&bus) as Arc<dyn Events>,
        ports,
    );
    tokio::spawn(hub.run());
    Bench { fake, hub: handle, bus }
}

impl Bench {
    async fn claim(&self, port: usize) -> Result<(Claimed, Arc<Revocation>), ClaimRefused> {
        let revocation = Arc::new(Revocation::new(Arc::default()));
        let expectation = Expectation { port, sim: sim(), channel: 1 };
        self.hub.claim(expectation, Arc::clone(&revocation)).await.map(|claimed| (claimed, revocation))
    }

    /// A source that has sent its first key frame.
    async fn source(&self, port: usize) -> (Claimed, Arc<Revocation>) {
        let (claimed, revocation) = self.claim(port).await.expect("asked for");
        push(&claimed);
        self.hub.arrived(claimed.stream.key, claimed.source);
        claimed.stream.started().await.expect("live");
        (claimed, revocation)
    }

    async fn asked(&self, times: usize) {
        while self.starts() < times {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn starts(&self) -> usize {
        self.fake.commands.lock().iter().filter(|(_, c)| matches!(c, Command::StartLive { .. })).count()
    }

    fn stops(&self) -> usize {
        self.fake.commands.lock().iter().filter(|(_, c)| matches!(c, Command::StopLive { .. })).count()
    }
}

fn push(claimed: &Claimed) {
    static TIME: AtomicU64 = AtomicU64::new(0);
    let parameter_sets = ParameterSets::new(VideoCodec::H264);
    let track = VideoTrack { codec: VideoCodec::H264, width: 16, height: 16, parameter_sets };
    assert!(claimed.stream.ring.push(Unit {
        epoch: 1,
        generation: claimed.stream.next_generation(),
        dts_90k: TIME.fetch_add(3_600, Ordering::Relaxed),
        duration_90k: 0,
        key: true,
        config: Config::Video(Arc::new(track)),
        data: Bytes::from_static(b"x"),
        flv: Default::default(),
    }));
}

async fn ended(stream: &Stream) -> EndReason {
    let mut phase = stream.phase();
    let phase = phase.wait_for(|phase| matches!(phase, Phase::Ended(_))).await.expect("the stream lives");
    match &*phase {
        Phase::Ended(reason) => reason.clone(),
        _ => unreachable!("waited for"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_viewer_is_parked_until_the_source_comes_and_the_last_one_stops_it_after_a_while() {
    let bench = bench(1);
    let mut events = bench.bus.subscribe(Filter::default());
    let one = bench.hub.attach(key(Profile::Main)).await.expect("attached");
    let two = bench.hub.attach(key(Profile::Main)).await.expect("attached");
    assert_eq!(*one.stream.phase().borrow(), Phase::Starting);
    bench.asked(1).await;
    assert!(bench.hub.running(key(Profile::Main)).await.is_none());
    let (claimed, revocation) = bench.source(0).await;
    assert_eq!(*two.stream.phase().borrow(), Phase::Live);
    assert!(bench.hub.running(key(Profile::Main)).await.is_some());

    let stream = Arc::clone(&one.stream);
    drop(one);
    tokio::time::sleep(Duration::from_secs(12)).await;
    push(&claimed);
    assert_eq!(*stream.phase().borrow(), Phase::Live);
    let left = Instant::now();
    drop(two);
    assert_eq!(ended(&stream).await, EndReason::Unwatched);
    assert_eq!(left.elapsed().as_secs(), Settings::default().linger_s);
    assert!(revocation.is_revoked());
    while bench.stops() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!((bench.starts(), bench.stops()), (1, 1));
    for expected in [StreamChange::Live, StreamChange::Ended] {
        let event = events.next().await.expect("an event").expect("not lagged");
        assert_eq!(event, Event::Stream { stream: key(Profile::Main), change: expected });
    }
}

#[tokio::test(start_paused = true)]
async fn a_viewer_who_comes_back_in_time_finds_the_stream_running() {
    let bench = bench(1);
    let one = bench.hub.attach(key(Profile::Main)).await.expect("attached");
    bench.asked(1).await;
    let (claimed, _revocation) = bench.source(0).await;
    drop(one);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let two = bench.hub.attach(key(Profile::Main)).await.expect("attached");
    push(&claimed);
    tokio::time::sleep(Duration::from_secs(14)).await;
    assert_eq!(*two.stream.phase().borrow(), Phase::Live);
    assert_eq!((bench.starts(), bench.stops()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lost_source_is_asked_again_with_growing_pauses_and_then_given_up() {
    let bench = bench(1);
    let viewer = bench.hub.attach(key(Profile::Main)).await.expect("attached");
    bench.asked(1).await;
    let (claimed, _revocation) = bench.source(0).await;
    let lost = Instant::now();
    bench.hub.lost(claimed.stream.key, claimed.source);
    assert_eq!(ended(&viewer.stream).await, EndReason::Lost);
    assert_eq!(lost.elapsed().as_secs(), Settings::default().recover_s);
    let commands = bench.fake.commands.lock().clone();
    let asked: Vec<_> = commands
        .iter()
        .filter(|(_, command)| matches!(command, Command::StartLive { .. }))
        .skip(1)
        .map(|(at, _)| (*at - lost).as_secs())
        .collect();
    assert_eq!(asked, [1, 3, 7, 15, 23]);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_comes_back_goes_on_in_the_same_stream_behind_the_old_time() {
    let bench = bench(1);
    let viewer = bench.hub.attach(key(Profile::Main)).await.expect("attached");
    bench.asked(1).await;
    let (claimed, _revocation) = bench.source(0).await;
    bench.hub.lost(claimed.stream.key, claimed.source);
    bench.asked(2).await;
    let (again, _revocation) = bench.claim(0).await.expect("asked for");
    assert!(again.base_90k >= 90_000, "{}", again.base_90k);
    push(&again);
    bench.hub.arrived(again.stream.key, again.source);
    let mut phase = viewer.stream.phase();
    phase.wait_for(|phase| *phase == Phase::Live).await.expect("live again");
    assert!(Arc::ptr_eq(&again.stream, &viewer.stream));
}

#[tokio::test(start_paused = true)]
async fn a_source_without_a_byte_is_lost() {
    let bench = bench(1);
    let viewer = bench.hub.attach(key(Profile::Main)).await.expect("attached");
    bench.asked(1).await;
    let (_claimed, revocation) = bench.source(0).await;
    let silent = Instant::now();
    let mut phase = viewer.stream.phase();
    phase.wait_for(|phase| *phase == Phase::Recovering).await.expect("lost");
    assert_eq!(silent.elapsed().as_secs(), Settings::default().source_idle_s);
    assert!(revocation.is_revoked());
}

#[tokio::test(start_paused = true)]
async fn a_terminal_that_refuses_or_is_away_or_sends_nothing_ends_the_stream_with_the_reason() {
    let away = SendError::NotConnected(TerminalId(42));
    let refused = SendError::Refused { terminal: TerminalId(42), result: 3 };
    let bench = bench(1);
    *bench.fake.linked.lock() = Err(away.clone());
    let viewer = bench.hub.attach(key(Profile::Main)).await.expect("attached");
    assert_eq!(viewer.stream.started().await, Err(EndReason::Unreachable(away)));
    assert_eq!((bench.starts(), bench.stops()), (0, 0));

    *bench.fake.linked.lock() = Ok(TerminalLink { sim: sim(), sim_bytes: 6, av: None });
    *bench.fake.answer.lock() = Err(refused.clone());
    let viewer = bench.hub.attach(key(Profile::Main)).await.expect("attached");
    assert_eq!(viewer.stream.started().await, Err(EndReason::Unreachable(refused)));

    *bench.fake.answer.lock() = Ok(Reply::Accepted);
    let begun = Instant::now();
    let viewer = bench.hub.attach(key(Profile::Main)).await.expect("attached");
    assert_eq!(viewer.stream.started().await, Err(EndReason::NoPicture));
    assert_eq!(begun.elapsed().as_secs(), Settings::default().start_s);
    // Asked again while nothing came.
    assert_eq!(bench.starts(), 1 + 4);
}

#[tokio::test(start_paused = true)]
async fn a_connection_nobody_asked_for_is_refused() {
    let bench = bench(1);
    assert_eq!(bench.claim(0).await.err(), Some(ClaimRefused::NoRequest));
    let _viewer = bench.hub.attach(key(Profile::Main)).await.expect("attached");
    bench.asked(1).await;
    assert_eq!(bench.claim(1).await.err(), Some(ClaimRefused::NoRequest));
    assert!(bench.claim(0).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_second_connection_wins_only_over_a_silent_one() {
    let bench = bench(1);
    let _viewer = bench.hub.attach(key(Profile::Main)).await.expect("attached");
    bench.asked(1).await;
    let (_claimed, first) = bench.source(0).await;
    assert_eq!(bench.claim(0).await.err(), Some(ClaimRefused::Running));
    tokio::time::sleep(REPLACEABLE_AFTER).await;
    assert!(bench.claim(0).await.is_ok());
    assert!(first.is_revoked());
}

#[tokio::test(start_paused = true)]
async fn main_and_sub_of_one_channel_take_two_ports_or_name_the_holder() {
    let single = bench(1);
    let _main = single.hub.attach(key(Profile::Main)).await.expect("attached");
    single.asked(1).await;
    let sub = single.hub.attach(key(Profile::Sub)).await.expect("attached");
    assert_eq!(sub.stream.started().await, Err(EndReason::Taken(key(Profile::Main))));

    let double = bench(2);
    let _main = double.hub.attach(key(Profile::Main)).await.expect("attached");
    double.asked(1).await;
    let _sub = double.hub.attach(key(Profile::Sub)).await.expect("attached");
    double.asked(2).await;
    let (claimed, _) = double.claim(1).await.expect("asked for");
    assert_eq!(claimed.stream.key, key(Profile::Sub));
    let ports: Vec<_> = double
        .fake
        .commands
        .lock()
        .iter()
        .filter_map(|(_, command)| match command {
            Command::StartLive { tcp_port, .. } => Some(*tcp_port),
            _ => None,
        })
        .collect();
    assert_eq!(ports, [6602, 6603]);
}

#[tokio::test(start_paused = true)]
async fn shutdown_stops_every_terminal() {
    let bench = bench(1);
    let viewer = bench.hub.attach(key(Profile::Main)).await.expect("attached");
    bench.asked(1).await;
    let _source = bench.source(0).await;
    bench.hub.shutdown().await;
    assert_eq!(ended(&viewer.stream).await, EndReason::Shutdown);
    assert_eq!(bench.stops(), 1);
    assert!(bench.hub.attach(key(Profile::Main)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_source_of_sound_alone_is_lost() {
    let bench = bench(1);
    let viewer = bench.hub.attach(key(Profile::Main)).await.expect("attached");
    bench.asked(1).await;
    let (_claimed, revocation) = bench.source(0).await;
    let picture = Instant::now();
    let ring = Arc::clone(&viewer.stream.ring);
    let sound = tokio::spawn(async move {
        loop {
            ring.touch();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let mut phase = viewer.stream.phase();
    phase.wait_for(|phase| *phase == Phase::Recovering).await.expect("lost");
    assert_eq!(picture.elapsed().as_secs(), Settings::default().source_idle_s);
    assert!(revocation.is_revoked());
    sound.abort();
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_request_is_repeated() {
    let bench = bench(1);
    *bench.fake.answer.lock() = Err(SendError::Timeout(TerminalId(42)));
    let viewer = bench.hub.attach(key(Profile::Main)).await.expect("attached");
    bench.asked(3).await;
    let _source = bench.source(0).await;
    assert_eq!(*viewer.stream.phase().borrow(), Phase::Live);
}

#[tokio::test(start_paused = true)]
async fn a_source_silent_before_its_first_key_frame_is_asked_again_and_replaced() {
    let bench = bench(1);
    let _viewer = bench.hub.attach(key(Profile::Main)).await.expect("attached");
    bench.asked(1).await;
    let (_silent, first) = bench.claim(0).await.expect("asked for");
    bench.asked(2).await;
    let (_claimed, _) = bench.source(0).await;
    assert!(first.is_revoked());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_sends_but_has_no_key_frame_yet_is_left_alone() {
    let bench = bench(1);
    let viewer = bench.hub.attach(key(Profile::Main)).await.expect("attached");
    bench.asked(1).await;
    let (claimed, revocation) = bench.claim(0).await.expect("asked for");
    for _ in 0..15 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        viewer.stream.ring.touch();
    }
    assert_eq!(bench.starts(), 1);
    push(&claimed);
    bench.hub.arrived(claimed.stream.key, claimed.source);
    viewer.stream.started().await.expect("live");
    assert!(!revocation.is_revoked());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_lingers_for_nobody_gives_its_place_to_the_other_profile() {
    let bench = bench(1);
    let main = bench.hub.attach(key(Profile::Main)).await.expect("attached");
    bench.asked(1).await;
    let (_claimed, revocation) = bench.source(0).await;
    let main_stream = Arc::clone(&main.stream);
    drop(main);
    let sub = bench.hub.attach(key(Profile::Sub)).await.expect("attached");
    assert_eq!(ended(&main_stream).await, EndReason::Unwatched);
    assert!(revocation.is_revoked());
    bench.asked(2).await;
    let (claimed, _) = bench.source(0).await;
    assert_eq!(claimed.stream.key, key(Profile::Sub));
    assert_eq!(*sub.stream.phase().borrow(), Phase::Live);
    let order: Vec<_> = bench
        .fake
        .commands
        .lock()
        .iter()
        .map(|(_, command)| matches!(command, Command::StopLive { .. }))
        .collect();
    assert_eq!(order, [false, true, false], "main is stopped before sub is asked for");
}

#[tokio::test(start_paused = true)]
async fn a_place_is_nobodys_until_0x9102_is_answered_and_then_free_even_without() {
    let bench = bench(1);
    let main = bench.hub.attach(key(Profile::Main)).await.expect("attached");
    bench.asked(1).await;
    let _source = bench.source(0).await;
    bench.fake.deaf.store(true, Ordering::Relaxed);
    let main_stream = Arc::clone(&main.stream);
    drop(main);
    assert_eq!(ended(&main_stream).await, EndReason::Unwatched);
    let stopped = Instant::now();
    let _again = bench.hub.attach(key(Profile::Main)).await.expect("attached");
    assert_eq!(bench.claim(0).await.err(), Some(ClaimRefused::NoRequest));
    bench.asked(2).await;
    assert_eq!(stopped.elapsed().as_secs(), STOP_WAIT.as_secs());
    assert!(bench.claim(0).await.is_ok());
}
