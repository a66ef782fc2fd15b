//! Nodes that do not fit: one with a wrong clock, one that speaks another dialect, one that is to give away what it has.
//! Real processes over a real etcd, each on a machine of its own.

mod support;

#[path = "../gateway/tests/tcp/support/device.rs"]
#[allow(dead_code, unreachable_pub, reason = "the gateway's own tests use the rest")]
mod device;

use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use device::Device;
use diesel::{Connection as _, PgConnection};
use serde_json::{Value, json};
use sim::Ledger;
use support::cluster::{Cluster, Plan, Process};
use support::findings::Findings;
use support::{PASSWORD, signal, wait_for};

/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(120);
/// Debian's `faketime`.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
const TERMINALS: u32 = 20;
/// How long nothing may come before a test believes that nothing will.
const QUIET: Duration = Duration::from_millis(400);

fn plan() -> Plan {
    Plan {
        etcds: 1,
        nodes: vec![("login1", "login"), ("gw1", "gateway"), ("gw2", "gateway"), ("api1", "api")],
        env: vec![("MOTORCADE__LOGIN__REDIRECT_LIMIT_MIN", "1".to_owned())],
    }
}

/// What a command prints, and whether it ended well.
fn said(command: &mut Command) -> (bool, String) {
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).expect("text"))
}

/// The line of `motorcade cluster status` about a node, asked at another, with what stands below it.
fn status_of(cluster: &Cluster, node: &str) -> String {
    let (_, text) = said(&mut cluster.node("login1").command(&["cluster", "status"]));
    let from = text.lines().skip_while(|line| !line.starts_with(&format!("{node} ")));
    from.enumerate().take_while(|(i, line)| *i == 0 || line.starts_with(' ')).map(|(_, line)| line).collect()
}

/// Asks `api1`; None where it does not answer with JSON.
fn ask(cluster: &Cluster, path: &str, token: Option<&str>, body: Option<&Value>) -> Option<Value> {
    let mut curl = cluster.desk.command("curl");
    curl.args(["-sS", "--max-time", "10", &format!("http://{}{path}", cluster.node("api1").at(8080))]);
    if let Some(token) = token {
        curl.args(["-H", &format!("authorization: Bearer {token}")]);
    }
    if let Some(body) = body {
        curl.args(["-H", "content-type: application/json", "-d", &body.to_string()]);
    }
    let output = curl.stderr(Stdio::null()).output().ok()?;
    serde_json::from_slice(&output.stdout).ok()
}

fn token(cluster: &Cluster) -> String {
    let login = json!({ "account": "admin", "password": PASSWORD });
    wait_for("a log-in", WITHIN, || {
        let tokens = ask(cluster, "/api/v1/auth/login", None, Some(&login))?;
        Some(tokens["access_token"].as_str()?.to_owned())
    })
}

fn terminals_at(cluster: &Cluster, gateway: &str) -> u64 {
    wait_for("a gateway's metrics", WITHIN, || cluster.metric(gateway, "motorcade_gateway_terminals"))
}

#[test]
fn a_node_with_a_wrong_clock() {
    if !std::path::Path::new(FAKETIME).exists() {
        println!("skipped: {FAKETIME} is absent");
        return;
    }
    let clock = tempfile::NamedTempFile::new().expect("a file");
    let set_clock = |offset: &str| std::fs::write(clock.path(), offset).expect("written");
    set_clock("+0");
    let mut plan = plan();
    plan.env.extend([
        ("gw2/LD_PRELOAD", FAKETIME.to_owned()),
        ("gw2/FAKETIME_TIMESTAMP_FILE", clock.path().display().to_string()),
        ("gw2/FAKETIME_CACHE_DURATION", "1".to_owned()),
        // the clock is set; time does not pass faster
        ("gw2/FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("gw2/DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]);
    let Some(cluster) = Cluster::start(&plan) else { return };
    let token = token(&cluster);
    let told = |cluster: &Cluster| ask(cluster, "/api/v1/nodes/gw2", Some(&token), None);

    // 15 s: shown, and given nothing
    set_clock("+15");
    let shown = wait_for("the clock to be shown", WITHIN, || {
        told(&cluster).filter(|node| node["sighting"]["clock_right"] == false)
    });
    let offset_ms = shown["sighting"]["clock_offset_ms"].as_i64().expect("a number");
    assert!((12_000..=18_000).contains(&offset_ms), "{shown}");
    assert_eq!(shown["seen"], true, "it answers: {shown}");
    let line = status_of(&cluster, "gw2");
    assert!(line.contains("clock +1"), "{line}");
    wait_for("the login server to know", WITHIN, || {
        (cluster.metric("login1", "motorcade_cluster_wrong_clock") == Some(1)).then_some(())
    });
    let _fleet = cluster.fleet(TERMINALS, &[]);
    wait_for("all terminals to be at the other gateway", WITHIN, || {
        (terminals_at(&cluster, "gw1") == u64::from(TERMINALS)).then_some(())
    });
    assert_eq!(terminals_at(&cluster, "gw2"), 0);

    // more than 30 s: nobody answers it, it answers nobody, and its offset is shown still
    set_clock("+45");
    wait_for("its calls to be refused", WITHIN, || {
        let node = told(&cluster)?;
        let is_far = node["sighting"]["clock_offset_ms"].as_i64()? > 30_000;
        (node["seen"] == false && is_far).then_some(())
    });
    let line = status_of(&cluster, "gw2");
    assert!(line.contains("silent") && line.contains("clock"), "{line}");
    assert_eq!(terminals_at(&cluster, "gw2"), 0);

    // right again: it gets its share
    set_clock("+0");
    wait_for("the clock to be right", WITHIN, || {
        told(&cluster).filter(|node| node["sighting"]["clock_right"] == true && node["seen"] == true)
    });
    wait_for("terminals to come", WITHIN, || (terminals_at(&cluster, "gw2") > 0).then_some(()));
}

/// The newer session wins, wherever the older one is: its gateway hears of it from the other.
#[test]
fn a_terminal_known_to_two_gateways_at_once() {
    const SIM: &str = "13900000071";
    let Some(cluster) = Cluster::start(&plan()) else { return };
    let [first, second] = ["gw1", "gw2"].map(|gateway| cluster.node(gateway).at(6608));
    let runtime = cluster.cars.runtime();
    let dialling = runtime.spawn(async move {
        let mut old = Device::online(first, SIM).await;
        old.assert_alive().await;
        let mut new = Device::online(second, SIM).await;
        old.assert_closed().await;
        new.assert_alive().await;
        new.assert_quiet().await;
        // and back, while the other link is there still
        let mut newest = Device::online(first, SIM).await;
        new.assert_closed().await;
        newest.assert_alive().await;
        newest
    });
    let newest = runtime.block_on(dialling).expect("no panic");
    wait_for("one gateway to hold it", WITHIN, || {
        (cluster.spread() == [("gw1", 1), ("gw2", 0)]).then_some(())
    });
    drop(newest);
    wait_for("nobody to hold it", WITHIN, || (cluster.spread() == [("gw1", 0), ("gw2", 0)]).then_some(()));
}

/// One call of etcd's JSON gateway.
fn etcd(cluster: &Cluster, path: &str, body: &Value) -> Value {
    let address = cluster.etcds[0].machine.address;
    let mut curl = cluster.desk.command("curl");
    curl.args(["-sS", "--fail", "--max-time", "10", "-d", &body.to_string()]);
    let output = curl.arg(format!("http://{address}:2379/v3/{path}")).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn a_node_with_another_version() {
    let Some(mut cluster) = Cluster::start(&plan()) else { return };
    cluster.node_mut("gw2").process.stop();

    // A node of a later program, under a lease as such a one would have it: what `gw2` is to find.
    let key = |node: &str| STANDARD.encode(format!("/motorcade/motorcade/members/{node}"));
    let found = etcd(&cluster, "kv/range", &json!({ "key": key("gw1") }));
    let value = found["kvs"][0]["value"].as_str().expect("gw1 is a member");
    let mut info: Value =
        serde_json::from_slice(&STANDARD.decode(value).expect("base64")).expect("JSON of a node");
    let own = info["dialect"].as_u64().expect("a number");
    (info["node"], info["dialect"], info["version"]) = (json!("later1"), json!(own + 1), json!("99.1.0"));
    let lease =
        etcd(&cluster, "lease/grant", &json!({ "TTL": 600 }))["ID"].as_str().expect("an ID").to_owned();
    let value = STANDARD.encode(info.to_string());
    etcd(&cluster, "kv/put", &json!({ "key": key("later1"), "value": value, "lease": lease }));

    let gw2 = &mut cluster.node_mut("gw2").process;
    gw2.restart();
    let status = wait_for("the node to end", WITHIN, || gw2.ended());
    assert!(!status.success());
    let log = std::fs::read_to_string(&gw2.log).expect("it wrote");
    let both = format!(
        "node later1 (version 99.1.0) speaks dialect {}, this node (version {}) speaks dialect {own}",
        own + 1,
        env!("CARGO_PKG_VERSION")
    );
    assert!(log.contains(&both), "{both}: {log}");
    assert_eq!(
        etcd(&cluster, "kv/range", &json!({ "key": key("gw2") }))["kvs"],
        Value::Null,
        "it is no member"
    );

    // Those that were there before go on: terminals come, and the stranger gets none.
    let _fleet = cluster.fleet(TERMINALS, &[]);
    wait_for("all terminals to be at the gateway that is there", WITHIN, || {
        (terminals_at(&cluster, "gw1") == u64::from(TERMINALS)).then_some(())
    });

    etcd(&cluster, "lease/revoke", &json!({ "ID": lease }));
    cluster.node_mut("gw2").process.restart();
    wait_for("it is taken in when the other is gone", WITHIN, || {
        status_of(&cluster, "gw2").contains("serving").then_some(())
    });
}

/// Its lease need not lapse for others to know that it is not there.
#[test]
fn a_start_that_fails_leaves_the_cluster() {
    let Some(mut cluster) = Cluster::start(&plan()) else { return };
    let gw2 = &mut cluster.node_mut("gw2").process;
    gw2.stop();
    // what is started last finds its port taken: by then the node has joined
    let runtime = gw2.machine.runtime();
    let taken = runtime.block_on(runtime.spawn(tokio::net::TcpListener::bind("0.0.0.0:9090")));
    let _taken = taken.expect("no panic").expect("the port is free");
    gw2.restart();
    let status = wait_for("the node to end", WITHIN, || gw2.ended());
    assert!(!status.success());
    let log = std::fs::read_to_string(&gw2.log).expect("it wrote");
    assert_eq!(log.matches("node gw2 left the cluster").count(), 2, "once each time: {log}");
    let key = STANDARD.encode("/motorcade/motorcade/members/gw2");
    assert_eq!(etcd(&cluster, "kv/range", &json!({ "key": key }))["kvs"], Value::Null);
}

#[test]
fn a_drain_that_waits_for_its_terminals_and_ends() {
    let Some(cluster) = Cluster::start(&plan()) else { return };
    let ledger = cluster.folder().join("ledger.json");
    let (path, count) = (ledger.display().to_string(), u64::from(TERMINALS));
    let mut fleet = cluster.fleet(
        TERMINALS,
        &["--interval-ms", "100", "--duration-s", "45", "--drain-s", "60", "--ledger", &path],
    );
    wait_for("both gateways to have terminals", WITHIN, || {
        let spread = cluster.spread();
        let is_even = spread.iter().all(|(_, count)| *count > 0);
        (is_even && spread.iter().map(|(_, count)| count).sum::<u64>() == count).then_some(())
    });

    // Who asks for a drain and does not wait is told what stays. The terminals hear nothing meanwhile, so they stay.
    cluster.cars.cut();
    let login1 = cluster.node("login1");
    let log = cluster.folder().join("drain.log");
    let mut drain = login1.command(&["cluster", "drain", "gw1"]);
    drain.stdin(Stdio::null()).stderr(std::fs::File::create(&log).expect("made")).stdout(Stdio::piped());
    let mut drain = drain.spawn().expect("it starts");
    wait_for("the mark", WITHIN, || status_of(&cluster, "gw1").contains("draining").then_some(()));
    signal(drain.id(), "INT");
    let status = drain.wait().expect("it was ours");
    let told = std::fs::read_to_string(&log).expect("it wrote");
    assert!(!status.success() && told.contains("gw1 stays marked"), "{status}: {told}");
    assert!(status_of(&cluster, "gw1").contains("draining"));
    cluster.cars.mend();

    // Who waits gets the answer when the last one has gone, and it has: each report is answered by where it was sent.
    let (is_done, told) = said(&mut login1.command(&["cluster", "drain", "gw1"]));
    assert!(is_done && told.ends_with("gw1 has no terminals any more\n"), "{told}");
    assert_eq!(terminals_at(&cluster, "gw1"), 0);
    assert!(status_of(&cluster, "gw1").contains("drained"), "{}", status_of(&cluster, "gw1"));
    wait_for("all terminals to be at the other", WITHIN, || {
        (terminals_at(&cluster, "gw2") == count).then_some(())
    });
    assert_eq!(terminals_at(&cluster, "gw1"), 0, "it gets no more");
    nothing_is_missing(&cluster, &mut fleet, &ledger);

    // A node that is gone keeps no mark for ever.
    let mut cluster = cluster;
    cluster.node_mut("gw1").process.stop();
    wait_for("the mark to be shown without the node", WITHIN, || {
        status_of(&cluster, "gw1").contains("not there").then_some(())
    });
    let (is_done, told) = said(&mut cluster.node("login1").command(&["cluster", "undrain", "gw1"]));
    assert!(is_done, "{told}");
    let (is_done, told) = said(&mut cluster.node("login1").command(&["cluster", "undrain", "gw1"]));
    assert!(!is_done && told.contains("gw1 is not in the cluster"), "{told}");
}

/// Waits for the fleet: then everything that was acknowledged is stored, once.
fn nothing_is_missing(cluster: &Cluster, fleet: &mut Process, ledger: &std::path::Path) {
    wait_for("the fleet to finish", WITHIN, || fleet.has_ended());
    let ledger = Ledger::read(ledger).expect("the fleet wrote its ledger");
    let (conninfo, told) = (cluster.conninfo(), ledger.clone());
    let runtime = cluster.desk.runtime();
    let looking = runtime.spawn(async move {
        let mut conn = PgConnection::establish(&conninfo).expect("connects");
        Findings::of(&told, &mut conn)
    });
    let findings = runtime.block_on(looking).expect("no panic");
    findings.print(&ledger);
    assert!(ledger.summary.acknowledged > 1_000, "{} acknowledged", ledger.summary.acknowledged);
    findings.assert_nothing_is_missing();
}
