//! The machines that other tests stand on: what is cut is cut, in the way that was asked for.

mod support;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use support::machines::{Machine, Network};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// How long nothing may come before a test believes that nothing will.
const QUIET: Duration = Duration::from_millis(500);
/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(20);

/// Echoes what comes, on a port of this machine.
fn echo(on: &Machine) -> (tokio::runtime::Runtime, SocketAddr) {
    let runtime = on.runtime();
    let address = on.address;
    let listening = runtime.spawn(async move {
        let listener = TcpListener::bind((address, 0)).await.expect("the address is this machine's");
        let addr = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut reader, mut writer) = socket.split();
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                });
            }
        });
        addr
    });
    let addr = runtime.block_on(listening).expect("no panic");
    (runtime, addr)
}

async fn says(socket: &mut TcpStream, byte: u8) -> std::io::Result<u8> {
    socket.write_all(&[byte]).await?;
    socket.read_u8().await
}

#[test]
fn a_link_is_cut_in_silence_by_reset_and_into_halves() {
    let Some(mut network) = Network::new() else { return };
    let (one, two) = (network.machine("a"), network.machine("b"));
    let (_echo, addr) = echo(&two);
    let client = one.runtime();
    let (at_one, at_two) = (one.clone(), two.clone());
    let task = client.spawn(async move {
        let (one, two) = (at_one, at_two);
        let mut socket = timeout(WITHIN, TcpStream::connect(addr)).await.expect("in time").expect("reached");
        assert_eq!(socket.peer_addr().expect("connected").ip(), two.address);
        assert_eq!(says(&mut socket, 1).await.expect("echoed"), 1);

        two.cut();
        assert!(timeout(QUIET, says(&mut socket, 2)).await.is_err(), "silence, not an error");
        two.mend();
        assert_eq!(timeout(WITHIN, socket.read_u8()).await.expect("in time").expect("TCP sent it again"), 2);

        one.cut_towards(&two);
        assert!(timeout(QUIET, says(&mut socket, 3)).await.is_err(), "nothing goes out");
        one.mend_towards(&two);
        assert_eq!(timeout(WITHIN, socket.read_u8()).await.expect("in time").expect("sent again"), 3);

        two.part();
        assert!(timeout(QUIET, says(&mut socket, 4)).await.is_err(), "in the other half");
        two.mend();
        assert_eq!(timeout(WITHIN, socket.read_u8()).await.expect("in time").expect("sent again"), 4);

        two.reset();
        let end = timeout(WITHIN, socket.read_u8()).await.expect("in time").expect_err("reset");
        assert_eq!(end.kind(), ErrorKind::ConnectionReset);
    });
    client.block_on(task).expect("no panic");
}
