//! Alarms as people see and handle them. How they come about: `store`.

use chrono::{DateTime, Utc};
use diesel::sql_types::{
    Array, BigInt, Bool, Double, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use model::{AccountId, Alarm, AlarmId, AlarmKind, CompanyId, Scope, TerminalId, VehicleId};

use serde_json::json;
use uuid::Uuid;

use crate::company::keys;
use crate::{Db, DbError, Page, Paged, audit, text, time};

/// An alarm with whose it is and who handled it.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmRecord {
    /// The alarm.
    pub alarm: Alarm,
    /// The vehicle that carries its terminal now.
    pub vehicle_id: Option<VehicleId>,
    /// That vehicle's plate.
    pub plate: Option<String>,
    /// Whose it is.
    pub company_id: CompanyId,
    /// Who handled it; None while nobody did.
    pub handled: Option<Handled>,
}

/// How an alarm was handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handled {
    /// By whom; None where that account is gone or the platform did it.
    pub by: Option<AccountId>,
    /// Their name now.
    pub by_name: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
    /// What they wrote.
    pub note: String,
}

/// Which alarms to list. All by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmQuery {
    /// Started at or after.
    pub from: Option<DateTime<Utc>>,
    /// Started before.
    pub to: Option<DateTime<Utc>>,
    /// Only of this vehicle's terminals.
    pub vehicle_id: Option<VehicleId>,
    /// Only of this terminal.
    pub terminal_id: Option<TerminalId>,
    /// Only of this kind.
    pub kind: Option<AlarmKind>,
    /// Only those that last (true) or have ended (false).
    pub active: Option<bool>,
    /// Only those that somebody (true) or nobody (false) handled.
    pub handled: Option<bool>,
}

/// A row of the alarm table, as everything here reads it.
#[derive(QueryableByName)]
pub(crate) struct AlarmRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = BigInt)]
    terminal_id: i64,
    #[diesel(sql_type = SmallInt)]
    kind: i16,
    /// Which of the terminal's two tracks it is of.
    #[diesel(sql_type = Bool)]
    pub(crate) dated: bool,
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

impl AlarmRow {
    /// Its columns, of a table or sub-select called `a`.
    pub(crate) const COLUMNS: &str =
        "a.id, a.terminal_id, a.kind, a.dated, a.start_at, a.end_at, a.latitude, a.longitude, a.speed_kmh";

    /// None where the kind is none, which the table's own check does not let in.
    pub(crate) fn into_alarm(self) -> Option<Alarm> {
        let Self { id, terminal_id, kind, dated: _, start_at, end_at, latitude, longitude, speed_kmh } = self;
        Some(Alarm {
            id: AlarmId(id),
            terminal: TerminalId(terminal_id),
            kind: u8::try_from(kind).ok().and_then(AlarmKind::new)?,
            start: start_at,
            end: end_at,
            confirmed: true,
            latitude,
            longitude,
            speed_kmh,
        })
    }
}

#[derive(QueryableByName)]
struct RecordRow {
    #[diesel(embed)]
    alarm: AlarmRow,
    #[diesel(sql_type = Nullable<BigInt>)]
    handled_by: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    handled_by_name: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    handled_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    handled_note: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    vehicle_id: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    plate: Option<String>,
    #[diesel(sql_type = BigInt)]
    company_id: i64,
}

impl RecordRow {
    fn into_record(self) -> Result<AlarmRecord, DbError> {
        let Self {
            alarm,
            handled_by,
            handled_by_name,
            handled_at,
            handled_note,
            vehicle_id,
            plate,
            company_id,
        } = self;
        let id = alarm.id;
        let alarm = alarm.into_alarm().ok_or_else(|| DbError::Invalid(format!("alarm {id} has no kind")))?;
        Ok(AlarmRecord {
            alarm,
            vehicle_id: vehicle_id.map(VehicleId),
            plate,
            company_id: CompanyId(company_id),
            handled: handled_at.map(|at| Handled {
                by: handled_by.map(AccountId),
                by_name: handled_by_name,
                at,
                note: handled_note.unwrap_or_default(),
            }),
        })
    }
}

/// The records, without a condition.
fn select() -> String {
    format!(
        "SELECT {}, a.handled_by, c.name AS handled_by_name, a.handled_at, a.handled_note, t.vehicle_id, v.plate, \
           t.company_id \
         FROM alarm a JOIN terminal t ON t.id = a.terminal_id LEFT JOIN vehicle v ON v.id = t.vehicle_id \
         LEFT JOIN account c ON c.id = a.handled_by",
        AlarmRow::COLUMNS
    )
}

/// Longest note, characters.
const NOTE_CHARS_MAX: usize = 1_000;

impl Db {
    /// The alarms in `scope` that `query` wants, the latest start first.
    ///
    /// # Errors
    /// [`DbError::Invalid`] for a range that ends before it begins, or a cursor that is not from this list.
    pub async fn alarms(
        &self,
        scope: &Scope,
        query: &AlarmQuery,
        page: &Page,
    ) -> Result<Paged<AlarmRecord>, DbError> {
        let AlarmQuery { from, to, vehicle_id, terminal_id, kind, active, handled } = query.clone();
        for (what, at) in [("from", from), ("to", to)] {
            at.map(|at| time::given(what, at)).transpose()?;
        }
        if from.zip(to).is_some_and(|(from, to)| from > to) {
            return Err(DbError::Invalid("the range must end after it begins".into()));
        }
        let cursor = match page.numbers::<3>()? {
            None => None,
            Some([micros, high, low]) => {
                let id = Uuid::from_u64_pair(high.cast_unsigned(), low.cast_unsigned());
                Some((time::of_cursor(micros)?, id))
            }
        };
        let (keys, rows) = (keys(scope), page.rows());
        let found = self
            .read(move |conn| {
                let select = select();
                let found: Vec<RecordRow> = sql_query(format!(
                    "{select} WHERE ($1::bigint[] IS NULL OR t.company_id = ANY ($1)) \
                     AND ($2::timestamptz IS NULL OR a.start_at >= $2) AND ($3::timestamptz IS NULL OR a.start_at < $3) \
                     AND ($4::bigint IS NULL OR t.vehicle_id = $4) AND ($5::bigint IS NULL OR a.terminal_id = $5) \
                     AND ($6::smallint IS NULL OR a.kind = $6) \
                     AND ($7::boolean IS NULL OR $7 = (a.end_at IS NULL)) \
                     AND ($8::boolean IS NULL OR $8 = (a.handled_at IS NOT NULL)) \
                     AND ($9::timestamptz IS NULL OR a.start_at < $9 OR (a.start_at = $9 AND a.id > $10)) \
                     ORDER BY a.start_at DESC, a.id LIMIT $11"
                ))
                .bind::<Nullable<Array<BigInt>>, _>(keys)
                .bind::<Nullable<Timestamptz>, _>(from)
                .bind::<Nullable<Timestamptz>, _>(to)
                .bind::<Nullable<BigInt>, _>(vehicle_id.map(|vehicle| vehicle.0))
                .bind::<Nullable<BigInt>, _>(terminal_id.map(|terminal| terminal.0))
                .bind::<Nullable<SmallInt>, _>(kind.map(|kind| i16::from(kind.code())))
                .bind::<Nullable<Bool>, _>(active)
                .bind::<Nullable<Bool>, _>(handled)
                .bind::<Nullable<Timestamptz>, _>(cursor.map(|(at, _)| at))
                .bind::<Nullable<SqlUuid>, _>(cursor.map(|(_, id)| id))
                .bind::<BigInt, _>(rows)
                .load(conn)?;
                found.into_iter().map(RecordRow::into_record).collect::<Result<Vec<_>, _>>()
            })
            .await?;
        Ok(page.cut(found, |record| {
            let (high, low) = record.alarm.id.0.as_u64_pair();
            [record.alarm.start.timestamp_micros(), high.cast_signed(), low.cast_signed()]
        }))
    }

    /// One alarm.
    ///
    /// # Errors
    /// [`DbError::NotFound`], also where a late report has shown that it began earlier.
    pub async fn alarm(&self, scope: &Scope, id: AlarmId) -> Result<AlarmRecord, DbError> {
        let scope = scope.clone();
        self.read(move |conn| one(conn, &scope, id)).await
    }

    /// Marks an alarm handled by the scope's account, with a note of at most 1,000 characters; a second
    /// time replaces the first.
    ///
    /// # Errors
    /// [`DbError::NotFound`]; [`DbError::Invalid`] for a note that is too long or has control characters.
    pub async fn handle_alarm(
        &self,
        scope: &Scope,
        id: AlarmId,
        note: String,
    ) -> Result<AlarmRecord, DbError> {
        let note = text::note("note", &note, NOTE_CHARS_MAX)?;
        let scope = scope.clone();
        self.control(move |conn| {
            one(conn, &scope, id)?;
            sql_query(
                "UPDATE alarm SET handled_by = $2, handled_at = now(), handled_note = $3 WHERE id = $1",
            )
            .bind::<SqlUuid, _>(id.0)
            .bind::<Nullable<BigInt>, _>(scope.account.map(|account| account.0))
            .bind::<Text, _>(&note)
            .execute(conn)?;
            audit::record(conn, &scope, "handle", "alarm", id, json!({ "note": note }))?;
            one(conn, &scope, id)
        })
        .await
    }

    /// Takes back that an alarm was handled.
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn unhandle_alarm(&self, scope: &Scope, id: AlarmId) -> Result<AlarmRecord, DbError> {
        let scope = scope.clone();
        self.control(move |conn| {
            one(conn, &scope, id)?;
            sql_query(
                "UPDATE alarm SET handled_by = NULL, handled_at = NULL, handled_note = NULL WHERE id = $1",
            )
            .bind::<SqlUuid, _>(id.0)
            .execute(conn)?;
            audit::record(conn, &scope, "unhandle", "alarm", id, json!({}))?;
            one(conn, &scope, id)
        })
        .await
    }
}

fn one(conn: &mut PgConnection, scope: &Scope, id: AlarmId) -> Result<AlarmRecord, DbError> {
    let select = select();
    let row: RecordRow =
        sql_query(format!("{select} WHERE a.id = $1 AND ($2::bigint[] IS NULL OR t.company_id = ANY ($2))"))
            .bind::<SqlUuid, _>(id.0)
            .bind::<Nullable<Array<BigInt>>, _>(keys(scope))
            .get_result(conn)?;
    row.into_record()
}
