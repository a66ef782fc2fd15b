//! What other products of the field were broken by, tried on a whole platform.
//!
//! Weaknesses that belong to one crate are tried there: a media peer without a request in `media/tests/live.rs`,
//! JSONP and sessions in `api/tests/http/cmsv6.rs`, rights by the document in `api/tests/http/permissions.rs`, anything
//! before authentication in `gateway/tests/tcp/before_authentication.rs`.

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use serde_json::{Value, json};
use support::{Options, PASSWORD, Platform, wait_for};

/// What a file that nobody may read holds.
const SECRET: &str = "the platform's own secret, 5c1e7a";

/// One platform for the tests that run at the same time: 20 vehicles, everything logged.
fn platform() -> Arc<Platform> {
    static SHARED: Mutex<Weak<Platform>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().expect("a start that failed fails every test");
    if let Some(platform) = shared.upgrade() {
        return platform;
    }
    let options = Options::default()
        .arg("--demo")
        .env("MOTORCADE__LOG__FILTER", "debug")
        .env("MOTORCADE__WEB__PUBLIC_DOCS", "false");
    let platform = Arc::new(Platform::start(options));
    std::fs::write(platform.data.join("planted"), SECRET).expect("the folder is ours");
    *shared = Arc::downgrade(&platform);
    platform
}

/// A reply: status and body as text.
struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }
}

/// Sends a request exactly as written: a client library would put the path right first.
fn send(to: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut stream = TcpStream::connect(to).expect("the listener is there");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time");
    let mut request = format!("{method} {target} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += &format!("content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).expect("sent");
    let mut bytes = Vec::new();
    // A server that has said no may close before it has read everything.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Reply {
        status: status.unwrap_or_else(|| panic!("{method} {target}: no HTTP reply: {text:?}")),
        head: head.to_lowercase(),
        body: body.to_owned(),
    }
}

fn get(to: SocketAddr, target: &str, token: Option<&str>) -> Reply {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    send(to, "GET", target, &headers, "")
}

fn log_in(platform: &Platform, name: &str, password: &str) -> Reply {
    let body = json!({ "account": name, "password": password }).to_string();
    let kind = [("content-type", "application/json")];
    send(platform.ready.web, "POST", "/api/v1/auth/login", &kind, &body)
}

fn admin(platform: &Platform) -> String {
    let reply = log_in(platform, "admin", PASSWORD);
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()["access_token"].as_str().expect("a token").to_owned()
}

/// Bytes of a text as a query carries them.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Ways out of a folder, as they were tried on others, towards `file`.
fn ways_out(file: &str) -> Vec<String> {
    let mut ways = Vec::new();
    for up in [
        "../",
        "..%2f",
        "%2e%2e/",
        "%2e%2e%2f",
        "..%252f",
        "..\\",
        "..%5c",
        "....//",
        "..;/",
        "%c0%ae%c0%ae/",
    ] {
        ways.push(format!("{}{}", up.repeat(6), file.trim_start_matches('/')));
    }
    ways.push(file.to_owned());
    ways.push(format!("/{file}"));
    ways.push(encoded(file));
    ways.push(format!("file://{file}"));
    ways.push(format!("{file}%00.js"));
    ways
}

/// Every file and folder below `dir`.
fn names_below(dir: &Path, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        names.push(entry.file_name().to_string_lossy().into_owned());
        if entry.path().is_dir() {
            names_below(&entry.path(), names);
        }
    }
}

/// A terminal registers (JT/T 808-2013, 0x0100) under a name that fills every field, and is answered.
fn register(to: SocketAddr, sim: &str, name: &str) {
    let mut body = vec![0, 31, 0, 115];
    for width in [5, 20, 7] {
        body.extend(name.bytes().take(width));
    }
    body.push(2);
    body.extend(name.bytes());
    let mut message = vec![0x01, 0x00, 0, u8::try_from(body.len()).expect("short")];
    message.extend(hex::decode(format!("{sim:0>12}")).expect("digits"));
    message.extend([0, 1]);
    message.extend(body);
    message.push(message.iter().fold(0, |check, byte| check ^ byte));
    let mut frame = vec![0x7e];
    for byte in message {
        match byte {
            0x7e => frame.extend([0x7d, 0x02]),
            0x7d => frame.extend([0x7d, 0x01]),
            byte => frame.push(byte),
        }
    }
    frame.push(0x7e);
    let mut stream = TcpStream::connect(to).expect("the listener is there");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time");
    stream.write_all(&frame).expect("sent");
    let mut answer = [0; 3];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer, [0x7e, 0x81, 0x00]);
}

#[test]
fn a_path_url_or_name_from_outside_reaching_a_file_system() {
    let platform = platform();
    let token = admin(&platform);
    let planted = platform.data.join("planted").display().to_string();
    let mut tried = 0;
    for file in [planted.as_str(), "/etc/passwd"] {
        for way in ways_out(file) {
            for (port, prefixes) in [
                (
                    platform.ready.web,
                    &[
                        "/",
                        "/assets/",
                        "/docs/",
                        "/api/v1/",
                        "/api/v1/vehicles/1/channels/1/snapshot?profile=",
                        "/808gps/",
                        "/StandardReportMediaAction_getImage.action?filePath=",
                        "/808gps/logger/downloadLogger.action?fileName=",
                    ][..],
                ),
                (
                    platform.ready.media,
                    &["/", "/live/", "/live/live-1-1-main/", "/hls/", "/hls/1_", "/3/3?DevIDNO="][..],
                ),
            ] {
                for prefix in prefixes {
                    let target = format!("{prefix}{way}");
                    let reply = get(port, &target, Some(&token));
                    assert!((400..500).contains(&reply.status), "{target}: {} {}", reply.status, reply.body);
                    assert!(!reply.body.contains(SECRET) && !reply.body.contains("root:"), "{target}");
                    tried += 1;
                }
            }
        }
    }
    println!("{tried} requests reached no file");

    // What people and devices call themselves is data: it comes back as it went in and names nothing on disk.
    let name = "../../../../tmp/motorcade-was-here";
    let body = json!({ "plate": name, "company_id": 1 }).to_string();
    let bearer = format!("Bearer {token}");
    let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
    let made = send(platform.ready.web, "POST", "/api/v1/vehicles", &headers, &body);
    match made.status {
        201 => assert_eq!(made.json()["plate"], name),
        status => assert_eq!(status, 400, "{}", made.body),
    }
    let strange = "13900000666";
    register(platform.ready.gateway, strange, name);
    let pending = || {
        let page = get(platform.ready.web, "/api/v1/pending-terminals?limit=500", Some(&token)).json();
        page["items"].as_array()?.iter().find(|pending| pending["sim"] == strange).cloned()
    };
    let pending = wait_for("the terminal to be listed", Duration::from_secs(30), pending);
    for own in ["plate", "manufacturer", "model", "terminal_no"] {
        let said = pending[own].as_str().unwrap_or_else(|| panic!("{own} of {pending}"));
        assert!(!said.is_empty() && name.starts_with(said), "{own} of {pending}");
    }
    let mut names = Vec::new();
    names_below(&platform.data, &mut names);
    assert!(!names.iter().any(|name| name.contains("motorcade-was-here")));
    assert!(!Path::new("/tmp/motorcade-was-here").exists());
}

#[test]
fn a_query_in_a_parameter_is_only_text() {
    let platform = platform();
    let token = admin(&platform);
    let vehicles = || get(platform.ready.web, "/api/v1/vehicles?limit=500", Some(&token)).json();
    let all = vehicles()["items"].as_array().expect("a list").len();
    assert!(all >= 20);
    for text in [
        "' OR '1'='1",
        "'; DROP TABLE vehicle; --",
        "\" OR 1=1 --",
        "1) OR (1=1",
        "%' OR plate LIKE '%",
        "\\'; SELECT pg_sleep(30); --",
        "1; UPDATE account SET name='x'",
        "$$; SELECT 1; $$",
    ] {
        let text = encoded(text);
        let found = get(platform.ready.web, &format!("/api/v1/vehicles?q={text}"), Some(&token));
        assert_eq!(found.status, 200, "{}", found.body);
        assert_eq!(found.json()["items"], json!([]), "nothing is called so");
        for target in [
            format!("/api/v1/vehicles?company_id={text}"),
            format!("/api/v1/vehicles?cursor={text}"),
            format!("/api/v1/alarms?kind={text}"),
            format!("/api/v1/positions/latest?cursor={text}"),
            format!("/api/v1/vehicles/1/track?from={text}&to={text}"),
            format!("/api/v1/vehicles/{text}"),
            format!("/api/v1/pending-terminals/{text}"),
        ] {
            let reply = get(platform.ready.web, &target, Some(&token));
            assert!((400..500).contains(&reply.status), "{target}: {} {}", reply.status, reply.body);
        }
        let reply = log_in(&platform, &format!("admin{text}"), "x");
        assert!([401, 429].contains(&reply.status), "{} {}", reply.status, reply.body);
    }
    assert_eq!(vehicles()["items"].as_array().expect("a list").len(), all);
}

#[test]
fn a_filter_passed_by_the_spelling_of_a_path() {
    let platform = platform();
    for target in [
        "/api/v1/vehicles;downloadLogger.action",
        "/api/v1/vehicles;.css",
        "/api/v1/vehicles/;/healthz",
        "/healthz/../api/v1/vehicles",
        "/healthz/..;/api/v1/vehicles",
        "/healthz;/../api/v1/vehicles",
        "/api/v1/auth/login/../../vehicles",
        "/api/v1/auth/../vehicles",
        "//api/v1/vehicles",
        "/./api/v1/vehicles",
        "/api//v1/vehicles",
        "/API/V1/vehicles",
        "/api/v1/vehicles/",
        "/api/v1/%76ehicles",
        "/api/v1/vehicles%2f",
        "/api/v1/vehicles%00",
        "/api/v1/vehicles?x=/healthz",
        "/assets/../api/v1/vehicles",
        "/openapi.json;x",
        "/docs;x",
        "http://localhost/api/v1/vehicles",
        "/StandardApiAction_queryUserVehicle.action;/healthz",
        "/808gps/StandardApiAction_queryUserVehicle.action;.js",
    ] {
        let reply = get(platform.ready.web, target, None);
        let refused = match target.contains("StandardApiAction") {
            // The CMSV6 face says no inside a reply that succeeded.
            true => reply.status == 404 || reply.json()["result"] != 0,
            false => [400, 401, 404].contains(&reply.status),
        };
        assert!(refused, "{target}: {} {}", reply.status, reply.body);
        assert!(!reply.body.contains("plate"), "{target}: {}", reply.body);
    }
}

#[test]
fn an_action_that_no_manual_names() {
    let platform = platform();
    let token = admin(&platform);
    for action in [
        "UserSessionAction_saveUserSession",
        "StandardLoginAction_getAllUser",
        "StandardReportMediaAction_getImage",
        "point_manage/merge",
        "run_stop/delete",
        "inspect_file/upload",
        "xz_center/list",
        "logger/downloadLogger",
        "StandardApiAction_",
        "StandardApiAction_getAllUser",
        "StandardApiAction_login2",
    ] {
        for prefix in ["/", "/808gps/"] {
            for method in ["GET", "POST"] {
                let target = format!("{prefix}{action}.action");
                let bearer = format!("Bearer {token}");
                let reply = send(platform.ready.web, method, &target, &[("authorization", &bearer)], "");
                assert!([404, 405].contains(&reply.status), "{method} {target}: {}", reply.status);
            }
        }
    }
}

#[test]
fn a_picture_or_a_document_for_somebody_without_a_log_in() {
    let platform = platform();
    for target in [
        "/api/v1/vehicles/1/channels/1/snapshot?profile=main",
        "/api/v1/events",
        "/api/v1/me",
        "/openapi.json",
        "/docs/",
        "/docs/index.html",
        "/metrics",
        "/api/v1/positions/latest",
    ] {
        let reply = get(platform.ready.web, target, None);
        assert!([401, 404].contains(&reply.status), "{target}: {}", reply.status);
        // A cookie that a browser sends along by itself lets nobody in.
        let token = admin(&platform);
        let cookie = format!("access_token={token}; jsession={token}; Authorization=Bearer {token}");
        let reply = send(platform.ready.web, "GET", target, &[("cookie", &cookie)], "");
        assert!([401, 404].contains(&reply.status), "{target} with a cookie: {}", reply.status);
    }
    for target in [
        "/live/live-1-1-main.flv",
        "/live/live-1-1-main.flv?ticket=",
        "/live/live-1-1-main/index.m3u8?ticket=x.y.z",
        "/3/3?AVType=1&jsession=x&DevIDNO=1&Channel=0&Stream=0",
        "/hls/1_1_0_0.m3u8",
    ] {
        let reply = get(platform.ready.media, target, None);
        assert!((400..500).contains(&reply.status), "{target}: {} {}", reply.status, reply.body);
    }
}

#[test]
fn a_folder_that_lists_itself() {
    let platform = platform();
    let token = admin(&platform);
    for target in ["/assets", "/assets/", "/docs/../assets/", "/hls/", "/live/", "/3/"] {
        for port in [platform.ready.web, platform.ready.media] {
            let reply = get(port, target, Some(&token));
            assert!([403, 404].contains(&reply.status), "{target}: {} {}", reply.status, reply.body);
            assert!(
                !reply.body.contains("index.") && !reply.body.contains("href"),
                "{target}: {}",
                reply.body
            );
        }
    }
}

#[test]
fn a_script_in_a_callback_or_an_error() {
    let platform = platform();
    let script = "<script>alert(1)</script>";
    for target in [
        format!("/StandardApiAction_queryUserVehicle.action?jsession=x&callback={}", encoded(script)),
        format!(
            "/StandardApiAction_login.action?account=admin&password=x&callback={}",
            encoded("alert(1)//")
        ),
        format!("/api/v1/{}", encoded(script)),
        format!("/{}", encoded(script)),
    ] {
        let reply = get(platform.ready.web, &target, None);
        assert!(
            !reply.body.contains("<script>") && !reply.body.starts_with("alert(1)"),
            "{target}: {}",
            reply.body
        );
        assert!(!reply.head.contains("content-type: text/html"), "{target}: {}", reply.head);
        assert!(reply.head.contains("x-content-type-options: nosniff"), "{target}: {}", reply.head);
    }
}

#[test]
fn a_password_a_session_or_a_ticket_in_the_log() {
    let platform = platform();
    let web = platform.ready.web;
    let login = log_in(&platform, "admin", PASSWORD).json();
    let token = login["access_token"].as_str().expect("a token");
    let refresh = login["refresh_token"].as_str().expect("a token");
    let target = format!("/StandardApiAction_login.action?account=admin&password={}", encoded(PASSWORD));
    let session = get(web, &target, None).json()["jsession"].as_str().expect("a session").to_owned();
    let action = format!("/808gps/StandardApiAction_queryUserVehicle.action?jsession={session}");
    assert_eq!(get(web, &action, None).json()["result"], 0);
    let wrong = "a password that nobody has";
    log_in(&platform, "nobody-at-all", wrong);

    let live = wait_for("a vehicle that is online", Duration::from_secs(60), || {
        let online = get(web, "/api/v1/vehicles?online=true&limit=1", Some(token)).json();
        let id = online["items"][0]["id"].clone();
        let target = format!("/api/v1/vehicles/{id}/channels/1/live");
        let bearer = format!("Bearer {token}");
        let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
        let reply = send(web, "POST", &target, &headers, r#"{"profile":"main"}"#);
        (reply.status == 200).then(|| reply.json())
    });
    let url = live["urls"]["hls"].as_str().expect("an address");
    let (_, ticket) = url.split_once("ticket=").expect("a ticket");
    let (_, path) = url.split_once("//").and_then(|(_, rest)| rest.split_once('/')).expect("an address");
    assert_eq!(get(platform.ready.media, &format!("/{path}"), None).status, 200);
    let device = "100000000001";
    let hls = format!("/hls/1_{device}_0_0.m3u8?jsession={session}");
    get(platform.ready.media, &hls, None);

    let log = std::fs::read_to_string(&platform.log).expect("the log");
    assert!(log.contains("DEBUG"), "everything is logged here");
    for (what, secret) in [
        ("the password", PASSWORD),
        ("the password as sent", &encoded(PASSWORD)),
        ("a wrong password", wrong),
        ("the access token", token),
        ("the refresh token", refresh),
        ("the session", &session),
        ("the ticket", ticket),
    ] {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{what} is in the log: {line:?}");
    }
}

#[test]
fn a_secret_that_every_installation_shares() {
    let mut passwords = Vec::new();
    let mut keys = Vec::new();
    for _ in 0..2 {
        let platform = Platform::start(Options::default().env("MOTORCADE_ADMIN_PASSWORD", ""));
        let log = std::fs::read_to_string(&platform.log).expect("the log");
        let line = log.lines().find(|line| line.contains("password of admin:")).expect("it is printed once");
        let password = line.split("password of admin: ").nth(1).and_then(|rest| rest.split(' ').next());
        let password = password.expect("the password").to_owned();
        assert!(password.len() >= 12, "long enough");
        for (name, guess) in [("admin", "admin"), ("admin", ""), ("root", "root"), ("admin", "123456")] {
            assert_ne!(log_in(&platform, name, guess).status, 200, "{name} {guess}");
        }
        let login = log_in(&platform, "admin", &password);
        assert_eq!(login.status, 200, "{}", login.body);
        assert_eq!(login.json()["must_change_password"], true);
        keys.push(login.json()["access_token"].as_str().expect("a token").to_owned());
        passwords.push(password);

        // A token of the other installation opens nothing here.
        if let [other, _] = keys.as_slice() {
            assert_eq!(get(platform.ready.web, "/api/v1/me", Some(other)).status, 401);
        }
    }
    assert_ne!(passwords[0], passwords[1]);
}
