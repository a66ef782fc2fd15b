//! What a simulated fleet was told is stored, held against what is stored: read by SQL, the alarms that should be there
//! computed anew from the rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use diesel::sql_types::{BigInt, Binary, Bool, Nullable, SmallInt, Text, Timestamptz};
use diesel::{PgConnection, QueryableByName, RunQueryDsl as _, sql_query};
use protocol::jt808::{Edition, LocationReport};
use sim::{Account, Ledger, SEQUENCE_ITEM};

type Time = chrono::DateTime<chrono::Utc>;

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

/// What became of what a fleet was told is stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Findings {
    pub rows: u64,
    pub stored: u64,
    pub missing: u64,
    pub doubled: u64,
    pub quarantined: u64,
    pub alarms: u64,
    pub alarms_expected: u64,
    pub alarms_missing: u64,
    pub alarms_wrong: u64,
    pub edges_checked: u64,
    pub edges_missing: u64,
}

impl Findings {
    /// Compares the fleet's ledger with the database.
    pub fn of(ledger: &Ledger, conn: &mut PgConnection) -> Self {
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

    /// Every report that was acknowledged is stored, once, and every alarm edge once.
    pub fn assert_nothing_is_missing(&self) {
        assert_eq!(self.missing, 0, "acknowledged and lost");
        assert_eq!(self.doubled, 0, "stored twice");
        assert_eq!(self.quarantined, 0, "all of these can be stored");
        assert_eq!(self.alarms_missing, 0, "alarms that the stored positions show");
        assert_eq!(self.alarms_wrong, 0, "alarms that they do not show");
        assert_eq!(self.edges_missing, 0, "alarm edges that were acknowledged");
    }

    /// One figure a line.
    pub fn print(&self, ledger: &Ledger) {
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
