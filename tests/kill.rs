//! The kill test: terminals in another process report, resend, send impossible times and raise alarms while
//! the whole platform gets `kill -9` again and again, its PostgreSQL left orphaned, and PostgreSQL alone
//! too. Afterwards every report that a terminal saw acknowledged is stored, once, and every alarm edge once.
//!
//! What was sent is the simulator's ledger; what is stored is read by SQL over the private server's own
//! socket, and the alarms that should be there are computed anew from the rows. A short form runs by default; the
//! full one with `MOTORCADE_KILL_TEST=full` (`scripts/kill-test`).

mod support;

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use diesel::{Connection as _, PgConnection};
use sim::Ledger;
use support::findings::Findings;
use support::{Options, Platform, motorcade, postmaster_pid, signal, wait_for};

/// What is done to the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    /// `kill -9` of the platform, and a new start, which finds PostgreSQL alive.
    Platform,
    /// `kill -9` of PostgreSQL.
    Database,
}

/// How much of it.
struct Form {
    terminals: u32,
    duration_s: u64,
    resend_permille: u32,
    poison_permille: u32,
    alarm_period_s: u32,
    blows: Vec<Blow>,
    /// What the run must have seen to count at all: acknowledged reports, resends of each kind, acknowledged
    /// impossible times, alarm edges.
    at_least: [u64; 4],
}

impl Form {
    fn chosen() -> Self {
        use Blow::{Database, Platform};
        match std::env::var("MOTORCADE_KILL_TEST").as_deref() {
            Ok("full") => Self {
                terminals: 200,
                duration_s: 180,
                resend_permille: 20,
                poison_permille: 5,
                alarm_period_s: 10,
                blows: [[Platform, Platform, Platform, Database, Platform, Platform]; 2].concat(),
                at_least: [300_000, 5_000, 1_000, 1_000],
            },
            _ => Self {
                terminals: 20,
                duration_s: 25,
                resend_permille: 40,
                poison_permille: 20,
                alarm_period_s: 3,
                blows: vec![Platform, Database, Platform],
                at_least: [2_000, 50, 10, 100],
            },
        }
    }
}

#[test]
fn what_is_acknowledged_survives_every_kill() {
    let form = Form::chosen();
    let mut platform = Platform::start(Options::default().env("MOTORCADE__GATEWAY__ADMISSION", "open"));
    platform.keep_ports();
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = folder.path().join("ledger.json");
    let mut fleet = start_fleet(&form, &platform, &ledger);
    strike(&form, &mut platform);
    wait_for("the fleet to finish", Duration::from_secs(form.duration_s + 300), || {
        fleet.try_wait().expect("it is ours").map(|status| assert!(status.success(), "the fleet: {status}"))
    });
    wait_for("the spool to drain", Duration::from_secs(120), || is_drained(&platform.data).then_some(()));

    let ledger = Ledger::read(&ledger).expect("the fleet wrote its ledger");
    let findings = Findings::of(&ledger, &mut connect(&platform.data));
    findings.print(&ledger);
    findings.assert_nothing_is_missing();
    let sums = ledger.summary;
    let resent = [sums.resent_same_serial, sums.resent_new_serial, sums.resent_batch];
    let seen = [
        sums.acknowledged,
        resent.into_iter().min().unwrap_or(0),
        sums.poison_acknowledged,
        sums.edges_acknowledged,
    ];
    for (seen, at_least) in seen.into_iter().zip(form.at_least) {
        assert!(seen >= at_least, "{seen} of at least {at_least}");
    }
}

fn start_fleet(form: &Form, platform: &Platform, ledger: &Path) -> Child {
    let resends = form.resend_permille.to_string();
    motorcade()
        .arg("sim")
        .args(["--gateway", &platform.ready.gateway.to_string()])
        .args(["--terminals", &form.terminals.to_string()])
        .args(["--duration-s", &form.duration_s.to_string()])
        .args(["--interval-ms", "100", "--drain-s", "120", "--answer-timeout-ms", "2000"])
        .args(["--reconnect-max-ms", "500"])
        .args(["--resend-same-serial-permille", &resends, "--resend-new-serial-permille", &resends])
        .args(["--resend-batch-permille", &resends])
        .args(["--poison-permille", &form.poison_permille.to_string()])
        .args(["--alarm-period-s", &form.alarm_period_s.to_string()])
        .arg("--ledger")
        .arg(ledger)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary starts")
}

/// Deals the blows, evenly over the time that the fleet reports.
fn strike(form: &Form, platform: &mut Platform) {
    let begin = Instant::now();
    let pause = Duration::from_secs(form.duration_s) / (form.blows.len() as u32 + 1);
    for (blow, number) in form.blows.iter().zip(1u32..) {
        while let Some(left) = (begin + pause * number).checked_duration_since(Instant::now()) {
            std::thread::park_timeout(left);
        }
        match blow {
            Blow::Platform => {
                platform.kill();
                platform.restart();
            }
            Blow::Database => {
                let postmaster = postmaster_pid(&platform.data).expect("PostgreSQL runs");
                signal(postmaster, "KILL");
                wait_for("another PostgreSQL", Duration::from_secs(60), || {
                    postmaster_pid(&platform.data).filter(|pid| *pid != postmaster)
                });
            }
        }
        println!("{:>4} s: {blow:?} killed and back", begin.elapsed().as_secs());
    }
}

/// No segment is left. The lock stays, and so do segments whose torn tail was put aside.
fn is_drained(data: &Path) -> bool {
    let entries = std::fs::read_dir(data.join("spool")).expect("the spool is there");
    let mut paths = entries.map(|entry| entry.expect("readable").path());
    !paths.any(|path| path.extension().is_some_and(|extension| extension == "spool"))
}

/// Straight to the private server, past the platform.
fn connect(data: &Path) -> PgConnection {
    let pid_file = data.join("postgres/pgdata/postmaster.pid");
    let text = std::fs::read_to_string(&pid_file).unwrap_or_else(|e| panic!("{}: {e}", pid_file.display()));
    // Line 4 is the port, line 5 the folder of the socket.
    let lines: Vec<_> = text.lines().collect();
    let conninfo = format!("host='{}' port={} user=motorcade dbname=motorcade", lines[4], lines[3]);
    PgConnection::establish(&conninfo).expect("the private server answers")
}
