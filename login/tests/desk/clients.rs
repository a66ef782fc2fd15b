//! Clients that ask over HTTP, on the port of the terminals.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{WITHIN, World};

/// Status, head and body of the answer to one request.
async fn ask(world: &login::Login, target: &str) -> (u16, String, String) {
    let mut socket = TcpStream::connect(world.addr()).await.expect("connects");
    let request = format!("GET {target} HTTP/1.1\r\nHost: v.example:6605\r\n\r\n");
    // In two pieces, the first of which could be anybody's.
    socket.write_all(&request.as_bytes()[..2]).await.expect("takes bytes");
    socket.write_all(&request.as_bytes()[2..]).await.expect("takes bytes");
    let mut answer = String::new();
    let read = tokio::time::timeout(WITHIN, socket.read_to_string(&mut answer)).await;
    read.expect("an answer within the limit").expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, head.to_ascii_lowercase(), body.to_owned())
}

async fn json_of(login: &login::Login, target: &str) -> Value {
    let (status, head, body) = ask(login, target).await;
    assert_eq!(status, 200, "{body}");
    assert!(head.contains("content-type: application/json;charset=utf-8"), "{head}");
    serde_json::from_str(&body).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_names_the_media_server() {
    let (_world, login, _gateway, _) = World::small().await;
    let found = json_of(&login, "/3/1?MediaType=1&Type=0&AVType=1&DevIDNO=D1&Channel=0&jsession=good").await;
    assert_eq!((&found["result"], &found["cmsserver"]), (&json!(0), &json!(1)));
    assert_eq!(found["server"]["clientIp"], "v.example", "the host that the client dialled");
    assert_eq!(found["server"]["clientPort"], 6604);
    for (query, result) in [
        ("DevIDNO=D1&Channel=0", 5),
        ("DevIDNO=D1&Channel=0&jsession=", 5),
        ("DevIDNO=D1&Channel=0&jsession=bad", 5),
        ("DevIDNO=D2&jsession=good", 2),
        ("DevIDNO=D3&jsession=good", 4),
        ("DevIDNO=D9&jsession=good", 21),
        ("jsession=good", 3),
        ("DevIDNO=D1&Channel=32&jsession=good", 3),
        ("DevIDNO=D1&MediaType=3&jsession=good", 3),
        ("DevIDNO=D1&Channel=1&jsession=good", 6),
    ] {
        let refused = json_of(&login, &format!("/3/1?{query}")).await;
        assert_eq!(refused, json!({ "result": result, "cmsserver": 1 }), "{query}");
    }
    login.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jsonp_needs_a_session_in_the_query_and_a_plain_name() {
    let (_world, login, _gateway, _) = World::small().await;
    for target in
        ["/3/1/callback=getData?DevIDNO=D1&jsession=good", "/3/1?callback=getData&DevIDNO=D1&jsession=good"]
    {
        let (status, head, body) = ask(&login, target).await;
        assert_eq!(status, 200);
        assert!(head.contains("content-type: text/javascript; charset=utf-8"), "{head}");
        let json = body.strip_prefix("getData(").and_then(|body| body.strip_suffix(')')).expect("a call");
        let found: Value = serde_json::from_str(json).expect("JSON");
        assert_eq!(found["result"], 0);
    }
    let refused = json_of(&login, "/3/1?callback=getData&DevIDNO=D1").await;
    assert_eq!(refused["result"], 5, "and no script");
    for name in ["alert(1)//", "a.b", "%3Cscript%3E", ""] {
        let refused = json_of(&login, &format!("/3/1?callback={name}&DevIDNO=D1&jsession=good")).await;
        assert_eq!(refused["result"], 3, "{name}");
    }
    login.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_is_there() {
    let (_world, login, _gateway, _) = World::small().await;
    for target in ["/", "/3/2", "/3/10", "/3/1/x", "/3/1/../1", "/api/v1/vehicles", "/healthz"] {
        let (status, head, _) = ask(&login, target).await;
        assert_eq!(status, 404, "{target}");
        assert!(head.contains("application/problem+json"), "{head}");
    }
    login.shutdown().await;
}
