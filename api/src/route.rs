//! Every route of v1, in one list: the server and the OpenAPI document are both built from it.
//!
//! Who needs no log-in is decided here, by which side of the guard a route stands on, never by the text of
//! an address.

use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse};
use utoipa::openapi::OpenApi;
use utoipa_actix_web::scope;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::caller::authenticate;
use crate::console::{self, Console};
use crate::health;
use crate::problem::{Outcome, Problem};
use crate::v1::{
    account, alarm, company, event, live, login, me, pending, position, role, terminal, vehicle,
};

/// Health and v1.
pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    let guarded = scope("")
        .wrap(from_fn(authenticate))
        .service(login::log_out)
        .service(me::me)
        .service(me::change_password)
        .service(me::delete_me)
        .service(company::list_companies)
        .service(company::create_company)
        .service(company::company)
        .service(company::change_company)
        .service(company::delete_company)
        .service(role::list_roles)
        .service(role::create_role)
        .service(role::role)
        .service(role::change_role)
        .service(role::delete_role)
        .service(account::list_accounts)
        .service(account::create_account)
        .service(account::account)
        .service(account::change_account)
        .service(account::delete_account)
        .service(vehicle::list_vehicles)
        .service(vehicle::create_vehicle)
        .service(vehicle::vehicle)
        .service(vehicle::change_vehicle)
        .service(vehicle::delete_vehicle)
        .service(position::track)
        .service(live::live)
        .service(live::snapshot)
        .service(terminal::list_terminals)
        .service(terminal::create_terminal)
        .service(terminal::terminal)
        .service(terminal::change_terminal)
        .service(terminal::delete_terminal)
        .service(terminal::list_channels)
        .service(terminal::rename_channel)
        .service(pending::list_pending_terminals)
        .service(pending::approve_terminal)
        .service(pending::reject_terminal)
        .service(position::list_latest_positions)
        .service(alarm::list_alarms)
        .service(alarm::alarm)
        .service(alarm::handle_alarm)
        .service(alarm::unhandle_alarm)
        .service(event::events)
        .default_service(web::to(unmatched));
    config
        .service(health::healthz)
        .service(health::readyz)
        .service(scope("/api/v1").service(login::log_in).service(login::refresh_login).service(guarded));
}

/// What every documented address takes, so that a wrong method is told from a wrong address.
pub(crate) struct Methods(Vec<(String, Vec<Method>)>);

impl Methods {
    pub(crate) fn of(document: &OpenApi) -> Self {
        let of = |item: &utoipa::openapi::PathItem| {
            [
                (&item.get, Method::GET),
                (&item.post, Method::POST),
                (&item.patch, Method::PATCH),
                (&item.delete, Method::DELETE),
            ]
            .into_iter()
            .filter_map(|(operation, method)| operation.is_some().then_some(method))
            .collect()
        };
        Self(document.paths.paths.iter().map(|(path, item)| (path.clone(), of(item))).collect())
    }

    /// The methods that the address takes; none where it is no address of ours.
    fn of_path(&self, path: &str) -> Vec<&Method> {
        self.0.iter().filter(|(template, _)| fits(template, path)).flat_map(|(_, methods)| methods).collect()
    }
}

fn fits(template: &str, path: &str) -> bool {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    loop {
        match (template.next(), path.next()) {
            (None, None) => return true,
            (Some(part), Some(given)) if part == given => {}
            (Some(part), Some(given)) if part.starts_with('{') && !given.is_empty() => {}
            _ => return false,
        }
    }
}

/// What no route took: a known address with a wrong method, a page of the console, or nothing.
pub(crate) async fn unmatched(
    request: HttpRequest,
    methods: Data<Methods>,
    console: Data<Console>,
) -> Outcome<HttpResponse> {
    let allowed = methods.of_path(request.path());
    if !allowed.is_empty() && !allowed.contains(&request.method()) {
        let names: Vec<&str> = allowed.iter().map(|method| method.as_str()).collect();
        return Err(Problem::method_not_allowed(&names.join(", ")));
    }
    console::reply(&console, &request).ok_or_else(|| Problem::not_found("address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_from_its_neighbours() {
        assert!(fits("/api/v1/vehicles/{id}", "/api/v1/vehicles/7"));
        assert!(!fits("/api/v1/vehicles/{id}", "/api/v1/vehicles/"));
        assert!(!fits("/api/v1/vehicles/{id}", "/api/v1/vehicles/7/track"));
        assert!(!fits("/api/v1/vehicles", "/api/v1/terminals"));
    }
}
