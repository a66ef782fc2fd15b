//! The viewer port: looks at the first bytes, then speaks TLS or HTTP.
//!
//! RTSP and RTMP share the port by design; they are recognised and refused until they are built. Knows no
//! routes and no streams.

use std::convert::Infallible;
use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cluster::{Newcomer, Newcomers};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::answer::{self, Answer};
use crate::routes::Routes;
use crate::socket::Socket;

/// Bytes looked at: enough to tell `DESCRIBE rtsp:` from HTTP.
const LOOK_BYTES: usize = 16;

/// Longest request head, bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Most header fields.
const FIELDS_MAX: usize = 64;

/// How long a view that must end may take to say so before its connection is cut.
const FAREWELL: Duration = Duration::from_secs(1);

/// The listener.
pub(crate) struct Port {
    pub(crate) routes: Arc<Routes>,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) newcomers: Arc<Newcomers>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    Tls,
    Http,
    Rtsp,
    Rtmp,
    Unknown,
    /// More bytes are needed.
    Unclear,
}

fn spoken(bytes: &[u8]) -> Spoken {
    match bytes {
        [] => Spoken::Unclear,
        [0x16, ..] => Spoken::Tls,
        // C0: version 3.
        [0x03, ..] => Spoken::Rtmp,
        _ if !bytes.iter().all(|byte| (0x20..0x7f).contains(byte) || matches!(byte, b'\r' | b'\n')) => {
            Spoken::Unknown
        }
        _ => {
            let Some(space) = bytes.iter().position(|byte| *byte == b' ') else {
                // The longest method of either is GET_PARAMETER.
                return if bytes.len() < LOOK_BYTES { Spoken::Unclear } else { Spoken::Unknown };
            };
            let (method, target) = (&bytes[..space], &bytes[space + 1..]);
            let rtsp_only = matches!(
                method,
                b"DESCRIBE"
                    | b"SETUP"
                    | b"PLAY"
                    | b"PAUSE"
                    | b"ANNOUNCE"
                    | b"RECORD"
                    | b"TEARDOWN"
                    | b"GET_PARAMETER"
                    | b"SET_PARAMETER"
            );
            // OPTIONS exists in both; `OPTIONS *` is left to HTTP, which answers it harmlessly.
            if rtsp_only || target.starts_with(b"rtsp") {
                Spoken::Rtsp
            } else if method == b"OPTIONS" && b"rtsp".starts_with(target) && bytes.len() < LOOK_BYTES {
                Spoken::Unclear
            } else {
                Spoken::Http
            }
        }
    }
}

impl Port {
    /// Accepts connections until told to stop.
    pub(crate) async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            let (socket, peer) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of file descriptors, mostly: waiting is the only thing that helps.
                        warn!("viewer port: cannot accept: {error}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
                () = self.stop.cancelled() => return,
            };
            let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else {
                self.routes.counters.connections_over_bound.one();
                continue;
            };
            let of_address = self.routes.settings.newcomers_per_address_max;
            let Some(newcomer) = self.newcomers.enter(peer.ip(), of_address) else {
                self.routes.counters.connections_over_bound.one();
                continue;
            };
            self.routes.counters.viewer_connections.one();
            let port = Arc::clone(&self);
            self.tasks.spawn(async move {
                tokio::select! {
                    () = port.connection(socket, peer, newcomer) => {}
                    () = port.stop.cancelled() => {}
                }
                drop(permit);
            });
        }
    }

    async fn connection(&self, mut socket: TcpStream, peer: SocketAddr, newcomer: Newcomer) {
        let _ = socket.set_nodelay(true);
        let head = Duration::from_secs(self.routes.settings.request_head_s);
        let looked = tokio::time::timeout(head, look(&mut socket)).await;
        let (spoken, seen) = looked.unwrap_or_else(|_| (Spoken::Unclear, Vec::new()));
        // Whoever speaks next reads from the first byte.
        let (reader, writer) = socket.into_split();
        let mut socket = tokio::io::join(Cursor::new(seen).chain(reader), writer);
        match (spoken, &self.tls) {
            (Spoken::Tls, Some(tls)) => match tokio::time::timeout(head, tls.accept(socket)).await {
                Ok(Ok(socket)) => self.serve(socket, newcomer).await,
                Ok(Err(error)) => debug!("TLS with {peer} failed: {error}"),
                Err(_) => debug!("TLS with {peer} took too long"),
            },
            (Spoken::Http, None) => self.serve(socket, newcomer).await,
            (Spoken::Unclear, _) => debug!("viewer connection of {peer} said nothing"),
            (spoken, _) => {
                self.routes.counters.viewer_protocol_unknown.one();
                debug!("viewer connection of {peer} refused: {spoken:?} is not spoken here");
                refuse(&mut socket, spoken).await;
            }
        }
    }

    async fn serve<S>(&self, socket: S, newcomer: Newcomer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let settings = &self.routes.settings;
        let stall = Duration::from_secs(settings.viewer_stall_s);
        let socket = Socket::new(socket, stall, Arc::clone(&self.routes.counters));
        // Ends what runs on this connection: an endless answer cannot be ended otherwise while its viewer
        // takes nothing. The server's end ends it too, as a WebSocket outlives this task.
        let end = self.stop.child_token();
        let newcomer = Mutex::new(Some(newcomer));
        let service = service_fn(|request: Request<Incoming>| {
            let (routes, end, newcomer) = (Arc::clone(&self.routes), end.clone(), &newcomer);
            async move {
                let answer = routes.answer(request, end).await;
                // What anybody may ask for (204 to a preflight) proves nothing.
                if matches!(answer.status(), StatusCode::OK | StatusCode::SWITCHING_PROTOCOLS) {
                    newcomer.lock().take();
                }
                Ok::<Answer, Infallible>(answer)
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(settings.request_head_s))
            .max_headers(FIELDS_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(socket), service)
            .with_upgrades();
        tokio::select! {
            served = connection => if let Err(error) = served {
                debug!("viewer connection: {error}");
            },
            () = async {
                end.cancelled().await;
                tokio::time::sleep(FAREWELL).await;
            } => {}
        }
    }
}

/// Reads until it is clear what is spoken, and gives what was read.
async fn look(socket: &mut TcpStream) -> (Spoken, Vec<u8>) {
    let mut seen = Vec::with_capacity(LOOK_BYTES);
    loop {
        let wanted = (LOOK_BYTES - seen.len()) as u64;
        match socket.take(wanted).read_buf(&mut seen).await {
            Ok(0) | Err(_) => return (Spoken::Unclear, seen),
            Ok(_) => match spoken(&seen) {
                Spoken::Unclear if seen.len() == LOOK_BYTES => return (Spoken::Unknown, seen),
                Spoken::Unclear => {}
                spoken => return (spoken, seen),
            },
        }
    }
}

async fn refuse(socket: &mut (impl AsyncWrite + Unpin), spoken: Spoken) {
    let text = match spoken {
        Spoken::Rtsp => "RTSP/1.0 501 Not Implemented\r\nContent-Length: 0\r\n\r\n".to_owned(),
        // Only with TLS set is plain HTTP refused.
        Spoken::Http => {
            let body = "this port speaks https";
            format!(
                "HTTP/1.1 {} Bad Request\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{body}",
                StatusCode::BAD_REQUEST.as_u16(),
                body.len()
            )
        }
        // RTMP and TLS have no word for it before their handshakes; closing is all there is.
        _ => return,
    };
    // The other side may be gone already.
    let _ = socket.write_all(text.as_bytes()).await;
    let _ = socket.shutdown().await;
}

/// What a request that no route takes is answered.
pub(crate) fn not_found() -> Answer {
    answer::problem(StatusCode::NOT_FOUND, "no such resource")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_protocol() {
        for (bytes, expected) in [
            (&b"GET /live/x HTTP"[..], Spoken::Http),
            (b"OPTIONS /live/ ", Spoken::Http),
            (b"OPTIONS * HTTP/1", Spoken::Http),
            (b"OPTIONS rtsp://h", Spoken::Rtsp),
            (b"DESCRIBE rtsp://", Spoken::Rtsp),
            (b"OPTIONS rt", Spoken::Unclear),
            (b"GE", Spoken::Unclear),
            (b"", Spoken::Unclear),
            (b"\x16\x03\x01", Spoken::Tls),
            (b"\x03\0\0\0", Spoken::Rtmp),
            (b"01cd\x81\x62", Spoken::Unknown),
            (b"AAAAAAAAAAAAAAAA", Spoken::Unknown),
        ] {
            assert_eq!(spoken(bytes), expected, "{bytes:?}");
        }
    }
}
