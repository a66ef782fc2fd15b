//! Live streams: where to open them, and a picture of a running one.
//!
//! Nothing is started here. The first viewer that opens a URL makes the media server start the terminal.

use std::time::Duration;

use actix_web::http::header::ContentEncoding;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, get, post};
use cluster::MediaServer;
use model::{Channel, StreamKey, TerminalId, VehicleId};
use openapi::live::{Live, LiveRequest, LiveUrls, SnapshotQuery};
use tokio::time::timeout;

use crate::body::Json;
use crate::caller::{Caller, Live as MayWatch};
use crate::host::host;
use crate::problem::{OrNotFound as _, Outcome, Problem};
use crate::query::Query;
use crate::state::State;

/// The highest channel that a live request is passed on for.
const CHANNEL_MAX: u8 = 32;

/// How long a terminal may take to tell its attributes; without them the stream is answered all the same.
const ATTRIBUTES_WAIT: Duration = Duration::from_secs(10);

/// Where a channel's live video can be opened, and what the terminal says of its sound and pictures.
/// Nothing is started until a viewer opens a URL.
#[utoipa::path(tag = "live", security(("bearer" = ["live"])), params(
    ("id" = VehicleId, Path, description = "The vehicle's key"),
    ("n" = Channel, Path, description = "The channel's number, 1 to 32"),
), responses(
    (status = 200, description = "Where to open it", body = Live),
))]
#[post("/vehicles/{id}/channels/{n}/live")]
pub(crate) async fn live(
    caller: Caller<MayWatch>,
    request: HttpRequest,
    state: Data<State>,
    path: Path<(VehicleId, Channel)>,
    wanted: Json<LiveRequest>,
) -> Outcome<Json<Live>> {
    let (vehicle, channel) = path.into_inner();
    let LiveRequest { profile, terminal_id } = wanted.into_inner();
    let terminal = terminal_of(&caller, &state, vehicle, channel, terminal_id).await?;
    let stream = StreamKey::live(terminal, channel, profile);
    let server = state.placement.media_for(&stream);
    let server = server.ok_or_else(|| Problem::unavailable("no media server is there for this stream"))?;
    let link = timeout(ATTRIBUTES_WAIT, state.terminals.link(terminal)).await;
    let (ticket, claims) = state.access.issue_ticket(caller.account.id, stream);
    Ok(Json(Live {
        stream,
        expires_at: claims.expires,
        urls: urls(&server, &host(&request), &stream, &ticket),
        av: link.ok().and_then(Result::ok).and_then(|link| link.av),
    }))
}

/// A picture of a running stream: the newest key frame as a JPEG.
#[utoipa::path(tag = "live", security(("bearer" = ["live"])), params(
    ("id" = VehicleId, Path, description = "The vehicle's key"),
    ("n" = Channel, Path, description = "The channel's number, 1 to 32"),
    SnapshotQuery,
), responses(
    (status = 200, description = "The picture", content_type = "image/jpeg", body = Vec<u8>),
    (status = 409, description = "The stream is not running"),
))]
#[get("/vehicles/{id}/channels/{n}/snapshot")]
pub(crate) async fn snapshot(
    caller: Caller<MayWatch>,
    state: Data<State>,
    path: Path<(VehicleId, Channel)>,
    query: Query<SnapshotQuery>,
) -> Outcome<HttpResponse> {
    let (vehicle, channel) = path.into_inner();
    let SnapshotQuery { profile, terminal_id } = query.into_inner();
    let terminal = terminal_of(&caller, &state, vehicle, channel, terminal_id).await?;
    let stream = StreamKey::live(terminal, channel, profile.unwrap_or_default());
    let media = state.media.as_ref().ok_or_else(|| Problem::unavailable("no media server is there"))?;
    let picture = media.snapshot(stream).await?;
    Ok(HttpResponse::Ok().content_type("image/jpeg").insert_header(ContentEncoding::Identity).body(picture))
}

/// The terminal of a visible vehicle: the one asked for, or its first.
async fn terminal_of(
    caller: &Caller<MayWatch>,
    state: &State,
    vehicle: VehicleId,
    channel: Channel,
    wanted: Option<TerminalId>,
) -> Outcome<TerminalId> {
    let vehicle = state.db.vehicle(&caller.scope, vehicle).await.or_no_such("vehicle")?;
    let mut terminals = vehicle.terminals.iter().map(|terminal| terminal.id);
    let terminal = match wanted {
        Some(id) => terminals.find(|terminal| *terminal == id),
        None => terminals.next(),
    };
    let terminal = terminal.ok_or_else(|| Problem::not_found("terminal in this vehicle"))?;
    if channel.number() > CHANNEL_MAX {
        return Err(Problem::not_found("channel"));
    }
    Ok(terminal)
}

fn urls(server: &MediaServer, host: &str, stream: &StreamKey, ticket: &str) -> LiveUrls {
    let authority = server.viewer.authority(host);
    let (http, ws) = if server.tls { ("https", "wss") } else { ("http", "ws") };
    LiveUrls {
        http_flv: format!("{http}://{authority}/live/{stream}.flv?ticket={ticket}"),
        ws_flv: format!("{ws}://{authority}/live/{stream}.flv?ticket={ticket}"),
        hls: format!("{http}://{authority}/live/{stream}/index.m3u8?ticket={ticket}"),
    }
}
