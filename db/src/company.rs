//! Companies: the tree of tenants that owns everything else.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamptz};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use model::{Companies, CompanyId, Scope};
use serde_json::json;

use crate::{Db, DbError, Page, Paged, audit, device_profile, text};

/// The company at the root of the tree; the first migration makes it, nobody deletes it.
pub const ROOT_COMPANY: CompanyId = CompanyId(1);

/// A company.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Company {
    /// Its key.
    pub id: CompanyId,
    /// The company above it; None at the root.
    pub parent_id: Option<CompanyId>,
    /// Its name, unique under its parent.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A company to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCompany {
    /// The company above it.
    pub parent_id: CompanyId,
    /// 1 to 100 characters.
    pub name: String,
}

/// What to change of a company; None leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompanyChange {
    /// Another parent, not below the company itself.
    pub parent_id: Option<CompanyId>,
    /// Another name.
    pub name: Option<String>,
}

#[derive(QueryableByName)]
struct CompanyRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    parent_id: Option<i64>,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

impl From<CompanyRow> for Company {
    fn from(row: CompanyRow) -> Self {
        let CompanyRow { id, parent_id, name, created_at } = row;
        Self { id: CompanyId(id), parent_id: parent_id.map(CompanyId), name, created_at }
    }
}

/// Longest name, characters.
const NAME_CHARS_MAX: usize = 100;

impl Db {
    /// The companies in `scope`, by key.
    ///
    /// # Errors
    /// [`DbError::Invalid`] for a cursor that is not from this list.
    pub async fn companies(&self, scope: &Scope, page: &Page) -> Result<Paged<Company>, DbError> {
        let (keys, after, rows) = (keys(scope), page.numbers::<1>()?.map_or(0, |[id]| id), page.rows());
        let found = self
            .read(move |conn| {
                Ok(sql_query(
                    "SELECT id, parent_id, name, created_at FROM company \
                     WHERE id > $1 AND ($2::bigint[] IS NULL OR id = ANY ($2)) ORDER BY id LIMIT $3",
                )
                .bind::<BigInt, _>(after)
                .bind::<Nullable<Array<BigInt>>, _>(keys)
                .bind::<BigInt, _>(rows)
                .load::<CompanyRow>(conn)?)
            })
            .await?;
        Ok(page.cut(found.into_iter().map(Company::from).collect(), |company: &Company| [company.id.0]))
    }

    /// One company.
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn company(&self, scope: &Scope, id: CompanyId) -> Result<Company, DbError> {
        seen(scope, id)?;
        self.read(move |conn| one(conn, id)).await
    }

    /// `id` and every company below it; empty where there is no such company.
    ///
    /// # Errors
    /// As any query.
    pub async fn companies_below(&self, id: CompanyId) -> Result<BTreeSet<CompanyId>, DbError> {
        self.control(move |conn| below(conn, id)).await
    }

    /// Makes a company.
    ///
    /// # Errors
    /// [`DbError::NotFound`] for a parent outside `scope`, [`DbError::Conflict`] for a name that is taken,
    /// [`DbError::Invalid`] for one that is none.
    pub async fn create_company(&self, scope: &Scope, new: NewCompany) -> Result<Company, DbError> {
        seen(scope, new.parent_id)?;
        let name = text::given("name", &new.name, NAME_CHARS_MAX)?;
        let scope = scope.clone();
        self.control(move |conn| {
            one(conn, new.parent_id)?;
            let made: CompanyRow = sql_query(
                "INSERT INTO company (parent_id, name) VALUES ($1, $2) RETURNING id, parent_id, name, created_at",
            )
            .bind::<BigInt, _>(new.parent_id.0)
            .bind::<Text, _>(&name)
            .get_result(conn)?;
            audit::record(conn, &scope, "create", "company", made.id, json!({ "name": name, "parent_id": new.parent_id }))?;
            Ok(made.into())
        })
        .await
    }

    /// Changes a company.
    ///
    /// # Errors
    /// As [`create_company`](Self::create_company); [`DbError::Conflict`] also for a parent at or below the
    /// company, and for moving the root.
    pub async fn change_company(
        &self,
        scope: &Scope,
        id: CompanyId,
        change: CompanyChange,
    ) -> Result<Company, DbError> {
        seen(scope, id)?;
        let CompanyChange { parent_id, name } = change;
        if let Some(parent) = parent_id {
            seen(scope, parent)?;
        }
        let name = name.map(|name| text::given("name", &name, NAME_CHARS_MAX)).transpose()?;
        let scope = scope.clone();
        self.control(move |conn| {
            // one move at a time: two could make a ring that neither sees
            sql_query("LOCK TABLE company IN SHARE ROW EXCLUSIVE MODE").execute(conn)?;
            let was = one(conn, id)?;
            if let Some(parent) = parent_id.filter(|parent| Some(*parent) != was.parent_id) {
                if id == ROOT_COMPANY {
                    return Err(DbError::Conflict("the root company has no parent".into()));
                }
                one(conn, parent)?;
                if below(conn, id)?.contains(&parent) {
                    return Err(DbError::Conflict("a company cannot be below itself".into()));
                }
            }
            let is: CompanyRow = sql_query(
                "UPDATE company SET parent_id = coalesce($2, parent_id), name = coalesce($3, name) WHERE id = $1 \
                 RETURNING id, parent_id, name, created_at",
            )
            .bind::<BigInt, _>(id.0)
            .bind::<Nullable<BigInt>, _>(parent_id.filter(|_| id != ROOT_COMPANY).map(|parent| parent.0))
            .bind::<Nullable<Text>, _>(&name)
            .get_result(conn)?;
            if parent_id.is_some() {
                let moved: Vec<CompanyId> = below(conn, id)?.into_iter().collect();
                device_profile::drop_out_of_reach(conn, &moved)?;
            }
            audit::record(conn, &scope, "change", "company", id, json!({ "name": name, "parent_id": parent_id }))?;
            Ok(is.into())
        })
        .await
    }

    /// Deletes a company that has nothing left in it.
    ///
    /// # Errors
    /// [`DbError::Conflict`] naming what is left, and for the root.
    pub async fn delete_company(&self, scope: &Scope, id: CompanyId) -> Result<(), DbError> {
        seen(scope, id)?;
        if id == ROOT_COMPANY {
            return Err(DbError::Conflict("the root company stays".into()));
        }
        let scope = scope.clone();
        self.control(move |conn| {
            let was = one(conn, id)?;
            for (what, table) in [
                ("companies", "company WHERE parent_id"),
                ("vehicles", "vehicle WHERE company_id"),
                ("terminals", "terminal WHERE company_id"),
                ("accounts", "account WHERE company_id"),
                ("roles", "role WHERE company_id"),
                ("device profiles", "device_profile WHERE company_id"),
            ] {
                let left: Vec<Key> = sql_query(format!("SELECT id FROM {table} = $1 LIMIT 1"))
                    .bind::<BigInt, _>(id.0)
                    .load(conn)?;
                if !left.is_empty() {
                    return Err(DbError::Conflict(format!("company {} still has {what}", was.name)));
                }
            }
            sql_query("DELETE FROM company WHERE id = $1").bind::<BigInt, _>(id.0).execute(conn)?;
            audit::record(conn, &scope, "delete", "company", id, json!({ "name": was.name }))
        })
        .await
    }
}

/// A key on its own.
#[derive(QueryableByName)]
pub(crate) struct Key {
    #[diesel(sql_type = BigInt)]
    pub(crate) id: i64,
}

/// The keys of the companies in `scope`, for `= ANY`; None for all.
pub(crate) fn keys(scope: &Scope) -> Option<Vec<i64>> {
    match &scope.companies {
        Companies::All => None,
        Companies::Of(companies) => Some(companies.iter().map(|company| company.0).collect()),
    }
}

/// Not found where `company` lies outside `scope`.
pub(crate) fn seen(scope: &Scope, company: CompanyId) -> Result<(), DbError> {
    if scope.sees(company) { Ok(()) } else { Err(DbError::NotFound) }
}

/// The company, in a transaction.
pub(crate) fn one(conn: &mut PgConnection, id: CompanyId) -> Result<Company, DbError> {
    let row: CompanyRow = sql_query("SELECT id, parent_id, name, created_at FROM company WHERE id = $1")
        .bind::<BigInt, _>(id.0)
        .get_result(conn)?;
    Ok(row.into())
}

/// `id` and every company below it.
pub(crate) fn below(conn: &mut PgConnection, id: CompanyId) -> Result<BTreeSet<CompanyId>, DbError> {
    let keys: Vec<Key> = sql_query(
        "WITH RECURSIVE tree AS (SELECT id FROM company WHERE id = $1 \
         UNION SELECT c.id FROM company c JOIN tree ON c.parent_id = tree.id) SELECT id FROM tree",
    )
    .bind::<BigInt, _>(id.0)
    .load(conn)?;
    Ok(keys.into_iter().map(|key| CompanyId(key.id)).collect())
}
