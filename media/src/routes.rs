//! What the viewer port offers, and how a view is opened.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt, pin_mut};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use model::{AccountId, StreamKey};
use parking_lot::Mutex;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::answer::{self, Answer, problem};
use crate::flv::FlvView;
use crate::hls::Playlist;
use crate::hub::HubHandle;
use crate::port::not_found;
use crate::segmenter::Form;
use crate::stats::Counters;
use crate::stream::Stream;
use crate::unit::Config;
use crate::view::{HlsView, TooMany, Views};
use crate::{Refusal, Settings, Viewers};

/// What every request shares.
pub(crate) struct Routes {
    pub(crate) settings: Arc<Settings>,
    pub(crate) hub: HubHandle,
    pub(crate) viewers: Arc<dyn Viewers>,
    pub(crate) views: Arc<Views>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) tasks: TaskTracker,
    /// Playlists that somebody watches; entries of dead ones go when the next one is made.
    pub(crate) playlists: Mutex<HashMap<(StreamKey, Form), Weak<Playlist>>>,
}

/// Longest a playlist request is held until there is something new to tell.
const HOLD_MAX: Duration = Duration::from_secs(3);

/// The first segment is waited for until the stream ends; nobody waits longer than this for it.
const FIRST_SEGMENT: Duration = Duration::from_secs(60);

/// What a master playlist claims where nothing is known yet, bits a second.
const BANDWIDTH: u32 = 2_000_000;

/// What a WebSocket viewer may have outstanding beyond one chunk, bytes.
const WEB_SOCKET_BUFFER_BYTES: usize = 64 * 1024;

/// How long the closing words of a WebSocket may take.
const CLOSE_WAIT: Duration = Duration::from_secs(3);

/// What a WebSocket viewer may send us at once, bytes; it has nothing to say.
const WEB_SOCKET_MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// What a playlist is.
pub(crate) const PLAYLIST_TYPE: &str = "application/vnd.apple.mpegurl";

/// The query of a request by name; the first of equal names counts.
pub(crate) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// Parameters looked at; more are left alone.
const PARAMETERS_MAX: usize = 32;

impl<'a> Query<'a> {
    pub(crate) fn of(request: &'a Request<Incoming>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        Self(form_urlencoded::parse(query.as_bytes()).take(PARAMETERS_MAX).collect())
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_ref())
    }
}

impl Routes {
    /// Answers a request. Cancelling `end` ends an endless answer and its connection.
    pub(crate) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        end: CancellationToken,
    ) -> Answer {
        match *request.method() {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return preflight(),
            _ => {
                let mut answer = problem(StatusCode::METHOD_NOT_ALLOWED, "only GET, HEAD and OPTIONS");
                answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
                return answer;
            }
        }
        let path = request.uri().path().to_owned();
        match path.strip_prefix("/live/") {
            Some(rest) => self.live(rest, request, end).await,
            None => crate::cmsv6::answer(self, &path, request, end).await,
        }
    }

    async fn live(self: Arc<Self>, rest: &str, request: Request<Incoming>, end: CancellationToken) -> Answer {
        if let Some((stream, file)) = rest.split_once('/') {
            let Ok(stream) = stream.parse::<StreamKey>() else { return not_found() };
            return match file {
                "index.m3u8" => self.master(stream, &request).await,
                _ => {
                    let view = self.hls_view(&Query::of(&request));
                    match view.filter(|view| view.stream() == stream && view.playlist.form == Form::Fmp4) {
                        Some(view) if file == "media.m3u8" => {
                            media_playlist(&view, &session_suffix(&view)).await
                        }
                        Some(view) => hls_file(&view, file),
                        None => {
                            self.refused(Refusal::Expired);
                            expired_view()
                        }
                    }
                }
            };
        }
        let Some(stream) = rest.strip_suffix(".flv").and_then(|name| name.parse::<StreamKey>().ok()) else {
            return not_found();
        };
        match self.opened(stream, &Query::of(&request)).await {
            Ok(account) => self.flv(account, stream, request, end).await,
            Err(answer) => answer,
        }
    }

    /// Who opens `stream` with the ticket of the query.
    async fn opened(&self, stream: StreamKey, query: &Query<'_>) -> Result<AccountId, Answer> {
        let ticket = query.value("ticket").unwrap_or_default();
        self.viewers.open(ticket, &stream).await.map_err(|refusal| {
            self.refused(refusal);
            problem(answer::refusal_status(refusal), refusal)
        })
    }

    pub(crate) fn refused(&self, refusal: Refusal) {
        if refusal != Refusal::Unavailable {
            self.counters.views_refused.one();
        }
    }

    /// FLV of a stream that `account` may watch, by HTTP or, where asked for, by WebSocket.
    pub(crate) async fn flv(
        self: Arc<Self>,
        account: AccountId,
        stream: StreamKey,
        mut request: Request<Incoming>,
        end: CancellationToken,
    ) -> Answer {
        let upgrade = match web_socket_key(&request) {
            Ok(key) => key.map(|key| (key, hyper::upgrade::on(&mut request))),
            Err(detail) => return problem(StatusCode::BAD_REQUEST, detail),
        };
        if upgrade.is_none() && request.method() == Method::HEAD {
            return answer::bytes(StatusCode::OK, "video/x-flv", "");
        }
        let view = match self.views.open(account, stream, end.clone()) {
            Ok(view) => view,
            Err(refused) => return too_many(refused),
        };
        let attachment = match self.hub.attach(stream).await {
            Ok(attachment) => attachment,
            Err(reason) => return answer::not_begun(reason),
        };
        // Before waiting, so that nothing from the first key frame on is missed.
        let cursor = attachment.stream.ring.cursor();
        if let Err(reason) = attachment.stream.started().await {
            return answer::not_begun(reason);
        }
        let wait = Duration::from_millis(self.settings.audio_wait_ms);
        let flv = FlvView::new(attachment, cursor, view, wait, Arc::clone(&self.counters));
        match upgrade {
            None => answer::endless("video/x-flv", flv.into_chunks()),
            Some((key, upgrade)) => {
                self.tasks.spawn(async move {
                    match upgrade.await {
                        Ok(upgraded) => web_socket(upgraded, flv, end).await,
                        Err(error) => debug!("no WebSocket: {error}"),
                    }
                });
                switching(&key)
            }
        }
    }

    /// The playlist that a ticket opens: it names the one that the view's own word opens again and again.
    async fn master(&self, stream: StreamKey, request: &Request<Incoming>) -> Answer {
        let query = Query::of(request);
        let account = match self.opened(stream, &query).await {
            Ok(account) => account,
            Err(answer) => return answer,
        };
        if request.method() == Method::HEAD {
            return answer::bytes(StatusCode::OK, PLAYLIST_TYPE, "");
        }
        let ticket = query.value("ticket").unwrap_or_default();
        let view = match self.open_hls(account, stream, Form::Fmp4, ticket).await {
            Ok(view) => view,
            Err(answer) => return answer,
        };
        let resolution = self.resolution(stream).await;
        let text = format!(
            "#EXTM3U\n#EXT-X-VERSION:7\n\
             #EXT-X-STREAM-INF:BANDWIDTH={BANDWIDTH}{resolution}\nmedia.m3u8{}\n",
            session_suffix(&view)
        );
        answer::bytes(StatusCode::OK, PLAYLIST_TYPE, text)
    }

    async fn resolution(&self, stream: StreamKey) -> String {
        let running = self.hub.running(stream).await;
        match running.and_then(|stream| stream.ring.key_frame()).map(|unit| unit.config.clone()) {
            Some(Config::Video(video)) => format!(",RESOLUTION={}x{}", video.width, video.height),
            _ => String::new(),
        }
    }

    /// The HLS view that `opener` (a ticket, a login) opened before, or a new one once the stream runs; where
    /// it does not, the answer that says why.
    pub(crate) async fn open_hls(
        &self,
        account: AccountId,
        stream: StreamKey,
        form: Form,
        opener: &str,
    ) -> Result<Arc<HlsView>, Answer> {
        if let Some(view) = self.views.reopened(opener, stream, form) {
            return Ok(view);
        }
        let view = self.views.open(account, stream, CancellationToken::new()).map_err(too_many)?;
        let attachment = self.hub.attach(stream).await.map_err(answer::not_begun)?;
        let source = Arc::clone(&attachment.stream);
        // Before waiting, so that nothing from the first key frame on is missed.
        let playlist = self.playlist(&source, form);
        source.started().await.map_err(answer::not_begun)?;
        Ok(self.views.keep(view, opener.to_owned(), playlist, attachment))
    }

    /// The running playlist of a stream, shared by its viewers, or a new one.
    fn playlist(&self, stream: &Arc<Stream>, form: Form) -> Arc<Playlist> {
        let mut playlists = self.playlists.lock();
        let running = playlists.get(&(stream.key, form)).and_then(Weak::upgrade);
        if let Some(playlist) = running.filter(|playlist| playlist.is_of(stream)) {
            return playlist;
        }
        playlists.retain(|_, playlist| playlist.strong_count() > 0);
        let playlist = Playlist::start(stream, form, Arc::clone(&self.settings), Arc::clone(&self.counters));
        playlists.insert((stream.key, form), Arc::downgrade(&playlist));
        playlist
    }

    /// The HLS view that a query's `session` names.
    pub(crate) fn hls_view(&self, query: &Query<'_>) -> Option<Arc<HlsView>> {
        self.views.hls(query.value("session")?)
    }
}

/// What follows the names in a playlist's URLs.
pub(crate) fn session_suffix(view: &HlsView) -> String {
    format!("?session={}", view.name)
}

/// The answer where the word of an HLS view is wrong or its time is over.
pub(crate) fn expired_view() -> Answer {
    problem(StatusCode::FORBIDDEN, "the view has ended; open the stream again")
}

fn too_many(refused: TooMany) -> Answer {
    problem(StatusCode::SERVICE_UNAVAILABLE, refused)
}

/// The playlist of a view. Held for a while when it has nothing new to tell: players that ask too early, or
/// give up after some askings, then see every segment.
pub(crate) async fn media_playlist(view: &HlsView, suffix: &str) -> Answer {
    let told = view.told.load(Ordering::Relaxed);
    let hold = if told == 0 { FIRST_SEGMENT } else { view.playlist.target().min(HOLD_MAX) };
    // Over time is no failure: the answer then says the same again.
    let _ = tokio::time::timeout(hold, view.playlist.newer(told)).await;
    match view.playlist.text(suffix) {
        Some(playlist) => {
            view.told.store(playlist.newest, Ordering::Relaxed);
            view.told_end.store(playlist.ended, Ordering::Relaxed);
            answer::bytes(StatusCode::OK, PLAYLIST_TYPE, playlist.text)
        }
        None => problem(StatusCode::NOT_FOUND, "the stream has brought no picture"),
    }
}

/// A segment or init segment of a view, by its file name.
pub(crate) fn hls_file(view: &HlsView, file: &str) -> Answer {
    let number = |text: &str| text.parse::<u64>().ok();
    let (content_type, data) = if let Some(name) = file.strip_suffix(".m4s") {
        ("video/iso.segment", number(name).and_then(|number| view.playlist.segment(number)))
    } else if let Some(name) = file.strip_suffix(".ts") {
        ("video/mp2t", number(name).and_then(|number| view.playlist.segment(number)))
    } else if let Some(name) = file.strip_prefix("init-").and_then(|name| name.strip_suffix(".mp4")) {
        ("video/mp4", number(name).and_then(|number| view.playlist.init(number)))
    } else {
        return not_found();
    };
    match data {
        Some(data) => answer::bytes(StatusCode::OK, content_type, data),
        None => problem(StatusCode::NOT_FOUND, "the segment is no longer, or not yet, kept"),
    }
}

fn preflight() -> Answer {
    let mut answer = answer::bytes(StatusCode::NO_CONTENT, "text/plain", "");
    let headers = answer.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    answer
}

/// The key of a WebSocket handshake (RFC 6455, 4.2.1); None where none is asked for.
fn web_socket_key(request: &Request<Incoming>) -> Result<Option<String>, &'static str> {
    let field = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let names = |value: Option<&str>, token: &str| {
        value.is_some_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    };
    if !names(field(header::UPGRADE), "websocket") {
        return Ok(None);
    }
    if !names(field(header::CONNECTION), "upgrade") || field(header::SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err("not a WebSocket handshake of version 13");
    }
    match field(header::SEC_WEBSOCKET_KEY) {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err("the WebSocket handshake has no key"),
    }
}

fn switching(key: &str) -> Answer {
    let mut answer = answer::bytes(StatusCode::SWITCHING_PROTOCOLS, "video/x-flv", "");
    let headers = answer.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::try_from(derive_accept_key(key.as_bytes())) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    answer
}

/// Sends a view's bytes as binary messages until it ends or the viewer goes. That it takes nothing for too long
/// is the socket's to notice.
async fn web_socket(upgraded: hyper::upgrade::Upgraded, flv: FlvView, end: CancellationToken) {
    let config = WebSocketConfig::default()
        .write_buffer_size(WEB_SOCKET_BUFFER_BYTES)
        .max_message_size(Some(WEB_SOCKET_MESSAGE_BYTES_MAX))
        .max_frame_size(Some(WEB_SOCKET_MESSAGE_BYTES_MAX));
    let io = TokioIo::new(upgraded);
    let (mut sink, mut source) =
        WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await.split();
    let messages = flv.into_messages();
    pin_mut!(messages);
    loop {
        tokio::select! {
            message = messages.next() => {
                let Some(message) = message else { break };
                let sent = tokio::select! {
                    sent = sink.send(Message::Binary(message)) => sent,
                    () = end.cancelled() => break,
                };
                if sent.is_err() {
                    return;
                }
            }
            message = source.next() => match message {
                // Pings are answered inside; anything else a player says means nothing here.
                Some(Ok(message)) if !message.is_close() => {}
                _ => break,
            },
        }
    }
    let _ = tokio::time::timeout(CLOSE_WAIT, sink.close()).await;
}
