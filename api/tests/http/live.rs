//! Asking for a live stream: what is answered, and which channels there are. That it plays: the root's tests.

use crate::support::{Server, Tenant};
use model::{AudioCodec, AvAttributes, VideoCodec};
use reqwest::Method;
use serde_json::{Value, json};

/// What a recorder of two cameras with H.265 and G.711A says of itself.
const AV: AvAttributes = AvAttributes {
    audio_payload_type: 6,
    audio_codec: Some(AudioCodec::G711a),
    audio_channels: 1,
    audio_sample_rate_hz: 8_000,
    audio_sample_bits: 16,
    audio_frame_bytes: 320,
    audio_output: true,
    video_payload_type: 99,
    video_codec: Some(VideoCodec::H265),
    audio_channels_max: 1,
    video_channels_max: 2,
};

async fn live(
    server: &Server,
    token: &str,
    tenant: &Tenant,
    channel: impl std::fmt::Display,
) -> (u16, Value) {
    let path = format!("/api/v1/vehicles/{}/channels/{channel}/live", tenant.vehicle);
    let request = server.request(Method::POST, &path).bearer_auth(token).json(&json!({"profile": "sub"}));
    let reply = request.send().await.expect("a reply");
    (reply.status().as_u16(), reply.json().await.expect("JSON"))
}

#[tokio::test]
async fn a_live_reply_tells_where_to_open_the_stream_and_what_its_terminal_says_of_itself() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let token = server.token(&tenant.name).await;
    let (status, reply) = live(&server, &token, &tenant, 2).await;
    assert_eq!((status, &reply["av"]), (200, &Value::Null), "offline: {reply}");
    let stream = format!("live-{}-2-sub", tenant.terminal);
    assert_eq!(reply["stream"], stream);
    for (form, begin) in [
        ("http_flv", format!("http://127.0.0.1:6604/live/{stream}.flv?ticket=")),
        ("ws_flv", format!("ws://127.0.0.1:6604/live/{stream}.flv?ticket=")),
        ("hls", format!("http://127.0.0.1:6604/live/{stream}/index.m3u8?ticket=")),
    ] {
        let url = reply["urls"][form].as_str().expect("a URL");
        assert!(url.strip_prefix(&begin).is_some_and(|ticket| !ticket.is_empty()), "{form}: {url}");
    }
    server.terminals.connect(&tenant, None);
    let (status, reply) = live(&server, &token, &tenant, 2).await;
    assert_eq!((status, &reply["av"]), (200, &Value::Null), "it did not say: {reply}");
    server.terminals.connect(&tenant, Some(AV));
    let (status, reply) = live(&server, &token, &tenant, 2).await;
    let said = json!({
        "audio_payload_type": 6, "audio_codec": "g711a", "audio_channels": 1, "audio_sample_rate_hz": 8_000,
        "audio_sample_bits": 16, "audio_frame_bytes": 320, "audio_output": true, "video_payload_type": 99,
        "video_codec": "h265", "audio_channels_max": 1, "video_channels_max": 2,
    });
    assert_eq!((status, &reply["av"]), (200, &said));
    server.stop().await;
}

#[tokio::test]
async fn channels_to_32_can_be_asked_for_whatever_the_terminal_declares_and_none_beyond() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let token = server.token(&tenant.name).await;
    let path = format!("/api/v1/terminals/{}/channels", tenant.terminal);
    let declared = server.request(Method::GET, &path).bearer_auth(&token).send().await.expect("a reply");
    let declared: Value = declared.json().await.expect("JSON");
    let declared = declared["items"].as_array().expect("channels").len();
    assert!((1..32).contains(&declared), "{declared}");
    server.terminals.connect(&tenant, Some(AV));
    // It may have more than it told, and answers itself for those that it has not.
    for channel in [1, declared, declared + 1, 32] {
        let (status, reply) = live(&server, &token, &tenant, channel).await;
        assert_eq!(
            (status, &reply["stream"]),
            (200, &json!(format!("live-{}-{channel}-sub", tenant.terminal)))
        );
    }
    for wrong in ["33", "255", "0", "256", "-1", "x", "1.5"] {
        let (status, problem) = live(&server, &token, &tenant, wrong).await;
        assert_eq!((status, &problem["status"]), (404, &json!(404)), "{wrong}: {problem}");
        let path = format!("/api/v1/vehicles/{}/channels/{wrong}/snapshot", tenant.vehicle);
        let reply = server.request(Method::GET, &path).bearer_auth(&token).send().await.expect("a reply");
        assert_eq!(reply.status(), 404, "{wrong}");
    }
    assert_eq!(live(&server, &token, &tenant, 33).await.1["detail"], "no such channel");
    server.stop().await;
}
