//! A cluster with a fleet that reports all the time, and what is looked at after each fault: that all terminals are back,
//! that commands reach each of them, and, at the end, that what was acknowledged is stored, once.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Instant;

use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl as _, sql_query};
use sim::Ledger;

use crate::support::cluster::{Cluster, Plan, Process};
use crate::support::desk::Desk;
use crate::support::findings::Findings;
use crate::support::wait_for;
use crate::{Form, WITHIN, leader};

/// The SIM of the first terminal of the first fleet.
const FIRST_SIM: u64 = 13_800_000_001;

/// How many reports of a terminal, on average, are acknowledged at least.
const ACKNOWLEDGED_MIN: u64 = 10;

/// The cluster, its fleet and what was found.
pub(crate) struct Trial {
    pub(crate) cluster: Cluster,
    pub(crate) desk: Desk,
    pub(crate) form: Form,
    /// Part of the names of the faults that are wanted; all where None.
    only: Option<String>,
    /// Where terminals dial: the login servers, unless something stands before them.
    pub(crate) servers: Vec<SocketAddr>,
    fleet: Option<Process>,
    fleets: u64,
    seconds: Vec<(String, f64)>,
    table: Vec<String>,
}

#[derive(QueryableByName)]
struct Online {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct Off {
    #[diesel(sql_type = Text)]
    sim: String,
    #[diesel(sql_type = Text)]
    node: String,
}

impl Trial {
    /// Everything started; no fleet yet. None where this cannot run here.
    pub(crate) fn start(plan: &Plan) -> Option<Self> {
        let cluster = Cluster::start(plan)?;
        let desk = Desk::at(&cluster, "api1");
        let (form, seconds, table) = (Form::chosen(), Vec::new(), Vec::new());
        let only = std::env::var("MOTORCADE_CLUSTER_FAULT").ok();
        let servers = ["login1", "login2"].map(|login| cluster.node(login).at(6605)).to_vec();
        Some(Self { cluster, desk, form, only, servers, fleet: None, fleets: 0, seconds, table })
    }

    /// Terminals that report all the time, all of them at gateways and reached by commands. One in ten refuses to be
    /// sent to a gateway, one in ten stays there as long as its link works.
    pub(crate) fn begin_fleet(&mut self) {
        self.fleets += 1;
        let (first, ledger) = (self.sims().start.to_string(), self.ledger().display().to_string());
        let args = ["--first-sim", &first, "--ledger", &ledger, "--seed", &self.fleets.to_string()]
            .map(str::to_owned);
        let manners = [
            "--alarm-period-s",
            "3",
            "--connect-timeout-ms",
            "2000",
            "--redirect-refuse-permille",
            "100",
            "--redirect-limit-ignore-permille",
            "100",
        ];
        let args: Vec<&str> =
            args.iter().map(String::as_str).chain(manners).chain(self.form.manners()).collect();
        let name = format!("sim{}", self.fleets);
        self.fleet = Some(self.cluster.fleet_at(&name, &self.servers, self.form.terminals(), &args));
        self.all_back("all terminals to be there at first", Instant::now());
        self.seconds.clear();
    }

    /// Waits until everything is as it should be, and notes how many seconds after `begin` that was.
    pub(crate) fn all_back(&mut self, what: &str, begin: Instant) {
        wait_for(&format!("{what}: a leader"), WITHIN, || leader(&self.cluster));
        self.all_online(what, begin);
        self.all_answer(what, begin);
    }

    /// Waits until each terminal is at one gateway, in the gateways' eyes and in the database's.
    pub(crate) fn all_online(&mut self, what: &str, begin: Instant) {
        let terminals = u64::from(self.form.terminals());
        wait_for_or(&format!("{what}: all terminals at gateways"), || {
            let spread = self.cluster.spread();
            let total: u64 = spread.iter().map(|(_, count)| count).sum();
            if total == terminals { Ok(()) } else { Err(format!("{spread:?}")) }
        });
        wait_for_or(&format!("{what}: all terminals online in the database"), || self.online());
        self.note(format!("{what}, all back"), begin);
    }

    /// Waits until each terminal answers a command.
    pub(crate) fn all_answer(&mut self, what: &str, begin: Instant) {
        let terminals = self.form.terminals() as usize;
        wait_for_or(&format!("{what}: commands to reach all terminals"), || {
            let (answered, others) = self.desk.command_all(self.sims());
            if answered == terminals {
                return Ok(());
            }
            // what a round waited for is worth as much as how long all of them took
            let (after, first) = (begin.elapsed().as_secs_f64(), others.first());
            println!("{what}: {answered} answer after {after:.1} s; of the others one: {first:?}");
            Err(format!("{answered} answered; {others:?}"))
        });
        self.note(format!("{what}, all answer"), begin);
    }

    /// Ends the fleet and holds what it was told is stored against what is stored.
    pub(crate) fn end_fleet(&mut self, what: &str) {
        self.fleet.take().expect("a fleet").stop();
        let gateways: Vec<_> = self.cluster.spread().into_iter().map(|(gateway, _)| gateway).collect();
        for gateway in gateways {
            wait_for("the spools to drain", WITHIN, || {
                let left = self.cluster.metric(gateway, "motorcade_gateway_spool_bytes")?;
                (left == 0).then_some(())
            });
        }
        let ledger = Ledger::read(&self.ledger()).expect("the fleet wrote its ledger");
        let told = ledger.clone();
        let findings = self.desk.sql(move |conn| Findings::of(&told, conn));
        findings.print(&ledger);
        let sums = &ledger.summary;
        for (what, seconds) in self.seconds.drain(..) {
            self.table.push(format!("{what:<60} {seconds:>6.1} s"));
        }
        self.table.push(format!(
            "{what:<60} {} acknowledged, {} missing, {} doubled, {} edges, {} not there once",
            sums.acknowledged,
            findings.missing,
            findings.doubled,
            findings.edges_checked,
            findings.edges_missing,
        ));
        // or there was little to lose
        assert!(
            sums.acknowledged > ACKNOWLEDGED_MIN * u64::from(self.form.terminals()),
            "{} acknowledged",
            sums.acknowledged
        );
        findings.assert_nothing_is_missing();
    }

    /// One fault under a fleet: of its own in the full form, of the whole series in the short one.
    pub(crate) fn fault(&mut self, what: &str, fault: impl FnOnce(&mut Self)) {
        if self.only.as_ref().is_some_and(|only| !what.contains(only)) {
            return;
        }
        println!("--- {what}");
        if self.fleet.is_none() {
            self.begin_fleet();
        }
        fault(self);
        if self.form == Form::Full {
            self.end_fleet(what);
        }
    }

    /// Ends the series and prints what was found.
    pub(crate) fn end(mut self, what: &str) {
        if self.fleet.is_some() {
            self.end_fleet(what);
        }
        println!("=== {what}, {} terminals", self.form.terminals());
        self.table.iter().for_each(|line| println!("{line}"));
    }

    /// The SIMs of this fleet.
    fn sims(&self) -> Range<u64> {
        let first = FIRST_SIM + 1_000 * self.fleets;
        first..first + u64::from(self.form.terminals())
    }

    fn ledger(&self) -> std::path::PathBuf {
        self.cluster.folder().join(format!("ledger{}.json", self.fleets))
    }

    /// Whether the database has all of the fleet online; else what it says of the others.
    fn online(&self) -> Result<(), String> {
        let sims: Vec<String> = self.sims().map(|sim| sim.to_string()).collect();
        let (count, off) = self.desk.sql(move |conn| {
            let list = sims.iter().map(|sim| format!("'{sim}'")).collect::<Vec<_>>().join(",");
            let count = sql_query(format!("SELECT count(*) FROM terminal WHERE online AND sim IN ({list})"));
            let off = sql_query(format!(
                "SELECT sim, coalesce(node, '') AS node FROM terminal WHERE NOT online AND sim IN ({list})"
            ));
            let count = count.get_result::<Online>(conn).map(|row| row.count).unwrap_or(-1);
            (count, off.load::<Off>(conn).unwrap_or_default())
        });
        let off: Vec<String> = off.iter().map(|off| format!("{} at {}", off.sim, off.node)).collect();
        if count == i64::from(self.form.terminals()) {
            Ok(())
        } else {
            Err(format!("{count}; offline: {off:?}"))
        }
    }

    fn note(&mut self, what: String, begin: Instant) {
        let seconds = begin.elapsed().as_secs_f64();
        println!("{what}: {seconds:.1} s");
        self.seconds.push((what, seconds));
    }
}

/// [`wait_for`] that asks five times a second, and says, when it gives up, what it saw last.
pub(crate) fn wait_for_or(what: &str, mut condition: impl FnMut() -> Result<(), String>) {
    let until = Instant::now() + WITHIN;
    while let Err(seen) = condition() {
        assert!(Instant::now() < until, "waited {WITHIN:?} for {what}: {seen}");
        std::thread::park_timeout(std::time::Duration::from_millis(200));
    }
}
