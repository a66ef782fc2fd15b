//! Which server to use. A client is told the least loaded one of a kind; for a device that reaches the platform
//! through somebody's own program (its SDK) the gateway is told at which it should register.
//!
//! Answered from memory: whose a terminal is, what nodes carry, who is on the way. Which node it is that is named is
//! the platform's affair.

use std::time::Instant;

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, post};
use chrono::{DateTime, Utc};
use cluster::dispatch::{COUNTED_FOR, Directions, Wanted};
use cluster::{Advertise, MediaServer, WebServer};
use model::TerminalId;
use openapi::dispatch::{
    ClientProtocol, ClientRole, ClientServer, DeviceProtocol, DeviceServer, DispatchRequest,
};

use crate::body::Json;
use crate::caller::{Caller, View};
use crate::host::host;
use crate::problem::{Outcome, Problem};
use crate::state::State;

/// Which server of a kind a client should use: of those that answer and are not drained the one that carries least.
#[utoipa::path(tag = "dispatch", security(("bearer" = ["view"])), responses(
    (status = 200, description = "The server", body = ClientServer),
    (status = 503, description = "No server of that kind is fit, or the platform is busy: see Retry-After"),
))]
#[post("/dispatch")]
pub(crate) async fn dispatch_client(
    _caller: Caller<View>,
    request: HttpRequest,
    state: Data<State>,
    wanted: Json<DispatchRequest>,
) -> Outcome<Json<ClientServer>> {
    let report = state.nodes.report();
    let DispatchRequest { role } = wanted.into_inner();
    let (wanted, none) = match role {
        ClientRole::Media => (Wanted::Media, "no media server is fit"),
        ClientRole::Api => (Wanted::Api, "no API server is fit"),
    };
    let chosen = state.clients.lock().choose(Instant::now(), &report, wanted).cloned();
    let info = chosen.ok_or_else(|| Problem::unavailable(none))?.info;
    let (address, tls) = match (role, info.media, info.web) {
        (ClientRole::Media, Some(MediaServer { viewer, tls, live: _ }), _) => (viewer, tls),
        (ClientRole::Api, _, Some(WebServer { dial, tls })) => (dial, tls),
        // The one that is asked is where it was reached.
        (ClientRole::Media | ClientRole::Api, ..) => {
            let config = request.app_config();
            (Advertise { host: None, port: config.local_addr().port() }, config.secure())
        }
    };
    Ok(Json(ClientServer {
        host: address.host.unwrap_or_else(|| host(&request)),
        port: address.port,
        protocol: if tls { ClientProtocol::Https } else { ClientProtocol::Http },
        expires_at: after(COUNTED_FOR),
    }))
}

/// Which gateway a device should register at: the one that has its link, or else the least loaded one, where a place
/// is kept for it until the answer expires.
#[utoipa::path(tag = "dispatch", security(("bearer" = ["view"])), params(("id" = TerminalId, Path, description = "The terminal's key")), responses(
    (status = 200, description = "The gateway", body = DeviceServer),
    (status = 503, description = "No gateway is fit and has room, or the database is away: see Retry-After"),
))]
#[post("/terminals/{id}/dispatch")]
pub(crate) async fn dispatch_terminal(
    caller: Caller<View>,
    request: HttpRequest,
    state: Data<State>,
    id: Path<TerminalId>,
) -> Outcome<Json<DeviceServer>> {
    let place = state.latest.place(*id).await?.filter(|place| caller.scope.sees(place.company_id));
    place.ok_or_else(|| Problem::not_found("terminal"))?;
    let directions = state.dispatch.as_ref().and_then(|dispatch| dispatch.ask(*id));
    let Directions { dial, is_there, hold_for } =
        directions.ok_or_else(|| Problem::unavailable("no gateway is fit and has room"))?;
    Ok(Json(DeviceServer {
        host: dial.host.unwrap_or_else(|| host(&request)),
        port: dial.port,
        protocol: DeviceProtocol::Jt808,
        connected: is_there,
        expires_at: after(hold_for),
    }))
}

fn after(time: std::time::Duration) -> DateTime<Utc> {
    // Both are half a minute at most.
    Utc::now() + chrono::TimeDelta::from_std(time).unwrap_or_default()
}
