//! The statements of storing: what is read around a batch's reports and what is written.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Double, Nullable, SmallInt, Text, Timestamptz, Uuid};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use model::{Alarm, AlarmId, AlarmKind, AlarmSet, TerminalId};

use super::batch::{Columns, Row, UNDATED};
use super::edges::{Changes, Edge, Instant, Neighbours, Place};
use crate::DbError;

/// The newest of a terminal, as its locked row says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Newest {
    pub(super) dated: Option<Instant>,
    pub(super) undated: Option<Instant>,
    /// Time and hash of its latest position.
    pub(super) latest: Option<(DateTime<Utc>, i64)>,
}

impl Newest {
    pub(super) fn track(&self, dated: bool) -> Option<Instant> {
        if dated { self.dated } else { self.undated }
    }
}

#[derive(QueryableByName)]
struct NewestRow {
    #[diesel(sql_type = BigInt)]
    terminal_id: i64,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    dated_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    dated_alarms: i64,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    undated_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    undated_alarms: i64,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    body_hash: Option<i64>,
}

fn bits(word: i64) -> AlarmSet {
    AlarmSet(word.cast_unsigned())
}

/// Locks the terminals' rows in the order of their keys, so that two batches never wait for each other
/// both ways, and reads them. Terminals that are not there are missing from the answer.
pub(super) fn lock(conn: &mut PgConnection, terminals: &[i64]) -> Result<HashMap<i64, Newest>, DbError> {
    let mut found = lock_rows(conn, terminals)?;
    if found.len() < terminals.len() {
        let missing: Vec<i64> = terminals.iter().copied().filter(|id| !found.contains_key(id)).collect();
        sql_query(
            "INSERT INTO latest_position (terminal_id) SELECT id FROM terminal WHERE id = ANY ($1) ORDER BY id \
             ON CONFLICT DO NOTHING",
        )
        .bind::<Array<BigInt>, _>(&missing)
        .execute(conn)?;
        found.extend(lock_rows(conn, &missing)?);
    }
    Ok(found)
}

fn lock_rows(conn: &mut PgConnection, terminals: &[i64]) -> Result<HashMap<i64, Newest>, DbError> {
    let rows: Vec<NewestRow> = sql_query(
        "SELECT terminal_id, dated_at, dated_alarms, undated_at, undated_alarms, at, body_hash \
         FROM latest_position WHERE terminal_id = ANY ($1) ORDER BY terminal_id FOR UPDATE",
    )
    .bind::<Array<BigInt>, _>(terminals)
    .load(conn)?;
    let newest = rows.into_iter().map(|row| {
        let newest = Newest {
            dated: row.dated_at.map(|at| Instant { at, alarms: bits(row.dated_alarms) }),
            undated: row.undated_at.map(|at| Instant { at, alarms: bits(row.undated_alarms) }),
            latest: row.at.zip(row.body_hash),
        };
        (row.terminal_id, newest)
    });
    Ok(newest.collect())
}

/// Which of the bodies (terminal, hash) are stored without a date. A report whose time was impossible when
/// it first came may be possible when it is sent again: it is the same report.
pub(super) fn undated_among(
    conn: &mut PgConnection,
    terminals: &[i64],
    hashes: &[i64],
) -> Result<HashSet<(i64, i64)>, DbError> {
    #[derive(QueryableByName)]
    struct Body {
        #[diesel(sql_type = BigInt)]
        terminal_id: i64,
        #[diesel(sql_type = BigInt)]
        body_hash: i64,
    }
    let rows: Vec<Body> = sql_query(
        "SELECT k.terminal_id, k.body_hash FROM unnest($1::bigint[], $2::bigint[]) AS k (terminal_id, body_hash) \
         WHERE EXISTS (SELECT FROM position_default p WHERE p.terminal_id = k.terminal_id \
         AND p.device_time = $3 AND p.body_hash = k.body_hash)",
    )
    .bind::<Array<BigInt>, _>(terminals)
    .bind::<Array<BigInt>, _>(hashes)
    .bind::<Timestamptz, _>(UNDATED)
    .load(conn)?;
    Ok(rows.into_iter().map(|row| (row.terminal_id, row.body_hash)).collect())
}

/// A late instant and what is stored around it.
pub(super) type Around = HashMap<(i64, bool), HashMap<DateTime<Utc>, Neighbours>>;

#[derive(QueryableByName)]
struct AroundRow {
    #[diesel(sql_type = BigInt)]
    terminal_id: i64,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<BigInt>)]
    own_alarms: Option<i64>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    previous_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    previous_alarms: Option<i64>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    next_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    next_alarms: Option<i64>,
    #[diesel(sql_type = Nullable<Double>)]
    next_latitude: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    next_longitude: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    next_speed_kmh: Option<f64>,
}

/// Reads what is stored around the late instants (terminal, time) of the dated or the undated tracks.
pub(super) fn around(
    conn: &mut PgConnection,
    dated: bool,
    late: &[(i64, DateTime<Utc>)],
    into: &mut Around,
) -> Result<(), DbError> {
    if late.is_empty() {
        return Ok(());
    }
    // the neighbours are near, mostly: the day around is looked at first, so that two partitions are
    // touched and not all of them
    let day = TimeDelta::days(1);
    let terminals: Vec<i64> = late.iter().map(|(terminal, _)| *terminal).collect();
    let at: Vec<DateTime<Utc>> = late.iter().map(|(_, at)| *at).collect();
    let near_from: Vec<DateTime<Utc>> = at.iter().map(|at| *at - day).collect();
    let near_to: Vec<DateTime<Utc>> = at.iter().map(|at| *at + day).collect();
    let (table, time, among) = if dated {
        ("position", "device_time", "p.device_time >= '2010-01-01 00:00:00+00'")
    } else {
        ("position_default", "received_at", "NOT p.dated")
    };
    let mine = format!("FROM {table} p WHERE p.terminal_id = k.terminal_id AND {among} AND p.{time}");
    let rows: Vec<AroundRow> = sql_query(format!(
        "SELECT k.terminal_id, k.at, own.alarms AS own_alarms, \
           found.previous_at, previous.alarms AS previous_alarms, \
           found.next_at, next.alarms AS next_alarms, first.latitude AS next_latitude, \
           first.longitude AS next_longitude, first.speed_kmh AS next_speed_kmh \
         FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[]) \
           AS k (terminal_id, at, near_from, near_to) \
         CROSS JOIN LATERAL (SELECT \
           coalesce( \
             (SELECT p.{time} {mine} < k.at AND p.{time} >= k.near_from ORDER BY p.{time} DESC LIMIT 1), \
             (SELECT p.{time} {mine} < k.near_from ORDER BY p.{time} DESC LIMIT 1)) AS previous_at, \
           coalesce( \
             (SELECT p.{time} {mine} > k.at AND p.{time} <= k.near_to ORDER BY p.{time} LIMIT 1), \
             (SELECT p.{time} {mine} > k.near_to ORDER BY p.{time} LIMIT 1)) AS next_at) found \
         LEFT JOIN LATERAL (SELECT bit_or(p.alarms) AS alarms {mine} = k.at) own ON true \
         LEFT JOIN LATERAL (SELECT bit_or(p.alarms) AS alarms {mine} = found.previous_at) previous ON true \
         LEFT JOIN LATERAL (SELECT bit_or(p.alarms) AS alarms {mine} = found.next_at) next ON true \
         LEFT JOIN LATERAL (SELECT p.latitude, p.longitude, p.speed_kmh {mine} = found.next_at \
           ORDER BY p.body_hash LIMIT 1) first ON true"
    ))
    .bind::<Array<BigInt>, _>(&terminals)
    .bind::<Array<Timestamptz>, _>(&at)
    .bind::<Array<Timestamptz>, _>(&near_from)
    .bind::<Array<Timestamptz>, _>(&near_to)
    .load(conn)?;
    for row in rows {
        let instant = |at: Option<DateTime<Utc>>, alarms: Option<i64>| {
            at.zip(alarms).map(|(at, alarms)| Instant { at, alarms: bits(alarms) })
        };
        let place = Place {
            latitude: row.next_latitude.unwrap_or_default(),
            longitude: row.next_longitude.unwrap_or_default(),
            speed_kmh: row.next_speed_kmh.unwrap_or_default(),
        };
        let neighbours = Neighbours {
            own: row.own_alarms.map(bits),
            previous: instant(row.previous_at, row.previous_alarms),
            next: instant(row.next_at, row.next_alarms).map(|instant| (instant, place)),
        };
        into.entry((row.terminal_id, dated)).or_default().insert(row.at, neighbours);
    }
    Ok(())
}

/// Inserts the rows; gives the keys of those that were not there.
pub(super) fn insert(
    conn: &mut PgConnection,
    rows: &[Row],
) -> Result<HashSet<(i64, DateTime<Utc>, i64)>, DbError> {
    #[derive(QueryableByName)]
    struct Key {
        #[diesel(sql_type = BigInt)]
        terminal_id: i64,
        #[diesel(sql_type = Timestamptz)]
        device_time: DateTime<Utc>,
        #[diesel(sql_type = BigInt)]
        body_hash: i64,
    }
    let columns = Columns::of(rows.iter());
    let query = sql_query(format!(
        "INSERT INTO position ({names}) SELECT * FROM {unnest} ON CONFLICT DO NOTHING \
         RETURNING terminal_id, device_time, body_hash",
        names = Columns::NAMES,
        unnest = Columns::UNNEST
    ));
    let keys: Vec<Key> = columns.bind(query.into_boxed()).load(conn)?;
    Ok(keys.into_iter().map(|key| (key.terminal_id, key.device_time, key.body_hash)).collect())
}

/// Inserts the rows and tells how many were not there.
pub(super) fn insert_only(conn: &mut PgConnection, rows: &[Row]) -> Result<usize, DbError> {
    let columns = Columns::of(rows.iter());
    let query = sql_query(format!(
        "INSERT INTO position ({names}) SELECT * FROM {unnest} ON CONFLICT DO NOTHING",
        names = Columns::NAMES,
        unnest = Columns::UNNEST
    ));
    Ok(columns.bind(query.into_boxed()).execute(conn)?)
}

#[derive(QueryableByName)]
struct AlarmRow {
    #[diesel(sql_type = Uuid)]
    id: uuid::Uuid,
    #[diesel(sql_type = BigInt)]
    terminal_id: i64,
    #[diesel(sql_type = SmallInt)]
    kind: i16,
    #[diesel(sql_type = Bool)]
    dated: bool,
    #[diesel(sql_type = Timestamptz)]
    start_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    end_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Double)]
    latitude: f64,
    #[diesel(sql_type = Double)]
    longitude: f64,
    #[diesel(sql_type = Double)]
    speed_kmh: f64,
}

/// Most alarms that one edge concerns: the one that ends at or covers it and the one after; one to spare.
const ALARMS_PER_EDGE: i64 = 3;

/// Reads the alarms that the edges may concern, each with whether its track is dated.
pub(super) fn alarms(
    conn: &mut PgConnection,
    edges: &[(TerminalId, bool, Edge)],
) -> Result<Vec<(bool, Alarm)>, DbError> {
    let terminals: Vec<i64> = edges.iter().map(|(terminal, _, _)| terminal.0).collect();
    let kinds: Vec<i16> = edges.iter().map(|(_, _, edge)| i16::from(edge.kind.code())).collect();
    let dated: Vec<bool> = edges.iter().map(|(_, dated, _)| *dated).collect();
    let from: Vec<DateTime<Utc>> = edges.iter().map(|(_, _, edge)| edge.from()).collect();
    let rows: Vec<AlarmRow> = sql_query(format!(
        "SELECT DISTINCT a.id, a.terminal_id, a.kind, a.dated, a.start_at, a.end_at, a.latitude, a.longitude, a.speed_kmh \
         FROM unnest($1::bigint[], $2::smallint[], $3::boolean[], $4::timestamptz[]) AS k (terminal_id, kind, dated, at) \
         CROSS JOIN LATERAL (SELECT * FROM alarm a WHERE a.terminal_id = k.terminal_id AND a.kind = k.kind \
           AND a.dated = k.dated AND coalesce(a.end_at, 'infinity') >= k.at \
           ORDER BY coalesce(a.end_at, 'infinity') LIMIT {ALARMS_PER_EDGE}) a"
    ))
    .bind::<Array<BigInt>, _>(&terminals)
    .bind::<Array<SmallInt>, _>(&kinds)
    .bind::<Array<Bool>, _>(&dated)
    .bind::<Array<Timestamptz>, _>(&from)
    .load(conn)?;
    let alarms = rows.into_iter().filter_map(|row| {
        let alarm = Alarm {
            id: AlarmId(row.id),
            terminal: TerminalId(row.terminal_id),
            kind: u8::try_from(row.kind).ok().and_then(AlarmKind::new)?,
            start: row.start_at,
            end: row.end_at,
            confirmed: true,
            latitude: row.latitude,
            longitude: row.longitude,
            speed_kmh: row.speed_kmh,
        };
        Some((row.dated, alarm))
    });
    Ok(alarms.collect())
}

/// Writes what became different. `dated` tells the track of each added alarm.
pub(super) fn change_alarms(conn: &mut PgConnection, changes: &Changes, dated: bool) -> Result<(), DbError> {
    let Changes { removed, moved, ended, added, told: _ } = changes;
    if !removed.is_empty() {
        let ids: Vec<uuid::Uuid> = removed.iter().map(|id| id.0).collect();
        sql_query("DELETE FROM alarm WHERE id = ANY ($1)").bind::<Array<Uuid>, _>(&ids).execute(conn)?;
    }
    if !moved.is_empty() {
        let column =
            |f: &dyn Fn(&Alarm) -> f64| moved.iter().map(|(_, alarm)| f(alarm)).collect::<Vec<f64>>();
        sql_query(
            "UPDATE alarm a SET id = k.id, start_at = k.start_at, end_at = k.end_at, latitude = k.latitude, \
               longitude = k.longitude, speed_kmh = k.speed_kmh \
             FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::float8[], $6::float8[], \
               $7::float8[]) AS k (old_id, id, start_at, end_at, latitude, longitude, speed_kmh) \
             WHERE a.id = k.old_id",
        )
        .bind::<Array<Uuid>, _>(moved.iter().map(|(old, _)| old.0).collect::<Vec<_>>())
        .bind::<Array<Uuid>, _>(moved.iter().map(|(_, alarm)| alarm.id.0).collect::<Vec<_>>())
        .bind::<Array<Timestamptz>, _>(moved.iter().map(|(_, alarm)| alarm.start).collect::<Vec<_>>())
        .bind::<Array<Nullable<Timestamptz>>, _>(moved.iter().map(|(_, alarm)| alarm.end).collect::<Vec<_>>())
        .bind::<Array<Double>, _>(column(&|alarm| alarm.latitude))
        .bind::<Array<Double>, _>(column(&|alarm| alarm.longitude))
        .bind::<Array<Double>, _>(column(&|alarm| alarm.speed_kmh))
        .execute(conn)?;
    }
    if !ended.is_empty() {
        sql_query(
            "UPDATE alarm a SET end_at = k.end_at FROM unnest($1::uuid[], $2::timestamptz[]) AS k (id, end_at) \
             WHERE a.id = k.id",
        )
        .bind::<Array<Uuid>, _>(ended.iter().map(|(id, _)| id.0).collect::<Vec<_>>())
        .bind::<Array<Nullable<Timestamptz>>, _>(ended.iter().map(|(_, end)| *end).collect::<Vec<_>>())
        .execute(conn)?;
    }
    if !added.is_empty() {
        let column = |f: &dyn Fn(&Alarm) -> f64| added.iter().map(f).collect::<Vec<f64>>();
        sql_query(
            "INSERT INTO alarm (id, terminal_id, kind, dated, start_at, end_at, latitude, longitude, speed_kmh) \
             SELECT id, terminal_id, kind, $9, start_at, end_at, latitude, longitude, speed_kmh \
             FROM unnest($1::uuid[], $2::bigint[], $3::smallint[], $4::timestamptz[], $5::timestamptz[], $6::float8[], \
               $7::float8[], $8::float8[]) AS k (id, terminal_id, kind, start_at, end_at, latitude, longitude, speed_kmh) \
             ON CONFLICT DO NOTHING",
        )
        .bind::<Array<Uuid>, _>(added.iter().map(|alarm| alarm.id.0).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(added.iter().map(|alarm| alarm.terminal.0).collect::<Vec<_>>())
        .bind::<Array<SmallInt>, _>(added.iter().map(|alarm| i16::from(alarm.kind.code())).collect::<Vec<_>>())
        .bind::<Array<Timestamptz>, _>(added.iter().map(|alarm| alarm.start).collect::<Vec<_>>())
        .bind::<Array<Nullable<Timestamptz>>, _>(added.iter().map(|alarm| alarm.end).collect::<Vec<_>>())
        .bind::<Array<Double>, _>(column(&|alarm| alarm.latitude))
        .bind::<Array<Double>, _>(column(&|alarm| alarm.longitude))
        .bind::<Array<Double>, _>(column(&|alarm| alarm.speed_kmh))
        .bind::<Bool, _>(dated)
        .execute(conn)?;
    }
    Ok(())
}

/// Writes the newest instants of the terminals' tracks.
pub(super) fn change_newest(conn: &mut PgConnection, newest: &[(i64, Newest)]) -> Result<(), DbError> {
    if newest.is_empty() {
        return Ok(());
    }
    let at = |dated| newest.iter().map(|(_, n)| n.track(dated).map(|i| i.at)).collect::<Vec<_>>();
    let alarms = |dated| {
        newest.iter().map(|(_, n)| n.track(dated).map_or(0, |i| i.alarms.0.cast_signed())).collect::<Vec<_>>()
    };
    sql_query(
        "UPDATE latest_position l SET dated_at = k.dated_at, dated_alarms = k.dated_alarms, \
           undated_at = k.undated_at, undated_alarms = k.undated_alarms \
         FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[], $4::timestamptz[], $5::bigint[]) \
           AS k (terminal_id, dated_at, dated_alarms, undated_at, undated_alarms) \
         WHERE l.terminal_id = k.terminal_id",
    )
    .bind::<Array<BigInt>, _>(newest.iter().map(|(terminal, _)| *terminal).collect::<Vec<_>>())
    .bind::<Array<Nullable<Timestamptz>>, _>(at(true))
    .bind::<Array<BigInt>, _>(alarms(true))
    .bind::<Array<Nullable<Timestamptz>>, _>(at(false))
    .bind::<Array<BigInt>, _>(alarms(false))
    .execute(conn)?;
    Ok(())
}

/// Writes the terminals' latest positions, one row each, with the newest instants of their tracks.
pub(super) fn change_latest(
    conn: &mut PgConnection,
    rows: &[&Row],
    newest: &HashMap<i64, Newest>,
) -> Result<(), DbError> {
    if rows.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(rows.iter().copied());
    let of = |row: &&Row| newest.get(&row.terminal).copied().unwrap_or_default();
    let at = |dated| rows.iter().map(|row| of(row).track(dated).map(|i| i.at)).collect::<Vec<_>>();
    let alarms = |dated| {
        rows.iter()
            .map(|row| of(row).track(dated).map_or(0, |i| i.alarms.0.cast_signed()))
            .collect::<Vec<_>>()
    };
    let query = sql_query(format!(
        "UPDATE latest_position l SET dated_at = k.dated_at, dated_alarms = k.dated_alarms, \
           undated_at = k.undated_at, undated_alarms = k.undated_alarms, \
           at = CASE WHEN k.dated THEN k.device_time ELSE k.received_at END, body_hash = k.body_hash, \
           device_time = CASE WHEN k.dated THEN k.device_time END, received_at = k.received_at, \
           latitude = k.latitude, longitude = k.longitude, altitude_m = k.altitude_m, speed_kmh = k.speed_kmh, \
           direction_deg = k.direction_deg, status = k.status, alarms = k.alarms, mileage_km = k.mileage_km, \
           fuel_l = k.fuel_l, recorder_speed_kmh = k.recorder_speed_kmh, signal = k.signal, satellites = k.satellites \
         FROM {unnest}, $19::timestamptz[], $20::bigint[], $21::timestamptz[], $22::bigint[]) \
           AS k ({names}, dated_at, dated_alarms, undated_at, undated_alarms) \
         WHERE l.terminal_id = k.terminal_id",
        unnest = Columns::UNNEST.trim_end_matches(')'),
        names = Columns::NAMES
    ));
    columns
        .bind(query.into_boxed())
        .bind::<Array<Nullable<Timestamptz>>, _>(at(true))
        .bind::<Array<BigInt>, _>(alarms(true))
        .bind::<Array<Nullable<Timestamptz>>, _>(at(false))
        .bind::<Array<BigInt>, _>(alarms(false))
        .execute(conn)?;
    Ok(())
}

/// Puts a report aside, with the reason for people to read.
pub(super) fn quarantine(conn: &mut PgConnection, row: &Row, reason: &str) -> Result<(), DbError> {
    sql_query(
        "INSERT INTO quarantine (terminal_id, body, body_hash, reason, received_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT DO NOTHING",
    )
    .bind::<BigInt, _>(row.terminal)
    .bind::<diesel::sql_types::Binary, _>(&*row.report.body)
    .bind::<BigInt, _>(row.report.hash)
    .bind::<Text, _>(reason)
    .bind::<Timestamptz, _>(row.received_at)
    .execute(conn)?;
    Ok(())
}
