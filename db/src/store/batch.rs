//! A batch on its way in: each report normalised to what is stored, and the columns of the statements.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use diesel::pg::Pg;
use diesel::query_builder::BoxedSqlQuery;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Double, Integer, Nullable, SmallInt, Timestamptz};
use model::{Position, Recency, Report};

use super::edges::Place;

/// The one time under which reports without a possible time are stored.
pub(super) const UNDATED: DateTime<Utc> = DateTime::UNIX_EPOCH;
/// No terminal of this kind reported before (2010-01-01).
pub(super) const DATED_FROM: DateTime<Utc> =
    DateTime::from_timestamp_secs(1_262_304_000).expect("a time within range");
/// How far a terminal's clock may be ahead.
const AHEAD_MAX: TimeDelta = TimeDelta::hours(24);

/// A report as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Its place in the batch.
    pub(super) place_in_batch: usize,
    pub(super) terminal: i64,
    /// [`UNDATED`] where the terminal's time is impossible.
    pub(super) device_time: DateTime<Utc>,
    pub(super) received_at: DateTime<Utc>,
    pub(super) report: Report,
}

impl Row {
    /// Device times are kept to the millisecond, and no undated report's arrival falls on a whole one: so
    /// an alarm among dated reports and one among undated ones never start at the same time, which with
    /// terminal and kind makes an alarm's identity.
    pub(super) fn new(place_in_batch: usize, report: Report) -> Self {
        let Position { terminal, device_time, received_at, .. } = report.position;
        let micro = received_at.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(received_at);
        let milli = |time: DateTime<Utc>| time.duration_trunc(TimeDelta::milliseconds(1)).unwrap_or(time);
        let possible = |time: &DateTime<Utc>| {
            *time >= DATED_FROM
                && received_at.checked_add_signed(AHEAD_MAX).is_none_or(|latest| *time <= latest)
        };
        let (device_time, received_at) = match device_time.filter(possible) {
            Some(time) => (milli(time), micro),
            None if micro == milli(micro) => (UNDATED, micro + TimeDelta::microseconds(1)),
            None => (UNDATED, micro),
        };
        Self { place_in_batch, terminal: terminal.0, device_time, received_at, report }
    }

    pub(super) fn is_dated(&self) -> bool {
        self.device_time != UNDATED
    }

    /// What orders it in its track.
    pub(super) fn at(&self) -> DateTime<Utc> {
        if self.is_dated() { self.device_time } else { self.received_at }
    }

    /// What tells the latest of its terminal: for equal ones the body decides, so that the order of arrival
    /// does not.
    pub(super) fn recency(&self) -> (Recency, i64) {
        let device_time = self.is_dated().then_some(self.device_time);
        (Recency::new(device_time, self.received_at), self.report.hash)
    }

    /// Its primary key.
    pub(super) fn key(&self) -> (i64, DateTime<Utc>, i64) {
        (self.terminal, self.device_time, self.report.hash)
    }

    pub(super) fn place(&self) -> Place {
        let Position { latitude, longitude, speed_kmh, .. } = self.report.position;
        Place { latitude, longitude, speed_kmh }
    }

    /// Why the table can never take it: the same bounds as the table's own, checked here first so that a
    /// terminal that sends nothing else does not make every batch fail.
    pub(super) fn unfit(&self) -> Option<&'static str> {
        let position = &self.report.position;
        if !(-90.0..=90.0).contains(&position.latitude) || !(-180.0..=180.0).contains(&position.longitude) {
            return Some("coordinates outside the globe");
        }
        if !(0.0..f64::INFINITY).contains(&position.speed_kmh) {
            return Some("speed is no speed");
        }
        i16::try_from(position.direction_deg).err().map(|_| "direction is no direction")
    }
}

/// Rows by column, for `UNNEST`.
pub(super) struct Columns<'a> {
    terminal_id: Vec<i64>,
    device_time: Vec<DateTime<Utc>>,
    body_hash: Vec<i64>,
    received_at: Vec<DateTime<Utc>>,
    dated: Vec<bool>,
    latitude: Vec<f64>,
    longitude: Vec<f64>,
    altitude_m: Vec<i32>,
    speed_kmh: Vec<f64>,
    direction_deg: Vec<i16>,
    status: Vec<i64>,
    alarms: Vec<i64>,
    mileage_km: Vec<Option<f64>>,
    fuel_l: Vec<Option<f64>>,
    recorder_speed_kmh: Vec<Option<f64>>,
    signal: Vec<Option<i16>>,
    satellites: Vec<Option<i16>>,
    body: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    /// Their names, in the order in which [`bind`](Self::bind) binds them.
    pub(super) const NAMES: &'static str = "terminal_id, device_time, body_hash, received_at, dated, latitude, longitude, \
        altitude_m, speed_kmh, direction_deg, status, alarms, mileage_km, fuel_l, recorder_speed_kmh, signal, \
        satellites, body";
    /// `UNNEST` over all of them as parameters 1 to 18.
    pub(super) const UNNEST: &'static str = "unnest($1::bigint[], $2::timestamptz[], $3::bigint[], $4::timestamptz[], \
        $5::boolean[], $6::float8[], $7::float8[], $8::integer[], $9::float8[], $10::smallint[], $11::bigint[], \
        $12::bigint[], $13::float8[], $14::float8[], $15::float8[], $16::smallint[], $17::smallint[], $18::bytea[])";

    pub(super) fn of(rows: impl Iterator<Item = &'a Row> + Clone) -> Self {
        fn collect<'a, T>(
            rows: &(impl Iterator<Item = &'a Row> + Clone),
            column: impl Fn(&'a Row) -> T,
        ) -> Vec<T> {
            rows.clone().map(column).collect()
        }
        fn position<'a, T>(
            rows: &(impl Iterator<Item = &'a Row> + Clone),
            column: impl Fn(&'a Position) -> T,
        ) -> Vec<T> {
            rows.clone().map(|row| column(&row.report.position)).collect()
        }
        Self {
            terminal_id: collect(&rows, |row| row.terminal),
            device_time: collect(&rows, |row| row.device_time),
            body_hash: collect(&rows, |row| row.report.hash),
            received_at: collect(&rows, |row| row.received_at),
            dated: collect(&rows, Row::is_dated),
            latitude: position(&rows, |p| p.latitude),
            longitude: position(&rows, |p| p.longitude),
            altitude_m: position(&rows, |p| p.altitude_m),
            speed_kmh: position(&rows, |p| p.speed_kmh),
            direction_deg: position(&rows, |p| i16::try_from(p.direction_deg).unwrap_or(-1)),
            status: position(&rows, |p| i64::from(p.status.0)),
            alarms: position(&rows, |p| p.alarms.0.cast_signed()),
            mileage_km: position(&rows, |p| p.mileage_km),
            fuel_l: position(&rows, |p| p.fuel_l),
            recorder_speed_kmh: position(&rows, |p| p.recorder_speed_kmh),
            signal: position(&rows, |p| p.signal.map(i16::from)),
            satellites: position(&rows, |p| p.satellites.map(i16::from)),
            body: collect(&rows, |row| &*row.report.body),
        }
    }

    pub(super) fn bind<'f>(
        &'f self,
        query: BoxedSqlQuery<'f, Pg, diesel::query_builder::SqlQuery>,
    ) -> BoxedSqlQuery<'f, Pg, diesel::query_builder::SqlQuery> {
        query
            .bind::<Array<BigInt>, _>(&self.terminal_id[..])
            .bind::<Array<Timestamptz>, _>(&self.device_time[..])
            .bind::<Array<BigInt>, _>(&self.body_hash[..])
            .bind::<Array<Timestamptz>, _>(&self.received_at[..])
            .bind::<Array<Bool>, _>(&self.dated[..])
            .bind::<Array<Double>, _>(&self.latitude[..])
            .bind::<Array<Double>, _>(&self.longitude[..])
            .bind::<Array<Integer>, _>(&self.altitude_m[..])
            .bind::<Array<Double>, _>(&self.speed_kmh[..])
            .bind::<Array<SmallInt>, _>(&self.direction_deg[..])
            .bind::<Array<BigInt>, _>(&self.status[..])
            .bind::<Array<BigInt>, _>(&self.alarms[..])
            .bind::<Array<Nullable<Double>>, _>(&self.mileage_km[..])
            .bind::<Array<Nullable<Double>>, _>(&self.fuel_l[..])
            .bind::<Array<Nullable<Double>>, _>(&self.recorder_speed_kmh[..])
            .bind::<Array<Nullable<SmallInt>>, _>(&self.signal[..])
            .bind::<Array<Nullable<SmallInt>>, _>(&self.satellites[..])
            .bind::<Array<Binary>, _>(&self.body[..])
    }
}
