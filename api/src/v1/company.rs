//! Companies: the tree of tenants.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, delete, get, patch, post};
use db::DbError;
use model::CompanyId;
use openapi::company::{Company, CompanyChange, NewCompany};
use openapi::page::{Page, PageQuery};

use crate::body::Json;
use crate::caller::{Caller, ManageAccounts, View};
use crate::problem::{OrNotFound as _, Outcome};
use crate::query::Query;
use crate::state::{State, may_have_changed};
use crate::v1::page;

/// The companies in the caller's scope, by key.
#[utoipa::path(tag = "company", security(("bearer" = ["view"])), params(PageQuery), responses((status = 200, description = "A page of them", body = Page<Company>)))]
#[get("/companies")]
pub(crate) async fn list_companies(
    caller: Caller<View>,
    state: Data<State>,
    query: Query<PageQuery>,
) -> Outcome<Json<Page<Company>>> {
    let PageQuery { cursor, limit } = query.into_inner();
    Ok(Json(state.db.companies(&caller.scope, &page(cursor, limit)?).await?.into()))
}

/// One company.
#[utoipa::path(tag = "company", security(("bearer" = ["view"])), params(("id" = CompanyId, Path, description = "Its key")), responses(
    (status = 200, description = "It", body = Company),
))]
#[get("/companies/{id}")]
pub(crate) async fn company(
    caller: Caller<View>,
    state: Data<State>,
    id: Path<CompanyId>,
) -> Outcome<Json<Company>> {
    Ok(Json(state.db.company(&caller.scope, *id).await.or_no_such("company")?.into()))
}

/// Make a company.
#[utoipa::path(tag = "company", security(("bearer" = ["manage_accounts"])), responses(
    (status = 201, description = "Made", body = Company, headers(("location" = String, description = "Where it is"))),
    (status = 404, description = "No such company above it"),
    (status = 409, description = "The name is taken"),
))]
#[post("/companies")]
pub(crate) async fn create_company(
    caller: Caller<ManageAccounts>,
    state: Data<State>,
    new: Json<NewCompany>,
) -> Outcome<HttpResponse> {
    let made = state.db.create_company(&caller.scope, new.into_inner().into()).await;
    tree_changed(&state, &made).await;
    let made: Company = made.or_no_such("company")?.into();
    Ok(HttpResponse::Created().insert_header((LOCATION, format!("/api/v1/companies/{}", made.id))).json(made))
}

/// Change a company; what is absent stays.
#[utoipa::path(tag = "company", security(("bearer" = ["manage_accounts"])), params(("id" = CompanyId, Path, description = "Its key")), responses(
    (status = 200, description = "As it is now", body = Company),
    (status = 409, description = "The name is taken, or the tree would have a loop"),
))]
#[patch("/companies/{id}")]
pub(crate) async fn change_company(
    caller: Caller<ManageAccounts>,
    state: Data<State>,
    id: Path<CompanyId>,
    change: Json<CompanyChange>,
) -> Outcome<Json<Company>> {
    let changed = state.db.change_company(&caller.scope, *id, change.into_inner().into()).await;
    tree_changed(&state, &changed).await;
    Ok(Json(changed.or_no_such("company")?.into()))
}

/// Delete a company that has nothing left in it.
#[utoipa::path(tag = "company", security(("bearer" = ["manage_accounts"])), params(("id" = CompanyId, Path, description = "Its key")), responses(
    (status = 204, description = "Deleted"),
    (status = 409, description = "Something is left in it, or it is the root"),
))]
#[delete("/companies/{id}")]
pub(crate) async fn delete_company(
    caller: Caller<ManageAccounts>,
    state: Data<State>,
    id: Path<CompanyId>,
) -> Outcome<HttpResponse> {
    let deleted = state.db.delete_company(&caller.scope, *id).await;
    tree_changed(&state, &deleted).await;
    deleted.or_no_such("company")?;
    Ok(HttpResponse::NoContent().finish())
}

/// What is kept of the tree and of rights in it is read anew, before anybody hears what became of the change.
async fn tree_changed<T>(state: &State, outcome: &Result<T, DbError>) {
    if may_have_changed(outcome) {
        state.changed();
        state.latest.companies_changed().await;
    }
}
