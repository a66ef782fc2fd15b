//! Device profiles: what a model of devices does differently, by a name that terminals refer to.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use model::{CompanyId, DeviceProfileId, RedirectForm, Scope};
use serde_json::json;

use crate::company::{self, Key, keys, seen};
use crate::{Db, DbError, Page, Paged, audit, text};

/// A device profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceProfile {
    /// Its key.
    pub id: DeviceProfileId,
    /// The company that it belongs to; terminals of that company and below may have it.
    pub company_id: CompanyId,
    /// Its name, unique in its company.
    pub name: String,
    /// How the numbers of 0x8105 are written; None: as the platform's setting says.
    pub redirect_form: Option<RedirectForm>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A device profile to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDeviceProfile {
    /// Where it belongs.
    pub company_id: CompanyId,
    /// 1 to 100 characters.
    pub name: String,
    /// How the numbers of 0x8105 are written; None: as the platform's setting says.
    pub redirect_form: Option<RedirectForm>,
}

/// What to change of a device profile; None leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceProfileChange {
    /// Another name.
    pub name: Option<String>,
    /// How the numbers of 0x8105 are written (`Some(None)`: as the platform's setting says).
    pub redirect_form: Option<Option<RedirectForm>>,
}

#[derive(QueryableByName)]
struct ProfileRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    company_id: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<Text>)]
    redirect_form: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

impl From<ProfileRow> for DeviceProfile {
    fn from(row: ProfileRow) -> Self {
        let ProfileRow { id, company_id, name, redirect_form, created_at } = row;
        Self {
            id: DeviceProfileId(id),
            company_id: CompanyId(company_id),
            name,
            redirect_form: redirect_form.as_deref().and_then(RedirectForm::from_name),
            created_at,
        }
    }
}

const COLUMNS: &str = "id, company_id, name, redirect_form, created_at";
/// Longest name, characters.
const NAME_CHARS_MAX: usize = 100;

impl Db {
    /// The device profiles in `scope`, by key.
    ///
    /// # Errors
    /// [`DbError::Invalid`] for a cursor that is not from this list.
    pub async fn device_profiles(&self, scope: &Scope, page: &Page) -> Result<Paged<DeviceProfile>, DbError> {
        let (keys, after, rows) = (keys(scope), page.numbers::<1>()?.map_or(0, |[id]| id), page.rows());
        let found = self
            .read(move |conn| {
                Ok(sql_query(format!(
                    "SELECT {COLUMNS} FROM device_profile \
                     WHERE id > $1 AND ($2::bigint[] IS NULL OR company_id = ANY ($2)) ORDER BY id LIMIT $3"
                ))
                .bind::<BigInt, _>(after)
                .bind::<Nullable<Array<BigInt>>, _>(keys)
                .bind::<BigInt, _>(rows)
                .load::<ProfileRow>(conn)?)
            })
            .await?;
        let found = found.into_iter().map(DeviceProfile::from).collect();
        Ok(page.cut(found, |profile: &DeviceProfile| [profile.id.0]))
    }

    /// One device profile.
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn device_profile(&self, scope: &Scope, id: DeviceProfileId) -> Result<DeviceProfile, DbError> {
        let scope = scope.clone();
        self.read(move |conn| one(conn, &scope, id)).await
    }

    /// Makes a device profile.
    ///
    /// # Errors
    /// [`DbError::NotFound`] for a company outside `scope`, [`DbError::Conflict`] for a name that is taken.
    pub async fn create_device_profile(
        &self,
        scope: &Scope,
        new: NewDeviceProfile,
    ) -> Result<DeviceProfile, DbError> {
        let NewDeviceProfile { company_id, name, redirect_form } = new;
        seen(scope, company_id)?;
        let name = text::given("name", &name, NAME_CHARS_MAX)?;
        let scope = scope.clone();
        self.control(move |conn| {
            company::one(conn, company_id)?;
            let made: ProfileRow = sql_query(format!(
                "INSERT INTO device_profile (company_id, name, redirect_form) VALUES ($1, $2, $3) RETURNING {COLUMNS}"
            ))
            .bind::<BigInt, _>(company_id.0)
            .bind::<Text, _>(&name)
            .bind::<Nullable<Text>, _>(redirect_form.map(RedirectForm::name))
            .get_result(conn)?;
            let detail = json!({ "name": name, "company_id": company_id, "redirect_form": redirect_form });
            audit::record(conn, &scope, "create", "device_profile", made.id, detail)?;
            Ok(made.into())
        })
        .await
    }

    /// Changes a device profile; terminals that have it are met by it when they next register.
    ///
    /// # Errors
    /// [`DbError::NotFound`]; [`DbError::Conflict`] for a name that is taken.
    pub async fn change_device_profile(
        &self,
        scope: &Scope,
        id: DeviceProfileId,
        change: DeviceProfileChange,
    ) -> Result<DeviceProfile, DbError> {
        let DeviceProfileChange { name, redirect_form } = change;
        let name = name.map(|name| text::given("name", &name, NAME_CHARS_MAX)).transpose()?;
        let scope = scope.clone();
        self.control(move |conn| {
            one(conn, &scope, id)?;
            let is: ProfileRow = sql_query(format!(
                "UPDATE device_profile SET name = coalesce($2, name), \
                 redirect_form = CASE WHEN $3 THEN $4 ELSE redirect_form END WHERE id = $1 RETURNING {COLUMNS}"
            ))
            .bind::<BigInt, _>(id.0)
            .bind::<Nullable<Text>, _>(&name)
            .bind::<Bool, _>(redirect_form.is_some())
            .bind::<Nullable<Text>, _>(redirect_form.flatten().map(RedirectForm::name))
            .get_result(conn)?;
            let is = DeviceProfile::from(is);
            let detail = json!({ "name": is.name, "redirect_form": is.redirect_form });
            audit::record(conn, &scope, "change", "device_profile", id, detail)?;
            Ok(is)
        })
        .await
    }

    /// Deletes a device profile that no terminal has.
    ///
    /// # Errors
    /// [`DbError::NotFound`]; [`DbError::Conflict`] where a terminal has it.
    pub async fn delete_device_profile(&self, scope: &Scope, id: DeviceProfileId) -> Result<(), DbError> {
        let scope = scope.clone();
        self.control(move |conn| {
            let was = one(conn, &scope, id)?;
            let carriers: Vec<Key> =
                sql_query("SELECT id FROM terminal WHERE device_profile_id = $1 LIMIT 1")
                    .bind::<BigInt, _>(id.0)
                    .load(conn)?;
            if !carriers.is_empty() {
                return Err(DbError::Conflict(format!(
                    "terminals still have the device profile {}",
                    was.name
                )));
            }
            sql_query("DELETE FROM device_profile WHERE id = $1").bind::<BigInt, _>(id.0).execute(conn)?;
            audit::record(conn, &scope, "delete", "device_profile", id, json!({ "name": was.name }))
        })
        .await
    }
}

fn one(conn: &mut PgConnection, scope: &Scope, id: DeviceProfileId) -> Result<DeviceProfile, DbError> {
    let row: ProfileRow = sql_query(format!(
        "SELECT {COLUMNS} FROM device_profile WHERE id = $1 AND ($2::bigint[] IS NULL OR company_id = ANY ($2))"
    ))
    .bind::<BigInt, _>(id.0)
    .bind::<Nullable<Array<BigInt>>, _>(keys(scope))
    .get_result(conn)?;
    Ok(row.into())
}

/// Whether terminals of `company` may have the profile: it belongs to that company or to one above it. It stays until
/// the transaction ends.
pub(crate) fn check_reach(
    conn: &mut PgConnection,
    id: DeviceProfileId,
    company: CompanyId,
) -> Result<(), DbError> {
    let found: Vec<Key> = sql_query(
        "SELECT p.id FROM device_profile p WHERE p.id = $1 AND p.company_id IN (\
         WITH RECURSIVE up AS (SELECT id, parent_id FROM company WHERE id = $2 \
         UNION SELECT c.id, c.parent_id FROM company c JOIN up ON c.id = up.parent_id) SELECT id FROM up) \
         FOR KEY SHARE OF p",
    )
    .bind::<BigInt, _>(id.0)
    .bind::<BigInt, _>(company.0)
    .load(conn)?;
    if found.is_empty() { Err(DbError::NotFound) } else { Ok(()) }
}

/// Takes their profile from the terminals of `companies` that may not have it any more, because they or their company
/// moved.
pub(crate) fn drop_out_of_reach(conn: &mut PgConnection, companies: &[CompanyId]) -> Result<(), DbError> {
    let companies: Vec<i64> = companies.iter().map(|company| company.0).collect();
    sql_query(
        "WITH RECURSIVE up AS (SELECT id AS company, id AS above FROM company WHERE id = ANY ($1) \
         UNION SELECT up.company, c.parent_id FROM up JOIN company c ON c.id = up.above WHERE c.parent_id IS NOT NULL) \
         UPDATE terminal t SET device_profile_id = NULL FROM device_profile p \
         WHERE p.id = t.device_profile_id AND t.company_id = ANY ($1) \
         AND NOT EXISTS (SELECT FROM up WHERE up.company = t.company_id AND up.above = p.company_id)",
    )
    .bind::<Array<BigInt>, _>(companies)
    .execute(conn)?;
    Ok(())
}
