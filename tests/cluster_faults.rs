//! What is acknowledged, and who is served, while nodes of a cluster die: each fault on a real one, under reports from
//! every terminal.

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use diesel::sql_types::{BigInt, Binary, Text};
use diesel::{Connection as _, PgConnection, QueryableByName, RunQueryDsl as _, sql_query};
use protocol::jt808::{Edition, LocationReport};
use sim::{Ledger, SEQUENCE_ITEM};
use support::cluster::{Cluster, Plan, Process};
use support::wait_for;

/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(180);
/// Small, so that the tests take minutes: `scripts/cluster-faults` runs more.
const TERMINALS: u32 = 30;

fn plan() -> Plan {
    Plan {
        etcds: 3,
        nodes: vec![
            ("login1", "login"),
            ("login2", "login"),
            ("gw1", "gateway"),
            ("gw2", "gateway"),
            ("gw3", "gateway"),
        ],
        env: vec![("MOTORCADE__LOGIN__SWITCH_LIMIT_MIN", "1".to_owned())],
    }
}

/// Terminals that report ten times a second for `seconds`, and then wait for their last acknowledgements.
fn fleet(cluster: &Cluster, seconds: u32) -> Process {
    let ledger = cluster.folder().join("ledger.json");
    let (seconds, ledger) = (seconds.to_string(), ledger.display().to_string());
    cluster.fleet(
        TERMINALS,
        &[
            "--interval-ms",
            "100",
            "--duration-s",
            &seconds,
            "--drain-s",
            "120",
            "--alarm-period-s",
            "3",
            "--redirect-refuse-permille",
            "100",
            "--redirect-limit-ignore-permille",
            "100",
            "--ledger",
            &ledger,
        ],
    )
}

fn all_online(cluster: &Cluster) -> Option<()> {
    let total: u64 = cluster.spread().iter().map(|(_, count)| count).sum();
    (total == u64::from(TERMINALS)).then_some(())
}

#[derive(QueryableByName)]
struct Body {
    #[diesel(sql_type = Text)]
    sim: String,
    #[diesel(sql_type = Binary)]
    body: Vec<u8>,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Every report that a terminal saw acknowledged is stored, once. Waits for the fleet and for spools to drain.
fn nothing_is_missing(cluster: &Cluster, mut fleet: Process) {
    let path = cluster.folder().join("ledger.json");
    wait_for("the fleet to finish", WITHIN, || fleet.ended());
    for gateway in ["gw1", "gw2", "gw3"] {
        wait_for("the spools to drain", WITHIN, || {
            let left = cluster.metric(gateway, "motorcade_gateway_spool_bytes");
            left.is_none_or(|bytes| bytes == 0).then_some(())
        });
    }
    let ledger = Ledger::read(&path).expect("the fleet wrote its ledger");
    // in the database's own machine: nobody else has its socket
    let runtime = cluster.desk.runtime();
    let conninfo = cluster.conninfo();
    let stored = runtime.block_on(runtime.spawn(async move { stored(&conninfo) })).expect("no panic");
    let mut missing = 0;
    for account in &ledger.accounts {
        let rows = stored.get(&account.sim);
        let is_stored = |sequence: &u32| rows.is_some_and(|rows| rows.contains_key(sequence));
        missing += account.acknowledged.iter().filter(|sequence| !is_stored(sequence)).count();
    }
    let doubled = stored.values().flat_map(BTreeMap::values).filter(|count| **count > 1).count();
    println!(
        "acknowledged {}, missing {missing}, doubled {doubled}, log-ins {}",
        ledger.summary.acknowledged, ledger.summary.log_ins
    );
    assert!(ledger.summary.acknowledged > 0);
    assert_eq!((missing, doubled), (0, 0));
}

/// How often each terminal's sequence numbers are stored.
fn stored(conninfo: &str) -> BTreeMap<String, BTreeMap<u32, u32>> {
    let mut conn = PgConnection::establish(conninfo).expect("connects");
    let rows: Vec<Body> =
        sql_query("SELECT t.sim, p.body FROM position p JOIN terminal t ON t.id = p.terminal_id")
            .load(&mut conn)
            .expect("read");
    let _: Count = sql_query("SELECT count(*) FROM quarantine").get_result(&mut conn).expect("counted");
    let mut stored: BTreeMap<String, BTreeMap<u32, u32>> = BTreeMap::new();
    for Body { sim, body } in rows {
        let report = LocationReport::decode(&body.into(), Edition::V2013).expect("a location body");
        if let Some(sequence) = sequence(&report) {
            *stored.entry(sim).or_default().entry(sequence).or_default() += 1;
        }
    }
    stored
}
