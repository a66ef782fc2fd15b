//! The kill test: terminals in another process report, resend, send impossible times and raise alarms while
//! the whole platform gets `kill -9` again and again, its PostgreSQL left orphaned, and PostgreSQL alone
//! too. Afterwards every report that a terminal saw acknowledged is stored, once, and every alarm edge once.
//!
//! What was sent is the simulator's ledger; what is stored is read by SQL over the private server's own
//! socket, and the alarms that should be there are computed anew from the rows. A short form runs by default; the
//! full one with `MOTORCADE_KILL_TEST=full` (`scripts/kill-test`).

mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use diesel::sql_types::{BigInt, Binary, Bool, Nullable, SmallInt, Text, Timestamptz};
use diesel::{Connection as _, PgConnection, QueryableByName, RunQueryDsl as _, sql_query};
use protocol::jt808::{Edition, LocationReport};
use sim::{Account, Ledger, SEQUENCE_ITEM};
use support::{Options, Platform, motorcade, postmaster_pid, signal, wait_for};

type Time = chrono::DateTime<chrono::Utc>;

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
    assert_eq!(findings.missing, 0, "acknowledged and lost");
    assert_eq!(findings.doubled, 0, "stored twice");
    assert_eq!(findings.quarantined, 0, "all of these can be stored");
    assert_eq!(findings.alarms_missing, 0, "alarms that the stored positions show");
    assert_eq!(findings.alarms_wrong, 0, "alarms that they do not show");
    assert_eq!(findings.edges_missing, 0, "alarm edges that were acknowledged");
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

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Timestamptz)]
    device_time: Time,
    #[diesel(sql_type = Timestamptz)]
    received_at: Time,
    #[diesel(sql_type = Bool)]
    dated: bool,
    #[diesel(sql_type = Binary)]
    body: Vec<u8>,
}

#[derive(QueryableByName)]
struct AlarmRow {
    #[diesel(sql_type = SmallInt)]
    kind: i16,
    #[diesel(sql_type = Bool)]
    dated: bool,
    #[diesel(sql_type = Timestamptz)]
    start_at: Time,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    end_at: Option<Time>,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// An alarm: whether its times are the device's, the bit, start and end.
type Alarm = (bool, u8, Time, Option<Time>);

#[derive(Default)]
struct Findings {
    rows: u64,
    stored: u64,
    missing: u64,
    doubled: u64,
    quarantined: u64,
    alarms: u64,
    alarms_expected: u64,
    alarms_missing: u64,
    alarms_wrong: u64,
    edges_checked: u64,
    edges_missing: u64,
}

impl Findings {
    fn of(ledger: &Ledger, conn: &mut PgConnection) -> Self {
        let count = |conn: &mut PgConnection, sql: &str| {
            sql_query(sql).get_result::<Count>(conn).expect("counts").count.unsigned_abs()
        };
        let mut findings = Self {
            rows: count(conn, "SELECT count(*) FROM position"),
            quarantined: count(conn, "SELECT count(*) FROM quarantine"),
            alarms: count(conn, "SELECT count(*) FROM alarm"),
            ..Self::default()
        };
        for account in &ledger.terminals {
            findings.add_terminal(account, conn);
        }
        findings
    }

    fn add_terminal(&mut self, account: &Account, conn: &mut PgConnection) {
        let rows: Vec<Row> = sql_query(
            "SELECT p.device_time, p.received_at, p.dated, p.body FROM position p \
             JOIN terminal t ON t.id = p.terminal_id WHERE t.sim = $1",
        )
        .bind::<Text, _>(&account.sim)
        .load(conn)
        .expect("the positions");
        let alarms: Vec<AlarmRow> = sql_query(
            "SELECT a.kind, a.dated, a.start_at, a.end_at FROM alarm a \
             JOIN terminal t ON t.id = a.terminal_id WHERE t.sim = $1",
        )
        .bind::<Text, _>(&account.sim)
        .load(conn)
        .expect("the alarms");

        let mut copies: HashMap<u32, u64> = HashMap::new();
        for row in &rows {
            let (terminal, sequence) = numbers(&row.body);
            assert_eq!(terminal, account.terminal, "a report under another terminal's name");
            *copies.entry(sequence).or_default() += 1;
        }
        self.stored += copies.len() as u64;
        self.doubled += copies.values().map(|copies| copies - 1).sum::<u64>();
        self.missing += (0..account.made)
            .filter(|sequence| account.is_acknowledged(*sequence) && !copies.contains_key(sequence))
            .count() as u64;

        let stored: Vec<Alarm> =
            alarms.iter().map(|row| (row.dated, row.kind as u8, row.start_at, row.end_at)).collect();
        let expected = expected_alarms(&rows);
        let found: BTreeSet<Alarm> = stored.iter().copied().collect();
        self.alarms_expected += expected.len() as u64;
        self.alarms_missing += expected.difference(&found).count() as u64;
        self.alarms_wrong += (found.difference(&expected).count() + stored.len() - found.len()) as u64;
        self.check_edges(account, &copies, &found);
    }

    /// The fleet's own edges: each that was acknowledged begins or ends exactly one alarm at its second, as long
    /// as the report before it is stored too (otherwise the edge lies where nobody can see it).
    fn check_edges(&mut self, account: &Account, copies: &HashMap<u32, u64>, found: &BTreeSet<Alarm>) {
        let poison: BTreeSet<u32> = account.poison.iter().copied().collect();
        for edge in &account.edges {
            let before = (0..edge.sequence).rev().find(|sequence| !poison.contains(sequence));
            let is_seen = before.is_none_or(|before| copies.contains_key(&before));
            if !account.is_acknowledged(edge.sequence) || !is_seen {
                continue;
            }
            self.edges_checked += 1;
            let turns = found
                .iter()
                .filter(|(dated, kind, start, end)| {
                    let turn = if edge.on { Some(*start) } else { *end };
                    *dated && *kind == edge.bit && turn.is_some_and(|at| at.timestamp() == edge.time_s)
                })
                .count();
            self.edges_missing += u64::from(turns != 1);
        }
    }

    fn print(&self, ledger: &Ledger) {
        let sums = &ledger.summary;
        println!("made               {:>9}", sums.made);
        println!("acknowledged       {:>9}", sums.acknowledged);
        println!("stored             {:>9}  ({} rows)", self.stored, self.rows);
        println!("missing            {:>9}", self.missing);
        println!("doubled            {:>9}", self.doubled);
        println!("quarantined        {:>9}", self.quarantined);
        println!("edges              {:>9}  ({} acknowledged)", sums.edges, sums.edges_acknowledged);
        println!(
            "  checked          {:>9}  ({} not there exactly once)",
            self.edges_checked, self.edges_missing
        );
        println!(
            "alarms             {:>9}  (expected {}, missing {}, wrong or doubled {})",
            self.alarms, self.alarms_expected, self.alarms_missing, self.alarms_wrong
        );
        println!("resent, old serial {:>9}", sums.resent_same_serial);
        println!("resent, new serial {:>9}", sums.resent_new_serial);
        println!("resent in a batch  {:>9}", sums.resent_batch);
        println!("poison times       {:>9}  ({} acknowledged)", sums.poison, sums.poison_acknowledged);
        println!("log-ins            {:>9}", sums.log_ins);
    }
}

/// The terminal's index and the report's number, which the simulator puts inside the body.
fn numbers(body: &[u8]) -> (u32, u32) {
    let report = LocationReport::decode(body, Edition::V2013).expect("a location");
    let item = report.items.find(SEQUENCE_ITEM).expect("with its number");
    let number = |at: usize| u32::from_be_bytes(item.value[at..at + 4].try_into().expect("four bytes"));
    (number(0), number(4))
}

/// The alarms that the rows show: for each bit, every run of instants that carry it, from the first of the
/// run to the first after it. Reports of one device time are one instant; those without a usable time are a track
/// of their own, by arrival.
fn expected_alarms(rows: &[Row]) -> BTreeSet<Alarm> {
    let mut tracks: BTreeMap<bool, BTreeMap<Time, u32>> = BTreeMap::new();
    for row in rows {
        let alarm = LocationReport::decode(&row.body, Edition::V2013).expect("a location").alarm;
        let at = if row.dated { row.device_time } else { row.received_at };
        *tracks.entry(row.dated).or_default().entry(at).or_default() |= alarm;
    }
    let mut alarms = BTreeSet::new();
    for (dated, track) in tracks {
        for bit in 0..32u8 {
            let mut start = None;
            for (at, alarm) in &track {
                match (alarm >> bit & 1 == 1, start) {
                    (true, None) => start = Some(*at),
                    (false, Some(began)) => {
                        alarms.insert((dated, bit, began, Some(*at)));
                        start = None;
                    }
                    _ => {}
                }
            }
            alarms.extend(start.map(|began| (dated, bit, began, None)));
        }
    }
    alarms
}
