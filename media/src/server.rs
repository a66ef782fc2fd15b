//! A media server: its parts put together, started and stopped.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use cluster::{Counts as _, Events, Media, MediaError, Terminals};
use model::StreamKey;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::hub::{Hub, HubHandle, LivePort};
use crate::ingest::Ingest;
use crate::picture::{PictureError, PictureThread};
use crate::port::Port;
use crate::readiness::Running;
use crate::routes::Routes;
use crate::sound::SoundThreads;
use crate::stats::Counters;
use crate::view::Views;
use crate::{Settings, Stats, Unready, Viewers};

/// What a media server needs of others.
pub struct Deps {
    /// The way to terminals.
    pub terminals: Arc<dyn Terminals>,
    /// Where streams' comings and goings are told.
    pub events: Arc<dyn Events>,
    /// Who may watch.
    pub viewers: Arc<dyn Viewers>,
    /// Where set, the viewer port speaks TLS only.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// Why a media server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address could not be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A setting is out of its range.
    #[error("{0}")]
    Setting(&'static str),
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

/// How long a stopping server waits for its connections to close.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(5);

/// A running media server. Dropping it leaves its tasks running; [`shutdown`](Self::shutdown) ends them.
pub struct MediaServer {
    viewer_addr: SocketAddr,
    live_addr: SocketAddr,
    hub: HubHandle,
    /// Its tasks keep them: with these they end.
    views: Weak<Views>,
    pictures: PictureThread,
    running: Running,
    counters: Arc<Counters>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl MediaServer {
    /// Binds the listeners and starts.
    ///
    /// # Errors
    /// When an address cannot be bound, a thread cannot be started or a setting is out of its range.
    pub async fn start(settings: Settings, deps: Deps) -> Result<Self, StartError> {
        settings.check()?;
        let settings = Arc::new(settings);
        let viewer = listen(settings.viewer.listen).await?;
        let mut pool = Vec::new();
        for place in 0..settings.live_ports {
            let mut address = settings.live.listen;
            if let Some(further) = place.checked_sub(1)
                && address.port() != 0
            {
                let port = settings.live_pool_port.checked_add(further);
                address.set_port(port.ok_or(StartError::Setting("the live ports end above 65535"))?);
            }
            pool.push(listen(address).await?);
        }
        let viewer_addr = local(&viewer, settings.viewer.listen)?;
        let mut live_ports = Vec::new();
        let mut live_addr = settings.live.listen;
        for (place, listener) in pool.iter().enumerate() {
            let bound = local(listener, settings.live.listen)?;
            if place == 0 {
                live_addr = bound;
            }
            // The first port may be another one outside; the others go by their own numbers.
            let advertise = settings.live.advertise.as_ref();
            let port = advertise.filter(|_| place == 0).map_or(bound.port(), |advertise| advertise.port);
            let host =
                advertise.and_then(|advertise| advertise.host.clone()).or_else(|| settings.live_host.clone());
            live_ports.push(LivePort { host, tcp_port: port });
        }

        let counters = Arc::new(Counters::default());
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let sounds = Arc::new(SoundThreads::start(settings.audio_threads).map_err(StartError::Thread)?);
        let pictures = PictureThread::start(settings.snapshots_max).map_err(StartError::Thread)?;
        let (hub, handle) = Hub::new(Arc::clone(&settings), deps.terminals, deps.events, live_ports);
        let mut serving = vec![tasks.spawn(hub.run()).abort_handle()];
        tasks.spawn(cluster::sum_up("media", Arc::clone(&counters), stop.clone()));

        let sounds_seen = Arc::downgrade(&sounds);
        let ingest = Arc::new(Ingest {
            settings: Arc::clone(&settings),
            hub: handle.clone(),
            sounds,
            counters: Arc::clone(&counters),
            connections: Arc::new(Semaphore::new(settings.live_connections_max)),
            newcomers: Arc::default(),
            tasks: tasks.clone(),
            stop: stop.clone(),
        });
        for (place, listener) in pool.into_iter().enumerate() {
            serving.push(tasks.spawn(Arc::clone(&ingest).accept(place, listener)).abort_handle());
        }

        let views =
            Arc::new(Views::new(Arc::clone(&settings), Arc::clone(&deps.viewers), Arc::clone(&counters)));
        tasks.spawn(Arc::clone(&views).watch(stop.clone()));
        let counted = Arc::downgrade(&views);
        let routes = Routes {
            settings: Arc::clone(&settings),
            hub: handle.clone(),
            viewers: deps.viewers,
            views: Arc::clone(&views),
            counters: Arc::clone(&counters),
            tasks: tasks.clone(),
            playlists: parking_lot::Mutex::default(),
        };
        let port = Arc::new(Port {
            routes: Arc::new(routes),
            tls: deps.tls.map(TlsAcceptor::from),
            connections: Arc::new(Semaphore::new(settings.viewer_connections_max)),
            newcomers: Arc::default(),
            tasks: tasks.clone(),
            stop: stop.clone(),
        });
        serving.push(tasks.spawn(port.accept(viewer)).abort_handle());
        let running = Running { tasks: serving, sounds: sounds_seen };
        Ok(Self {
            viewer_addr,
            live_addr,
            hub: handle,
            views: counted,
            pictures,
            running,
            counters,
            tasks,
            stop,
        })
    }

    /// Where viewers reach it.
    pub fn viewer_addr(&self) -> SocketAddr {
        self.viewer_addr
    }

    /// Where terminals send live video: the first port of the pool.
    pub fn live_addr(&self) -> SocketAddr {
        self.live_addr
    }

    /// How many views run.
    pub fn viewers(&self) -> usize {
        self.views.upgrade().map_or(0, |views| views.count())
    }

    /// Whether its ports take connections, its streams are run and FFmpeg has what they need.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self) -> Result<(), Unready> {
        self.running.check(&self.pictures)
    }

    /// What it has counted since it started.
    pub fn stats(&self) -> Stats {
        self.counters.snapshot()
    }

    /// Ends every stream (0x9102 to its terminal), every view and every listener. Takes some seconds at most.
    pub async fn shutdown(&self) {
        self.hub.shutdown().await;
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(SHUTDOWN_WAIT, self.tasks.wait()).await.is_err() {
            tracing::warn!("{} media tasks did not end in time", self.tasks.len());
        }
    }
}

#[async_trait]
impl Media for MediaServer {
    async fn snapshot(&self, stream: StreamKey) -> Result<Vec<u8>, MediaError> {
        let running = self.hub.running(stream).await.ok_or(MediaError::NotRunning(stream))?;
        let unit = running.ring.key_frame().ok_or(MediaError::NoPicture(stream))?;
        let jpeg = self.pictures.jpeg(unit).await.map_err(|error| match error {
            PictureError::Busy => MediaError::Busy,
            PictureError::NoPicture | PictureError::Ffmpeg(_) => MediaError::NoPicture(stream),
        })?;
        self.counters.snapshots.one();
        Ok(jpeg)
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
}

fn local(listener: &TcpListener, address: SocketAddr) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|source| StartError::Listen { address, source })
}
