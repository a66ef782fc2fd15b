//! Terminals that asked for admission and wait for somebody to approve them.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Integer, Nullable, SmallInt, Text, Timestamptz};
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use model::{CompanyId, Scope, Sim, VehicleId};
use serde_json::json;

use crate::company::{self, seen};
use crate::{
    Db, DbError, Page, Paged, ROOT_COMPANY, Registration, Terminal, audit, terminal, text, time, vehicle,
};

/// A terminal that waits. Only those who see the root company see it: it belongs to nobody yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingTerminal {
    /// Its phone number.
    pub sim: Sim,
    /// What it said when it last registered.
    pub registration: Registration,
    /// Address of its last link.
    pub peer: String,
    /// When it first asked.
    pub first_seen_at: DateTime<Utc>,
    /// When it last asked.
    pub last_seen_at: DateTime<Utc>,
    /// How often it asked.
    pub attempts: i64,
}

/// Into whose hands an approved terminal goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Whose it becomes.
    pub company_id: CompanyId,
    /// An existing vehicle of that company; None makes a new one.
    pub vehicle_id: Option<VehicleId>,
    /// Plate of a new vehicle; None: the registration's, or the device number where that is empty or taken.
    pub plate: Option<String>,
}

#[derive(QueryableByName)]
struct PendingRow {
    #[diesel(sql_type = BigInt)]
    key: i64,
    #[diesel(sql_type = Text)]
    sim: String,
    #[diesel(sql_type = Integer)]
    province: i32,
    #[diesel(sql_type = Integer)]
    city: i32,
    #[diesel(sql_type = Text)]
    maker: String,
    #[diesel(sql_type = Text)]
    model: String,
    #[diesel(sql_type = Text)]
    terminal_no: String,
    #[diesel(sql_type = Text)]
    plate: String,
    #[diesel(sql_type = SmallInt)]
    plate_colour: i16,
    #[diesel(sql_type = Nullable<SmallInt>)]
    edition: Option<i16>,
    #[diesel(sql_type = Text)]
    peer: String,
    #[diesel(sql_type = Timestamptz)]
    first_seen_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    last_seen_at: DateTime<Utc>,
    #[diesel(sql_type = BigInt)]
    attempts: i64,
}

impl PendingRow {
    /// With its key, which orders the list among equal times.
    fn into_pending(self) -> Option<(i64, PendingTerminal)> {
        let Self {
            key,
            sim,
            province,
            city,
            maker,
            model,
            terminal_no,
            plate,
            plate_colour,
            edition,
            peer,
            first_seen_at,
            last_seen_at,
            attempts,
        } = self;
        let registration = Registration {
            province: u16::try_from(province).unwrap_or_default(),
            city: u16::try_from(city).unwrap_or_default(),
            maker,
            model,
            terminal_no,
            plate,
            plate_colour: u8::try_from(plate_colour).unwrap_or_default(),
            edition: edition.and_then(|year| u16::try_from(year).ok()),
        };
        let sim = sim.parse().ok()?;
        Some((key, PendingTerminal { sim, registration, peer, first_seen_at, last_seen_at, attempts }))
    }
}

const COLUMNS: &str = "key, sim, province, city, maker, model, terminal_no, plate, plate_colour, edition, peer, \
    first_seen_at, last_seen_at, attempts";
/// Longest address, characters.
const PEER_CHARS_MAX: usize = 255;

impl Db {
    /// Most terminals that wait; the one that asked longest ago gives way.
    pub const PENDING_TERMINALS_MAX: i64 = 10_000;

    /// The terminals that wait, the latest to ask first; none for those who do not see the root company.
    ///
    /// # Errors
    /// [`DbError::Invalid`] for a cursor that is not from this list.
    pub async fn pending_terminals(
        &self,
        scope: &Scope,
        page: &Page,
    ) -> Result<Paged<PendingTerminal>, DbError> {
        if !scope.sees(ROOT_COMPANY) {
            return Ok(Paged { items: Vec::new(), next_cursor: None });
        }
        let (before, key) = match page.numbers::<2>()? {
            Some([micros, key]) => (Some(time::of_cursor(micros)?), key),
            None => (None, 0),
        };
        let rows = page.rows();
        let found = self
            .read(move |conn| {
                Ok(sql_query(format!(
                    "SELECT {COLUMNS} FROM pending_terminal WHERE $1::timestamptz IS NULL OR (last_seen_at, key) < ($1, $2) \
                     ORDER BY last_seen_at DESC, key DESC LIMIT $3"
                ))
                .bind::<Nullable<Timestamptz>, _>(before)
                .bind::<BigInt, _>(key)
                .bind::<BigInt, _>(rows)
                .load::<PendingRow>(conn)?)
            })
            .await?;
        let found: Vec<_> = found.into_iter().filter_map(PendingRow::into_pending).collect();
        let cut = page.cut(found, |(key, pending)| [pending.last_seen_at.timestamp_micros(), *key]);
        Ok(cut.map(|(_, pending)| pending))
    }

    /// Makes a waiting terminal a known one, with [`Db::CHANNELS_DEFAULT`] channels and the SIM as its device
    /// number.
    ///
    /// # Errors
    /// [`DbError::NotFound`] where it does not wait or `scope` does not see the root company, the company or
    /// the vehicle; [`DbError::Conflict`] for a plate that is taken; [`DbError::Invalid`] for a plate that is
    /// none or a vehicle of another company.
    pub async fn approve_terminal(
        &self,
        scope: &Scope,
        sim: &Sim,
        approval: Approval,
    ) -> Result<Terminal, DbError> {
        seen(scope, ROOT_COMPANY)?;
        let Approval { company_id, vehicle_id, plate } = approval;
        seen(scope, company_id)?;
        let plate = plate.map(|plate| text::given("plate", &plate, vehicle::PLATE_CHARS_MAX)).transpose()?;
        let (scope, sim) = (scope.clone(), sim.clone());
        self.control(move |conn| {
            let waiting: PendingRow =
                sql_query(format!("SELECT {COLUMNS} FROM pending_terminal WHERE sim = $1 FOR UPDATE"))
                    .bind::<Text, _>(sim.as_str())
                    .get_result(conn)?;
            let (_, waiting) = waiting.into_pending().ok_or(DbError::NotFound)?;
            company::one(conn, company_id)?;
            if let Some(vehicle) = vehicle_id
                && vehicle::company_of(conn, &scope, vehicle)? != company_id
            {
                return Err(DbError::Invalid("the vehicle belongs to another company".into()));
            }
            let registration = &waiting.registration;
            let admitted =
                terminal::admit(conn, &scope, &sim, registration, company_id, vehicle_id, plate.as_deref())?;
            terminal::one(conn, &scope, admitted)
        })
        .await
    }

    /// Takes a terminal off the list; it comes back when it asks again.
    ///
    /// # Errors
    /// [`DbError::NotFound`] where it does not wait or `scope` does not see the root company.
    pub async fn reject_terminal(&self, scope: &Scope, sim: &Sim) -> Result<(), DbError> {
        seen(scope, ROOT_COMPANY)?;
        let (scope, sim) = (scope.clone(), sim.clone());
        self.control(move |conn| {
            let rejected = sql_query("DELETE FROM pending_terminal WHERE sim = $1")
                .bind::<Text, _>(sim.as_str())
                .execute(conn)?;
            if rejected == 0 {
                return Err(DbError::NotFound);
            }
            audit::record(conn, &scope, "reject", "pending_terminal", &sim, json!({}))
        })
        .await
    }

    /// Notes that an unknown terminal asked for admission (for gateways).
    ///
    /// # Errors
    /// As any query.
    pub async fn note_pending(
        &self,
        sim: &Sim,
        registration: &Registration,
        peer: &str,
    ) -> Result<(), DbError> {
        let (sim, registration, peer) = (sim.clone(), registration.clone(), text::sent(peer, PEER_CHARS_MAX));
        self.links(move |conn| {
            let (maker, model, terminal_no) = registration.texts();
            sql_query(
                "INSERT INTO pending_terminal AS p (sim, province, city, maker, model, terminal_no, plate, plate_colour, \
                 edition, peer) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
                 ON CONFLICT (sim) DO UPDATE SET province = excluded.province, city = excluded.city, \
                 maker = excluded.maker, model = excluded.model, terminal_no = excluded.terminal_no, \
                 plate = excluded.plate, plate_colour = excluded.plate_colour, edition = excluded.edition, \
                 peer = excluded.peer, last_seen_at = excluded.last_seen_at, attempts = p.attempts + 1",
            )
            .bind::<Text, _>(sim.as_str())
            .bind::<Integer, _>(i32::from(registration.province))
            .bind::<Integer, _>(i32::from(registration.city))
            .bind::<Text, _>(maker)
            .bind::<Text, _>(model)
            .bind::<Text, _>(terminal_no)
            .bind::<Text, _>(registration.plate())
            .bind::<SmallInt, _>(i16::from(registration.plate_colour))
            .bind::<Nullable<SmallInt>, _>(registration.year())
            .bind::<Text, _>(peer)
            .execute(conn)?;
            sql_query(
                "DELETE FROM pending_terminal WHERE sim IN (SELECT sim FROM pending_terminal \
                 ORDER BY last_seen_at DESC, key DESC OFFSET $1)",
            )
            .bind::<BigInt, _>(Self::PENDING_TERMINALS_MAX)
            .execute(conn)?;
            Ok(())
        })
        .await
    }
}
