//! Device profiles: whose terminals may have them, and what becomes of that when something moves.

use db::ROOT_COMPANY;
use model::Permission;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::Server;

async fn ask(server: &Server, token: &str, method: Method, path: &str, body: Value) -> (u16, Value) {
    let request = server.request(method, &format!("/api/v1{path}")).bearer_auth(token);
    let request = if body.is_null() { request } else { request.json(&body) };
    let reply = request.send().await.expect("a reply");
    let status = reply.status().as_u16();
    (status, serde_json::from_str(&reply.text().await.expect("a body")).unwrap_or_default())
}

#[tokio::test]
async fn a_device_profile_is_made_changed_and_deleted() {
    let server = Server::start().await;
    let ours = server.tenant("ours").await;
    let token = server.token(&ours.name).await;
    let at = async |method: Method, path: &str, body: Value| ask(&server, &token, method, path, body).await;
    let new = json!({"company_id": ours.company, "name": "a model", "redirect_form": "raw_words"});
    let (status, made) = at(Method::POST, "/device-profiles", new.clone()).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!((&made["name"], &made["redirect_form"]), (&json!("a model"), &json!("raw_words")));
    let (status, problem) = at(Method::POST, "/device-profiles", new).await;
    assert_eq!(
        (status, &problem["detail"]),
        (409, &json!("a device profile of this name exists in this company"))
    );
    let path = format!("/device-profiles/{}", made["id"]);
    assert_eq!(at(Method::GET, &path, Value::Null).await, (200, made.clone()));

    let (_, renamed) = at(Method::PATCH, &path, json!({"name": "another"})).await;
    assert_eq!((&renamed["name"], &renamed["redirect_form"]), (&json!("another"), &json!("raw_words")));
    let (_, cleared) = at(Method::PATCH, &path, json!({"redirect_form": null})).await;
    assert_eq!((&cleared["name"], &cleared["redirect_form"]), (&json!("another"), &Value::Null));
    let (_, first) = at(Method::GET, "/device-profiles?limit=1", Value::Null).await;
    assert_eq!(first["items"][0]["name"], "ours profile");
    let cursor = first["next_cursor"].as_str().expect("there is another");
    let (_, last) = at(Method::GET, &format!("/device-profiles?limit=1&cursor={cursor}"), Value::Null).await;
    assert_eq!((&last["items"], &last["next_cursor"]), (&json!([cleared]), &Value::Null));

    let terminal = format!("/terminals/{}", ours.terminal);
    let (status, has) = at(Method::PATCH, &terminal, json!({"device_profile_id": made["id"]})).await;
    assert_eq!((status, &has["device_profile_id"]), (200, &made["id"]));
    let (_, kept) = at(Method::PATCH, &terminal, json!({"device_no": "1"})).await;
    assert_eq!(kept["device_profile_id"], made["id"], "what is absent stays");
    let (status, problem) = at(Method::DELETE, &path, Value::Null).await;
    assert_eq!(
        (status, &problem["detail"]),
        (409, &json!("terminals still have the device profile another"))
    );
    let (_, none) = at(Method::PATCH, &terminal, json!({"device_profile_id": null})).await;
    assert_eq!(none["device_profile_id"], Value::Null);
    assert_eq!(at(Method::DELETE, &path, Value::Null).await.0, 204);
    assert_eq!(at(Method::GET, &path, Value::Null).await.0, 404);

    let changes = server.database.db().changes(&model::Scope::platform(), &db::Page::default()).await;
    let changes = changes.expect("read").items.into_iter().filter(|change| change.noun == "device_profile");
    let of_ours = changes.filter(|change| change.account_id == Some(ours.account));
    let actions: Vec<String> = of_ours.map(|change| change.action).collect();
    assert_eq!(actions, ["delete", "change", "change", "create"]);
    server.stop().await;
}

#[tokio::test]
async fn a_terminal_has_a_profile_of_its_company_or_one_above_and_no_other() {
    let server = Server::start().await;
    let (ours, theirs) = (server.tenant("ours").await, server.tenant("theirs").await);
    server.account(ROOT_COMPANY, "root", &Permission::ALL).await;
    let (us, root) = (server.token(&ours.name).await, server.token("root").await);
    let made = json!({"company_id": ROOT_COMPANY, "name": "for all"});
    let for_all = ask(&server, &root, Method::POST, "/device-profiles", made).await.1["id"].clone();
    let terminal = format!("/terminals/{}", ours.terminal);
    let vehicle = format!("/vehicles/{}", ours.vehicle);
    let has = async |token: &str, profile: Value| {
        let change = json!({"device_profile_id": profile});
        ask(&server, token, Method::PATCH, &terminal, change).await
    };
    let profile = async || {
        let (status, now) = ask(&server, &root, Method::GET, &terminal, Value::Null).await;
        assert_eq!(status, 200, "{now}");
        now["device_profile_id"].clone()
    };
    let (our_profile, their_profile) = (json!(ours.device_profile), json!(theirs.device_profile));

    // One of the company above may be given by who does not see it, as a role may.
    assert_eq!(has(&us, for_all.clone()).await.0, 200);
    for token in [&us, &root] {
        let (status, problem) = has(token, their_profile.clone()).await;
        assert_eq!(
            (status, problem["detail"].as_str().is_some_and(|it| it.contains("device profile"))),
            (404, true)
        );
    }
    assert_eq!(profile().await, for_all, "as it was");
    assert_eq!(
        ask(&server, &us, Method::GET, &format!("/device-profiles/{for_all}"), Value::Null).await.0,
        404
    );

    // Its vehicle goes to another company: what that may use stays, what it may not use does not.
    let goes = async |company: Value| {
        assert_eq!(ask(&server, &root, Method::PATCH, &vehicle, json!({"company_id": company})).await.0, 200);
    };
    goes(json!(theirs.company)).await;
    assert_eq!(profile().await, for_all);
    goes(json!(ours.company)).await;
    assert_eq!(has(&us, our_profile.clone()).await.0, 200);
    goes(json!(theirs.company)).await;
    assert_eq!(profile().await, Value::Null);

    // So does a terminal that goes by itself, and a company that goes to another one.
    goes(json!(ours.company)).await;
    assert_eq!(has(&us, our_profile.clone()).await.0, 200);
    let alone = json!({"vehicle_id": null, "company_id": theirs.company});
    assert_eq!(
        ask(&server, &root, Method::PATCH, &terminal, alone).await.1["device_profile_id"],
        Value::Null
    );
    let below = json!({"parent_id": ours.company});
    let their_company = format!("/companies/{}", theirs.company);
    assert_eq!(ask(&server, &root, Method::PATCH, &their_company, below).await.0, 200);
    assert_eq!(has(&root, our_profile.clone()).await.0, 200, "it is above now");
    let away = json!({"parent_id": ROOT_COMPANY});
    assert_eq!(ask(&server, &root, Method::PATCH, &their_company, away).await.0, 200);
    assert_eq!(profile().await, Value::Null);
    server.stop().await;
}
