//! What is acknowledged, and who is served, while nodes of a cluster die: each fault on a real one, under reports from
//! every terminal.

mod support;

use std::time::{Duration, Instant};

use diesel::{Connection as _, PgConnection};
use sim::Ledger;
use support::cluster::{Cluster, Plan, Process};
use support::findings::Findings;
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
        env: vec![("MOTORCADE__LOGIN__REDIRECT_LIMIT_MIN", "1".to_owned())],
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

/// Waits for the fleet and for the spools to drain: then everything that was acknowledged is stored, once.
fn nothing_is_missing(cluster: &Cluster, mut fleet: Process) {
    wait_for("the fleet to finish", WITHIN, || fleet.has_ended());
    for gateway in ["gw1", "gw2", "gw3"] {
        wait_for("the spools to drain", WITHIN, || {
            let left = cluster.metric(gateway, "motorcade_gateway_spool_bytes");
            left.is_none_or(|bytes| bytes == 0).then_some(())
        });
    }
    let ledger = Ledger::read(&cluster.folder().join("ledger.json")).expect("the fleet wrote its ledger");
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

#[test]
fn a_gateway_that_dies_loses_nothing_and_its_terminals_come_back() {
    let Some(mut cluster) = Cluster::start(&plan()) else { return };
    let fleet = fleet(&cluster, 100);
    wait_for("all terminals to be online", WITHIN, || all_online(&cluster));
    let begin = Instant::now();
    cluster.node_mut("gw2").process.kill();
    wait_for("all terminals to be back", WITHIN, || all_online(&cluster));
    println!("all back at two gateways after {:.1} s", begin.elapsed().as_secs_f64());
    cluster.node_mut("gw2").process.restart();
    nothing_is_missing(&cluster, fleet);
}

#[test]
fn a_gateway_killed_while_the_database_is_away_loses_nothing() {
    let Some(mut cluster) = Cluster::start(&plan()) else { return };
    let fleet = fleet(&cluster, 120);
    wait_for("all terminals to be online", WITHIN, || all_online(&cluster));
    cluster.database.machine.cut();
    wait_for("something to be spooled at every gateway", WITHIN, || {
        let spooled = |gateway| cluster.metric(gateway, "motorcade_gateway_reports_spooled_total");
        ["gw1", "gw2", "gw3"]
            .into_iter()
            .all(|gateway| spooled(gateway).is_some_and(|count| count > 20))
            .then_some(())
    });
    // its disk is gone with it
    cluster.node_mut("gw2").process.kill();
    std::fs::remove_dir_all(cluster.folder().join("gw2")).expect("its data was there");
    cluster.database.machine.mend();
    wait_for("all terminals to be back", WITHIN, || all_online(&cluster));
    nothing_is_missing(&cluster, fleet);
}

#[test]
fn another_login_server_leads_when_the_leader_dies() {
    let Some(mut cluster) = Cluster::start(&plan()) else { return };
    let fleet = fleet(&cluster, 40);
    wait_for("all terminals to be online", WITHIN, || all_online(&cluster));
    let leader = wait_for("somebody to lead", WITHIN, || {
        ["login1", "login2"].into_iter().find(|login| leads(&cluster, login))
    });
    let other = if leader == "login1" { "login2" } else { "login1" };
    let begin = Instant::now();
    cluster.node_mut(leader).process.freeze();
    wait_for("the other one to lead", WITHIN, || leads(&cluster, other).then_some(()));
    println!("{other} leads {:.1} s after {leader} froze", begin.elapsed().as_secs_f64());
    cluster.node_mut(leader).process.thaw();
    wait_for("the old one to know", WITHIN, || (!leads(&cluster, leader)).then_some(()));
    assert!(leads(&cluster, other));
    nothing_is_missing(&cluster, fleet);
}

/// Whether a node says that it leads.
fn leads(cluster: &Cluster, node: &str) -> bool {
    cluster.metric(node, "motorcade_cluster_leads") == Some(1)
}
