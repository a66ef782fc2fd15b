//! The statements of storing: what is locked and read of a batch's terminals, and what is written.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Double, Nullable, SmallInt, Text, Timestamptz, Uuid};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use model::{Alarm, AlarmSet, Recency, TerminalId};

use super::batch::{Columns, Row, UNDATED};
use super::edges::{Changes, Edge, Instant};
use crate::DbError;
use crate::alarm::AlarmRow;

/// The newest of a terminal, as its locked row says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Newest {
    pub(super) dated: Option<Instant>,
    pub(super) undated: Option<Instant>,
    /// Recency and hash of its latest position.
    pub(super) latest: Option<(Recency, i64)>,
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
    device_time: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    received_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    body_hash: Option<i64>,
}

pub(super) fn bits(word: i64) -> AlarmSet {
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
        "SELECT terminal_id, dated_at, dated_alarms, undated_at, undated_alarms, device_time, received_at, \
         body_hash \
         FROM latest_position WHERE terminal_id = ANY ($1) ORDER BY terminal_id FOR UPDATE",
    )
    .bind::<Array<BigInt>, _>(terminals)
    .load(conn)?;
    let newest = rows.into_iter().map(|row| {
        let newest = Newest {
            dated: row.dated_at.map(|at| Instant { at, alarms: bits(row.dated_alarms) }),
            undated: row.undated_at.map(|at| Instant { at, alarms: bits(row.undated_alarms) }),
            latest: row
                .received_at
                .map(|received_at| Recency::new(row.device_time, received_at))
                .zip(row.body_hash),
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
         WHERE EXISTS (SELECT FROM position_undated p WHERE p.terminal_id = k.terminal_id \
         AND p.device_time = $3 AND p.body_hash = k.body_hash)",
    )
    .bind::<Array<BigInt>, _>(terminals)
    .bind::<Array<BigInt>, _>(hashes)
    .bind::<Timestamptz, _>(UNDATED)
    .load(conn)?;
    Ok(rows.into_iter().map(|row| (row.terminal_id, row.body_hash)).collect())
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
        "SELECT DISTINCT {COLUMNS} \
         FROM unnest($1::bigint[], $2::smallint[], $3::boolean[], $4::timestamptz[]) AS k (terminal_id, kind, dated, at) \
         CROSS JOIN LATERAL (SELECT * FROM alarm a WHERE a.terminal_id = k.terminal_id AND a.kind = k.kind \
           AND a.dated = k.dated AND coalesce(a.end_at, 'infinity') >= k.at \
           ORDER BY coalesce(a.end_at, 'infinity') LIMIT {ALARMS_PER_EDGE}) a",
        COLUMNS = AlarmRow::COLUMNS
    ))
    .bind::<Array<BigInt>, _>(&terminals)
    .bind::<Array<SmallInt>, _>(&kinds)
    .bind::<Array<Bool>, _>(&dated)
    .bind::<Array<Timestamptz>, _>(&from)
    .load(conn)?;
    Ok(rows.into_iter().filter_map(|row| Some((row.dated, row.into_alarm()?))).collect())
}

/// The alarms of terminals (with the track and an instant of it) that start at that instant, and those that
/// end there.
pub(super) fn alarms_at(
    conn: &mut PgConnection,
    instants: &[(i64, bool, DateTime<Utc>)],
) -> Result<(Vec<Alarm>, Vec<Alarm>), DbError> {
    let terminals: Vec<i64> = instants.iter().map(|(terminal, _, _)| *terminal).collect();
    let dated: Vec<bool> = instants.iter().map(|(_, dated, _)| *dated).collect();
    let at: Vec<DateTime<Utc>> = instants.iter().map(|(_, _, at)| *at).collect();
    // each kind is named, so that the indexes, in which it comes second, lead to the time
    let mut find = |time: &str| -> Result<Vec<Alarm>, DbError> {
        let rows: Vec<AlarmRow> = sql_query(format!(
            "SELECT DISTINCT {COLUMNS} \
             FROM unnest($1::bigint[], $2::boolean[], $3::timestamptz[]) AS k (terminal_id, dated, at) \
             JOIN alarm a ON a.terminal_id = k.terminal_id AND a.dated = k.dated AND {time} = k.at \
               AND a.kind = ANY (ARRAY (SELECT generate_series(0, 63)::smallint))",
            COLUMNS = AlarmRow::COLUMNS
        ))
        .bind::<Array<BigInt>, _>(&terminals)
        .bind::<Array<Bool>, _>(&dated)
        .bind::<Array<Timestamptz>, _>(&at)
        .load(conn)?;
        Ok(rows.into_iter().filter_map(AlarmRow::into_alarm).collect())
    };
    Ok((find("a.start_at")?, find("coalesce(a.end_at, 'infinity')")?))
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
           at = CASE WHEN k.dated THEN least(k.device_time, k.received_at) ELSE k.received_at END, body_hash = k.body_hash, \
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
