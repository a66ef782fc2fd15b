//! What the tests make reports and terminals of.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use db::testing::TestDb;
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use model::{AlarmSet, Position, Report, StatusSet, TerminalId};

/// When the tests' trips begin.
pub(crate) fn start() -> DateTime<Utc> {
    "2026-03-01T08:00:00Z".parse().expect("a time")
}

/// `seconds` into the trip.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    start() + TimeDelta::seconds(seconds)
}

/// A report of `terminal` at `device_time` with alarm bits; `salt` tells bodies apart.
pub(crate) fn report(
    terminal: TerminalId,
    device_time: Option<DateTime<Utc>>,
    alarms: u64,
    salt: u32,
) -> Report {
    let mut body = Vec::from(salt.to_be_bytes());
    body.extend(device_time.map_or(0, |time| time.timestamp_micros()).to_be_bytes());
    body.extend(alarms.to_be_bytes());
    let hash =
        body.iter().fold(0x1234_5678_9abc_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    Report {
        position: Position {
            latitude: 31.2,
            longitude: 121.5,
            altitude_m: 4,
            speed_kmh: 60.5,
            direction_deg: 90,
            status: StatusSet(3),
            alarms: AlarmSet(alarms),
            mileage_km: Some(12.5),
            signal: Some(31),
            satellites: Some(9),
            ..Position::blank(terminal, device_time, at(86_400 + i64::from(salt)))
        },
        body: body.into(),
        hash: hash.cast_signed(),
    }
}

/// A terminal of its own, with a vehicle, under the root company.
pub(crate) async fn terminal(test: &TestDb, sim: &str) -> TerminalId {
    let sim = sim.parse().expect("a SIM");
    test.db().admit(&sim, &db::Registration::default()).await.expect("admitted").id
}

/// Waits for a condition, a minute at most.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What `SELECT count(*)` says.
pub(crate) fn count(test: &TestDb, of: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let count: Count = sql_query(format!("SELECT count(*) AS count FROM {of}"))
        .get_result(&mut test.connection())
        .expect("a table");
    count.count
}
