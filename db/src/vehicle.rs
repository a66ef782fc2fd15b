//! Vehicles, each with the terminals that it carries.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Nullable, SmallInt, Text, Timestamptz};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use model::{CompanyId, Scope, VehicleId};
use serde_json::json;

use crate::company::{self, Key, keys, seen};
use crate::{Db, DbError, Page, Paged, Terminal, audit, device_profile, terminal, text};

/// A vehicle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vehicle {
    /// Its key.
    pub id: VehicleId,
    /// Whose it is.
    pub company_id: CompanyId,
    /// Licence plate, unique over the platform.
    pub plate: String,
    /// Colour of the plate, JT/T 697.7 (0 unknown or none, 1 blue, 2 yellow, 3 black, 4 white, 5 green, 9 other).
    pub plate_colour: u8,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Its terminals, by key.
    pub terminals: Vec<Terminal>,
}

/// A vehicle to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVehicle {
    /// Whose it is.
    pub company_id: CompanyId,
    /// 1 to 32 characters.
    pub plate: String,
    /// Colour of the plate.
    pub plate_colour: u8,
}

/// What to change of a vehicle; None leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VehicleChange {
    /// Another company; its terminals go with it.
    pub company_id: Option<CompanyId>,
    /// Another plate.
    pub plate: Option<String>,
    /// Another colour.
    pub plate_colour: Option<u8>,
}

/// Which vehicles to list. All by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VehicleQuery {
    /// Only of this company and those below it.
    pub company_id: Option<CompanyId>,
    /// Only those whose plate, or a terminal's device number or SIM, contains this text, whatever its case.
    pub text: Option<String>,
    /// Only those with (true) or without (false) a terminal online.
    pub online: Option<bool>,
}

#[derive(QueryableByName)]
struct VehicleRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    company_id: i64,
    #[diesel(sql_type = Text)]
    plate: String,
    #[diesel(sql_type = SmallInt)]
    plate_colour: i16,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

const COLUMNS: &str = "id, company_id, plate, plate_colour, created_at";
/// Longest plate, characters: room for a VIN, and for what abroad takes for a plate.
pub(crate) const PLATE_CHARS_MAX: usize = 32;

impl Db {
    /// The vehicles in `scope` that `query` wants, by key.
    ///
    /// # Errors
    /// [`DbError::Invalid`] for a cursor that is not from this list.
    pub async fn vehicles(
        &self,
        scope: &Scope,
        query: &VehicleQuery,
        page: &Page,
    ) -> Result<Paged<Vehicle>, DbError> {
        let (keys, after, rows) = (keys(scope), page.numbers::<1>()?.map_or(0, |[id]| id), page.rows());
        let VehicleQuery { company_id, text, online } = query.clone();
        // no plate has a control character, and PostgreSQL takes no zero byte
        let text = text.map(|text| text.replace(char::is_control, " "));
        let found = self
            .read(move |conn| {
                let under = company_id.map(|company| company::below(conn, company)).transpose()?;
                let under: Option<Vec<i64>> = under.map(|under| under.into_iter().map(|company| company.0).collect());
                let found = sql_query(format!(
                    "SELECT {COLUMNS} FROM vehicle v WHERE id > $1 AND ($2::bigint[] IS NULL OR company_id = ANY ($2)) \
                     AND ($3::bigint[] IS NULL OR company_id = ANY ($3)) \
                     AND ($4::text IS NULL OR strpos(lower(plate), lower($4)) > 0 OR EXISTS (SELECT FROM terminal t \
                       WHERE t.vehicle_id = v.id AND (strpos(lower(t.device_no), lower($4)) > 0 \
                         OR strpos(t.sim, upper($4)) > 0))) \
                     AND ($5::boolean IS NULL \
                       OR $5 = EXISTS (SELECT FROM terminal t WHERE t.vehicle_id = v.id AND t.online)) \
                     ORDER BY id LIMIT $6"
                ))
                .bind::<BigInt, _>(after)
                .bind::<Nullable<Array<BigInt>>, _>(keys)
                .bind::<Nullable<Array<BigInt>>, _>(under)
                .bind::<Nullable<Text>, _>(text)
                .bind::<Nullable<Bool>, _>(online)
                .bind::<BigInt, _>(rows)
                .load(conn)?;
                with_terminals(conn, found)
            })
            .await?;
        Ok(page.cut(found, |vehicle| [vehicle.id.0]))
    }

    /// One vehicle.
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn vehicle(&self, scope: &Scope, id: VehicleId) -> Result<Vehicle, DbError> {
        let scope = scope.clone();
        self.read(move |conn| one(conn, &scope, id)).await
    }

    /// Makes a vehicle.
    ///
    /// # Errors
    /// [`DbError::NotFound`] for a company outside `scope`; [`DbError::Conflict`] for a plate that is taken;
    /// [`DbError::Invalid`] for one that is none.
    pub async fn create_vehicle(&self, scope: &Scope, new: NewVehicle) -> Result<Vehicle, DbError> {
        seen(scope, new.company_id)?;
        let NewVehicle { company_id, plate, plate_colour } = new;
        let plate = text::given("plate", &plate, PLATE_CHARS_MAX)?;
        let scope = scope.clone();
        self.control(move |conn| {
            company::one(conn, company_id)?;
            let made = insert(conn, company_id, &plate, plate_colour)?
                .ok_or_else(|| DbError::Conflict("a vehicle with this plate exists".into()))?;
            audit::record(
                conn,
                &scope,
                "create",
                "vehicle",
                made,
                json!({ "plate": plate, "company_id": company_id }),
            )?;
            one(conn, &scope, made)
        })
        .await
    }

    /// Changes a vehicle.
    ///
    /// # Errors
    /// As [`create_vehicle`](Self::create_vehicle).
    pub async fn change_vehicle(
        &self,
        scope: &Scope,
        id: VehicleId,
        change: VehicleChange,
    ) -> Result<Vehicle, DbError> {
        let VehicleChange { company_id, plate, plate_colour } = change;
        if let Some(company) = company_id {
            seen(scope, company)?;
        }
        let plate = plate.map(|plate| text::given("plate", &plate, PLATE_CHARS_MAX)).transpose()?;
        let scope = scope.clone();
        self.control(move |conn| {
            one(conn, &scope, id)?;
            if let Some(company) = company_id {
                company::one(conn, company)?;
            }
            sql_query(
                "UPDATE vehicle SET company_id = coalesce($2, company_id), plate = coalesce($3, plate), \
                 plate_colour = coalesce($4, plate_colour) WHERE id = $1",
            )
            .bind::<BigInt, _>(id.0)
            .bind::<Nullable<BigInt>, _>(company_id.map(|company| company.0))
            .bind::<Nullable<Text>, _>(&plate)
            .bind::<Nullable<SmallInt>, _>(plate_colour.map(i16::from))
            .execute(conn)?;
            if let Some(company) = company_id {
                device_profile::drop_out_of_reach(conn, &[company])?;
            }
            let detail = json!({ "plate": plate, "plate_colour": plate_colour, "company_id": company_id });
            audit::record(conn, &scope, "change", "vehicle", id, detail)?;
            one(conn, &scope, id)
        })
        .await
    }

    /// Deletes a vehicle that carries no terminal.
    ///
    /// # Errors
    /// [`DbError::NotFound`]; [`DbError::Conflict`] naming a terminal that it carries.
    pub async fn delete_vehicle(&self, scope: &Scope, id: VehicleId) -> Result<(), DbError> {
        let scope = scope.clone();
        self.control(move |conn| {
            let was = one(conn, &scope, id)?;
            if let [terminal, ..] = &was.terminals[..] {
                let text = format!("vehicle {} still carries terminal {}", was.plate, terminal.device_no);
                return Err(DbError::Conflict(text));
            }
            sql_query("DELETE FROM vehicle WHERE id = $1").bind::<BigInt, _>(id.0).execute(conn)?;
            audit::record(conn, &scope, "delete", "vehicle", id, json!({ "plate": was.plate }))
        })
        .await
    }
}

/// Makes a vehicle; None where the plate is empty or taken.
pub(crate) fn insert(
    conn: &mut PgConnection,
    company: CompanyId,
    plate: &str,
    colour: u8,
) -> Result<Option<VehicleId>, DbError> {
    if plate.is_empty() {
        return Ok(None);
    }
    let made: Vec<Key> = sql_query(
        "INSERT INTO vehicle (company_id, plate, plate_colour) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING id",
    )
    .bind::<BigInt, _>(company.0)
    .bind::<Text, _>(plate)
    .bind::<SmallInt, _>(i16::from(colour))
    .load(conn)?;
    Ok(made.into_iter().next().map(|key| VehicleId(key.id)))
}

/// Whose the vehicle is, if within `scope`; it stays so until the transaction ends.
pub(crate) fn company_of(
    conn: &mut PgConnection,
    scope: &Scope,
    id: VehicleId,
) -> Result<CompanyId, DbError> {
    let company: Key = sql_query("SELECT company_id AS id FROM vehicle WHERE id = $1 FOR SHARE")
        .bind::<BigInt, _>(id.0)
        .get_result(conn)?;
    seen(scope, CompanyId(company.id))?;
    Ok(CompanyId(company.id))
}

fn one(conn: &mut PgConnection, scope: &Scope, id: VehicleId) -> Result<Vehicle, DbError> {
    let found = sql_query(format!(
        "SELECT {COLUMNS} FROM vehicle WHERE id = $1 AND ($2::bigint[] IS NULL OR company_id = ANY ($2))"
    ))
    .bind::<BigInt, _>(id.0)
    .bind::<Nullable<Array<BigInt>>, _>(keys(scope))
    .load(conn)?;
    with_terminals(conn, found)?.into_iter().next().ok_or(DbError::NotFound)
}

fn with_terminals(conn: &mut PgConnection, rows: Vec<VehicleRow>) -> Result<Vec<Vehicle>, DbError> {
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let mut terminals = terminal::of_vehicles(conn, &ids)?;
    let vehicles = rows.into_iter().map(|row| {
        let VehicleRow { id, company_id, plate, plate_colour, created_at } = row;
        Vehicle {
            id: VehicleId(id),
            company_id: CompanyId(company_id),
            plate,
            plate_colour: u8::try_from(plate_colour).unwrap_or_default(),
            created_at,
            terminals: terminals
                .extract_if(.., |terminal| terminal.vehicle_id == Some(VehicleId(id)))
                .collect(),
        }
    });
    Ok(vehicles.collect())
}
