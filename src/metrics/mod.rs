//! `METRICS`: what this node counts, for Prometheus, and whether it lives and can serve. On loopback unless set.
//!
//! Knows which roles run here and reads their numbers when asked; counts nothing itself.

mod cluster;
mod gateway;
mod login;
mod media;
mod node;
mod process;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::cluster::Listener;
use anyhow::{Context, Result};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

pub(crate) use cluster::ClusterNumbers;
pub(crate) use node::NodeNumbers;

use crate::readiness::Readiness;

/// What Prometheus asks for and reads.
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// Scrapers and probes at once; further ones wait in the system's queue.
const CONNECTIONS_MAX: usize = 32;
/// How long a request's head may take to come.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// Rest after a failed accept (out of file descriptors, say), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// After how long the event loop has to have run a task and heard of a timer.
const TURN_AFTER: Duration = Duration::from_millis(1);

/// The numbers of a node, by the parts that run in it.
#[derive(Default)]
pub(crate) struct Parts {
    /// The login server's, if it is one.
    pub(crate) login: Option<::login::Control>,
    /// The gateway's, if it is one.
    pub(crate) gateway: Option<::gateway::Control>,
    /// The media server's, if it is one.
    pub(crate) media: Option<Arc<::media::MediaServer>>,
    /// The cluster's, as seen from here, if it is in one.
    pub(crate) cluster: Option<ClusterNumbers>,
}

/// The running listener.
pub(crate) struct Metrics {
    addr: SocketAddr,
    stop: CancellationToken,
}

/// What a connection answers from.
struct Pages {
    registries: [Registry; 2],
    readiness: Readiness,
}

impl Metrics {
    /// Binds and serves.
    ///
    /// # Errors
    /// A port that is taken.
    pub(crate) async fn start(
        listener: &Listener,
        parts: Parts,
        node: NodeNumbers,
        readiness: Readiness,
    ) -> Result<Self> {
        let addr = listener.listen;
        let socket = TcpListener::bind(addr).await.with_context(|| format!("serve metrics on {addr}"))?;
        let addr = socket.local_addr().context("the listener has an address")?;
        let pages = Arc::new(Pages { registries: [own(parts, node), process::registry()], readiness });
        let stop = CancellationToken::new();
        tokio::spawn(accept(socket, pages, stop.clone()));
        Ok(Self { addr, stop })
    }

    /// The bound address.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers nobody any more.
    pub(crate) fn stop(self) {
        self.stop.cancel();
    }
}

/// What is motorcade's own, by names that begin with it.
fn own(parts: Parts, node: NodeNumbers) -> Registry {
    let mut registry = Registry::with_prefix("motorcade");
    let mut add = |collector: Box<dyn Collector>| registry.register_collector(collector);
    add(Box::new(node));
    if let Some(part) = parts.login {
        add(Box::new(login::LoginNumbers(part)));
    }
    if let Some(part) = parts.gateway {
        add(Box::new(gateway::GatewayNumbers(part)));
    }
    if let Some(part) = parts.cluster {
        add(Box::new(part));
    }
    if let Some(server) = parts.media {
        add(Box::new(media::MediaNumbers(server)));
    }
    registry
}

async fn accept(listener: TcpListener, pages: Arc<Pages>, stop: CancellationToken) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = Arc::clone(&connections).acquire_owned().await.expect("the semaphore is never closed");
        let socket = match stop.run_until_cancelled(listener.accept()).await {
            None => return,
            Some(Ok((socket, _))) => socket,
            Some(Err(error)) => {
                warn!("metrics: cannot accept: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (pages, stop) = (Arc::clone(&pages), stop.clone());
        tokio::spawn(async move {
            stop.run_until_cancelled(serve(socket, pages)).await;
            drop(permit);
        });
    }
}

async fn serve(socket: TcpStream, pages: Arc<Pages>) {
    let answer = service_fn(|request| {
        let pages = Arc::clone(&pages);
        async move { Ok::<_, Infallible>(pages.answer(&request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(socket), answer);
    if let Err(error) = connection.await {
        debug!("metrics: a connection ended: {error}");
    }
}

impl Pages {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n".to_owned());
        }
        match request.uri().path() {
            "/metrics" => {
                let mut text = String::new();
                let written = self.registries.iter().try_for_each(|each| encode_registry(&mut text, each));
                match written.and_then(|()| encode_eof(&mut text)) {
                    Ok(()) => page(StatusCode::OK, OPEN_METRICS, text),
                    Err(error) => {
                        warn!("metrics cannot be written: {error}");
                        page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "failed\n".to_owned())
                    }
                }
            }
            "/healthz" => {
                // By the event loop that serves terminals: where that hangs there is no answer.
                match tokio::spawn(tokio::time::sleep(TURN_AFTER)).await {
                    Ok(()) => page(StatusCode::OK, TEXT, "ok\n".to_owned()),
                    Err(_) => page(StatusCode::SERVICE_UNAVAILABLE, TEXT, "ending\n".to_owned()),
                }
            }
            "/readyz" => {
                let found = self.readiness.look().await;
                let is_ready = found.iter().all(|(_, ready)| ready.is_ok());
                let lines = found.iter().map(|(role, ready)| {
                    let said = ready.as_ref().err().map_or("ready", String::as_str);
                    format!("{role}: {said}\n")
                });
                let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                page(status, TEXT, lines.collect())
            }
            _ => page(StatusCode::NOT_FOUND, TEXT, "metrics, healthz, readyz\n".to_owned()),
        }
    }
}

fn page(status: StatusCode, kind: HeaderValue, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
