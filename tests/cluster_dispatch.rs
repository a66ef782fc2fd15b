//! A fleet that dials the login servers ends evenly spread over the gateways, those that cannot be redirected too;
//! stays so when its time limits are renewed; leaves a gateway that is drained; and comes back to it. Video is asked of
//! every API node, and served by every media server. Nodes that are told to end are written down as having left.
//!
//! Small, so that it takes a minute and a half: `scripts/cluster-dispatch` (`MOTORCADE_CLUSTER_DISPATCH=full`) has 1,000
//! terminals, and prints the state of the cluster as its operator sees it.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use sim::{LogEntry, LogLine};
use support::cluster::{Cluster, Plan, Process};
use support::{PASSWORD, http, wait_for};

/// How often the state is looked at: each look starts programs, of which a small machine has no room for many.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Where terminals dial a gateway.
const GATEWAY_PORT: &str = ":6608";
/// Minutes that a terminal stays at its gateway unless it is told again.
const LIMIT_MIN: u64 = 1;
const NEWCOMERS_FIRST_SIM: &str = "13900000001";

/// How large.
struct Size {
    etcds: usize,
    terminals: u32,
    /// Those that dial while a gateway drains.
    newcomers: u32,
    interval_ms: &'static str,
    /// Whether to stay until the first time limit would have ended, and not only until it was renewed.
    waits_for_the_limit: bool,
    /// How long anything may take.
    within: Duration,
}

impl Size {
    fn chosen() -> Self {
        match std::env::var("MOTORCADE_CLUSTER_DISPATCH").as_deref() {
            Ok("full") => Self {
                etcds: 3,
                terminals: 1_000,
                newcomers: 200,
                interval_ms: "10000",
                waits_for_the_limit: true,
                within: Duration::from_secs(600),
            },
            _ => Self {
                etcds: 1,
                terminals: 60,
                newcomers: 12,
                interval_ms: "5000",
                waits_for_the_limit: false,
                within: Duration::from_secs(120),
            },
        }
    }

    fn plan(&self) -> Plan {
        Plan {
            etcds: self.etcds,
            nodes: vec![
                ("login1", "login"),
                ("login2", "login"),
                ("gw1", "gateway"),
                ("gw2", "gateway"),
                ("gw3", "gateway"),
                ("media1", "media"),
                ("media2", "media"),
                ("api1", "api"),
                ("api2", "api"),
            ],
            env: vec![("MOTORCADE__LOGIN__REDIRECT_LIMIT_MIN", LIMIT_MIN.to_string())],
        }
    }
}

#[test]
fn a_fleet_is_spread_over_the_gateways_that_serve() {
    let size = Size::chosen();
    let Some(mut cluster) = Cluster::start(&size.plan()) else { return };
    let begin = Instant::now();
    let say = |what: &str| println!("{:6.1} s  {what}", begin.elapsed().as_secs_f64());
    say("every node is ready, and sees the others");
    let log = cluster.folder().join("terminals.jsonl");
    let _fleet = fleet(&cluster, &size, size.terminals, &log, &[]);
    all_at(&cluster, &size, u64::from(size.terminals), &["gw1", "gw2", "gw3"]);
    say(&format!("{} terminals are at three gateways, evenly", size.terminals));
    let mut terminals = Terminals::new(log);
    // Which way each came shows a moment after its gateway counts it.
    let refusing = (size.terminals / 10) as usize;
    wait_for("every terminal to know where it is, those that refuse spliced through", size.within, || {
        std::thread::sleep(LOOK_EVERY);
        terminals.read();
        (terminals.there() == size.terminals as usize && terminals.spliced() == refusing).then_some(())
    });
    show(&cluster, &terminals);

    video_is_served_by_every_node(&cluster, &size);
    say("both API nodes named both media servers, and both showed pictures");

    let came = Instant::now();
    let limit = Duration::from_secs(60 * LIMIT_MIN + 15);
    wait_for("every time limit to be renewed", size.within, || {
        std::thread::sleep(LOOK_EVERY);
        terminals.read();
        let is_over = !size.waits_for_the_limit || came.elapsed() > limit;
        (is_over && terminals.renewed() == size.terminals as usize - refusing).then_some(())
    });
    all_at(&cluster, &size, u64::from(size.terminals), &["gw1", "gw2", "gw3"]);
    say("every time limit was renewed, and nobody went elsewhere for it");

    print!("{}", operator(&cluster, &["drain", "gw2"]));
    all_at(&cluster, &size, u64::from(size.terminals), &["gw1", "gw3"]);
    say("gw2 is drained, and its terminals are at the others");
    let log = cluster.folder().join("newcomers.jsonl");
    let _newcomers = fleet(&cluster, &size, size.newcomers, &log, &["--first-sim", NEWCOMERS_FIRST_SIM]);
    let total = u64::from(size.terminals + size.newcomers);
    all_at(&cluster, &size, total, &["gw1", "gw3"]);
    say(&format!("{} more dialled, and none was sent to gw2", size.newcomers));
    terminals.read();
    show(&cluster, &terminals);

    print!("{}", operator(&cluster, &["undrain", "gw2"]));
    all_at(&cluster, &size, total, &["gw1", "gw2", "gw3"]);
    say("gw2 serves again, and has its share");
    terminals.read();
    show(&cluster, &terminals);

    // One of them may lead.
    for name in ["gw3", "login2"] {
        cluster.node_mut(name).process.stop();
    }
    ended(&cluster, &size, [("gw3", "left"), ("login2", "left")].into());
    say("gw3 and login2 left, and were not taken for lost");
}

/// Terminals of which a tenth refuses to be redirected and a tenth keeps to no time limit.
fn fleet(cluster: &Cluster, size: &Size, terminals: u32, log: &Path, more: &[&str]) -> Process {
    let (log, clips) = (log.display().to_string(), cluster.folder().join("clips").display().to_string());
    let mut args = vec!["--interval-ms", size.interval_ms, "--channels", "1", "--log", &log];
    args.extend(["--clips", &clips]);
    args.extend(["--redirect-refuse-permille", "100", "--redirect-limit-ignore-permille", "100"]);
    args.extend(more);
    cluster.fleet(terminals, &args)
}

/// Waits until `total` terminals are at `gateways`, evenly, and none at any other.
fn all_at(cluster: &Cluster, size: &Size, total: u64, gateways: &[&str]) {
    let mut last = Vec::new();
    wait_for(&format!("{total} terminals to be at {gateways:?}"), size.within, || {
        std::thread::sleep(LOOK_EVERY);
        let spread = cluster.spread();
        if spread != last {
            println!("          {spread:?}");
            last.clone_from(&spread);
        }
        is_even(&spread, total, gateways).then_some(())
    });
}

/// None is more than 5 % from its share; of few terminals, none more than two.
fn is_even(spread: &[(&str, u64)], total: u64, gateways: &[&str]) -> bool {
    let share = total as f64 / gateways.len() as f64;
    let even = |count: u64| (count as f64 - share).abs() <= (share * 0.05).max(2.0);
    spread.iter().map(|(_, count)| count).sum::<u64>() == total
        && spread.iter().all(|(gateway, count)| match gateways.contains(gateway) {
            true => even(*count),
            false => *count == 0,
        })
}

/// `motorcade cluster …`, as the operator of `login1` runs it: what it prints.
fn operator(cluster: &Cluster, args: &[&str]) -> String {
    let endpoints = cluster.etcds.iter().map(|etcd| format!("http://{}:2379", etcd.machine.address));
    let output = cluster
        .node("login1")
        .process
        .machine
        .command(env!("CARGO_BIN_EXE_motorcade"))
        .arg("cluster")
        .args(args)
        .env("MOTORCADE__ETCD__ENDPOINTS", endpoints.collect::<Vec<_>>().join(","))
        .env("MOTORCADE__CLUSTER__NODE", "login1")
        .env("MOTORCADE__CLUSTER__CERTS", cluster.folder().join("certs/login1"))
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn show(cluster: &Cluster, terminals: &Terminals) {
    print!("\n{}", operator(cluster, &["status"]));
    let (there, spliced) = (terminals.there(), terminals.spliced());
    println!(
        "of the first fleet {} went to their gateways, {spliced} are spliced through\n",
        there - spliced
    );
}

/// What the terminals themselves say of where they are, read from their log as it grows.
struct Terminals {
    log: PathBuf,
    read_to: u64,
    by_sim: BTreeMap<String, At>,
}

/// Where a terminal is.
#[derive(Default)]
struct At {
    link: u32,
    is_at_gateway: bool,
    is_authenticated: bool,
    /// It was told again, at its gateway, to be there.
    is_renewed: bool,
}

impl Terminals {
    fn new(log: PathBuf) -> Self {
        Self { log, read_to: 0, by_sim: BTreeMap::new() }
    }

    fn read(&mut self) {
        let mut file = std::fs::File::open(&self.log).expect("the fleet keeps a log");
        file.seek(SeekFrom::Start(self.read_to)).expect("it only grows");
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).expect("it reads");
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.read_to += whole as u64;
        for line in bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            self.take(serde_json::from_slice(line).expect("a line of the log"));
        }
    }

    fn take(&mut self, line: LogLine) {
        let at = self.by_sim.entry(line.sim).or_default();
        if at.link != line.link {
            *at = At { link: line.link, ..At::default() };
        }
        match line.entry {
            LogEntry::Connected { to, .. } => at.is_at_gateway = to.ends_with(GATEWAY_PORT),
            LogEntry::Authenticated => at.is_authenticated = true,
            LogEntry::Received { id, .. } if id == "0x8105" => {
                at.is_renewed = at.is_at_gateway && at.is_authenticated;
            }
            LogEntry::Ended { .. } => *at = At { link: at.link, ..At::default() },
            _ => {}
        }
    }

    /// How many have a link that is let in.
    fn there(&self) -> usize {
        self.by_sim.values().filter(|at| at.is_authenticated).count()
    }

    /// How many of them dialled a login server and stayed there.
    fn spliced(&self) -> usize {
        self.by_sim.values().filter(|at| at.is_authenticated && !at.is_at_gateway).count()
    }

    fn renewed(&self) -> usize {
        self.by_sim.values().filter(|at| at.is_renewed).count()
    }
}

/// Waits until these nodes, and no others, are written down as ended, each in this way.
fn ended(cluster: &Cluster, size: &Size, expected: BTreeSet<(&str, &str)>) {
    let url = format!("http://{}/api/v1", cluster.node("api1").at(8080));
    let within = size.within;
    let runtime = cluster.desk.runtime();
    let asked = runtime.spawn(async move {
        let token = token(&url).await;
        let until = Instant::now() + within;
        loop {
            let page = http().get(format!("{url}/node-events?limit=100")).bearer_auth(&token).send().await;
            let page: Value = page.expect("a reply").json().await.expect("JSON");
            let events = page["items"].as_array().unwrap_or_else(|| panic!("{page}")).iter();
            let told = |event: &Value| {
                Some((event["node"].as_str()?.to_owned(), event["kind"].as_str()?.to_owned()))
            };
            let ends: BTreeSet<_> =
                events.filter_map(told).filter(|(_, kind)| kind == "left" || kind == "lost").collect();
            if ends.len() >= 2 || Instant::now() > until {
                return ends;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    });
    let ends = runtime.block_on(asked).expect("it is answered");
    let ends: BTreeSet<_> = ends.iter().map(|(node, kind)| (node.as_str(), kind.as_str())).collect();
    assert_eq!(ends, expected);
}

/// Who may see everything.
async fn token(url: &str) -> String {
    let login = json!({"account": "admin", "password": PASSWORD});
    let tokens = http().post(format!("{url}/auth/login")).json(&login).send().await;
    let tokens: Value = tokens.expect("a reply").json().await.expect("tokens");
    tokens["access_token"].as_str().expect("a token").to_owned()
}

/// Two streams of each media server, one asked of each API node.
fn video_is_served_by_every_node(cluster: &Cluster, size: &Size) {
    let at = |names: [&'static str; 2], port| names.map(|name| cluster.node(name).at(port).to_string());
    let (apis, media) = (at(["api1", "api2"], 8080), at(["media1", "media2"], 6604));
    let within = size.within;
    let runtime = cluster.desk.runtime();
    let watching = runtime.spawn(async move {
        let mut watched = BTreeSet::new();
        for api in &apis {
            let url = format!("http://{api}/api/v1");
            let token = &token(&url).await;
            let page = format!("{url}/vehicles?online=true&limit=50");
            let page: Value = {
                let reply = http().get(page).bearer_auth(token).send().await.expect("a reply");
                reply.json().await.expect("JSON")
            };
            let mut wanted: BTreeSet<&String> = media.iter().collect();
            for vehicle in page["items"].as_array().expect("vehicles") {
                let live = format!("{url}/vehicles/{}/channels/1/live", vehicle["id"]);
                let profile = json!({"profile": "main"});
                let live = http().post(live).bearer_auth(token).json(&profile).send().await;
                let live: Value = live.expect("a reply").json().await.expect("JSON");
                let flv = live["urls"]["http_flv"].as_str().unwrap_or_else(|| panic!("{live}"));
                let authority = flv.split('/').nth(2).expect("an address");
                assert!(media.iter().any(|server| server == authority), "{flv}");
                if watched.contains(&vehicle["id"].to_string()) || !wanted.remove(&authority.to_owned()) {
                    continue;
                }
                watched.insert(vehicle["id"].to_string());
                let view = tokio::time::timeout(within, async {
                    let mut view = http().get(flv).send().await.expect("a view");
                    assert_eq!(view.status(), StatusCode::OK, "{flv}");
                    view.chunk().await.expect("a chunk").expect("it does not end")
                });
                assert!(view.await.expect("in time").starts_with(b"FLV"), "{flv}");
            }
            assert!(wanted.is_empty(), "{api} names no stream of {wanted:?}");
        }
    });
    runtime.block_on(watching).expect("every view shows something");
}
