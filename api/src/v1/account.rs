//! Accounts of people.

use access::{AccessError, PasswordHashes};
use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpResponse, delete, get, patch, post};
use model::{AccountId, RoleId, Scope};
use openapi::account::{Account, AccountChange, NewAccount};
use openapi::page::{Page, PageQuery};

use crate::caller::{Caller, ManageAccounts};
use crate::problem::{OrNotFound as _, Outcome, Problem};
use crate::state::State;
use crate::v1::me::check_password;
use crate::v1::page;

/// The accounts in the caller's scope, by key.
#[utoipa::path(tag = "account", security(("bearer" = ["manage_accounts"])), responses((status = 200, description = "A page of them", body = Page<Account>)))]
#[get("/accounts")]
pub(crate) async fn list_accounts(
    caller: Caller<ManageAccounts>,
    state: Data<State>,
    query: Query<PageQuery>,
) -> Outcome<Json<Page<Account>>> {
    let PageQuery { cursor, limit } = query.into_inner();
    Ok(Json(state.db.accounts(&caller.scope, &page(cursor, limit)?).await?.into()))
}

/// One account.
#[utoipa::path(tag = "account", security(("bearer" = ["manage_accounts"])), params(("id" = AccountId, Path, description = "Its key")), responses(
    (status = 200, description = "It", body = Account),
))]
#[get("/accounts/{id}")]
pub(crate) async fn account(
    caller: Caller<ManageAccounts>,
    state: Data<State>,
    id: Path<AccountId>,
) -> Outcome<Json<Account>> {
    Ok(Json(state.db.account(&caller.scope, *id).await.or_no_such("account")?.into()))
}

/// Make an account.
#[utoipa::path(tag = "account", security(("bearer" = ["manage_accounts"])), responses(
    (status = 201, description = "Made", body = Account, headers(("location" = String, description = "Where it is"))),
    (status = 404, description = "No such company or role"),
    (status = 409, description = "The name is taken"),
))]
#[post("/accounts")]
pub(crate) async fn create_account(
    caller: Caller<ManageAccounts>,
    state: Data<State>,
    new: Json<NewAccount>,
) -> Outcome<HttpResponse> {
    let NewAccount { company_id, role_id, name, password, must_change_password, expires_at } =
        new.into_inner();
    check_password("password", &password)?;
    grants_no_more(&caller, &state, role_id).await?;
    let PasswordHashes { password, password_md5 } =
        state.access.hash_password(&password).await.map_err(AccessError::from)?;
    let new = db::NewAccount {
        company_id,
        role_id,
        name,
        password_hash: password,
        md5_hash: password_md5,
        must_change_password,
        enabled: true,
        expires_at,
    };
    let made: Account =
        state.db.create_account(&caller.scope, new).await.or_no_such("company or role")?.into();
    Ok(HttpResponse::Created().insert_header((LOCATION, format!("/api/v1/accounts/{}", made.id))).json(made))
}

/// Change an account; what is absent stays.
#[utoipa::path(tag = "account", security(("bearer" = ["manage_accounts"])), params(("id" = AccountId, Path, description = "Its key")), responses(
    (status = 200, description = "As it is now", body = Account),
    (status = 409, description = "The name is taken, or nobody would be left who manages accounts"),
))]
#[patch("/accounts/{id}")]
pub(crate) async fn change_account(
    caller: Caller<ManageAccounts>,
    state: Data<State>,
    id: Path<AccountId>,
    change: Json<AccountChange>,
) -> Outcome<Json<Account>> {
    let AccountChange { company_id, role_id, name, enabled, expires_at, password } = change.into_inner();
    let now = state.db.account(&caller.scope, *id).await.or_no_such("account")?;
    grants_no_more(&caller, &state, now.role_id).await?;
    if let Some(role) = role_id {
        grants_no_more(&caller, &state, role).await?;
    }
    if let Some(password) = &password {
        check_password("password", password)?;
    }
    let change = db::AccountChange { company_id, role_id, name, enabled, expires_at };
    let changed = state.db.change_account(&caller.scope, *id, change).await.or_no_such("account")?;
    if let Some(password) = password {
        let PasswordHashes { password, password_md5 } =
            state.access.hash_password(&password).await.map_err(AccessError::from)?;
        state
            .db
            .set_password(&caller.scope, *id, password, password_md5, true)
            .await
            .or_no_such("account")?;
    }
    state.changed();
    Ok(Json(changed.into()))
}

/// Refuses to deal with an account of a role that allows what the caller may not: who manages accounts
/// must not make themselves, or take over, an account that may more.
async fn grants_no_more(caller: &Caller<ManageAccounts>, state: &State, role: RoleId) -> Outcome<()> {
    // A role of a company above is visible to none of the company's people, and may be carried by them.
    let role = state.db.role(&Scope::platform(), role).await.or_no_such("role")?;
    if role.permissions.is_subset(&caller.permissions) {
        return Ok(());
    }
    Err(Problem::forbidden("that role allows more than you may"))
}

/// Delete an account.
#[utoipa::path(tag = "account", security(("bearer" = ["manage_accounts"])), params(("id" = AccountId, Path, description = "Its key")), responses(
    (status = 204, description = "Deleted"),
    (status = 409, description = "Nobody would be left who manages accounts"),
))]
#[delete("/accounts/{id}")]
pub(crate) async fn delete_account(
    caller: Caller<ManageAccounts>,
    state: Data<State>,
    id: Path<AccountId>,
) -> Outcome<HttpResponse> {
    state.db.delete_account(&caller.scope, *id).await.or_no_such("account")?;
    state.changed();
    Ok(HttpResponse::NoContent().finish())
}
