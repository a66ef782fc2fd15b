//! DESIGN rule 8, at the login server: before a terminal has proved who it is, it gets nothing and costs little.

use std::time::Duration;

use access::terminal::Admission;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Device, SIM, World, location, wait_for_count};

#[tokio::test(flavor = "multi_thread")]
async fn anything_before_authentication_is_skipped_and_reaches_no_gateway() {
    let (_world, login, gateway, _) = World::small().await;
    let mut device = Device::connect(login.addr(), SIM).await;
    device.write(b"noise").await;
    device.send(0x0200, &location(chrono::Utc::now(), 0, 1)).await;
    device.send(0x0002, &[]).await;
    device.assert_quiet().await;
    assert_eq!(device.authenticate("wrong").await, 1);
    gateway.assert_quiet().await;
    assert!(login.stats().skipped >= 3, "{:?}", login.stats());
    let code = device.register("").await.expect("known");
    assert_eq!(device.authenticate(&code).await, 0, "noise and refusals are no reason to be turned out");
    login.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_terminal_is_refused_and_closed() {
    let (_world, login, _gateway, _) = World::small().await;
    let mut device = Device::connect(login.addr(), "13900000099").await;
    assert_eq!(device.register("").await, Err(4));
    device.assert_closed().await;
    login.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_terminal_is_closed_when_its_time_is_over() {
    let (_world, login, _gateway, _) = World::small_with(|settings| {
        settings.admission = Admission::Pending;
        settings.authenticate_within_s = 1;
    })
    .await;
    let mut device = Device::connect(login.addr(), "13900000099").await;
    assert_eq!(device.register("").await, Err(4));
    device.assert_closed().await;
    wait_for_count(&login, "late", 1, |stats| stats.authentication_late).await;
    login.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_may_not_say_much_nor_try_often() {
    let (_world, login, _gateway, _) =
        World::small_with(|settings| settings.unauthenticated_bytes_max = 1_000).await;
    let mut device = Device::connect(login.addr(), SIM).await;
    device.write(&[0x30; 1_001]).await;
    device.assert_closed().await;
    wait_for_count(&login, "too much", 1, |stats| stats.authentication_flood).await;
    let mut device = Device::connect(login.addr(), SIM).await;
    for _ in 0..10 {
        assert_eq!(device.authenticate("wrong").await, 1);
    }
    device.send(0x0102, b"wrong").await;
    device.assert_closed().await;
    wait_for_count(&login, "too often", 2, |stats| stats.authentication_flood).await;
    login.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_of_one_address_are_bounded_and_who_proves_itself_is_none() {
    let (_world, login, _gateway, _) = World::small_with(|settings| {
        settings.unauthenticated_per_ip_max = 2;
        settings.redirect_answer_within_s = 60;
    })
    .await;
    let mut device = Device::connect(login.addr(), SIM).await;
    let code = device.register("").await.expect("known");
    assert_eq!(device.authenticate(&code).await, 0);
    assert_eq!(device.receive().await.expect("where to go").id, 0x8105);
    let mut silent = Vec::new();
    for _ in 0..2 {
        silent.push(TcpStream::connect(login.addr()).await.expect("connects"));
    }
    wait_for_count(&login, "connections", 3, |stats| stats.connections).await;
    let mut third = TcpStream::connect(login.addr()).await.expect("connects");
    let closed = tokio::time::timeout(Duration::from_secs(20), third.read(&mut [0; 1])).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
    wait_for_count(&login, "closed on arrival", 1, |stats| stats.address_full).await;
    device.assert_alive().await;
    login.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_its_bounds() {
    let (_world, login, _gateway, _) = World::small_with(|settings| settings.request_within_s = 1).await;
    let endless = async |bytes: &[u8], times: usize| {
        let mut socket = TcpStream::connect(login.addr()).await.expect("connects");
        for _ in 0..times {
            // It may be cut off already.
            if socket.write_all(bytes).await.is_err() {
                break;
            }
        }
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(20), socket.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "the connection was left open");
        String::from_utf8_lossy(&answer).into_owned()
    };
    let slow = endless(b"GET /3/1 HTTP/1.1\r\nHost: a\r\n", 1).await;
    assert!(!slow.contains("200"), "{slow}");
    let large =
        endless(b"GET /3/1 HTTP/1.1\r\nX: 0123456789012345678901234567890123456789\r\nX: ", 1_000).await;
    assert!(!large.contains("200"), "{large}");
    login.shutdown().await;
}
