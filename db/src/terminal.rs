//! Terminals: the devices in the vehicles, as people manage them and gateways look them up.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, SmallInt, Text, Timestamptz};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use model::{CompanyId, DeviceProfileId, RedirectForm, Scope, ServersChange, Sim, TerminalId, VehicleId};
use serde_json::json;

use crate::company::{self, Key, keys, seen};
use crate::{
    Db, DbError, Page, Paged, ROOT_COMPANY, TerminalChannel, audit, channel, device_profile, text, vehicle,
};

/// A terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Its key.
    pub id: TerminalId,
    /// Its phone number, the JT/T 808 identity, unique.
    pub sim: Sim,
    /// The number by which people and outside programs name it, unique.
    pub device_no: String,
    /// The vehicle that carries it; None in stock.
    pub vehicle_id: Option<VehicleId>,
    /// Whose it is; the vehicle's company where it is in one.
    pub company_id: CompanyId,
    /// What its model does differently; None: nothing.
    pub device_profile_id: Option<DeviceProfileId>,
    /// How numbers are written in its 0x8105, by its profile; None: as the setting says.
    pub redirect_form: Option<RedirectForm>,
    /// JT/T 808 edition of its last registration or log-in: 2011, 2013 or 2019.
    pub edition: Option<u16>,
    /// Maker id of its registration.
    pub maker: String,
    /// Model of its registration.
    pub model: String,
    /// Terminal id of its registration.
    pub terminal_no: String,
    /// How often its authentication code was revoked; part of the code.
    pub auth_revocations: u32,
    /// Counts its authenticated links; a link with an older epoch is not the current one.
    pub session_epoch: i64,
    /// Whether it has an authenticated link.
    pub online: bool,
    /// The gateway node that holds, or last held, its link.
    pub node: Option<String>,
    /// When it last authenticated, lost its link, or sent a stored report.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// Address of its current or last link, as the gateway saw it.
    pub peer: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Its channels, by number.
    pub channels: Vec<TerminalChannel>,
}

/// A terminal to be made. It gets [`Db::CHANNELS_DEFAULT`] channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTerminal {
    /// Its phone number.
    pub sim: Sim,
    /// 1 to 32 characters; None: the SIM.
    pub device_no: Option<String>,
    /// The vehicle that carries it.
    pub vehicle_id: Option<VehicleId>,
    /// Whose it is; None: the vehicle's company. One of the two must be given.
    pub company_id: Option<CompanyId>,
}

/// What to change of a terminal; None leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TerminalChange {
    /// Another number for people.
    pub device_no: Option<String>,
    /// Another vehicle (`Some(None)`: none); it then belongs to the vehicle's company.
    pub vehicle_id: Option<Option<VehicleId>>,
    /// Another company, for a terminal without a vehicle.
    pub company_id: Option<CompanyId>,
    /// Another device profile (`Some(None)`: none), of its company or one above.
    pub device_profile_id: Option<Option<DeviceProfileId>>,
    /// Makes every authentication code given so far invalid.
    pub revoke_auth: bool,
}

/// What a terminal says of itself when it registers (JT/T 808 0x0100). Texts are taken as they come:
/// control characters are dropped and long ones cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// Province, GB/T 2260.
    pub province: u16,
    /// City, GB/T 2260.
    pub city: u16,
    /// Maker id.
    pub maker: String,
    /// Model.
    pub model: String,
    /// Terminal id.
    pub terminal_no: String,
    /// Plate; empty where the vehicle has none (then, with colour 0, some put the VIN here).
    pub plate: String,
    /// Colour of the plate, JT/T 697.7.
    pub plate_colour: u8,
    /// JT/T 808 edition: 2011, 2013 or 2019.
    pub edition: Option<u16>,
}

#[derive(QueryableByName)]
struct TerminalRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    sim: String,
    #[diesel(sql_type = Text)]
    device_no: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    vehicle_id: Option<i64>,
    #[diesel(sql_type = BigInt)]
    company_id: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    device_profile_id: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    redirect_form: Option<String>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    edition: Option<i16>,
    #[diesel(sql_type = Text)]
    maker: String,
    #[diesel(sql_type = Text)]
    model: String,
    #[diesel(sql_type = Text)]
    terminal_no: String,
    #[diesel(sql_type = Integer)]
    auth_revocations: i32,
    #[diesel(sql_type = BigInt)]
    session_epoch: i64,
    #[diesel(sql_type = Bool)]
    online: bool,
    #[diesel(sql_type = Nullable<Text>)]
    node: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    last_seen_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    peer: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

impl TerminalRow {
    fn into_terminal(self, channels: Vec<TerminalChannel>) -> Result<Terminal, DbError> {
        let Self {
            id,
            sim,
            device_no,
            vehicle_id,
            company_id,
            device_profile_id,
            redirect_form,
            edition,
            maker,
            model,
            terminal_no,
            auth_revocations,
            session_epoch,
            online,
            node,
            last_seen_at,
            peer,
            created_at,
        } = self;
        let sim: Sim = sim.parse().map_err(|_| DbError::Invalid(format!("terminal {id} has no SIM")))?;
        Ok(Terminal {
            id: TerminalId(id),
            sim,
            device_no,
            vehicle_id: vehicle_id.map(VehicleId),
            company_id: CompanyId(company_id),
            device_profile_id: device_profile_id.map(DeviceProfileId),
            redirect_form: redirect_form.as_deref().and_then(RedirectForm::from_name),
            edition: edition.and_then(|year| u16::try_from(year).ok()),
            maker,
            model,
            terminal_no,
            auth_revocations: auth_revocations.cast_unsigned(),
            session_epoch,
            online,
            node,
            last_seen_at,
            peer,
            created_at,
            channels,
        })
    }
}

/// Its columns, and when it was last heard of, be it by a report.
const SELECT: &str = "SELECT t.id, t.sim, t.device_no, t.vehicle_id, t.company_id, \
    t.device_profile_id, p.redirect_form, t.edition, t.maker, t.model, \
    t.terminal_no, t.auth_revocations, t.session_epoch, t.online, t.node, \
    greatest(t.last_seen_at, l.received_at) AS last_seen_at, t.peer, t.created_at \
    FROM terminal t LEFT JOIN latest_position l ON l.terminal_id = t.id \
    LEFT JOIN device_profile p ON p.id = t.device_profile_id";
/// Longest device number, characters.
const DEVICE_NO_CHARS_MAX: usize = 32;
/// Longest text of a registration, characters (JT/T 808-2019: 30 bytes for model and terminal id).
const REGISTRATION_CHARS_MAX: usize = 32;

impl Db {
    /// The terminals in `scope`, by key.
    ///
    /// # Errors
    /// [`DbError::Invalid`] for a cursor that is not from this list.
    pub async fn terminals(&self, scope: &Scope, page: &Page) -> Result<Paged<Terminal>, DbError> {
        let (keys, after, rows) = (keys(scope), page.numbers::<1>()?.map_or(0, |[id]| id), page.rows());
        let found = self
            .read(move |conn| {
                let found = sql_query(format!(
                    "{SELECT} WHERE t.id > $1 AND ($2::bigint[] IS NULL OR t.company_id = ANY ($2)) ORDER BY t.id LIMIT $3"
                ))
                .bind::<BigInt, _>(after)
                .bind::<Nullable<Array<BigInt>>, _>(keys)
                .bind::<BigInt, _>(rows)
                .load(conn)?;
                with_channels(conn, found)
            })
            .await?;
        Ok(page.cut(found, |terminal| [terminal.id.0]))
    }

    /// One terminal.
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn terminal(&self, scope: &Scope, id: TerminalId) -> Result<Terminal, DbError> {
        let scope = scope.clone();
        self.control(move |conn| one(conn, &scope, id)).await
    }

    /// The terminal that people call `device_no` (case does not matter).
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn terminal_by_device_no(&self, scope: &Scope, device_no: &str) -> Result<Terminal, DbError> {
        let device_no =
            text::given("device number", device_no, DEVICE_NO_CHARS_MAX).map_err(|_| DbError::NotFound)?;
        let keys = keys(scope);
        self.read(move |conn| {
            let found = sql_query(format!(
                "{SELECT} WHERE lower(t.device_no) = lower($1) AND ($2::bigint[] IS NULL OR t.company_id = ANY ($2))"
            ))
            .bind::<Text, _>(device_no)
            .bind::<Nullable<Array<BigInt>>, _>(keys)
            .load(conn)?;
            with_channels(conn, found)?.into_iter().next().ok_or(DbError::NotFound)
        })
        .await
    }

    /// The terminal with this SIM, if it is known (for gateways).
    ///
    /// # Errors
    /// As any query.
    pub async fn terminal_by_sim(&self, sim: &Sim) -> Result<Option<Terminal>, DbError> {
        let sim = sim.clone();
        self.links(move |conn| by_sim(conn, &sim)).await
    }

    /// Makes a terminal.
    ///
    /// # Errors
    /// [`DbError::NotFound`] for a vehicle or company outside `scope`; [`DbError::Conflict`] for a SIM or
    /// device number that is taken; [`DbError::Invalid`] for neither vehicle nor company, or for a company
    /// that is not the vehicle's.
    pub async fn create_terminal(&self, scope: &Scope, new: NewTerminal) -> Result<Terminal, DbError> {
        let NewTerminal { sim, device_no, vehicle_id, company_id } = new;
        let device_no = device_no.as_deref().unwrap_or(sim.as_str());
        let device_no = text::given("device number", device_no, DEVICE_NO_CHARS_MAX)?;
        let scope = scope.clone();
        self.control(move |conn| {
            let company = home(conn, &scope, vehicle_id, company_id)?;
            let made = insert(conn, &sim, &device_no, vehicle_id, company, &Registration::default())?;
            sql_query("DELETE FROM pending_terminal WHERE sim = $1").bind::<Text, _>(sim.as_str()).execute(conn)?;
            let detail = json!({ "sim": sim, "device_no": device_no, "vehicle_id": vehicle_id, "company_id": company });
            audit::record(conn, &scope, "create", "terminal", made, detail)?;
            one(conn, &scope, made)
        })
        .await
    }

    /// Changes a terminal. One that goes to a company that may not use its device profile has none there.
    ///
    /// # Errors
    /// As [`create_terminal`](Self::create_terminal); [`DbError::NotFound`] also for a device profile that its company may
    /// not use.
    pub async fn change_terminal(
        &self,
        scope: &Scope,
        id: TerminalId,
        change: TerminalChange,
    ) -> Result<Terminal, DbError> {
        let TerminalChange { device_no, vehicle_id, company_id, device_profile_id, revoke_auth } = change;
        let device_no =
            device_no.map(|text| text::given("device number", &text, DEVICE_NO_CHARS_MAX)).transpose()?;
        let scope = scope.clone();
        self.control(move |conn| {
            let was = one(conn, &scope, id)?;
            let vehicle = vehicle_id.unwrap_or(was.vehicle_id);
            let given = company_id.or_else(|| vehicle.is_none().then_some(was.company_id));
            let company = home(conn, &scope, vehicle, given)?;
            if let Some(profile) = device_profile_id.flatten() {
                device_profile::check_reach(conn, profile, company)?;
            }
            let profile = device_profile_id.unwrap_or(was.device_profile_id);
            sql_query(
                "UPDATE terminal SET device_no = coalesce($2, device_no), vehicle_id = $3, company_id = $4, \
                 auth_revocations = auth_revocations + $5, device_profile_id = $6 WHERE id = $1",
            )
            .bind::<BigInt, _>(id.0)
            .bind::<Nullable<Text>, _>(&device_no)
            .bind::<Nullable<BigInt>, _>(vehicle.map(|vehicle| vehicle.0))
            .bind::<BigInt, _>(company.0)
            .bind::<Integer, _>(i32::from(revoke_auth))
            .bind::<Nullable<BigInt>, _>(profile.map(|profile| profile.0))
            .execute(conn)?;
            if company != was.company_id {
                device_profile::drop_out_of_reach(conn, &[company])?;
            }
            let detail = json!({
                "device_no": device_no, "vehicle_id": vehicle, "company_id": company,
                "device_profile_id": profile, "revoke_auth": revoke_auth,
            });
            audit::record(conn, &scope, "change", "terminal", id, detail)?;
            one(conn, &scope, id)
        })
        .await
    }

    /// Records that a person had a terminal told to dial other servers, and what came of it. The change itself is in the
    /// terminal, so it is recorded after it was asked for.
    ///
    /// # Errors
    /// As any query.
    pub async fn record_servers(
        &self,
        scope: &Scope,
        id: TerminalId,
        change: &ServersChange,
        outcome: &str,
    ) -> Result<(), DbError> {
        let ServersChange { main, backup } = change;
        let detail = json!({ "main": main, "backup": backup, "outcome": outcome });
        let scope = scope.clone();
        self.control(move |conn| audit::record(conn, &scope, "set_servers", "terminal", id, detail)).await
    }

    /// Deletes a terminal with its channels, alarms and latest position; its past positions go with
    /// their days.
    ///
    /// # Errors
    /// [`DbError::NotFound`]; [`DbError::Conflict`] while it is online.
    pub async fn delete_terminal(&self, scope: &Scope, id: TerminalId) -> Result<(), DbError> {
        let scope = scope.clone();
        self.control(move |conn| {
            // the row that whoever stores its reports locks first: after us they find none
            sql_query("SELECT FROM latest_position WHERE terminal_id = $1 FOR UPDATE")
                .bind::<BigInt, _>(id.0)
                .execute(conn)?;
            let was = one(conn, &scope, id)?;
            if was.online {
                return Err(DbError::Conflict(format!("terminal {} is online", was.device_no)));
            }
            sql_query("DELETE FROM terminal WHERE id = $1").bind::<BigInt, _>(id.0).execute(conn)?;
            audit::record(
                conn,
                &scope,
                "delete",
                "terminal",
                id,
                json!({ "sim": was.sim, "device_no": was.device_no }),
            )
        })
        .await
    }

    /// Notes what a known terminal said when it registered; None where the SIM is unknown.
    ///
    /// # Errors
    /// As any query.
    pub async fn note_registration(
        &self,
        sim: &Sim,
        registration: &Registration,
    ) -> Result<Option<Terminal>, DbError> {
        let (sim, registration) = (sim.clone(), registration.clone());
        self.links(move |conn| note(conn, &sim, &registration)).await
    }

    /// Open admission: the terminal with this SIM, made under the root company with a vehicle and
    /// [`Db::CHANNELS_DEFAULT`] channels where it is unknown. Plate from the registration, the device
    /// number where that is empty or taken; device number the SIM. A SIM that was pending no longer is.
    ///
    /// # Errors
    /// [`DbError::Conflict`] where somebody gave the SIM to another terminal as its device number.
    pub async fn admit(&self, sim: &Sim, registration: &Registration) -> Result<Terminal, DbError> {
        let (sim, registration) = (sim.clone(), registration.clone());
        self.links(move |conn| match by_sim(conn, &sim)? {
            Some(known) => Ok(known),
            None => admit_openly(conn, &sim, &registration),
        })
        .await
    }

    /// [`note_registration`](Self::note_registration), and [`admit`](Self::admit) where the SIM is unknown, in one
    /// transaction.
    ///
    /// # Errors
    /// Those of [`admit`](Self::admit).
    pub async fn note_or_admit(&self, sim: &Sim, registration: &Registration) -> Result<Terminal, DbError> {
        let (sim, registration) = (sim.clone(), registration.clone());
        self.links(move |conn| match note(conn, &sim, &registration)? {
            Some(known) => Ok(known),
            None => admit_openly(conn, &sim, &registration),
        })
        .await
    }
}

/// Writes what a known terminal says of itself, where that is new: a fleet that registers again changes nothing.
fn note(
    conn: &mut PgConnection,
    sim: &Sim,
    registration: &Registration,
) -> Result<Option<Terminal>, DbError> {
    let (maker, model, terminal_no) = registration.texts();
    sql_query(
        "UPDATE terminal SET maker = $2, model = $3, terminal_no = $4, edition = coalesce($5, edition) \
         WHERE sim = $1 AND (maker, model, terminal_no, edition) \
             IS DISTINCT FROM ($2, $3, $4, coalesce($5, edition))",
    )
    .bind::<Text, _>(sim.as_str())
    .bind::<Text, _>(maker)
    .bind::<Text, _>(model)
    .bind::<Text, _>(terminal_no)
    .bind::<Nullable<SmallInt>, _>(registration.year())
    .execute(conn)?;
    by_sim(conn, sim)
}

/// An unknown terminal, as [`Db::admit`] makes it.
fn admit_openly(
    conn: &mut PgConnection,
    sim: &Sim,
    registration: &Registration,
) -> Result<Terminal, DbError> {
    let scope = Scope::platform();
    let admitted = admit(conn, &scope, sim, registration, ROOT_COMPANY, None, None)?;
    one(conn, &scope, admitted)
}

impl Registration {
    /// Maker, model and terminal id as stored.
    pub(crate) fn texts(&self) -> (String, String, String) {
        let fit = |text: &str| text::sent(text, REGISTRATION_CHARS_MAX);
        (fit(&self.maker), fit(&self.model), fit(&self.terminal_no))
    }

    /// The plate as stored; empty for none.
    pub(crate) fn plate(&self) -> String {
        text::sent(&self.plate, vehicle::PLATE_CHARS_MAX)
    }

    /// The edition as stored.
    pub(crate) fn year(&self) -> Option<i16> {
        self.edition.and_then(|year| i16::try_from(year).ok())
    }
}

/// Makes a terminal of an unknown SIM, with a new vehicle where none is given.
pub(crate) fn admit(
    conn: &mut PgConnection,
    scope: &Scope,
    sim: &Sim,
    registration: &Registration,
    company: CompanyId,
    vehicle: Option<VehicleId>,
    plate: Option<&str>,
) -> Result<TerminalId, DbError> {
    let vehicle = match vehicle {
        Some(vehicle) => vehicle,
        None => {
            let sent = registration.plate();
            let (wanted, may_differ) = plate.map_or((sent.as_str(), true), |plate| (plate, false));
            let colour = registration.plate_colour;
            match vehicle::insert(conn, company, wanted, colour)? {
                Some(vehicle) => vehicle,
                None if may_differ => vehicle::insert(conn, company, sim.as_str(), colour)?
                    .ok_or_else(|| DbError::Conflict(format!("a vehicle with the plate {sim} exists")))?,
                None => return Err(DbError::Conflict("a vehicle with this plate exists".into())),
            }
        }
    };
    let made = insert(conn, sim, sim.as_str(), Some(vehicle), company, registration)?;
    sql_query("DELETE FROM pending_terminal WHERE sim = $1").bind::<Text, _>(sim.as_str()).execute(conn)?;
    let detail = json!({ "sim": sim, "vehicle_id": vehicle, "company_id": company });
    audit::record(conn, scope, "admit", "terminal", made, detail)?;
    Ok(made)
}

/// The company of a terminal in `vehicle`, or without one; both within `scope`.
fn home(
    conn: &mut PgConnection,
    scope: &Scope,
    vehicle: Option<VehicleId>,
    company: Option<CompanyId>,
) -> Result<CompanyId, DbError> {
    match (vehicle, company) {
        (None, None) => Err(DbError::Invalid("a terminal needs a vehicle or a company".into())),
        (None, Some(company)) => {
            seen(scope, company)?;
            Ok(company::one(conn, company)?.id)
        }
        (Some(vehicle), company) => {
            let of = vehicle::company_of(conn, scope, vehicle)?;
            if company.is_some_and(|company| company != of) {
                return Err(DbError::Invalid("the vehicle belongs to another company".into()));
            }
            Ok(of)
        }
    }
}

fn insert(
    conn: &mut PgConnection,
    sim: &Sim,
    device_no: &str,
    vehicle: Option<VehicleId>,
    company: CompanyId,
    registration: &Registration,
) -> Result<TerminalId, DbError> {
    let (maker, model, terminal_no) = registration.texts();
    let made: Key = sql_query(
        "INSERT INTO terminal (sim, device_no, vehicle_id, company_id, edition, maker, model, terminal_no) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
    )
    .bind::<Text, _>(sim.as_str())
    .bind::<Text, _>(device_no)
    .bind::<Nullable<BigInt>, _>(vehicle.map(|vehicle| vehicle.0))
    .bind::<BigInt, _>(company.0)
    .bind::<Nullable<SmallInt>, _>(registration.year())
    .bind::<Text, _>(maker)
    .bind::<Text, _>(model)
    .bind::<Text, _>(terminal_no)
    .get_result(conn)?;
    let made = TerminalId(made.id);
    sql_query("INSERT INTO latest_position (terminal_id) VALUES ($1)")
        .bind::<BigInt, _>(made.0)
        .execute(conn)?;
    channel::make(conn, made, Db::CHANNELS_DEFAULT)?;
    Ok(made)
}

/// One terminal within `scope`, in a transaction.
pub(crate) fn one(conn: &mut PgConnection, scope: &Scope, id: TerminalId) -> Result<Terminal, DbError> {
    let found =
        sql_query(format!("{SELECT} WHERE t.id = $1 AND ($2::bigint[] IS NULL OR t.company_id = ANY ($2))"))
            .bind::<BigInt, _>(id.0)
            .bind::<Nullable<Array<BigInt>>, _>(keys(scope))
            .load(conn)?;
    with_channels(conn, found)?.into_iter().next().ok_or(DbError::NotFound)
}

fn by_sim(conn: &mut PgConnection, sim: &Sim) -> Result<Option<Terminal>, DbError> {
    let found = sql_query(format!("{SELECT} WHERE t.sim = $1")).bind::<Text, _>(sim.as_str()).load(conn)?;
    Ok(with_channels(conn, found)?.into_iter().next())
}

/// The terminals of the vehicles, by key.
pub(crate) fn of_vehicles(conn: &mut PgConnection, vehicles: &[i64]) -> Result<Vec<Terminal>, DbError> {
    let found = sql_query(format!("{SELECT} WHERE t.vehicle_id = ANY ($1) ORDER BY t.id"))
        .bind::<Array<BigInt>, _>(vehicles)
        .load(conn)?;
    with_channels(conn, found)
}

fn with_channels(conn: &mut PgConnection, rows: Vec<TerminalRow>) -> Result<Vec<Terminal>, DbError> {
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let mut channels = channel::of(conn, &ids)?;
    rows.into_iter()
        .map(|row| {
            let of = channels.remove(&row.id).unwrap_or_default();
            row.into_terminal(of)
        })
        .collect()
}
