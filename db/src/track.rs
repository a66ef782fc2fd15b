//! A terminal's track by the number of a page, thinned where asked: for faces that count pages. Everything else
//! reads tracks along a cursor: `position`.

use std::ops::RangeInclusive;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::sql_types::{Array, BigInt, Double, Nullable, Timestamptz};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use model::{Position, Scope, TerminalId};

use crate::company::{Key, keys};
use crate::position::{COLUMNS, PositionRow};
use crate::time::given;
use crate::{Db, DbError};

/// Which part of a track.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrackPart {
    /// From this device time on.
    pub from: DateTime<Utc>,
    /// To this device time, included.
    pub to: DateTime<Utc>,
    /// Only the first position of each so many kilometres of way, counted from the first position; positions
    /// without a fix have no place on the way and are left out. None or 0: all; else [`Db::TRACK_EVERY_KM`].
    pub every_km: Option<f64>,
    /// Only where the vehicle has been standing for at least so many seconds. None or 0: all.
    pub parked_s: Option<f64>,
    /// Positions that fit are passed over up to this one.
    pub offset: u32,
    /// At most so many positions.
    pub limit: Limit,
}

/// How many positions at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// So many of those that fit.
    Page(u32),
    /// All that fit, or none where they are more than these.
    AllOrNone(u32),
}

/// A part of a track, by rising device time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CountedTrack {
    /// How many positions fit in all.
    pub total: u64,
    /// Those of the part.
    pub positions: Vec<TrackPosition>,
}

/// A position in a [`CountedTrack`].
#[derive(Clone, Debug, PartialEq)]
pub struct TrackPosition {
    /// The position.
    pub position: Position,
    /// For how long the vehicle had been standing, seconds, as far as the range shows; counted only where
    /// [`TrackPart::parked_s`] asks, else 0.
    pub parked_s: f64,
}

#[derive(QueryableByName)]
struct TrackRow {
    #[diesel(embed)]
    position: PositionRow,
    #[diesel(sql_type = Double)]
    parked_s: f64,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    total: i64,
}

/// All of the range, in the order of the track's index: $1 terminal, $2 from, $3 to.
const ALL: &str = "SELECT p.*, 0::float8 AS parked_s FROM position p \
    WHERE p.terminal_id = $1 AND p.dated AND p.device_time BETWEEN $2 AND $3 \
    AND $4::float8 IS NULL AND $5::float8 IS NULL";

/// The same, thinned: $4 kilometres, $5 seconds. A degree of a great circle has 111.195 km; between two
/// reports the earth is flat.
const THINNED: &str = "WITH step AS ( \
      SELECT p.*, p.speed_kmh <= 0 AS parked, lag(p.speed_kmh <= 0) OVER w AS was_parked, \
        p.latitude - lag(p.latitude) OVER w AS north, p.longitude - lag(p.longitude) OVER w AS east \
      FROM position p \
      WHERE p.terminal_id = $1 AND p.dated AND p.device_time BETWEEN $2 AND $3 \
      AND ($4::float8 IS NULL OR p.status & 2 <> 0) \
      WINDOW w AS (ORDER BY p.device_time, p.body_hash) \
    ), way AS ( \
      SELECT step.*, \
        sum(coalesce(111.195 * sqrt(north ^ 2 + \
          ((east - 360 * round(east / 360)) * cos(radians(latitude))) ^ 2), 0)) OVER w AS km, \
        sum((parked IS DISTINCT FROM was_parked)::int) OVER w AS stretch \
      FROM step WINDOW w AS (ORDER BY device_time, body_hash) \
    ), mark AS ( \
      SELECT way.*, floor(km / $4) AS milestone, lag(floor(km / $4)) OVER (ORDER BY device_time, body_hash) AS passed, \
        CASE WHEN parked THEN extract(epoch FROM device_time - min(device_time) OVER (PARTITION BY stretch))::float8 \
          ELSE 0 END AS parked_s \
      FROM way \
    ) SELECT * FROM mark p WHERE ($4 IS NULL OR passed IS NULL OR milestone > passed) AND ($5::float8 IS NULL OR parked_s >= $5)";

impl Db {
    /// The shortest and longest way by which a track is thinned, kilometres: below a metre nothing is left out that a
    /// terminal can tell apart (and a quotient of the way may overflow), beyond a quarter of the equator nothing is
    /// left.
    pub const TRACK_EVERY_KM: RangeInclusive<f64> = 0.001..=10_000.0;

    /// A part of the track of `terminal`, with the number of all positions that fit. Positions without a
    /// device time are in no track.
    ///
    /// # Errors
    /// [`DbError::NotFound`]; [`DbError::Invalid`] where the range is backwards, longer than
    /// [`Self::TRACK_DAYS_MAX`] or not in the years 1 to 9999, or a thinning is no number from 0 or out of its
    /// bounds.
    pub async fn track_part(
        &self,
        scope: &Scope,
        terminal: TerminalId,
        part: TrackPart,
    ) -> Result<CountedTrack, DbError> {
        let part = TrackPart { from: given("from", part.from)?, to: given("to", part.to)?, ..part };
        if part.from > part.to || part.to - part.from > TimeDelta::days(Self::TRACK_DAYS_MAX) {
            let text = format!(
                "the range must not end before it begins, nor more than {} days later",
                Self::TRACK_DAYS_MAX
            );
            return Err(DbError::Invalid(text));
        }
        if [part.every_km, part.parked_s].into_iter().flatten().any(|least| least.is_nan() || least < 0.0) {
            return Err(DbError::Invalid("a thinning must be a number from 0".into()));
        }
        if part.every_km.is_some_and(|km| km != 0.0 && !Self::TRACK_EVERY_KM.contains(&km)) {
            let (least, most) = (Self::TRACK_EVERY_KM.start(), Self::TRACK_EVERY_KM.end());
            return Err(DbError::Invalid(format!("a track is thinned by 0 or {least} to {most} km")));
        }
        let keys = keys(scope);
        self.read(move |conn| {
            let _: Key = sql_query(
                "SELECT id FROM terminal WHERE id = $1 AND ($2::bigint[] IS NULL OR company_id = ANY ($2))",
            )
            .bind::<BigInt, _>(terminal.0)
            .bind::<Nullable<Array<BigInt>>, _>(keys)
            .get_result(conn)?;
            counted(conn, terminal, &part)
        })
        .await
    }
}

fn counted(conn: &mut PgConnection, terminal: TerminalId, part: &TrackPart) -> Result<CountedTrack, DbError> {
    let TrackPart { from, to, every_km, parked_s, offset, limit } = *part;
    let (every_km, parked_s) = (every_km.filter(|km| *km > 0.0), parked_s.filter(|s| *s > 0.0));
    let fitting = if every_km.is_none() && parked_s.is_none() { ALL } else { THINNED };
    let bound = |sql: String| {
        sql_query(sql)
            .bind::<BigInt, _>(terminal.0)
            .bind::<Timestamptz, _>(from)
            .bind::<Timestamptz, _>(to)
            .bind::<Nullable<Double>, _>(every_km)
            .bind::<Nullable<Double>, _>(parked_s)
    };
    let Count { total } =
        bound(format!("SELECT count(*) AS total FROM ({fitting}) fitting")).get_result(conn)?;
    let total = u64::try_from(total).unwrap_or_default();
    let most = match limit {
        Limit::AllOrNone(most) if total > u64::from(most) => {
            return Ok(CountedTrack { total, positions: Vec::new() });
        }
        Limit::AllOrNone(most) | Limit::Page(most) => most,
    };
    let rows: Vec<TrackRow> = bound(format!(
        "SELECT {COLUMNS}, p.parked_s FROM ({fitting}) p ORDER BY p.device_time, p.body_hash OFFSET $6 LIMIT $7"
    ))
    .bind::<BigInt, _>(i64::from(offset))
    .bind::<BigInt, _>(i64::from(most))
    .load(conn)?;
    let positions = rows
        .into_iter()
        .map(|TrackRow { position, parked_s }| TrackPosition {
            position: position.into_position().1,
            parked_s,
        })
        .collect();
    Ok(CountedTrack { total, positions })
}
