//! A backup taken from a running platform brings everything back in an empty folder.

mod support;

use std::time::Duration;

use serde_json::Value;
use support::{Options, PASSWORD, Platform, motorcade, wait_for};

/// Logs in as `admin` and reads `path`.
fn read(platform: &Platform, path: &str) -> Option<Value> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let http = support::http();
        let login = serde_json::json!({"account": "admin", "password": PASSWORD});
        let tokens: Value = http
            .post(platform.url("/api/v1/auth/login"))
            .json(&login)
            .send()
            .await
            .ok()?
            .json()
            .await
            .ok()?;
        let token = tokens["access_token"].as_str()?;
        let reply = http.get(platform.url(path)).bearer_auth(token).send().await.ok()?;
        if reply.status().is_success() { reply.json().await.ok() } else { None }
    })
}

/// Every vehicle's plate with its latest position's time, and the number of positions of its track.
fn content(platform: &Platform) -> Option<Vec<(String, usize)>> {
    let mut content = Vec::new();
    let to = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    let from = to - chrono::TimeDelta::hours(4);
    for vehicle in read(platform, "/api/v1/vehicles?limit=500")?["items"].as_array()? {
        let format = "%Y-%m-%dT%H:%M:%SZ";
        let path = format!(
            "/api/v1/vehicles/{}/track?limit=500&from={}&to={}",
            vehicle["id"],
            from.format(format),
            to.format(format)
        );
        let track = read(platform, &path)?;
        content.push((vehicle["plate"].as_str()?.to_owned(), track["items"].as_array()?.len()));
    }
    Some(content)
}

/// Who and what there is, by what it is called.
fn inventory(platform: &Platform) -> Option<Vec<Vec<String>>> {
    let named = [
        ("/api/v1/companies?limit=500", "name"),
        ("/api/v1/roles?limit=500", "name"),
        ("/api/v1/accounts?limit=500", "name"),
        ("/api/v1/terminals?limit=500", "device_no"),
    ];
    let lists = named.map(|(path, name)| {
        let page = read(platform, path)?;
        page["items"].as_array()?.iter().map(|item| Some(item[name].as_str()?.to_owned())).collect()
    });
    lists.into_iter().collect()
}

#[test]
fn backup_then_restore_into_an_empty_folder() {
    let mut original = Platform::start(Options::default().arg("--demo"));
    wait_for("positions of the demo's vehicles", Duration::from_secs(60), || {
        content(&original)
            .filter(|content| content.len() == 20 && content.iter().all(|(_, positions)| *positions > 1))
    });
    let folder = tempfile::Builder::new().prefix("mcr").tempdir_in("/tmp").expect("a folder");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).expect("ours");
    let copy = folder.path().join("copy");

    // What is acknowledged when the backup starts is in it; the platform goes on meanwhile.
    let before = content(&original).expect("readable");
    let entered = inventory(&original).expect("readable");
    assert!(entered.iter().all(|list| !list.is_empty()), "{entered:?}");
    let run = |args: &[&str]| {
        let output = motorcade().args(args).output().expect("the binary runs");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let path = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    run(&["backup", "--data", &path(&original.data), "--to", &path(&copy)]);
    let after = content(&original).expect("readable");
    original.stop();

    let again = motorcade().args(["backup", "--data", &path(&original.data), "--to", &path(&copy)]).output();
    assert!(!again.expect("runs").status.success(), "a folder with something in it is refused");

    let data = folder.path().join("restored");
    run(&["restore", "--data", &path(&data), "--from", &path(&copy)]);
    let again = motorcade().args(["restore", "--data", &path(&data), "--from", &path(&copy)]).output();
    assert!(!again.expect("runs").status.success(), "a folder with something in it is refused");

    // Without --demo: nothing is added. The password is that of the backup, not a new one.
    let restored = Platform::start_in(Options::default().env("MOTORCADE_ADMIN_PASSWORD", "another"), &data);
    let brought_back = content(&restored).expect("the old password still works");
    assert_eq!(inventory(&restored).expect("readable"), entered);
    assert_eq!(brought_back.len(), before.len());
    for (((plate, least), (_, most)), (restored_plate, positions)) in
        before.iter().zip(&after).zip(&brought_back)
    {
        assert_eq!(plate, restored_plate);
        assert!((least..=most).contains(&positions), "{plate}: {least} <= {positions} <= {most}");
    }
}
