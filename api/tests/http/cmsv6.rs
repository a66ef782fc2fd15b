//! The CMSV6 face: log-ins, sessions, JSONP. What its actions say of a fleet: `cmsv6_fleet.rs`.

use crate::support::cmsv6::{assert_shape, call, password, session};
use crate::support::{PASSWORD, Server};
use chrono::{TimeDelta, Utc};
use db::AccountChange;
use model::Scope;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn login_takes_the_password_or_its_md5_and_logout_ends_the_session() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let session = session(&server, &tenant.name).await;
    assert_eq!(session.len(), 32);
    // md5 of the password, in either case.
    let md5 = "9cc2ae8a1ba7a93da39b46fc1019c481";
    for digest in [md5.to_owned(), md5.to_uppercase()] {
        let login = call(&server, "loginEx", &format!("account={}&password={digest}", tenant.name)).await;
        assert_eq!(login["result"], 0, "{digest}");
    }
    let wrong = call(&server, "login", &format!("account={}&password=wrong", tenant.name)).await;
    assert_eq!(wrong["result"], 1);
    assert_eq!(call(&server, "login", "account=x").await["result"], 7);
    assert_eq!(call(&server, "queryUserVehicle", &format!("jsession={session}")).await["result"], 0);
    assert_eq!(
        call(&server, "logout", &format!("jsession={session}")).await,
        serde_json::json!({"result": 0})
    );
    assert_eq!(call(&server, "queryUserVehicle", &format!("jsession={session}")).await["result"], 5);
    assert_eq!(call(&server, "queryUserVehicle", "").await["result"], 5);
    server.stop().await;
}

#[tokio::test]
async fn jsonp_needs_a_session_in_the_query_and_unknown_actions_are_not_there() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let session = session(&server, &tenant.name).await;
    let path = format!("/808gps/StandardApiAction_logout.action?callback=f_1&jsession={session}");
    let reply = server.request(Method::POST, &path).send().await.expect("a reply");
    assert_eq!(reply.headers()["content-type"], "text/javascript; charset=utf-8");
    assert_eq!(reply.text().await.expect("text"), r#"f_1({"result":0})"#);
    let evil = call(&server, "logout", "callback=alert(1)&jsession=x").await;
    assert_eq!(evil["result"], 7);
    for path in [
        "/StandardApiAction_getAllUser.action",
        "/808gps/StandardApiAction_x.action",
        "/StandardLoginAction_getAllUser.action",
        "/StandardApiAction_queryUserVehicle.action;x.action",
    ] {
        let reply = server.request(Method::GET, path).send().await.expect("a reply");
        assert_eq!(reply.status(), 404, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_log_in_has_the_keys_and_types_that_clients_read_and_says_why_not() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let login = async |query: String| call(&server, "login", &query).await;
    let right = format!("account={}&password={}", tenant.name, password());
    let reply = login(right.clone()).await;
    assert_shape(&reply, &[("int", "result"), ("text", "jsession JSESSIONID account_name pri")]);
    assert_eq!(reply["jsession"], reply["JSESSIONID"]);
    assert_eq!(reply["account_name"], tenant.name.as_str());
    assert!(reply["pri"].as_str().is_some_and(|ids| ids.starts_with(',') && ids.ends_with(',')));

    let failed = async |query: String, result: u8| {
        let reply = login(query.clone()).await;
        assert_eq!(reply["result"], result, "{query}: {reply}");
        assert_shape(&reply, &[("int", "result"), ("text", "message")]);
    };
    failed(format!("account={}&password=wrong", tenant.name), 1).await;
    failed("account=nobody&password=wrong".into(), 1).await;
    failed(format!("account={}", tenant.name), 7).await;
    failed(format!("password={}", password()), 7).await;
    let (db, all) = (server.database.db(), Scope::platform());
    let past = Some(Utc::now() - TimeDelta::minutes(1));
    let change = AccountChange { expires_at: Some(past), ..AccountChange::default() };
    db.change_account(&all, tenant.account, change).await.expect("changed");
    server.access.rights_changed();
    failed(right.clone(), 4).await;
    failed(format!("account={}&password=wrong", tenant.name), 1).await;
    let change = AccountChange { enabled: Some(false), ..AccountChange::default() };
    db.change_account(&all, tenant.account, change).await.expect("changed");
    server.access.rights_changed();
    failed(right, 3).await;
    server.stop().await;
}

#[tokio::test]
async fn a_session_comes_in_the_query_in_a_form_or_in_the_cookie_that_log_in_sets() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let path = "/StandardApiAction_login.action";
    let form = [("account", tenant.name.as_str()), ("password", PASSWORD)];
    let login = server.request(Method::POST, path).form(&form).send().await.expect("a reply");
    let cookie = login.headers()["set-cookie"].to_str().expect("text").to_owned();
    let pair = cookie.split(';').next().expect("a pair").to_owned();
    assert!(cookie.contains("HttpOnly") && pair.starts_with("JSESSIONID="), "{cookie}");
    let session =
        login.json::<Value>().await.expect("JSON")["jsession"].as_str().expect("a session").to_owned();

    let path = "/StandardApiAction_getDeviceOlStatus.action";
    let result = async |request: reqwest::RequestBuilder| {
        let reply = request.send().await.expect("a reply");
        assert_eq!(reply.headers()["content-type"], "application/json;charset=utf-8");
        reply.json::<Value>().await.expect("JSON")["result"].clone()
    };
    let get = |query: &str| server.request(Method::GET, &format!("{path}{query}"));
    assert_eq!(result(get("").header("cookie", &pair)).await, 0);
    assert_eq!(result(get(&format!("?jsession={session}"))).await, 0);
    let form = [("jsession", session.as_str())];
    assert_eq!(result(server.request(Method::POST, path).form(&form)).await, 0);
    // The query wins over the cookie; without either there is no session.
    let nobody = "0".repeat(32);
    assert_eq!(result(get(&format!("?jsession={nobody}")).header("cookie", &pair)).await, 5);
    assert_eq!(result(get("")).await, 5);
    assert_eq!(result(get("?jsession=x")).await, 5);
    // A foreign page can make a browser send the cookie, but gets nothing that it could run.
    assert_eq!(result(get("?callback=f").header("cookie", &pair)).await, 0);
    assert_eq!(result(get("?callback=f&jsession=").header("cookie", &pair)).await, 0);
    let called = get(&format!("?callback=f&jsession=&jsession={session}")).header("cookie", &pair);
    let called = called.send().await.expect("a reply");
    assert_eq!(called.headers()["content-type"], "text/javascript; charset=utf-8");
    server.stop().await;
}

#[tokio::test]
async fn a_password_that_came_encoded_twice_is_one_attempt() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let wrong = format!("account={}&password=wrong%2520one", tenant.name);
    // Ten failures are the limit.
    for _ in 0..9 {
        assert_eq!(call(&server, "login", &wrong).await["result"], 1);
    }
    let twice: String = form_urlencoded::byte_serialize(password().replace('+', "%20").as_bytes()).collect();
    let right = call(&server, "login", &format!("account={}&password={twice}", tenant.name)).await;
    assert_eq!(right["result"], 0, "{twice}: {right}");
    server.stop().await;
}

#[tokio::test]
async fn after_ten_failures_the_right_password_is_a_wrong_one_too() {
    let server = Server::start().await;
    let (tenant, other) = (server.tenant("ours").await, server.tenant("theirs").await);
    let before = session(&server, &tenant.name).await;
    let log_in = async |account: &str, password: &str| {
        call(&server, "login", &format!("account={account}&password={password}")).await
    };
    for attempt in 0..10 {
        let failed = log_in(&tenant.name, "wrong").await;
        assert_eq!(failed, json!({"result": 1, "message": "account or password wrong"}), "attempt {attempt}");
    }
    // Its MD5 too, and by the other name of the action.
    let md5 = format!("account={}&password=9cc2ae8a1ba7a93da39b46fc1019c481", tenant.name);
    for refused in [log_in(&tenant.name, &password()).await, call(&server, "loginEx", &md5).await] {
        assert_eq!(refused["result"], 1, "{refused}");
        let message = refused["message"].as_str().expect("text");
        let wait =
            message.strip_prefix("too many attempts: try again in ").and_then(|rest| rest.strip_suffix(" s"));
        let wait: u64 = wait.and_then(|wait| wait.parse().ok()).expect("seconds");
        assert!((1..=301).contains(&wait), "{message}");
        assert_shape(&refused, &[("int", "result"), ("text", "message")]);
    }
    assert_eq!(server.try_log_in(&tenant.name, PASSWORD).await.status(), 429, "by the other face too");
    // Nobody else's, and no session that is open.
    assert_eq!(log_in(&other.name, &password()).await["result"], 0);
    assert_eq!(call(&server, "queryUserVehicle", &format!("jsession={before}")).await["result"], 0);
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_is_too_long_is_a_bad_parameter() {
    let server = Server::start().await;
    let path = "/StandardApiAction_login.action";
    let long = format!("account=x&password={}", "x".repeat(64 * 1024));
    let whole = |path: &str, body: reqwest::Body| {
        let kind = "application/x-www-form-urlencoded";
        server.request(Method::POST, path).header("content-type", kind).body(body)
    };
    let chunks = futures_util::stream::iter(vec![Ok::<_, std::io::Error>(long.clone())]);
    for body in [reqwest::Body::from(long.clone()), reqwest::Body::wrap_stream(chunks)] {
        let reply = whole(path, body).send().await.expect("a reply");
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.headers()["content-type"], "application/json;charset=utf-8");
        let reply: Value = reply.json().await.expect("JSON");
        assert_eq!(reply, json!({"result": 7, "message": reply["message"]}));
    }
    let path = "/StandardApiAction_logout.action?callback=f&jsession=x";
    let reply = whole(path, long.into()).send().await.expect("a reply").text().await.expect("text");
    assert!(reply.starts_with("f({") && reply.contains("\"result\":7"), "{reply}");
    server.stop().await;
}

#[tokio::test]
async fn without_the_right_to_see_no_action_answers() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    server.account(tenant.company, "nobody", &[]).await;
    let session = session(&server, "nobody").await;
    for action in ["queryUserVehicle", "getDeviceOlStatus", "getDeviceStatus", "queryTrackDetail"] {
        let reply = call(&server, action, &format!("jsession={session}&devIdno={}", tenant.device_no)).await;
        assert_eq!(reply, json!({"result": 13, "message": reply["message"]}), "{action}");
    }
    server.stop().await;
}
