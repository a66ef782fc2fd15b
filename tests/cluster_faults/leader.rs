//! The login server that leads freezes while it writes: what it still writes when another one leads is refused.

use std::time::{Duration, Instant};

use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl as _, sql_query};

use crate::support::cluster::{Cluster, Plan};
use crate::support::desk::Desk;
use crate::support::wait_for;
use crate::{WITHIN, leader};

/// How long the database lets a leader wait, about.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often freezing two leaders may come too late.
const TRIES: usize = 8;

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
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
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until && !waits_to_write(cluster, desk, new) {
        std::thread::park_timeout(Duration::from_millis(20));
    }
    process(old).thaw();
    let until = Instant::now() + PATIENCE;
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
