//! Taking connections: bounds on how many there are and on how many of one address are strangers, TCP options, a look
//! at the first bytes, one task each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use cluster::{Newcomer, Newcomers};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::conn::{Conn, READ_BYTES};
use crate::desk::Desk;
use crate::http;

/// After how much silence TCP asks whether the other side is there; often enough to keep a mobile NAT entry.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// How long sent bytes may stay unacknowledged before the connection counts as dead.
const USER_TIMEOUT: Duration = Duration::from_secs(60);
/// Rest after a failed accept (out of file descriptors, say), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long the first bytes are waited for. Who is silent for longer is taken for a terminal: clients ask at once.
const LOOK_WITHIN: Duration = Duration::from_secs(5);

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    /// JT/T 808, perhaps behind noise.
    Terminal,
    /// HTTP.
    Http,
}

/// None while more bytes are needed: at most seven, as HTTP begins with one of these. JT/T 808 begins with 7e, and the
/// noise that some terminals send before it is no method with its space.
fn spoken(bytes: &[u8]) -> Option<Spoken> {
    const METHODS: [&[u8]; 5] = [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"OPTIONS "];
    if METHODS.iter().any(|method| bytes.starts_with(method)) {
        Some(Spoken::Http)
    } else if METHODS.iter().any(|method| method.starts_with(bytes)) {
        None
    } else {
        Some(Spoken::Terminal)
    }
}

/// Takes connections until `stop`; their tasks run in `tasks`.
pub(crate) async fn accept(
    desk: Arc<Desk>,
    listener: TcpListener,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let newcomers = Arc::new(Newcomers::default());
    loop {
        let (socket, peer) = match stop.run_until_cancelled(listener.accept()).await {
            None => return,
            Some(Ok(accepted)) => accepted,
            Some(Err(error)) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let settings = &desk.settings;
        // Other tasks are in another tracker: this one holds connections only.
        if tasks.len() >= settings.connections_max {
            desk.counters.connections_full.one();
            continue;
        }
        let Some(newcomer) = newcomers.enter(peer.ip(), settings.unauthenticated_per_ip_max) else {
            desk.counters.address_full.one();
            continue;
        };
        match prepare(&socket) {
            Ok(local) => {
                desk.counters.connections.one();
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                let arrival = Arrival { desk: Arc::clone(&desk), peer, local, newcomer, stop: stop.clone() };
                tasks.spawn(arrival.serve(socket));
            }
            Err(error) => tracing::debug!(%error, %peer, "a connection was gone at once"),
        }
    }
}

/// Sets the options and gives our address as the other side dialled it.
fn prepare(socket: &TcpStream) -> std::io::Result<SocketAddr> {
    socket.set_nodelay(true)?;
    let options = SockRef::from(socket);
    options.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_AFTER))?;
    options.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    let local = socket.local_addr()?;
    Ok(SocketAddr::new(local.ip().to_canonical(), local.port()))
}

/// A connection that has said nothing yet.
struct Arrival {
    desk: Arc<Desk>,
    peer: SocketAddr,
    local: SocketAddr,
    newcomer: Newcomer,
    stop: CancellationToken,
}

impl Arrival {
    async fn serve(self, mut socket: TcpStream) {
        let Self { desk, peer, local, newcomer, stop } = self;
        let mut input = BytesMut::with_capacity(READ_BYTES);
        let looked = tokio::time::timeout(LOOK_WITHIN, look(&mut socket, &mut input));
        let spoken = match stop.run_until_cancelled(looked).await {
            None | Some(Ok(None)) => return,
            Some(Ok(Some(spoken))) => spoken,
            Some(Err(_)) => Spoken::Terminal,
        };
        match spoken {
            // Boxed: most connections are terminals', and wait in another place for most of their time.
            Spoken::Terminal => {
                Box::pin(Conn::new(desk, peer, local, newcomer, stop).run(socket, input)).await;
            }
            Spoken::Http => Box::pin(http::serve(desk, socket, input, local, newcomer, stop)).await,
        }
    }
}

/// Reads until it is clear what is spoken; None where the other side ends before.
async fn look(socket: &mut (impl AsyncRead + Unpin), input: &mut BytesMut) -> Option<Spoken> {
    loop {
        if socket.read_buf(input).await.ok()? == 0 {
            return None;
        }
        if let Some(spoken) = spoken(input) {
            return Some(spoken);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_a_terminal_from_a_client() {
        for (bytes, expected) in [
            (&b"\x7e\x01\x00"[..], Some(Spoken::Terminal)),
            (b"$$dc", Some(Spoken::Terminal)),
            (b"\x00\x00\x7e", Some(Spoken::Terminal)),
            (b"GE\x7e", Some(Spoken::Terminal)),
            (b"get /3/1", Some(Spoken::Terminal)),
            (b"GETX", Some(Spoken::Terminal)),
            (b"\x16\x03\x01", Some(Spoken::Terminal)),
            (b"", None),
            (b"G", None),
            (b"OPTIONS", None),
            (b"GET ", Some(Spoken::Http)),
            (b"HEAD /", Some(Spoken::Http)),
            (b"POST /3/1", Some(Spoken::Http)),
            (b"OPTIONS * HTTP/1.1", Some(Spoken::Http)),
        ] {
            assert_eq!(spoken(bytes), expected, "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn a_byte_at_a_time_is_looked_at_until_it_is_clear() {
        use tokio::io::AsyncWriteExt as _;

        let mut input = BytesMut::new();
        let (mut client, mut login) = tokio::io::duplex(1);
        let says = async {
            for byte in b"GET " {
                client.write_u8(*byte).await.expect("it listens");
            }
        };
        let (spoken, ()) = tokio::join!(look(&mut login, &mut input), says);
        assert_eq!(spoken, Some(Spoken::Http));
        assert_eq!(input.as_ref(), b"GET ");
        let mut ended: &[u8] = b"GE";
        assert_eq!(look(&mut ended, &mut BytesMut::new()).await, None);
    }
}
