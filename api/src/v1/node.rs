//! The nodes of the cluster, for those who run the platform: who may manage accounts and sees the root company. To
//! others nodes are not there.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get, post, rt};
use chrono::DateTime;
use cluster::{ClusterReport, DrainError, NodeId, NodeInfo, NodeReport, Sighting};
use db::ROOT_COMPANY;
use model::Scope;
use openapi::node::{Cluster, Node, NodeEvent, NodeEventQuery, NodeLeader, NodeLoad, NodeRole, NodeSighting};
use openapi::page::Page;

use crate::body::Json;
use crate::caller::{Caller, ManageAccounts};
use crate::problem::{Outcome, Problem};
use crate::query::Query;
use crate::state::State;
use crate::v1::page;

/// The nodes, and what the one that answers knows of them. Only those who see the root company see them.
#[utoipa::path(tag = "node", security(("bearer" = ["manage_accounts"])), responses(
    (status = 200, description = "The cluster", body = Cluster),
    (status = 404, description = "Not for the caller to see"),
))]
#[get("/nodes")]
pub(crate) async fn list_nodes(caller: Caller<ManageAccounts>, state: Data<State>) -> Outcome<Json<Cluster>> {
    of_operators(&caller.scope)?;
    let ClusterReport { node, leader, etcd_away_since, nodes } = state.nodes.report();
    let leader = leader.map(|leader| NodeLeader { node: leader.node.to_string(), epoch: leader.epoch.0 });
    let nodes = nodes.into_iter().map(shown).collect();
    Ok(Json(Cluster { node: node.to_string(), leader, etcd_away_since, nodes }))
}

/// One node.
#[utoipa::path(tag = "node", security(("bearer" = ["manage_accounts"])), params(("node" = String, Path, description = "Its name")), responses(
    (status = 200, description = "It", body = Node),
))]
#[get("/nodes/{node}")]
pub(crate) async fn find_node(
    caller: Caller<ManageAccounts>,
    state: Data<State>,
    node: Path<NodeId>,
) -> Outcome<Json<Node>> {
    of_operators(&caller.scope)?;
    let report = state.nodes.report();
    let found = report.find(&node).cloned().ok_or_else(|| Problem::not_found("node"))?;
    Ok(Json(shown(found)))
}

/// Drain a node: it gets nothing more and gives away what it has, until it is taken back or ends. Draining one that
/// drains already changes nothing.
#[utoipa::path(tag = "node", security(("bearer" = ["manage_accounts"])), params(("node" = String, Path, description = "Its name")), responses(
    (status = 204, description = "It is marked; what it has leaves it from now on"),
    (status = 409, description = "It is alone: there is no other node"),
    (status = 503, description = "Etcd or the database is away: it may be marked or not; ask again, see Retry-After"),
))]
#[post("/nodes/{node}/drain")]
pub(crate) async fn drain_node(
    caller: Caller<ManageAccounts>,
    state: Data<State>,
    node: Path<NodeId>,
) -> Outcome<HttpResponse> {
    mark(&caller.scope, state, node.into_inner(), true).await
}

/// Take back that a node is drained: it may have something again. Of one that does not drain this changes nothing.
#[utoipa::path(tag = "node", security(("bearer" = ["manage_accounts"])), params(("node" = String, Path, description = "Its name")), responses(
    (status = 204, description = "It is not marked any more"),
    (status = 409, description = "It is alone: it cannot be drained"),
    (status = 503, description = "Etcd or the database is away: it may be marked or not; ask again, see Retry-After"),
))]
#[post("/nodes/{node}/undrain")]
pub(crate) async fn undrain_node(
    caller: Caller<ManageAccounts>,
    state: Data<State>,
    node: Path<NodeId>,
) -> Outcome<HttpResponse> {
    mark(&caller.scope, state, node.into_inner(), false).await
}

/// What happened to nodes, the latest first, as the cluster's leader wrote it.
#[utoipa::path(tag = "node", security(("bearer" = ["manage_accounts"])), params(NodeEventQuery), responses(
    (status = 200, description = "A page of it", body = Page<NodeEvent>),
    (status = 404, description = "Not for the caller to see"),
))]
#[get("/node-events")]
pub(crate) async fn list_node_events(
    caller: Caller<ManageAccounts>,
    state: Data<State>,
    query: Query<NodeEventQuery>,
) -> Outcome<Json<Page<NodeEvent>>> {
    of_operators(&caller.scope)?;
    let NodeEventQuery { node, cursor, limit } = query.into_inner();
    let node = node.map(|name| name.parse::<NodeId>()).transpose();
    let node = node.map_err(|error| Problem::field("node", error.to_string()))?;
    let node = node.as_ref().map(NodeId::as_str);
    Ok(Json(state.db.node_events(&caller.scope, node, &page(cursor, limit)?).await?.into()))
}

/// A 404 for those whom nodes do not concern.
fn of_operators(scope: &Scope) -> Outcome<()> {
    if scope.sees(ROOT_COMPANY) { Ok(()) } else { Err(Problem::not_found("node")) }
}

/// Marks a node, or takes the mark away, and then records who did so. Only what is recorded is answered as done.
async fn mark(scope: &Scope, state: Data<State>, node: NodeId, is_draining: bool) -> Outcome<HttpResponse> {
    of_operators(scope)?;
    let scope = scope.clone();
    // In a task of its own, so that a caller who hangs up in between leaves no change without its record.
    let marking = rt::spawn(async move {
        if is_draining {
            state.nodes.drain(&node).await?;
        } else {
            state.nodes.undrain(&node).await?;
        }
        Ok::<_, DrainError>(state.db.record_drain(&scope, node.as_str(), is_draining).await)
    });
    let recorded = marking.await.map_err(|error| Problem::internal(&error))??;
    recorded?;
    Ok(HttpResponse::NoContent().finish())
}

fn shown(report: NodeReport) -> Node {
    let seen = report.is_seen();
    let NodeReport { info, leads, is_draining, sighting } = report;
    // Nodes need to know each other's incarnation, dialect, address for calls and copies; people do not.
    let NodeInfo {
        node,
        incarnation: _,
        dialect: _,
        version,
        roles,
        seams: _,
        gateway,
        media,
        web,
        limits,
        started_at,
    } = info;
    Node {
        name: node.to_string(),
        roles: roles.into_iter().map(role).collect(),
        version,
        started_at,
        gateway: gateway.map(|address| address.to_string()),
        media: media.map(|server| server.viewer.to_string()),
        web: web.map(|server| server.dial.to_string()),
        terminals_max: limits.terminals,
        leads,
        draining: is_draining,
        seen,
        sighting: sighting.map(heard),
    }
}

fn role(role: cluster::Role) -> NodeRole {
    match role {
        cluster::Role::Login => NodeRole::Login,
        cluster::Role::Gateway => NodeRole::Gateway,
        cluster::Role::Media => NodeRole::Media,
        cluster::Role::Api => NodeRole::Api,
    }
}

fn heard(sighting: Sighting) -> NodeSighting {
    let clock_right = sighting.has_right_clock();
    let Sighting { incarnation: _, missed, load, measured_at_ms, clock_offset_ms, is_draining, copies: _ } =
        sighting;
    let cluster::Load {
        terminals,
        viewers,
        cpu_permille,
        memory_bytes,
        memory_max_bytes,
        storage_bytes,
        storage_max_bytes,
    } = load;
    NodeSighting {
        missed,
        measured_at: DateTime::from_timestamp_millis(measured_at_ms),
        clock_offset_ms,
        clock_right,
        draining: is_draining,
        load: NodeLoad {
            terminals,
            viewers,
            cpu_permille,
            memory_bytes,
            memory_max_bytes,
            storage_bytes,
            storage_max_bytes,
        },
    }
}
