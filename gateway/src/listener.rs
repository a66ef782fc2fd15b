//! Taking connections: bounds on how many there are and on how many of one address are strangers, TCP
//! options, one task each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cluster::Newcomers;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::arrival::{Arrival, arrive};
use crate::gate::Gate;
use crate::trouble::Trouble;

/// After how much silence TCP asks whether the other side is there; well below the idle limit, and often
/// enough to keep a mobile NAT entry.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// How long sent bytes may stay unacknowledged before the connection counts as dead.
const USER_TIMEOUT: Duration = Duration::from_secs(60);
/// Rest after a failed accept (out of file descriptors, say), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Takes connections until `stop`; their tasks run in `tasks`.
pub(crate) async fn accept(
    gate: Arc<Gate>,
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
        let settings = &gate.settings;
        // The writers' and other tasks are in other trackers: this one holds connections only.
        if tasks.len() >= settings.connections_max {
            gate.troubles.count(Trouble::ConnectionsFull);
            continue;
        }
        let Some(newcomer) = newcomers.enter(peer.ip(), settings.unauthenticated_per_ip_max) else {
            gate.troubles.count(Trouble::AddressFull);
            continue;
        };
        match prepare(&socket) {
            Ok(local) => {
                let (gate, newcomers, stop) = (Arc::clone(&gate), Arc::clone(&newcomers), stop.clone());
                let arrival = Arrival::direct(peer, local);
                tasks.spawn(arrive(gate, socket, arrival, newcomer, newcomers, stop));
            }
            Err(error) => tracing::debug!(%error, %peer, "a connection was gone at once"),
        }
    }
}

/// Sets the options and gives our address as the terminal dialled it.
fn prepare(socket: &TcpStream) -> std::io::Result<SocketAddr> {
    socket.set_nodelay(true)?;
    let options = SockRef::from(socket);
    options.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_AFTER))?;
    options.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    let local = socket.local_addr()?;
    Ok(SocketAddr::new(local.ip().to_canonical(), local.port()))
}
