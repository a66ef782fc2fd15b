//! The HTTP server: its parts put together, started and stopped.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use access::Access;
use actix_web::dev::ServerHandle;
use actix_web::middleware::{Compress, from_fn};
use actix_web::web::{self, Data, PathConfig, PayloadConfig};
use actix_web::{App, HttpServer};
use chrono::FixedOffset;
use cluster::dispatch::Dispatch;
use cluster::{Events, Media, Nodes, Placement, Terminals};
use db::Db;
use rustls::ServerConfig;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use utoipa_actix_web::AppExt as _;

use crate::cmsv6::LargeReplies;
use crate::coding;
use crate::console::Console;
use crate::docs;
use crate::latest::Latest;
use crate::problem::path_error;
use crate::request_log;
use crate::route::{Methods, routes, unmatched};
use crate::settings::Settings;
use crate::state::State;
use crate::{cmsv6, document};

/// The most bytes of a JSON body: the longest, a role or a note, has a few thousand.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long a stop waits for requests that are being answered, seconds.
const STOP_WAIT_S: u64 = 5;

/// What the HTTP face needs of others.
pub struct Deps {
    /// What people own.
    pub db: Db,
    /// Who may do what.
    pub access: Access,
    /// What happens.
    pub events: Arc<dyn Events>,
    /// The way to terminals.
    pub terminals: Arc<dyn Terminals>,
    /// Which media server serves a stream.
    pub placement: Arc<dyn Placement>,
    /// The nodes of the cluster, for those who run it.
    pub nodes: Arc<dyn Nodes>,
    /// Which gateway a terminal is sent to; shared with the login server of this node. None where no gateway is reached
    /// from here.
    pub dispatch: Option<Dispatch>,
    /// Pictures of running streams; None where no media server can be asked from here.
    pub media: Option<Arc<dyn Media>>,
    /// Where set, the port speaks TLS only.
    pub tls: Option<Arc<ServerConfig>>,
}

/// Why the HTTP face did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address could not be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The console's files could not be read.
    #[error("cannot read the console's files")]
    Console(#[source] std::io::Error),
    /// A setting is out of its range.
    #[error("{0}")]
    Setting(&'static str),
}

/// A running HTTP face.
pub struct Api {
    addr: SocketAddr,
    handle: ServerHandle,
    stopping: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
    _latest: [AbortOnDropHandle<()>; 2],
}

impl Api {
    /// Binds the listener and starts. Must be called inside a tokio runtime; requests are answered on
    /// threads of their own.
    ///
    /// # Errors
    /// [`StartError`] says which step failed.
    pub async fn start(settings: Settings, deps: Deps) -> Result<Self, StartError> {
        let Deps { db, access, events, terminals, placement, nodes, dispatch, media, tls } = deps;
        let zone = settings.cmsv6_time_offset_min.checked_mul(60).and_then(FixedOffset::east_opt);
        let cmsv6_zone = zone.ok_or(StartError::Setting("cmsv6.time_offset_min is no offset from UTC"))?;
        let console =
            Console::read(settings.console_dir.as_deref(), &settings.map).map_err(StartError::Console)?;
        let (latest, keeping) = Latest::start(db.clone(), &*events);
        let stopping = CancellationToken::new();
        let state = Data::new(State {
            db,
            access,
            events,
            terminals,
            placement,
            nodes,
            dispatch,
            clients: parking_lot::Mutex::default(),
            media,
            latest,
            subscribers: Arc::default(),
            large_replies: LargeReplies::default(),
            stopping: stopping.clone(),
            public_docs: settings.public_docs,
            cmsv6_zone,
        });

        let address = settings.web.listen;
        let listen_error = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(listen_error)?;
        let addr = listener.local_addr().map_err(listen_error)?;
        let server = http_server(state, console, settings.workers, listener, tls).map_err(listen_error)?;
        let handle = server.handle();
        Ok(Self { addr, handle, stopping, server: tokio::spawn(server), _latest: keeping })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Ends event streams, waits a moment for requests that are being answered, and stops.
    pub async fn shutdown(self) {
        self.stopping.cancel();
        self.handle.stop(true).await;
        let _ = self.server.await;
    }
}

fn http_server(
    state: Data<State>,
    console: Console,
    workers: Option<usize>,
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
) -> std::io::Result<actix_web::dev::Server> {
    let document = document();
    let methods = Data::new(Methods::of(&document));
    let text = Data::new(docs::Text(document.to_json().map_err(std::io::Error::other)?));
    let pages = Data::new(utoipa_swagger_ui::Config::from("/openapi.json"));
    let console = Data::new(console);
    let mut server = HttpServer::new(move || {
        App::new()
            .app_data(state.clone())
            .app_data(methods.clone())
            .app_data(text.clone())
            .app_data(pages.clone())
            .app_data(console.clone())
            .app_data(PathConfig::default().error_handler(path_error))
            .app_data(PayloadConfig::new(BODY_BYTES_MAX))
            .wrap(Compress::default())
            .wrap(from_fn(coding::lenient))
            .wrap(from_fn(request_log::log))
            .into_utoipa_app()
            .configure(routes)
            .into_app()
            .configure(docs::routes)
            .configure(cmsv6::routes)
            .default_service(web::to(unmatched))
    })
    .disable_signals()
    .shutdown_timeout(STOP_WAIT_S);
    if let Some(workers) = workers {
        server = server.workers(workers.max(1));
    }
    let server = match tls {
        Some(config) => server.listen_rustls_0_23(listener, (*config).clone())?,
        None => server.listen(listener)?,
    };
    Ok(server.run())
}
