//! A TCP proxy that makes links bad: delay, a narrow way, loss as TCP shows it, silence one way or both, resets. It
//! stands where `tc` and `iptables` are absent, and knows nothing of what the bytes mean.

mod faults;
mod pump;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::Error;
use crate::servers::Address;
use faults::{Luck, Side};
use pump::{Broken, Counted, View, early, pump};

pub use faults::{Faults, Silence, Way};

/// How many links at once; each takes two of the process's files, of which there are 20,000 on a small machine.
const LINKS_MAX: usize = 4_096;
/// After an accept that failed (no more files): it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A proxy. Ends when dropped, and resets its links.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    wire: Arc<Wire>,
    _stop: DropGuard,
}

/// What went through a proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Connections taken.
    pub accepted: u64,
    /// Connections reset at once, by [`Faults::refuse`].
    pub refused: u64,
    /// Links that are there now, with those whose server has not been reached yet.
    pub open: u64,
    /// Links that ended by a reset, whoever wanted it.
    pub reset: u64,
    /// Bytes that came through, up and down.
    pub passed: [u64; 2],
    /// Bytes that were swallowed, up and down.
    pub swallowed: [u64; 2],
}

/// What all links of a proxy share.
#[derive(Debug)]
struct Wire {
    to: Address,
    seed: u64,
    faults: watch::Sender<Faults>,
    /// Ends the links that are there; replaced by a new one when it did.
    reset: Mutex<CancellationToken>,
    stop: CancellationToken,
    accepted: AtomicU64,
    refused: AtomicU64,
    open: AtomicU64,
    broken: AtomicU64,
    counted: [Counted; 2],
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and forwards to `to` (host:port), at first without a fault. What is random
    /// follows from `seed`, the order in which connections are made, and how many bytes they carry.
    pub async fn start(to: &str, seed: u64) -> Result<Self, Error> {
        Self::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), to, seed).await
    }

    /// The same on an address of choice.
    pub async fn listen(listen: SocketAddr, to: &str, seed: u64) -> Result<Self, Error> {
        let to = to.parse().map_err(|_| Error::Setting { name: "to", reason: "host:port" })?;
        let failed = |source| Error::Listen { addr: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let stop = CancellationToken::new();
        let wire = Arc::new(Wire {
            to,
            seed,
            faults: watch::Sender::new(Faults::default()),
            reset: Mutex::new(stop.child_token()),
            stop: stop.clone(),
            accepted: AtomicU64::default(),
            refused: AtomicU64::default(),
            open: AtomicU64::default(),
            broken: AtomicU64::default(),
            counted: Default::default(),
        });
        tokio::spawn(stop.clone().run_until_cancelled_owned(Arc::clone(&wire).accept(listener)));
        Ok(Self { addr, wire, _stop: stop.drop_guard() })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What happens to its links now.
    pub fn faults(&self) -> Faults {
        *self.wire.faults.borrow()
    }

    /// From now on this happens to its links, old and new.
    pub fn set(&self, faults: Faults) {
        self.wire.faults.send_replace(faults);
    }

    /// Resets every link that is there (RST on both sides, whatever the silence).
    pub fn reset_links(&self) {
        let mut reset = self.wire.reset.lock().unwrap_or_else(PoisonError::into_inner);
        reset.cancel();
        *reset = self.wire.stop.child_token();
    }

    /// What went through it until now.
    pub fn stats(&self) -> Stats {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Wire { accepted, refused, open, broken, counted, .. } = &*self.wire;
        Stats {
            accepted: count(accepted),
            refused: count(refused),
            open: count(open),
            reset: count(broken),
            passed: counted.each_ref().map(|counted| count(&counted.passed)),
            swallowed: counted.each_ref().map(|counted| count(&counted.swallowed)),
        }
    }
}

impl Wire {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(LINKS_MAX));
        let mut links = 0;
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let Ok((near, _)) = listener.accept().await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            if self.faults.borrow().refuse {
                reset(&near);
                self.refused.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            self.accepted.fetch_add(1, Ordering::Relaxed);
            self.open.fetch_add(1, Ordering::Relaxed);
            let (wire, link) = (Arc::clone(&self), links);
            tokio::spawn(async move {
                if wire.link(link, near).await.is_err() {
                    wire.broken.fetch_add(1, Ordering::Relaxed);
                }
                wire.open.fetch_sub(1, Ordering::Relaxed);
                drop(place);
            });
            links += 1;
        }
    }

    /// One link, until its end. Err where it ended by a reset.
    async fn link(&self, link: u64, mut near: TcpStream) -> Result<(), Broken> {
        let ends = self.reset.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let reached = async {
            let early = early(&mut near, self.view(Side::Up), &self.counted[0]).await?;
            let connecting = TcpStream::connect((self.to.host(), self.to.port()));
            let far = connecting.await.map_err(|_| Broken::Peer(Side::Down))?;
            far.set_nodelay(true).ok();
            Ok((early, far))
        };
        let reached = ends.run_until_cancelled(reached).await.unwrap_or(Err(Broken::Here));
        near.set_nodelay(true).ok();
        let mut far = None;
        let ended = match reached {
            Ok((early, stream)) => self.carry(link, early, &mut near, far.insert(stream), &ends).await,
            Err(broken) => Err(broken),
        };
        if let Err(Broken::Peer(side)) = ended {
            // Where nothing comes through, nobody learns of the end either.
            let mut view = self.view(side);
            let _ = ends.run_until_cancelled(view.passes()).await;
        }
        if ended.is_err() {
            reset(&near);
            far.iter().for_each(reset);
        }
        ended
    }

    async fn carry(
        &self,
        link: u64,
        early: Vec<u8>,
        near: &mut TcpStream,
        far: &mut TcpStream,
        ends: &CancellationToken,
    ) -> Result<(), Broken> {
        let ((near_in, near_out), (far_in, far_out)) = (near.split(), far.split());
        let luck = |side| Luck::new(self.seed, link, side);
        let [counted_up, counted_down] = &self.counted;
        let up = pump(near_in, far_out, early, self.view(Side::Up), luck(Side::Up), counted_up);
        let down = pump(far_in, near_out, Vec::new(), self.view(Side::Down), luck(Side::Down), counted_down);
        // Boxed: they are large, and this one is held by a task of each link.
        let (up, down) = (Box::pin(up), Box::pin(down));
        let both = async { tokio::try_join!(up, down).map(|((), ())| ()) };
        ends.run_until_cancelled(both).await.unwrap_or(Err(Broken::Here))
    }

    fn view(&self, side: Side) -> View {
        View::new(self.faults.subscribe(), side)
    }
}

/// Lets the stream end by RST when it is dropped.
fn reset(stream: &TcpStream) {
    // Where even that fails, the stream is gone already.
    let _: io::Result<()> = stream.set_zero_linger();
}
