//! The directory of CMSV6 clients: `/3/1` says which media server a device's video is opened at.
//!
//! The only place of this crate that knows its words: jsession, devIdno, channels from 0, `result` codes. Who has no
//! session is told nothing.

use std::borrow::Cow;

use cluster::MediaServer;
use hyper::StatusCode;
use model::{Channel, Profile};
use serde::Serialize;
use serde_json::json;

use crate::Refusal;
use crate::desk::Desk;
use crate::http::{self, Answer};

/// Parameters looked at; more are left alone.
const PARAMETERS_MAX: usize = 32;
/// Channels that are passed on to a terminal, as by v1: 1 to 32.
const CHANNELS_MAX: u8 = 32;
/// Longest name of a callback, characters.
const CALLBACK_CHARS_MAX: usize = 64;

const NO_RIGHT: u32 = 2;
const BAD_PARAMETER: u32 = 3;
const DATABASE_ERROR: u32 = 4;
const NO_INFORMATION: u32 = 5;
const UNKNOWN_ERROR: u32 = 6;
const NO_DEVICE: u32 = 21;

#[derive(Serialize)]
struct Directory {
    result: u32,
    cmsserver: u32,
    #[serde(rename = "IsHttps")]
    is_https: u32,
    /// Sent with TLS only: players choose wss by it.
    #[serde(rename = "HttpsMapPort", skip_serializing_if = "Option::is_none")]
    https_map_port: Option<String>,
    server: Server,
}

/// The one media server, in each of the places where clients of some age look for it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Server {
    client_ip: String,
    client_ip2: String,
    client_ip3: String,
    lanip: String,
    client_port: u16,
    client_other_port: &'static str,
    device_ip: String,
    device_ip2: String,
    device_port: u16,
    svrid: u32,
}

impl Directory {
    /// `host` is what the client dialled, where the media server names none.
    fn of(media: &MediaServer, host: &str) -> Self {
        let device_host =
            media.live.host.as_deref().or(media.viewer.host.as_deref()).unwrap_or(host).to_owned();
        let host = media.viewer.host.as_deref().unwrap_or(host).to_owned();
        let port = media.viewer.port;
        Self {
            result: 0,
            cmsserver: 1,
            is_https: media.tls.into(),
            https_map_port: media.tls.then(|| format!("{port}:{port}")),
            server: Server {
                client_ip: host.clone(),
                client_ip2: host.clone(),
                client_ip3: host.clone(),
                lanip: host,
                client_port: port,
                client_other_port: "",
                device_ip: device_host.clone(),
                device_ip2: device_host,
                device_port: media.live.port,
                svrid: 1,
            },
        }
    }
}

/// Answers what is asked of the directory; None where the path is none of its.
pub(crate) async fn answer(desk: &Desk, path: &str, query: &str, host: &str) -> Option<Answer> {
    // `/3/1` or, as old players have it, `/3/1/callback=NAME`.
    let rest = path.strip_prefix("/3/1")?;
    let in_path = match rest {
        "" | "/" => None,
        rest => Some(rest.strip_prefix("/callback=")?),
    };
    let session = value(query, "jsession").unwrap_or_default();
    let callback = in_path.map(Cow::Borrowed).or_else(|| value(query, "callback"));
    // A page of another site could have its own script called with what a cookie alone would open.
    let callback = callback.filter(|_| !session.is_empty());
    if callback.as_deref().is_some_and(|name| !is_plain(name)) {
        return Some(reply(None, &failure(BAD_PARAMETER)));
    }
    let body = match directory(desk, &session, query, host).await {
        Ok(directory) => json!(directory),
        Err(result) => failure(result),
    };
    Some(reply(callback.as_deref(), &body))
}

async fn directory(desk: &Desk, session: &str, query: &str, host: &str) -> Result<Directory, u32> {
    if session.is_empty() {
        return Err(NO_INFORMATION);
    }
    let number = |name, absent: &'static str| value(query, name).unwrap_or(absent.into());
    // 1 live, 2 recordings; both are opened at the same server.
    let media_type = number("MediaType", "1");
    let device = value(query, "DevIDNO").filter(|device| !device.is_empty());
    let channel = channel(&number("Channel", "0"));
    let (Some(device), Some(channel), "1" | "2") = (device, channel, &*media_type) else {
        return Err(BAD_PARAMETER);
    };
    let stream = desk.clients.stream(session, &device, channel, Profile::Main).await;
    let stream = stream.map_err(|refusal| match refusal {
        Refusal::Invalid => NO_INFORMATION,
        Refusal::Forbidden => NO_RIGHT,
        Refusal::NotFound => NO_DEVICE,
        Refusal::Unavailable => DATABASE_ERROR,
    })?;
    let media = desk.placement.media_for(&stream).ok_or(UNKNOWN_ERROR)?;
    Ok(Directory::of(&media, host))
}

/// Channels count from 0 on this wire.
fn channel(number: &str) -> Option<Channel> {
    let number = number.parse::<u8>().ok()?.checked_add(1).filter(|number| *number <= CHANNELS_MAX)?;
    Channel::new(number).ok()
}

/// The first value of the parameter `name`, which clients write in any case.
fn value<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let mut parameters = form_urlencoded::parse(query.as_bytes()).take(PARAMETERS_MAX);
    parameters.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Whether a callback's name is nothing but a name.
fn is_plain(name: &str) -> bool {
    let is_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=CALLBACK_CHARS_MAX).contains(&name.len()) && name.bytes().all(is_of_a_name)
}

fn failure(result: u32) -> serde_json::Value {
    json!({ "result": result, "cmsserver": 1 })
}

/// Status 200 whatever the result: a page reads no other.
fn reply(callback: Option<&str>, body: &serde_json::Value) -> Answer {
    match callback {
        Some(name) => {
            http::bytes(StatusCode::OK, "text/javascript; charset=utf-8", format!("{name}({body})"))
        }
        None => http::bytes(StatusCode::OK, "application/json;charset=utf-8", body.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_server_stands_in_every_place_where_clients_look() {
        let media = MediaServer { viewer: address("v.example:6604"), tls: false, live: address("*:6602") };
        let server = json!({
            "clientIp": "v.example", "clientIp2": "v.example", "clientIp3": "v.example", "lanip": "v.example",
            "clientPort": 6604, "clientOtherPort": "", "deviceIp": "v.example", "deviceIp2": "v.example",
            "devicePort": 6602, "svrid": 1,
        });
        let plain = json!({ "result": 0, "cmsserver": 1, "IsHttps": 0, "server": server });
        assert_eq!(json!(Directory::of(&media, "dialled")), plain);
        let media = MediaServer { viewer: address("*:16604"), tls: true, live: address("d.example:7602") };
        let with_tls = json!(Directory::of(&media, "dialled"));
        assert_eq!(with_tls["IsHttps"], 1);
        assert_eq!(with_tls["HttpsMapPort"], "16604:16604");
        let server = &with_tls["server"];
        assert_eq!((&server["clientIp"], &server["lanip"]), (&json!("dialled"), &json!("dialled")));
        assert_eq!((&server["deviceIp"], &server["deviceIp2"]), (&json!("d.example"), &json!("d.example")));
        assert_eq!(server["devicePort"], 7602);
    }

    fn address(text: &str) -> cluster::Advertise {
        text.parse().expect("an address")
    }

    #[test]
    fn a_callback_is_a_plain_name() {
        assert!(is_plain("getData_1"));
        for name in ["", "a.b", "a(", "alert(1)//", "é", &"a".repeat(65)] {
            assert!(!is_plain(name), "{name}");
        }
    }

    #[test]
    fn channels_count_from_0_and_end_where_those_of_v1_do() {
        assert_eq!(channel("0"), Channel::new(1).ok());
        assert_eq!(channel("31"), Channel::new(32).ok());
        for wrong in ["32", "255", "-1", "x", ""] {
            assert_eq!(channel(wrong), None, "{wrong}");
        }
    }
}
