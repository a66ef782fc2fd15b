//! The proxy between two sockets, and between a fleet and its platform.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use sim::{Faults, Fleet, Proxy, ProxyStats, Settings, Silence, Way};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::platform::Platform;

/// A server behind a proxy.
struct Stage {
    server: TcpListener,
    proxy: Proxy,
}

impl Stage {
    async fn new() -> Self {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(&server.local_addr().unwrap().to_string(), 1).await.unwrap();
        Self { server, proxy }
    }

    /// Both ends of a link through the proxy.
    async fn link(&self) -> (TcpStream, TcpStream) {
        let near = TcpStream::connect(self.proxy.addr()).await.unwrap();
        let (far, _) = self.server.accept().await.unwrap();
        (near, far)
    }

    async fn until(&self, holds: impl Fn(ProxyStats) -> bool) {
        until(&self.proxy, holds).await;
    }
}

async fn until(proxy: &Proxy, holds: impl Fn(ProxyStats) -> bool) {
    let waits = async {
        while !holds(proxy.stats()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waits)
        .await
        .unwrap_or_else(|_| panic!("{:?}", proxy.stats()));
}

async fn read(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

async fn is_reset(stream: &mut TcpStream) -> bool {
    let read = stream.read(&mut [0; 16]).await;
    matches!(read, Err(error) if error.kind() == ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn bytes_go_both_ways_and_so_do_the_ends() {
    let stage = Stage::new().await;
    let (mut near, mut far) = stage.link().await;
    near.write_all(b"up").await.unwrap();
    assert_eq!(read(&mut far, 2).await, b"up");
    near.shutdown().await.unwrap();
    assert_eq!(far.read(&mut [0; 16]).await.unwrap(), 0, "one way is closed");
    far.write_all(b"down").await.unwrap();
    assert_eq!(read(&mut near, 4).await, b"down", "and the other is not");
    drop(far);
    assert_eq!(near.read(&mut [0; 16]).await.unwrap(), 0);
    stage.until(|stats| stats.open == 0).await;
    assert_eq!(stage.proxy.stats(), ProxyStats { accepted: 1, passed: [2, 4], ..ProxyStats::default() });
}

#[tokio::test]
async fn late_bytes_through_a_narrow_way_are_all_there_in_their_order() {
    let stage = Stage::new().await;
    let way = Way { delay_ms: 20, jitter_ms: 30, bytes_per_s: 200_000, ..Way::default() };
    stage.proxy.set(Faults::both(Way { stall_permille: 20, stall_ms: 20, ..way }));
    assert_eq!(stage.proxy.faults().up.stall_permille, 20);
    let (mut near, mut far) = stage.link().await;
    let sent: Vec<u8> = (0..20_000u32).map(|n| (n % 251) as u8).collect();
    for piece in sent.chunks(777) {
        near.write_all(piece).await.unwrap();
        far.write_all(piece).await.unwrap();
    }
    assert!(read(&mut far, sent.len()).await == sent && read(&mut near, sent.len()).await == sent);
}

#[tokio::test]
async fn silence_one_way_holds_what_is_sent_and_lets_the_other_way_through() {
    let stage = Stage::new().await;
    let (mut near, mut far) = stage.link().await;
    stage.proxy.set(Faults { up: Way::silent(Silence::Hold), ..Faults::default() });
    near.write_all(b"late").await.unwrap();
    far.write_all(b"other way").await.unwrap();
    assert_eq!(read(&mut near, 9).await, b"other way");
    let nothing = far.try_read(&mut [0; 16]).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);

    // Made and ended meanwhile: the server never hears of it.
    let mut short = TcpStream::connect(stage.proxy.addr()).await.unwrap();
    short.write_all(b"short").await.unwrap();
    stage.until(|stats| stats.open == 2).await;
    drop(short);
    stage.until(|stats| stats.open == 1).await;
    // Made meanwhile and still there: it does, later.
    let mut third = TcpStream::connect(stage.proxy.addr()).await.unwrap();
    third.write_all(b"third").await.unwrap();
    stage.until(|stats| stats.open == 2).await;

    stage.proxy.set(Faults::default());
    assert_eq!(read(&mut far, 4).await, b"late");
    let (mut other, _) = stage.server.accept().await.unwrap();
    assert_eq!(read(&mut other, 5).await, b"third");
}

#[tokio::test]
async fn swallowed_bytes_are_gone_and_the_rest_goes_on() {
    let stage = Stage::new().await;
    let (mut near, mut far) = stage.link().await;
    stage.proxy.set(Faults { down: Way::silent(Silence::Swallow), ..Faults::default() });
    far.write_all(b"gone").await.unwrap();
    stage.until(|stats| stats.swallowed == [0, 4]).await;
    stage.proxy.set(Faults::default());
    far.write_all(b"kept").await.unwrap();
    assert_eq!(read(&mut near, 4).await, b"kept");
}

#[tokio::test]
async fn silence_swallows_what_is_under_way() {
    let stage = Stage::new().await;
    let (mut near, mut far) = stage.link().await;
    // Long enough that the bytes are still under way when the silence begins; they are not waited for.
    stage.proxy.set(Faults { up: Way { delay_ms: 300, ..Way::default() }, ..Faults::default() });
    near.write_all(b"under way").await.unwrap();
    stage.proxy.set(Faults { up: Way::silent(Silence::Swallow), ..Faults::default() });
    stage.until(|stats| stats.swallowed == [9, 0]).await;
    stage.proxy.set(Faults::default());
    near.write_all(b"kept").await.unwrap();
    assert_eq!(read(&mut far, 4).await, b"kept");
}

#[tokio::test]
async fn a_reset_reaches_both_sides_even_through_silence() {
    let stage = Stage::new().await;
    for faults in [Faults::default(), Faults::both(Way::silent(Silence::Hold))] {
        stage.proxy.set(Faults::default());
        let (mut near, mut far) = stage.link().await;
        // A byte has come through: the link is whole, not only accepted.
        near.write_all(b"x").await.unwrap();
        read(&mut far, 1).await;
        stage.proxy.set(faults);
        stage.proxy.reset_links();
        assert!(is_reset(&mut near).await && is_reset(&mut far).await);
    }
    stage.until(|stats| (stats.open, stats.reset) == (0, 2)).await;
    stage.proxy.set(Faults::default());
    let (mut near, mut far) = stage.link().await;
    near.write_all(b"new").await.unwrap();
    assert_eq!(read(&mut far, 3).await, b"new");
}

#[tokio::test]
async fn a_peers_reset_is_hidden_by_silence_until_it_is_over() {
    let stage = Stage::new().await;
    let (mut near, mut far) = stage.link().await;
    near.write_all(b"x").await.unwrap();
    read(&mut far, 1).await;
    stage.proxy.set(Faults::both(Way::silent(Silence::Hold)));
    far.set_zero_linger().unwrap();
    drop(far);
    let nothing = near.try_read(&mut [0; 16]).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    stage.proxy.set(Faults::default());
    assert!(is_reset(&mut near).await);
}

#[tokio::test]
async fn links_are_reset_by_chance_and_new_ones_refused() {
    let stage = Stage::new().await;
    let (mut near, _far) = stage.link().await;
    stage.proxy.set(Faults { up: Way { reset_permille: 1_000, ..Way::default() }, ..Faults::default() });
    near.write_all(b"x").await.unwrap();
    assert!(is_reset(&mut near).await);

    stage.proxy.set(Faults { refuse: true, ..Faults::default() });
    let dials = async {
        let mut stream = TcpStream::connect(stage.proxy.addr()).await?;
        stream.read(&mut [0; 16]).await
    };
    assert!(dials.await.is_err());
    stage.until(|stats| (stats.accepted, stats.refused, stats.reset) == (1, 1, 1)).await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_reset() {
    let stage = Stage::new().await;
    drop(stage.server);
    let mut near = TcpStream::connect(stage.proxy.addr()).await.unwrap();
    assert!(is_reset(&mut near).await);
    assert!(Proxy::start("127.0.0.1", 1).await.is_err(), "no port");
    let taken: SocketAddr = stage.proxy.addr();
    assert!(Proxy::listen(taken, "127.0.0.1:1", 1).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_acknowledged_in_the_end_over_a_bad_network() {
    let platform = Platform::start(None).await;
    let proxy = Proxy::start(&platform.address, 7).await.unwrap();
    let way = Way { delay_ms: 5, jitter_ms: 20, stall_permille: 20, stall_ms: 50, ..Way::default() };
    proxy.set(Faults::both(Way { reset_permille: 20, ..way }));
    let fleet = Fleet::start(Settings {
        gateway: proxy.addr().to_string(),
        terminals: 4,
        interval_ms: 20,
        duration_s: Some(3),
        answer_timeout_ms: 1_000,
        reconnect_max_ms: 100,
        ..Settings::default()
    })
    .unwrap();
    until(&proxy, |stats| stats.reset >= 2).await;
    proxy.set(Faults::both(Way::silent(Silence::Hold)));
    proxy.reset_links();
    until(&proxy, |stats| stats.open >= 4).await;
    proxy.set(Faults::both(way));
    let summary = fleet.finished().await.unwrap().summary;
    assert!(summary.made > 400, "{summary:?}");
    assert_eq!((summary.acknowledged, summary.refused), (summary.made, 0), "{summary:?}");
    assert_eq!(platform.books.lock().unwrap().stored.len() as u64, summary.made);
}
