//! Every route of v1, in one list: the server and the OpenAPI document are both built from it.
//!
//! Who needs no log-in is decided here, by which side of the guard a route stands on, never by the text of
//! an address.

use actix_web::dev::HttpServiceFactory;
use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{OpenApi, RefOr};
use utoipa_actix_web::service_config::ServiceConfig;
use utoipa_actix_web::{OpenApiFactory, scope};

use crate::caller::authenticate;
use crate::console::{self, Console};
use crate::health;
use crate::problem::{Outcome, Problem};
use crate::v1::{
    account, alarm, company, device_profile, dispatch, event, live, login, me, node, pending, position, role,
    server, terminal, vehicle,
};

/// Writes the list once: as the services behind the guard, and as the schemas that each of them names.
macro_rules! behind_the_guard {
    ($($handler:path),* $(,)?) => {
        fn guarded() -> impl HttpServiceFactory + OpenApiFactory + 'static {
            scope("").wrap(from_fn(authenticate))$(.service($handler))*.default_service(web::to(unmatched))
        }

        fn guarded_schemas(named: &mut Vec<(String, RefOr<Schema>)>) {
            $(OpenApiFactory::schemas(&$handler, named);)*
        }
    };
}

behind_the_guard![
    login::log_out,
    me::me,
    me::change_password,
    me::delete_me,
    company::list_companies,
    company::create_company,
    company::company,
    company::change_company,
    company::delete_company,
    role::list_roles,
    role::create_role,
    role::role,
    role::change_role,
    role::delete_role,
    account::list_accounts,
    account::create_account,
    account::account,
    account::change_account,
    account::delete_account,
    vehicle::list_vehicles,
    vehicle::create_vehicle,
    vehicle::vehicle,
    vehicle::change_vehicle,
    vehicle::delete_vehicle,
    position::track,
    live::live,
    live::snapshot,
    terminal::list_terminals,
    terminal::create_terminal,
    terminal::terminal,
    terminal::change_terminal,
    terminal::delete_terminal,
    terminal::list_channels,
    terminal::rename_channel,
    server::read_servers,
    server::set_servers,
    dispatch::dispatch_client,
    dispatch::dispatch_terminal,
    device_profile::list_device_profiles,
    device_profile::create_device_profile,
    device_profile::device_profile,
    device_profile::change_device_profile,
    device_profile::delete_device_profile,
    pending::list_pending_terminals,
    pending::approve_terminal,
    pending::reject_terminal,
    position::list_latest_positions,
    alarm::list_alarms,
    alarm::alarm,
    alarm::handle_alarm,
    alarm::unhandle_alarm,
    event::events,
    node::list_nodes,
    node::find_node,
    node::drain_node,
    node::undrain_node,
    node::list_node_events,
];

/// Health and v1.
pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(health::healthz)
        .service(health::readyz)
        .service(scope("/api/v1").service(login::log_in).service(login::refresh_login).service(guarded()));
}

/// Every schema that a route names, with repetitions: the routes' own document keeps the last of a name only.
pub(crate) fn schemas() -> Vec<(String, RefOr<Schema>)> {
    let mut named = Vec::new();
    OpenApiFactory::schemas(&health::healthz, &mut named);
    OpenApiFactory::schemas(&health::readyz, &mut named);
    OpenApiFactory::schemas(&login::log_in, &mut named);
    OpenApiFactory::schemas(&login::refresh_login, &mut named);
    guarded_schemas(&mut named);
    named
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
