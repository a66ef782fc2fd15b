//! The URL forms of CMSV6 clients: `/3/3` and `/hls/1_DEVICE_CHANNEL_STREAM.m3u8`.
//!
//! The only place of this crate that knows its words: jsession, devIdno, channels from 0, `result` codes.

use std::borrow::Cow;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use model::{Channel, Profile, SendError};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::Refusal;
use crate::answer::{self, Answer};
use crate::port::not_found;
use crate::routes::{PLAYLIST_TYPE, Query, Routes, hls_file, media_playlist};
use crate::segmenter::Form;
use crate::stream::EndReason;
use crate::view::HlsView;

/// What a media-side reply says (reference 1.3), and the status beside it, which players without an eye for
/// bodies see.
fn failure(status: StatusCode, result: u32) -> Answer {
    let body = json!({ "result": result, "cmsserver": 1 });
    answer::bytes(status, "application/json;charset=utf-8", body.to_string())
}

fn bad_parameter() -> Answer {
    failure(StatusCode::BAD_REQUEST, 3)
}

fn refused(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::Invalid | Refusal::Expired | Refusal::OtherStream => failure(StatusCode::FORBIDDEN, 5),
        Refusal::Forbidden => failure(StatusCode::FORBIDDEN, 2),
        Refusal::NotFound => failure(StatusCode::NOT_FOUND, 21),
        Refusal::Unavailable => failure(StatusCode::SERVICE_UNAVAILABLE, 4),
    }
}

/// Which channel a CMSV6 client means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    channel: Channel,
    profile: Profile,
}

/// Parameters looked at; more are left alone.
const PARAMETERS_MAX: usize = 32;

/// Channels that are passed on to a terminal, as by v1: 1 to 32.
const CHANNELS_MAX: u8 = 32;

impl Place {
    /// `channel` counts from 0; `stream` 0 main, 1 sub.
    fn parse(channel: &str, stream: &str) -> Option<Self> {
        let number = channel.parse::<u8>().ok()?.checked_add(1).filter(|n| *n <= CHANNELS_MAX)?;
        let profile = match stream {
            "0" => Profile::Main,
            "1" => Profile::Sub,
            _ => return None,
        };
        Some(Self { channel: Channel::new(number).ok()?, profile })
    }
}

/// The device and place in `1_DEVICE_CHANNEL_STREAM`. A device number may hold underlines itself.
fn playlist_name(name: &str) -> Option<(String, Place)> {
    let (rest, stream) = name.strip_prefix("1_")?.rsplit_once('_')?;
    let (device, channel) = rest.rsplit_once('_')?;
    let device = percent_encoding::percent_decode_str(device).decode_utf8().ok()?;
    Some((device.into_owned(), Place::parse(channel, stream)?))
}

/// Answers what is none of v1's paths.
pub(crate) async fn answer(
    routes: Arc<Routes>,
    path: &str,
    request: Request<Incoming>,
    end: CancellationToken,
) -> Answer {
    if path == "/3/3" {
        return flv(routes, request, end).await;
    }
    let Some(file) = path.strip_prefix("/hls/") else { return not_found() };
    match file.strip_suffix(".m3u8") {
        Some(name) => playlist(&routes, name, &request).await,
        None => {
            let view = routes.hls_view(&Query::of(&request));
            match view.filter(|view| view.playlist.form == Form::MpegTs) {
                Some(view) if file.ends_with(".ts") => segment(&view, file),
                Some(_) => failure(StatusCode::NOT_FOUND, 5),
                None => {
                    routes.refused(Refusal::Expired);
                    refused(Refusal::Expired)
                }
            }
        }
    }
}

/// The first value of the parameter `name`, which clients write in any case.
fn value<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let mut parameters = form_urlencoded::parse(query.as_bytes()).take(PARAMETERS_MAX);
    parameters.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

async fn flv(routes: Arc<Routes>, request: Request<Incoming>, end: CancellationToken) -> Answer {
    let opened = {
        let query = request.uri().query().unwrap_or_default();
        let number = |name, absent: &'static str| value(query, name).unwrap_or(absent.into());
        // 2 is listening alone, which has no stream of its own here.
        if number("AVType", "1") != "1" {
            return bad_parameter();
        }
        let place = Place::parse(&number("Channel", "0"), &number("Stream", "0"));
        let (Some(device), Some(place)) = (value(query, "DevIDNO"), place) else { return bad_parameter() };
        let (session, device) = (&value(query, "jsession").unwrap_or_default(), &device);
        routes.viewers.open_by_login(session, device, place.channel, place.profile).await
    };
    match opened {
        Ok((account, stream)) => {
            let answer = routes.flv(account, stream, request, end).await;
            in_its_words(answer)
        }
        Err(refusal) => {
            routes.refused(refusal);
            refused(refusal)
        }
    }
}

/// A v1 problem as a CMSV6 client reads it.
fn in_its_words(answer: Answer) -> Answer {
    let status = answer.status();
    if let Some(reason) = answer.extensions().get::<EndReason>() {
        return failure(status, result(reason));
    }
    match status {
        // Who asks was let in, so that the device is there: it brought no picture.
        StatusCode::NOT_FOUND => failure(status, NO_ANSWER),
        StatusCode::SERVICE_UNAVAILABLE => failure(status, UNKNOWN_ERROR),
        status if status.is_client_error() => failure(status, 3),
        _ => answer,
    }
}

const UNKNOWN_ERROR: u32 = 6;
const NO_ANSWER: u32 = 22;
const DEVICE_OFFLINE: u32 = 23;
const CONNECTION_BROKEN: u32 = 26;

/// The code for why a stream did not begin.
fn result(reason: &EndReason) -> u32 {
    match reason {
        EndReason::Unreachable(SendError::NotConnected(_)) => DEVICE_OFFLINE,
        EndReason::Unreachable(SendError::Disconnected(_)) | EndReason::Lost => CONNECTION_BROKEN,
        EndReason::Unreachable(
            SendError::Timeout(_) | SendError::Refused { .. } | SendError::Unreadable(_),
        )
        | EndReason::NoPicture => NO_ANSWER,
        // Nothing that the device did.
        EndReason::Unreachable(SendError::Busy(_) | SendError::Unsayable { .. })
        | EndReason::Taken(_)
        | EndReason::Unwatched
        | EndReason::Shutdown => UNKNOWN_ERROR,
    }
}

async fn playlist(routes: &Arc<Routes>, name: &str, request: &Request<Incoming>) -> Answer {
    let Some((device, place)) = playlist_name(name) else { return bad_parameter() };
    let session = value(request.uri().query().unwrap_or_default(), "jsession").unwrap_or_default();
    let session = session.as_ref();
    let opened = routes.viewers.open_by_login(session, &device, place.channel, place.profile).await;
    let (account, stream) = match opened {
        Ok(opened) => opened,
        Err(refusal) => {
            routes.refused(refusal);
            return refused(refusal);
        }
    };
    if request.method() == Method::HEAD {
        return answer::bytes(StatusCode::OK, PLAYLIST_TYPE, "");
    }
    // The player polls this very URL: its session is what makes it one view.
    let view = match routes.open_hls(account, stream, Form::MpegTs, session).await {
        Ok(view) => view,
        Err(answer) => return in_its_words(answer),
    };
    in_its_words(media_playlist(&view, &suffix(&view, &device)).await)
}

/// One that is no longer kept, or never was, is information that does not exist.
fn segment(view: &HlsView, file: &str) -> Answer {
    let answer = hls_file(view, file);
    match answer.status() {
        StatusCode::NOT_FOUND => failure(StatusCode::NOT_FOUND, 5),
        _ => answer,
    }
}

/// Players rewrite lines that contain `.ts?`.
fn suffix(view: &HlsView, device: &str) -> String {
    let device = percent_encoding::utf8_percent_encode(device, percent_encoding::NON_ALPHANUMERIC);
    format!("?session={}&DevIDNO={device}", view.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parameters_are_known_in_any_case_and_the_first_value_counts() {
        let query = "avtype=1&devidno=D%2F1&DevIDNO=E&JSESSION=";
        assert_eq!(value(query, "DevIDNO").as_deref(), Some("D/1"));
        assert_eq!(value(query, "jsession").as_deref(), Some(""));
        assert_eq!(value(query, "Channel"), None);
    }

    #[test]
    fn a_playlist_is_named_by_device_channel_and_stream() {
        let place = |channel, profile| Place { channel: Channel::new(channel).expect("not 0"), profile };
        assert_eq!(
            playlist_name("1_013800138999_0_1"),
            Some(("013800138999".into(), place(1, Profile::Sub)))
        );
        assert_eq!(playlist_name("1_A_B_3_0"), Some(("A_B".into(), place(4, Profile::Main))));
        assert_eq!(playlist_name("1_%E4%BA%AC_0_0"), Some(("京".into(), place(1, Profile::Main))));
        assert_eq!(playlist_name("1_D_31_1"), Some(("D".into(), place(32, Profile::Sub))));
        for wrong in
            ["", "1_", "2_D_0_0", "1_D_0", "1_D_0_2", "1_D_x_0", "1_D_32_0", "1_D_255_0", "1_%ff_0_0"]
        {
            assert_eq!(playlist_name(wrong), None, "{wrong}");
        }
    }
}
