//! What is stored around the late reports of a batch: the instants before and after each.
//!
//! A statement over `position` plans for, and locks, every day that its bounds of time do not exclude. The
//! neighbours of a report are near, mostly: so they are looked for within days first, in statements whose
//! bounds are plain parameters, and everywhere only for the few that have none there.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::sql_types::{Array, BigInt, Double, Nullable, Timestamptz};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};

use super::batch::DATED_FROM;
use super::edges::{Instant, Neighbours, Place};
use super::history::bits;
use crate::DbError;

/// How far around a late instant its neighbours are looked for, one attempt after the other; then everywhere.
const REACHES: [TimeDelta; 2] = [TimeDelta::days(1), TimeDelta::days(16)];
/// Most statements of one attempt: a batch whose late reports are scattered over more stretches of time than
/// this looks into the days between some of them.
const STRETCHES_MAX: usize = 8;

/// A report that is not newer than the newest stored of its track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Late {
    pub(super) at: DateTime<Utc>,
    pub(super) terminal: i64,
    /// The newest instant stored: behind it nothing is looked for.
    pub(super) newest: DateTime<Utc>,
}

/// The late instants of each terminal's dated and undated track, and what is stored around them.
pub(super) type Around = HashMap<(i64, bool), HashMap<DateTime<Utc>, Neighbours>>;

/// Reads what is stored around the late instants of the dated or the undated tracks.
pub(super) fn read(
    conn: &mut PgConnection,
    dated: bool,
    mut late: Vec<Late>,
    into: &mut Around,
) -> Result<(), DbError> {
    late.sort_unstable();
    let reaches = if dated { &REACHES[..] } else { &[] };
    for reach in reaches.iter().copied().map(Some).chain([None]) {
        for stretch in stretches(&late, reach) {
            look(conn, dated, stretch, reach, into)?;
        }
        late.retain(|late| !is_settled(late, dated, into));
    }
    Ok(())
}

fn is_settled(late: &Late, dated: bool, around: &Around) -> bool {
    around.get(&(late.terminal, dated)).and_then(|around| around.get(&late.at)).is_some_and(|found| {
        // the newest itself has nothing after it
        found.previous.is_some() && (found.next.is_some() || late.at >= late.newest)
    })
}

/// `late` (by rising time) cut where nothing within `reach` is common to both sides, at the widest gaps.
fn stretches(late: &[Late], reach: Option<TimeDelta>) -> Vec<&[Late]> {
    let apart = reach.map_or(TimeDelta::MAX, |reach| reach * 2);
    let mut gaps: Vec<(TimeDelta, usize)> = late
        .windows(2)
        .enumerate()
        .map(|(place, pair)| (pair[1].at - pair[0].at, place + 1))
        .filter(|(gap, _)| *gap > apart)
        .collect();
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    gaps.truncate(STRETCHES_MAX - 1);
    let mut cuts: Vec<usize> = gaps.into_iter().map(|(_, place)| place).collect();
    cuts.sort_unstable();
    let mut rest = late;
    let mut done = 0;
    let mut stretches = Vec::with_capacity(cuts.len() + 1);
    for cut in cuts {
        let (stretch, after) = rest.split_at(cut - done);
        stretches.push(stretch);
        (rest, done) = (after, cut);
    }
    stretches.push(rest);
    stretches.retain(|stretch| !stretch.is_empty());
    stretches
}

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

/// One statement for a stretch of late instants, within `reach` of it.
fn look(
    conn: &mut PgConnection,
    dated: bool,
    late: &[Late],
    reach: Option<TimeDelta>,
    into: &mut Around,
) -> Result<(), DbError> {
    let (Some(first), Some(last)) = (late.first(), late.last()) else { return Ok(()) };
    let newest = late.iter().map(|late| late.newest).max().unwrap_or(last.newest);
    let from = reach.map_or(DATED_FROM, |reach| (first.at - reach).max(DATED_FROM));
    let to = reach.map_or(newest, |reach| (last.at + reach).min(newest));
    let terminals: Vec<i64> = late.iter().map(|late| late.terminal).collect();
    let at: Vec<DateTime<Utc>> = late.iter().map(|late| late.at).collect();
    let (table, time) = if dated { ("position", "device_time") } else { ("position_undated", "received_at") };
    let mine = format!(
        "FROM {table} p WHERE p.terminal_id = k.terminal_id AND p.{time} >= $3 AND p.{time} <= $4 AND p.{time}"
    );
    let rows: Vec<AroundRow> = sql_query(format!(
        "SELECT k.terminal_id, k.at, own.alarms AS own_alarms, \
           found.previous_at, previous.alarms AS previous_alarms, \
           found.next_at, next.alarms AS next_alarms, first.latitude AS next_latitude, \
           first.longitude AS next_longitude, first.speed_kmh AS next_speed_kmh \
         FROM unnest($1::bigint[], $2::timestamptz[]) AS k (terminal_id, at) \
         CROSS JOIN LATERAL (SELECT \
           (SELECT p.{time} {mine} < k.at ORDER BY p.{time} DESC LIMIT 1) AS previous_at, \
           (SELECT p.{time} {mine} > k.at ORDER BY p.{time} LIMIT 1) AS next_at) found \
         LEFT JOIN LATERAL (SELECT bit_or(p.alarms) AS alarms {mine} = k.at) own ON true \
         LEFT JOIN LATERAL (SELECT bit_or(p.alarms) AS alarms {mine} = found.previous_at) previous ON true \
         LEFT JOIN LATERAL (SELECT bit_or(p.alarms) AS alarms {mine} = found.next_at) next ON true \
         LEFT JOIN LATERAL (SELECT p.latitude, p.longitude, p.speed_kmh {mine} = found.next_at \
           ORDER BY p.body_hash LIMIT 1) first ON true"
    ))
    .bind::<Array<BigInt>, _>(&terminals)
    .bind::<Array<Timestamptz>, _>(&at)
    .bind::<Timestamptz, _>(from)
    .bind::<Timestamptz, _>(to)
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
        // a wider look finds what a narrower one found, and more
        let neighbours = Neighbours {
            own: row.own_alarms.map(bits),
            previous: instant(row.previous_at, row.previous_alarms),
            next: instant(row.next_at, row.next_alarms).map(|instant| (instant, place)),
        };
        into.entry((row.terminal_id, dated)).or_default().insert(row.at, neighbours);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn late(day: i64) -> Late {
        let at = DateTime::from_timestamp(1_700_000_000 + day * 86_400, 0).expect("a time");
        Late { at, terminal: day, newest: at }
    }

    fn days(stretches: &[&[Late]]) -> Vec<Vec<i64>> {
        stretches.iter().map(|stretch| stretch.iter().map(|late| late.terminal).collect()).collect()
    }

    #[test]
    fn late_reports_far_apart_are_looked_for_apart() {
        let all: Vec<Late> = [0, 1, 3, 9, 11, 300].map(late).into();
        let day = Some(TimeDelta::days(1));
        assert_eq!(days(&stretches(&all, day)), [vec![0, 1, 3], vec![9, 11], vec![300]]);
        assert_eq!(days(&stretches(&all, None)), [vec![0, 1, 3, 9, 11, 300]]);
        assert!(stretches(&[], day).is_empty());
    }

    #[test]
    fn scattered_ones_are_cut_at_the_widest_gaps_only() {
        let all: Vec<Late> = (0..20).map(|n| late(n * n)).collect();
        let stretches = stretches(&all, Some(TimeDelta::days(1)));
        assert_eq!(stretches.len(), STRETCHES_MAX);
        assert_eq!(stretches.iter().map(|stretch| stretch.len()).sum::<usize>(), 20);
        assert_eq!(stretches[0].len(), 13, "the early, near ones stay together");
    }
}
