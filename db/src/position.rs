//! Reading positions: the latest of each terminal, and tracks.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, SmallInt, Text, Timestamptz};
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use model::{AlarmSet, CompanyId, Position, Scope, StatusSet, TerminalId, VehicleId};

use crate::company::{self, Key, keys};
use crate::{Db, DbError, Page, Paged, time};

/// Where a terminal is now.
#[derive(Clone, Debug, PartialEq)]
pub struct LatestPosition {
    /// Which terminal.
    pub terminal_id: TerminalId,
    /// The number by which people name it.
    pub device_no: String,
    /// The vehicle that carries it.
    pub vehicle_id: Option<VehicleId>,
    /// That vehicle's plate.
    pub plate: Option<String>,
    /// Whose it is.
    pub company_id: CompanyId,
    /// Whether it has an authenticated link.
    pub online: bool,
    /// When it last authenticated, lost its link, or sent a stored report.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// Its newest position; None before the first.
    pub position: Option<Position>,
}

/// Whose track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track {
    /// Of all terminals that the vehicle carries now.
    Vehicle(VehicleId),
    /// Of one terminal.
    Terminal(TerminalId),
}

#[derive(QueryableByName)]
pub(crate) struct PositionRow {
    #[diesel(sql_type = BigInt)]
    terminal_id: i64,
    #[diesel(sql_type = BigInt)]
    body_hash: i64,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    device_time: Option<DateTime<Utc>>,
    #[diesel(sql_type = Timestamptz)]
    received_at: DateTime<Utc>,
    #[diesel(sql_type = Double)]
    latitude: f64,
    #[diesel(sql_type = Double)]
    longitude: f64,
    #[diesel(sql_type = Integer)]
    altitude_m: i32,
    #[diesel(sql_type = Double)]
    speed_kmh: f64,
    #[diesel(sql_type = SmallInt)]
    direction_deg: i16,
    #[diesel(sql_type = BigInt)]
    status: i64,
    #[diesel(sql_type = BigInt)]
    alarms: i64,
    #[diesel(sql_type = Nullable<Double>)]
    mileage_km: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    fuel_l: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    recorder_speed_kmh: Option<f64>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    signal: Option<i16>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    satellites: Option<i16>,
}

/// What [`PositionRow`] reads, of a table `p`.
pub(crate) const COLUMNS: &str = "p.terminal_id, p.body_hash, p.device_time, p.received_at, p.latitude, p.longitude, p.altitude_m, \
    p.speed_kmh, p.direction_deg, p.status, p.alarms, p.mileage_km, p.fuel_l, p.recorder_speed_kmh, p.signal, p.satellites";

impl PositionRow {
    /// With its hash, which orders positions of equal times.
    pub(crate) fn into_position(self) -> (i64, Position) {
        let Self {
            terminal_id,
            body_hash,
            device_time,
            received_at,
            latitude,
            longitude,
            altitude_m,
            speed_kmh,
            direction_deg,
            status,
            alarms,
            mileage_km,
            fuel_l,
            recorder_speed_kmh,
            signal,
            satellites,
        } = self;
        let byte = |number: Option<i16>| number.and_then(|number| u8::try_from(number).ok());
        let position = Position {
            terminal: TerminalId(terminal_id),
            device_time,
            received_at,
            latitude,
            longitude,
            altitude_m,
            speed_kmh,
            direction_deg: u16::try_from(direction_deg).unwrap_or_default(),
            status: StatusSet(u32::try_from(status).unwrap_or_default()),
            alarms: AlarmSet(alarms.cast_unsigned()),
            mileage_km,
            fuel_l,
            recorder_speed_kmh,
            signal: byte(signal),
            satellites: byte(satellites),
        };
        (body_hash, position)
    }
}

#[derive(QueryableByName)]
struct HolderRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    device_no: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    vehicle_id: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    plate: Option<String>,
    #[diesel(sql_type = BigInt)]
    company_id: i64,
    #[diesel(sql_type = Bool)]
    online: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    last_seen_at: Option<DateTime<Utc>>,
}

impl Db {
    /// Longest range of a track, days.
    pub const TRACK_DAYS_MAX: i64 = 31;

    /// The latest positions of the terminals in `scope` (of `company` and below, where given), by terminal.
    ///
    /// # Errors
    /// [`DbError::Invalid`] for a cursor that is not from this list.
    pub async fn latest_positions(
        &self,
        scope: &Scope,
        company: Option<CompanyId>,
        page: &Page,
    ) -> Result<Paged<LatestPosition>, DbError> {
        let (after, rows) = (page.numbers::<1>()?.map_or(0, |[id]| id), page.rows());
        let found = self.latest(scope, company, after, rows, None).await?;
        Ok(page.cut(found, |latest| [latest.terminal_id.0]))
    }

    /// The latest position of one terminal.
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn latest_position(
        &self,
        scope: &Scope,
        terminal: TerminalId,
    ) -> Result<LatestPosition, DbError> {
        self.latest(scope, None, i64::MIN, 1, Some(vec![terminal.0]))
            .await?
            .into_iter()
            .next()
            .ok_or(DbError::NotFound)
    }

    /// The latest positions of these terminals, for the platform itself, by terminal; those that do not exist
    /// are left out.
    ///
    /// # Errors
    /// As any query.
    pub async fn latest_positions_of(
        &self,
        terminals: &[TerminalId],
    ) -> Result<Vec<LatestPosition>, DbError> {
        let ids: Vec<i64> = terminals.iter().map(|terminal| terminal.0).collect();
        let rows = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        self.latest(&Scope::platform(), None, i64::MIN, rows, Some(ids)).await
    }

    async fn latest(
        &self,
        scope: &Scope,
        company: Option<CompanyId>,
        after: i64,
        rows: i64,
        only: Option<Vec<i64>>,
    ) -> Result<Vec<LatestPosition>, DbError> {
        let keys = keys(scope);
        // not behind people's lists and tracks: status calls and event streams wait for this
        self.links(move |conn| {
            let under = company.map(|company| company::below(conn, company)).transpose()?;
            let under: Option<Vec<i64>> =
                under.map(|under| under.into_iter().map(|company| company.0).collect());
            let holders: Vec<HolderRow> = sql_query(
                "SELECT t.id, t.device_no, t.vehicle_id, v.plate, t.company_id, t.online, \
                   greatest(t.last_seen_at, l.received_at) AS last_seen_at \
                 FROM terminal t LEFT JOIN vehicle v ON v.id = t.vehicle_id \
                 LEFT JOIN latest_position l ON l.terminal_id = t.id \
                 WHERE t.id > $1 AND ($2::bigint[] IS NULL OR t.company_id = ANY ($2)) \
                 AND ($3::bigint[] IS NULL OR t.company_id = ANY ($3)) AND ($4::bigint[] IS NULL OR t.id = ANY ($4)) \
                 ORDER BY t.id LIMIT $5",
            )
            .bind::<BigInt, _>(after)
            .bind::<Nullable<Array<BigInt>>, _>(keys)
            .bind::<Nullable<Array<BigInt>>, _>(under)
            .bind::<Nullable<Array<BigInt>>, _>(only)
            .bind::<BigInt, _>(rows)
            .load(conn)?;
            let ids: Vec<i64> = holders.iter().map(|holder| holder.id).collect();
            let positions: Vec<PositionRow> = sql_query(format!(
                "SELECT {COLUMNS} FROM latest_position p WHERE p.terminal_id = ANY ($1) AND p.at IS NOT NULL"
            ))
            .bind::<Array<BigInt>, _>(ids)
            .load(conn)?;
            let mut positions: std::collections::HashMap<i64, Position> =
                positions.into_iter().map(|row| (row.terminal_id, row.into_position().1)).collect();
            let latest = holders.into_iter().map(|holder| {
                let HolderRow { id, device_no, vehicle_id, plate, company_id, online, last_seen_at } = holder;
                LatestPosition {
                    terminal_id: TerminalId(id),
                    device_no,
                    vehicle_id: vehicle_id.map(VehicleId),
                    plate,
                    company_id: CompanyId(company_id),
                    online,
                    last_seen_at,
                    position: positions.remove(&id),
                }
            });
            Ok(latest.collect())
        })
        .await
    }

    /// The positions with a device time from `from` (included) to `to` (excluded), by rising device time.
    /// Positions without a device time are in no track.
    ///
    /// # Errors
    /// [`DbError::NotFound`]; [`DbError::Invalid`] where the range is empty, backwards or longer than
    /// [`Self::TRACK_DAYS_MAX`], and for a cursor that is not from this list.
    pub async fn track_between(
        &self,
        scope: &Scope,
        whose: Track,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        page: &Page,
    ) -> Result<Paged<Position>, DbError> {
        let (from, to) = (time::given("from", from)?, time::given("to", to)?);
        if from >= to || to - from > TimeDelta::days(Self::TRACK_DAYS_MAX) {
            let text =
                format!("the range must end after it begins, at most {} days later", Self::TRACK_DAYS_MAX);
            return Err(DbError::Invalid(text));
        }
        let cursor = page.numbers::<3>()?;
        let after = match cursor {
            None => from,
            Some([micros, ..]) => DateTime::from_timestamp_micros(micros)
                .filter(|after| (from..to).contains(after))
                .ok_or_else(|| DbError::Invalid("unknown cursor".into()))?,
        };
        // before every key at `from` where there is no cursor
        let [_, terminal, hash] = cursor.unwrap_or([0, i64::MIN, i64::MIN]);
        let (keys, rows) = (keys(scope), page.rows());
        let found = self
            .read(move |conn| {
                let (noun, of, id) = match whose {
                    Track::Vehicle(id) => ("vehicle", "vehicle_id", id.0),
                    Track::Terminal(id) => ("terminal", "id", id.0),
                };
                let _: Key = sql_query(format!(
                    "SELECT id FROM {noun} WHERE id = $1 AND ($2::bigint[] IS NULL OR company_id = ANY ($2))"
                ))
                .bind::<BigInt, _>(id)
                .bind::<Nullable<Array<BigInt>>, _>(keys)
                .get_result(conn)?;
                let terminals: Vec<Key> = sql_query(format!("SELECT id FROM terminal WHERE {of} = $1"))
                    .bind::<BigInt, _>(id)
                    .load(conn)?;
                let terminals: Vec<i64> = terminals.into_iter().map(|key| key.id).collect();
                Ok(sql_query(format!(
                    "SELECT {COLUMNS} FROM unnest($1::bigint[]) AS k (terminal_id) CROSS JOIN LATERAL ( \
                       SELECT * FROM position p WHERE p.terminal_id = k.terminal_id AND p.dated \
                       AND p.device_time >= $2 AND p.device_time < $3 \
                       AND (p.device_time, p.terminal_id, p.body_hash) > ($2, $4, $5) \
                       ORDER BY p.device_time, p.body_hash LIMIT $6) p \
                     ORDER BY p.device_time, p.terminal_id, p.body_hash LIMIT $6"
                ))
                .bind::<Array<BigInt>, _>(terminals)
                .bind::<Timestamptz, _>(after)
                .bind::<Timestamptz, _>(to)
                .bind::<BigInt, _>(terminal)
                .bind::<BigInt, _>(hash)
                .bind::<BigInt, _>(rows)
                .load::<PositionRow>(conn)?)
            })
            .await?;
        let found: Vec<_> = found.into_iter().map(PositionRow::into_position).collect();
        let cut = page
            .cut(found, |(hash, position)| [position.at().timestamp_micros(), position.terminal.0, *hash]);
        Ok(cut.map(|(_, position)| position))
    }
}
