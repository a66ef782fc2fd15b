//! The CMSV6 face: its actions with their keys and types, its sessions, its JSONP.

mod support;

use reqwest::Method;
use serde_json::Value;
use support::{PASSWORD, Server};

async fn get(server: &Server, action: &str, query: &str) -> Value {
    let path = format!("/StandardApiAction_{action}.action?{query}");
    let reply = server.request(Method::GET, &path).send().await.expect("a reply");
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.headers()["content-type"], "application/json;charset=utf-8");
    reply.json().await.expect("JSON")
}

async fn session(server: &Server, account: &str) -> String {
    let password = form_urlencoded::byte_serialize(PASSWORD.as_bytes()).collect::<String>();
    let login = get(server, "login", &format!("account={account}&password={password}")).await;
    assert_eq!(login["result"], 0);
    assert_eq!(login["jsession"], login["JSESSIONID"]);
    assert_eq!(login["account_name"], account);
    assert!(login["pri"].as_str().is_some_and(|ids| ids.starts_with(',') && ids.ends_with(',')));
    login["jsession"].as_str().expect("a session").to_owned()
}

#[tokio::test]
async fn login_takes_the_password_or_its_md5_and_logout_ends_the_session() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let session = session(&server, &tenant.name).await;
    assert_eq!(session.len(), 32);
    // md5 of the password, in either case.
    let md5 = "9cc2ae8a1ba7a93da39b46fc1019c481";
    for digest in [md5.to_owned(), md5.to_uppercase()] {
        let login = get(&server, "loginEx", &format!("account={}&password={digest}", tenant.name)).await;
        assert_eq!(login["result"], 0, "{digest}");
    }
    let wrong = get(&server, "login", &format!("account={}&password=wrong", tenant.name)).await;
    assert_eq!(wrong["result"], 1);
    assert_eq!(get(&server, "login", "account=x").await["result"], 7);
    assert_eq!(get(&server, "queryUserVehicle", &format!("jsession={session}")).await["result"], 0);
    assert_eq!(
        get(&server, "logout", &format!("jsession={session}")).await,
        serde_json::json!({"result": 0})
    );
    assert_eq!(get(&server, "queryUserVehicle", &format!("jsession={session}")).await["result"], 5);
    assert_eq!(get(&server, "queryUserVehicle", "").await["result"], 5);
    server.stop().await;
}

#[tokio::test]
async fn query_user_vehicle_has_the_keys_and_types_that_clients_read() {
    let server = Server::start().await;
    let (ours, theirs) = (server.tenant("ours").await, server.tenant("theirs").await);
    let session = session(&server, &ours.name).await;
    let reply = get(&server, "queryUserVehicle", &format!("jsession={session}")).await;
    let vehicles = reply["vehicles"].as_array().expect("vehicles");
    assert_eq!(vehicles.len(), 1, "another company's are not there");
    let vehicle = &vehicles[0];
    assert_eq!(vehicle["nm"], ours.plate.as_str());
    for number in ["id", "ic", "pid", "vehicleType"] {
        assert!(vehicle[number].is_i64(), "{number}: {}", vehicle[number]);
    }
    for text in ["nm", "pnm", "pt", "vehiType", "vehiColor", "vehiBand", "ownerName", "engineNum", "frameNum"]
    {
        assert!(vehicle[text].is_string(), "{text}: {}", vehicle[text]);
    }
    let device = &vehicle["dl"][0];
    assert_eq!(device["id"], ours.device_no.as_str());
    for number in ["pid", "ic", "cc", "tc", "md", "nflt", "did", "isb", "us", "payEnd"] {
        assert!(device[number].is_i64(), "{number}: {}", device[number]);
    }
    for text in ["id", "io", "cn", "tn", "sim", "ist"] {
        assert!(device[text].is_string(), "{text}: {}", device[text]);
    }
    assert_eq!(device["cn"].as_str().expect("names").split(',').count(), 4);
    let company = &reply["companys"][0];
    assert_eq!((&company["pid"], &company["pId"]), (&Value::from(0), &Value::from(0)));
    assert!(!reply.to_string().contains(&theirs.plate));
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
    let evil = get(&server, "logout", "callback=alert(1)&jsession=x").await;
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
