//! Taking connections: bounds on how many there are and on how many of one address are strangers, TCP
//! options, one task each.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::conn::Conn;
use crate::gate::Gate;
use crate::trouble::Trouble;

/// After how much silence TCP asks whether the other side is there; well below the idle limit, and often
/// enough to keep a mobile NAT entry.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// How long sent bytes may stay unacknowledged before the connection counts as dead.
const USER_TIMEOUT: Duration = Duration::from_secs(60);
/// Rest after a failed accept (out of file descriptors, say), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that have not authenticated yet, by address. No more entries than connections.
#[derive(Debug, Default)]
pub(crate) struct Newcomers {
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// One of them; stops counting when dropped.
#[derive(Debug)]
pub(crate) struct Newcomer {
    newcomers: Arc<Newcomers>,
    address: IpAddr,
}

impl Newcomers {
    fn enter(self: &Arc<Self>, address: IpAddr, max: usize) -> Option<Newcomer> {
        let mut by_address = self.by_address.lock();
        let count = by_address.entry(address).or_insert(0);
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Newcomer { newcomers: Arc::clone(self), address })
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        let mut by_address = self.newcomers.by_address.lock();
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

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
        let Some(newcomer) = newcomers.enter(peer.ip().to_canonical(), settings.unauthenticated_per_ip_max)
        else {
            gate.troubles.count(Trouble::AddressFull);
            continue;
        };
        match prepare(&socket) {
            Ok(local) => {
                let conn = Conn::new(Arc::clone(&gate), peer, local, newcomer, &stop);
                tasks.spawn(conn.run(socket));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_of_one_address_are_bounded_and_leave_no_trace() {
        let newcomers = Arc::new(Newcomers::default());
        let address = IpAddr::from([10, 0, 0, 1]);
        let first = newcomers.enter(address, 2).expect("room");
        let _second = newcomers.enter(address, 2).expect("room");
        assert!(newcomers.enter(address, 2).is_none());
        assert!(
            newcomers.enter(IpAddr::from([10, 0, 0, 2]), 2).is_some(),
            "another address has its own bound"
        );
        drop(first);
        assert!(newcomers.enter(address, 2).is_some());
        assert_eq!(newcomers.by_address.lock().len(), 1);
    }
}
