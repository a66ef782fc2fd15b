//! Roles: named sets of permissions.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, delete, get, patch, post};
use model::{Permission, RoleId};
use openapi::page::{Page, PageQuery};
use openapi::role::{NewRole, Role, RoleChange};
use std::collections::BTreeSet;

use crate::body::Json;
use crate::caller::{Caller, ManageAccounts};
use crate::problem::{OrNotFound as _, Outcome, Problem};
use crate::query::Query;
use crate::state::State;
use crate::v1::page;

/// The roles in the caller's scope, by key.
#[utoipa::path(tag = "role", security(("bearer" = ["manage_accounts"])), params(PageQuery), responses((status = 200, description = "A page of them", body = Page<Role>)))]
#[get("/roles")]
pub(crate) async fn list_roles(
    caller: Caller<ManageAccounts>,
    state: Data<State>,
    query: Query<PageQuery>,
) -> Outcome<Json<Page<Role>>> {
    let PageQuery { cursor, limit } = query.into_inner();
    Ok(Json(state.db.roles(&caller.scope, &page(cursor, limit)?).await?.into()))
}

/// One role.
#[utoipa::path(tag = "role", security(("bearer" = ["manage_accounts"])), params(("id" = RoleId, Path, description = "Its key")), responses(
    (status = 200, description = "It", body = Role),
))]
#[get("/roles/{id}")]
pub(crate) async fn role(
    caller: Caller<ManageAccounts>,
    state: Data<State>,
    id: Path<RoleId>,
) -> Outcome<Json<Role>> {
    Ok(Json(state.db.role(&caller.scope, *id).await.or_no_such("role")?.into()))
}

/// Make a role.
#[utoipa::path(tag = "role", security(("bearer" = ["manage_accounts"])), responses(
    (status = 201, description = "Made", body = Role, headers(("location" = String, description = "Where it is"))),
    (status = 403, description = "The right is missing, or the role allows more than the caller may"),
    (status = 404, description = "No such company"),
    (status = 409, description = "The name is taken"),
))]
#[post("/roles")]
pub(crate) async fn create_role(
    caller: Caller<ManageAccounts>,
    state: Data<State>,
    new: Json<NewRole>,
) -> Outcome<HttpResponse> {
    grants_no_more(&caller, &new.permissions)?;
    let made: Role =
        state.db.create_role(&caller.scope, new.into_inner().into()).await.or_no_such("company")?.into();
    state.changed();
    Ok(HttpResponse::Created().insert_header((LOCATION, format!("/api/v1/roles/{}", made.id))).json(made))
}

/// Change a role; what is absent stays.
#[utoipa::path(tag = "role", security(("bearer" = ["manage_accounts"])), params(("id" = RoleId, Path, description = "Its key")), responses(
    (status = 200, description = "As it is now", body = Role),
    (status = 403, description = "The right is missing, or the role, now or then, allows more than the caller may"),
    (status = 409, description = "The name is taken, or nobody could manage accounts any more"),
))]
#[patch("/roles/{id}")]
pub(crate) async fn change_role(
    caller: Caller<ManageAccounts>,
    state: Data<State>,
    id: Path<RoleId>,
    change: Json<RoleChange>,
) -> Outcome<Json<Role>> {
    let now = state.db.role(&caller.scope, *id).await.or_no_such("role")?;
    grants_no_more(&caller, &now.permissions)?;
    grants_no_more(&caller, change.permissions.as_ref().unwrap_or(&now.permissions))?;
    let changed = state.db.change_role(&caller.scope, *id, change.into_inner().into()).await;
    let changed = changed.or_no_such("role")?;
    state.changed();
    Ok(Json(changed.into()))
}

/// Delete a role that no account carries.
#[utoipa::path(tag = "role", security(("bearer" = ["manage_accounts"])), params(("id" = RoleId, Path, description = "Its key")), responses(
    (status = 204, description = "Deleted"),
    (status = 403, description = "The right is missing, or the role allows more than the caller may"),
    (status = 409, description = "An account carries it"),
))]
#[delete("/roles/{id}")]
pub(crate) async fn delete_role(
    caller: Caller<ManageAccounts>,
    state: Data<State>,
    id: Path<RoleId>,
) -> Outcome<HttpResponse> {
    let now = state.db.role(&caller.scope, *id).await.or_no_such("role")?;
    grants_no_more(&caller, &now.permissions)?;
    state.db.delete_role(&caller.scope, *id).await.or_no_such("role")?;
    state.changed();
    Ok(HttpResponse::NoContent().finish())
}

/// Refuses a role that allows what the caller may not: who manages accounts must not give themselves more.
fn grants_no_more(caller: &Caller<ManageAccounts>, permissions: &BTreeSet<Permission>) -> Outcome<()> {
    if permissions.is_subset(&caller.permissions) {
        return Ok(());
    }
    Err(Problem::forbidden("that role allows more than you may"))
}
