//! Accounts of people.

use access::{AccessError, PasswordHashes};
use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, delete, get, patch, post};
use model::{AccountId, Scope};
use openapi::account::{Account, AccountChange, NewAccount};
use openapi::page::{Page, PageQuery};

use crate::body::Json;
use crate::caller::{Caller, ManageAccounts};
use crate::problem::{OrNotFound as _, Outcome, Problem};
use crate::query::Query;
use crate::state::State;
use crate::v1::me::check_password;
use crate::v1::page;

/// The accounts in the caller's scope, by key.
#[utoipa::path(tag = "account", security(("bearer" = ["manage_accounts"])), params(PageQuery), responses((status = 200, description = "A page of them", body = Page<Account>)))]
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
    (status = 403, description = "The right is missing, or the role allows more than the caller may"),
    (status = 404, description = "No such company, or no such role that its accounts may carry"),
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
    state.db.company(&caller.scope, company_id).await.or_no_such("company")?;
    let role = state.db.role_for(company_id, role_id).await.or_no_such("role")?;
    grants_no_more(&caller, &role)?;
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
    (status = 403, description = "The right is missing, or the account's role, now or then, allows more than the caller may"),
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
    let now = account_in_hand(&caller, &state, *id).await?;
    if let Some(company) = company_id {
        state.db.company(&caller.scope, company).await.or_no_such("company")?;
    }
    if let Some(role) = role_id {
        let role = state.db.role_for(company_id.unwrap_or(now.company_id), role).await;
        grants_no_more(&caller, &role.or_no_such("role")?)?;
    }
    let password = match password {
        Some(password) => {
            check_password("password", &password)?;
            let hashes = state.access.hash_password(&password).await.map_err(AccessError::from)?;
            let PasswordHashes { password, password_md5 } = hashes;
            Some(db::NewPassword { password_hash: password, md5_hash: password_md5 })
        }
        None => None,
    };
    let change = db::AccountChange { company_id, role_id, name, enabled, expires_at, password };
    let changed = state.db.change_account(&caller.scope, *id, change).await;
    let changed = changed.or_no_such("account, company or role")?;
    state.changed();
    Ok(Json(changed.into()))
}

/// An account that the caller sees and whose role allows no more than the caller may: who manages accounts
/// must not take over, or be rid of, an account that may more.
async fn account_in_hand(
    caller: &Caller<ManageAccounts>,
    state: &State,
    id: AccountId,
) -> Outcome<db::Account> {
    let found = state.db.account(&caller.scope, id).await.or_no_such("account")?;
    // A role of a company above is visible to none of the company's people, and may be carried by them.
    let role = state.db.role(&Scope::platform(), found.role_id).await.or_no_such("account")?;
    grants_no_more(caller, &role)?;
    Ok(found)
}

/// Refuses a role that allows what the caller may not: who manages accounts must not make an account that
/// may more than they do.
fn grants_no_more(caller: &Caller<ManageAccounts>, role: &db::Role) -> Outcome<()> {
    if role.permissions.is_subset(&caller.permissions) {
        return Ok(());
    }
    Err(Problem::forbidden("that role allows more than you may"))
}

/// Delete an account.
#[utoipa::path(tag = "account", security(("bearer" = ["manage_accounts"])), params(("id" = AccountId, Path, description = "Its key")), responses(
    (status = 204, description = "Deleted"),
    (status = 403, description = "The right is missing, or the account's role allows more than the caller may"),
    (status = 409, description = "Nobody would be left who manages accounts"),
))]
#[delete("/accounts/{id}")]
pub(crate) async fn delete_account(
    caller: Caller<ManageAccounts>,
    state: Data<State>,
    id: Path<AccountId>,
) -> Outcome<HttpResponse> {
    account_in_hand(&caller, &state, *id).await?;
    state.db.delete_account(&caller.scope, *id).await.or_no_such("account")?;
    state.changed();
    Ok(HttpResponse::NoContent().finish())
}
