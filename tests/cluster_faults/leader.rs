//! The login server that leads dies, is cut off, or freezes: registrations go on at another one, which leads when the lease
//! has lapsed; what the old one still writes is refused.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl as _, sql_query};

use crate::support::cluster::{Cluster, Plan, Process};
use crate::support::desk::Desk;
use crate::support::wait_for;
use crate::trial::{Trial, wait_for_or};
use crate::{Form, WITHIN, leader, leads, plan, series};

/// The lease of a login server that leads, unless set.
const LEASE: Duration = Duration::from_secs(5);
/// What a registration and a take-over may take in the full form, which runs alone; the short one tells its times only.
const REGISTERED_WITHIN: Duration = Duration::from_secs(2);
const LED_WITHIN: Duration = Duration::from_secs(LEASE.as_secs() + 2);
/// How often freezing two leaders may come too late.
const TRIES: usize = 8;
/// How long a frozen leader's successor is waited for: the database gives up what a frozen one holds after 10 s.
const SUCCEEDED_WITHIN: Duration = Duration::from_secs(8);
/// How long a thawed leader may take to be refused; one that came to write nothing takes all of it.
const REFUSED_WITHIN: Duration = Duration::from_secs(15);

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

#[test]
fn another_login_server_serves_at_once_and_leads_when_the_leader_is_gone() {
    series(&[a_leader_killed, a_leader_s_link_silent, a_leader_frozen]);
}

fn a_leader_killed() {
    let Some(mut trial) = Trial::start(&plan()) else { return };
    trial.fault("the leader killed", |trial| {
        let leader = gone(trial, "the leader killed", |process| process.kill());
        trial.cluster.node_mut(leader).process.restart();
        trial.cluster.node(leader).ready();
    });
    trial.end("the leader killed");
}

fn a_leader_s_link_silent() {
    let Some(mut trial) = Trial::start(&plan()) else { return };
    trial.fault("the leader's link silent", |trial| {
        let leader = gone(trial, "the leader's link silent", |process| process.machine.cut());
        trial.cluster.node(leader).process.machine.mend();
    });
    trial.end("the leader's link silent");
}

fn a_leader_frozen() {
    let Some(mut trial) = Trial::start(&plan()) else { return };
    trial.fault("the leader frozen", |trial| {
        let leader = frozen(trial, "the leader frozen");
        trial.cluster.node(leader).process.thaw();
        wait_for("the old one to know", WITHIN, || {
            (leads(&trial.cluster, other_than(leader)) && !leads(&trial.cluster, leader)).then_some(())
        });
    });
    trial.end("the leader frozen");
}

/// Does it to the leader, which cannot be connected any more: a terminal that dials it first is at a gateway all the same.
/// Gives who led.
fn gone(trial: &mut Trial, what: &str, end: impl FnOnce(&mut Process)) -> &'static str {
    let led = wait_for("somebody to lead", WITHIN, || leader(&trial.cluster));
    let begin = Begin::now(trial);
    end(&mut trial.cluster.node_mut(led).process);
    let newcomer = newcomer(&trial.cluster, "newcomer", &[led, other_than(led)], &[]);
    taken_over(trial, what, &begin, led);
    drop(newcomer);
    trial.all_back(what, begin.at);
    led
}

/// Freezes the leader. Its machine goes on taking connections, so that who dials it waits for answers, as long as the
/// standard says for a link that is silent, before it dials the other one. What looks whether it serves sees that at once
/// and moves the virtual address: one terminal dials the other one, as by that, and another the frozen one. Gives who led.
fn frozen(trial: &mut Trial, what: &str) -> &'static str {
    let led = wait_for("somebody to lead", WITHIN, || leader(&trial.cluster));
    let other = other_than(led);
    let begin = Begin::now(trial);
    trial.cluster.node(led).process.freeze();
    let newcomer_there = newcomer(&trial.cluster, "newcomer", &[other], &[]);
    assert!(!is_healthy(&trial.cluster.node(led).process), "nothing answers there");
    wait_for("the other one to be healthy", WITHIN, || {
        is_healthy(&trial.cluster.node(other).process).then_some(())
    });
    // It waits 0.3, 0.6, 1.8 and 7.2 s.
    let patient = newcomer(&trial.cluster, "patient", &[led, other], &["--answer-timeout-ms", "300"]);
    taken_over(trial, what, &begin, led);
    let registered = wait_for("who dials the frozen one to be at a gateway", WITHIN, || {
        at_gateway(&trial.cluster, "patient")
    });
    let registered = begin.until(registered);
    println!("{what}: who dials it is at a gateway after {:.1} s", registered.as_secs_f64());
    drop((newcomer_there, patient));
    trial.all_back(what, begin.at);
    led
}

/// What `deploy/keepalived.conf` asks of the login server on its own machine.
fn is_healthy(process: &Process) -> bool {
    let mut asks = process.machine.command("/usr/bin/curl");
    asks.args(["--fail", "--silent", "--output", "/dev/null", "--max-time", "1"]);
    asks.arg("http://127.0.0.1:9090/healthz").status().is_ok_and(|status| status.success())
}

/// When something was done to the leader.
struct Begin {
    at: Instant,
    by_clock: DateTime<Utc>,
    /// The last event of nodes before.
    event: i64,
}

impl Begin {
    fn now(trial: &Trial) -> Self {
        let event = number(&trial.desk, "SELECT coalesce(max(id), 0) AS number FROM node_event".to_owned());
        Self { at: Instant::now(), by_clock: Utc::now(), event }
    }

    fn until(&self, time: DateTime<Utc>) -> Duration {
        (time - self.by_clock).to_std().expect("later")
    }
}

/// Waits until the newcomer is at a gateway, the other login server leads, and has written down that `led` is lost.
fn taken_over(trial: &Trial, what: &str, begin: &Begin, led: &str) {
    let other = other_than(led);
    let (mut registered, mut led_after) = (None, None);
    let (registered, led_after) =
        wait_for("the newcomer to be at a gateway and the other one to lead", WITHIN, || {
            registered = registered.or_else(|| at_gateway(&trial.cluster, "newcomer"));
            led_after = led_after.or_else(|| leads(&trial.cluster, other).then(|| begin.at.elapsed()));
            registered.zip(led_after)
        });
    let registered = begin.until(registered);
    println!("{what}: the next registration is complete after {:.2} s", registered.as_secs_f64());
    println!("{what}: {other} leads after {:.1} s", led_after.as_secs_f64());
    let event = begin.event;
    let lost = format!(
        "SELECT count(*) AS number FROM node_event WHERE id > {event} AND node = '{led}' AND kind = 'lost'"
    );
    wait_for_or("it to do its duties", || match number(&trial.desk, lost.clone()) {
        1 => Ok(()),
        times => Err(format!("{led} lost {times} times")),
    });
    let done = begin.at.elapsed().as_secs_f64();
    println!("{what}: {other} has written that {led} is lost after {done:.1} s");
    if trial.form == Form::Full {
        assert!(registered < REGISTERED_WITHIN, "{registered:?}");
        assert!(led_after < LED_WITHIN, "{led_after:?}");
    }
}

/// The login server that is not this one.
fn other_than(login: &str) -> &'static str {
    if login == "login1" { "login2" } else { "login1" }
}

/// A terminal that nobody has seen, with its main server and, if there is another one, its backup server. Its log, by this
/// name, tells what became of it.
fn newcomer(cluster: &Cluster, name: &str, logins: &[&str], manners: &[&str]) -> Process {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let log = log_of(cluster, name);
    let _ = std::fs::remove_file(&log);
    let sim = (13_900_000_000 + NUMBER.fetch_add(1, Ordering::Relaxed)).to_string();
    let log = log.display().to_string();
    let args = ["--first-sim", &sim, "--log", &log, "--connect-timeout-ms", "1000"];
    cluster.fleet_to(name, logins, 1, &[&args, manners].concat())
}

/// When the newcomer of this name authenticated on a link to a gateway.
fn at_gateway(cluster: &Cluster, name: &str) -> Option<DateTime<Utc>> {
    let text = std::fs::read_to_string(log_of(cluster, name)).ok()?;
    let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut link_to_gateway = None;
    for line in lines {
        match line["what"].as_str()? {
            "connected" if line["to"].as_str()?.ends_with(":6608") => link_to_gateway = line["link"].as_u64(),
            "authenticated" if line["link"].as_u64() == link_to_gateway => {
                return line["time"].as_str()?.parse().ok();
            }
            _ => {}
        }
    }
    None
}

fn log_of(cluster: &Cluster, name: &str) -> PathBuf {
    cluster.folder().join(format!("{name}.jsonl"))
}

/// A leader that has begun to write is frozen between two writes and thawed when another one leads: the database refuses
/// what it goes on with. To have it frozen there, and not anywhere, the row that all leaders write first is locked, as by
/// an operator; the leader before is frozen too.
#[test]
fn what_a_thawed_leader_still_writes_is_refused() {
    let plan = Plan {
        etcds: 1,
        nodes: vec![("login1", "login"), ("login2", "login"), ("login3", "login"), ("gw1", "gateway")],
        env: vec![("MOTORCADE__ETCD__LEASE_TTL_S", "2".to_owned())],
    };
    let Some(cluster) = Cluster::start(&plan) else { return };
    let desk = Desk::at(&cluster, "gw1");
    let all = "SELECT count(DISTINCT node) AS number FROM node_event WHERE kind = 'joined'".to_owned();
    wait_for("all nodes to be written down", WITHIN, || (number(&desk, all.clone()) == 4).then_some(()));
    let refused = (1..=TRIES).find_map(|_| thawed_too_late(&cluster, &desk));
    let (old, refusal) = refused.expect("a leader frozen while it writes");
    println!("{old}: {refusal}");

    let leads = wait_for("another one to lead", WITHIN, || leader(&cluster));
    assert_ne!(leads, old);
    let written = number(&desk, "SELECT epoch AS number FROM leadership".to_owned());
    let epoch: i64 =
        refusal.split_whitespace().next().and_then(|epoch| epoch.parse().ok()).expect("an epoch");
    assert!(epoch < written, "{epoch} is over, {written} is the leader's");
    let changes = format!("SELECT count(*) AS number FROM node_event WHERE epoch = {epoch}");
    assert_eq!(number(&desk, changes), 0, "the old leader changed nothing");
}

/// The old leader and what it was told, from its epoch on. None where it came to write nothing.
fn thawed_too_late(cluster: &Cluster, desk: &Desk) -> Option<(&'static str, String)> {
    const REFUSED: &str = "is not written: epoch ";
    let logins = ["login1", "login2", "login3"];
    let process = |node| &cluster.node(node).process;
    let first = wait_for("somebody to lead", WITHIN, || leader(cluster));
    let lock = desk.hold("SELECT epoch FROM leadership FOR UPDATE");
    process(first).freeze();
    let others = || logins.into_iter().filter(|login| *login != first);
    let old = wait_for("another one to begin to write", WITHIN, || {
        others().find(|login| waits_to_write(cluster, desk, login))
    });
    process(old).freeze();
    let told_before = process(old).words().matches(REFUSED).count();
    drop(lock);
    let new = others().find(|login| *login != old).expect("there are three");
    let until = Instant::now() + SUCCEEDED_WITHIN;
    while Instant::now() < until && !waits_to_write(cluster, desk, new) {
        std::thread::park_timeout(Duration::from_millis(20));
    }
    process(old).thaw();
    let until = Instant::now() + REFUSED_WITHIN;
    let mut refusal = None;
    while Instant::now() < until && refusal.is_none() {
        let words = process(old).words();
        refusal = words.match_indices(REFUSED).nth(told_before).map(|(at, _)| {
            let rest = &words[at + REFUSED.len()..];
            rest[..rest.find(['"', '\n']).unwrap_or(rest.len())].to_owned()
        });
        std::thread::park_timeout(Duration::from_millis(50));
    }
    process(first).thaw();
    Some((old, refusal?))
}

/// Whether a leader's write of this node waits in the database.
fn waits_to_write(cluster: &Cluster, desk: &Desk, node: &str) -> bool {
    let address = cluster.node(node).process.machine.address;
    let waiting = format!(
        "SELECT count(*) AS number FROM pg_stat_activity WHERE client_addr = '{address}' \
         AND wait_event_type = 'Lock' AND query LIKE 'UPDATE leadership%'"
    );
    number(desk, waiting) > 0
}

fn number(desk: &Desk, query: String) -> i64 {
    desk.sql(move |conn| sql_query(query).get_result::<Number>(conn).expect("a number").number)
}
