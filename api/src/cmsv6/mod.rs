//! The CMSV6 face: the actions that programs written for CMSV6 call, with its names, types and quirks.
//!
//! Quirks stay here: errors are HTTP 200, passwords may come in a query, values may be encoded thrice. Each
//! action is listed by name below; what is not listed does not exist (404).

mod coordinates;
mod large;
mod online;
mod parameters;
mod reply;
mod session;
mod status;
mod status_words;
mod time;
mod track;
mod vehicle;

use actix_web::web::{self, Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use openapi::cmsv6::envelope::Code;

use crate::problem::{Outcome, Problem};
use crate::state::State;

pub(crate) use large::LargeReplies;
use parameters::Parameters;

/// The most bytes of a form body.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The actions' two addresses.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    for address in ["/StandardApiAction_{action}.action", "/808gps/StandardApiAction_{action}.action"] {
        config.service(
            web::resource(address)
                .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
                .route(web::get().to(answer))
                .route(web::post().to(answer))
                .default_service(web::to(wrong_method)),
        );
    }
}

async fn wrong_method() -> Outcome<HttpResponse> {
    Err(Problem::method_not_allowed("GET, POST"))
}

async fn answer(
    request: HttpRequest,
    state: Data<State>,
    action: Path<String>,
    body: Result<Bytes, actix_web::Error>,
) -> Outcome<HttpResponse> {
    let Ok(body) = body else {
        let failure = reply::failure(Code::Parameter, "the body is too long or could not be read");
        return Ok(reply::send(&Parameters::read(&request, &[]), Err(failure)));
    };
    let parameters = Parameters::read(&request, &body);
    let reply = match action.as_str() {
        "login" | "loginEx" => return Ok(session::log_in(&request, &state, &parameters).await),
        "logout" => session::log_out(&request, &state, &parameters).await,
        "queryUserVehicle" => vehicle::query_user_vehicle(&request, &state, &parameters).await,
        "getDeviceOlStatus" => online::device_online_status(&request, &state, &parameters).await,
        "getDeviceStatus" => status::device_status(&request, &state, &parameters).await,
        "queryTrackDetail" => track::query_track_detail(&request, &state, &parameters).await,
        _ => return Err(Problem::not_found("action")),
    };
    Ok(reply::send(&parameters, reply))
}
