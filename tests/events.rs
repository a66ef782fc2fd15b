//! What happens where terminals and streams are arrives where people listen, and what people decide reaches the
//! terminals, whichever process has them.

mod support;

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::installation::{Form, Installation};
use support::{Options, PASSWORD, http, wait_until};

/// How long anything may take: the first camera waits for its clip to be made.
const WITHIN: Duration = Duration::from_secs(90);
/// As many as a demo has.
const VEHICLES: u64 = 20;

crate::in_both_forms!(what_terminals_and_streams_do_is_told_and_a_deleted_terminal_is_cut_off);

async fn what_terminals_and_streams_do_is_told_and_a_deleted_terminal_is_cut_off(form: Form) {
    let options = Options::default().arg("--demo").env("MOTORCADE__MEDIA__START_S", "60");
    let Some(platform) = Installation::start(form, options).await else { return };
    let login = json!({"account": "admin", "password": PASSWORD});
    let tokens = http().post(platform.url("/api/v1/auth/login")).json(&login).send().await.expect("a reply");
    let tokens: Value = tokens.json().await.expect("tokens");
    let token = tokens["access_token"].as_str().expect("a token");
    let terminals = async || platform.metric("gateway", "motorcade_gateway_terminals").await;
    wait_until("all terminals to be online", WITHIN, async || {
        (terminals().await == Some(VEHICLES)).then_some(())
    })
    .await;

    let events = http().get(platform.url("/api/v1/events")).bearer_auth(token).send().await;
    let mut events = events.expect("a stream").bytes_stream();
    let mut told = String::new();
    let mut hear = async |kind: &str| {
        let begin = format!("event: {kind}\n");
        let heard = tokio::time::timeout(WITHIN, async {
            loop {
                let line = told.split_once(&begin).and_then(|(_, rest)| rest.split_once('\n'));
                if let Some((data, rest)) = line {
                    let event = serde_json::from_str(data.trim_start_matches("data:")).expect("JSON");
                    told = rest.to_owned();
                    return event;
                }
                let chunk = events.next().await.expect("it goes on").expect("a chunk");
                told.push_str(&String::from_utf8_lossy(&chunk));
            }
        });
        let event: Value = heard.await.unwrap_or_else(|_| panic!("no {kind} is told"));
        event
    };
    let position = hear("position").await;

    let vehicle = &position["vehicle_id"];
    let url = platform.url(&format!("/api/v1/vehicles/{vehicle}/channels/1/live"));
    let live = http().post(url).bearer_auth(token).json(&json!({"profile": "main"})).send().await;
    let live: Value = live.expect("a reply").json().await.expect("JSON");
    let url = live["urls"]["http_flv"].as_str().unwrap_or_else(|| panic!("{live}"));
    let view = http().get(url).send().await.expect("a view");
    assert_eq!(view.status(), StatusCode::OK);
    let stream = hear("stream").await;
    assert_eq!(stream["vehicle_id"], *vehicle, "{stream}");
    drop(view);

    let url = platform.url(&format!("/api/v1/vehicles/{vehicle}"));
    let found = http().get(url).bearer_auth(token).send().await.expect("a reply");
    let found: Value = found.json().await.expect("JSON");
    // At either role: how long it stays with a gateway that refuses it is the terminal's matter.
    let refusals = async || {
        let at = async |role| {
            let name = format!("motorcade_{role}_trouble_total{{kind=\"authentication_refused\"}}");
            // What never happened is not listed.
            platform.metric(role, &name).await.unwrap_or(0)
        };
        at("gateway").await + at("login").await
    };
    let refused_before = refusals().await;
    let url = platform.url(&format!("/api/v1/terminals/{}", found["terminals"][0]["id"]));
    // Its link is closed, and while that is not stored yet the answer is to try again.
    wait_until("the terminal to be deleted", WITHIN, async || {
        let reply = http().delete(&url).bearer_auth(token).send().await.expect("a reply");
        match reply.status() {
            StatusCode::NO_CONTENT => Some(()),
            StatusCode::CONFLICT => None,
            status => panic!("{status}"),
        }
    })
    .await;
    wait_until("the deleted terminal to be cut off and to be refused", WITHIN, async || {
        (refusals().await > refused_before && terminals().await == Some(VEHICLES - 1)).then_some(())
    })
    .await;
}
