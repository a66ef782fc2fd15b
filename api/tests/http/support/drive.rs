//! Simulated terminals that report through a real gateway.

use std::net::SocketAddr;
use std::sync::Arc;

use access::terminal::{AuthCodes, AuthKey};
use cluster::Terminals;
use gateway::Gateway;
use sim::Fleet;

use super::{Server, Tenant};

/// A gateway beside the server, over the same database and events, and a terminal of each tenant at it.
pub struct Drive {
    gateway: Gateway,
    fleets: Vec<Fleet>,
    _folder: tempfile::TempDir,
}

impl Drive {
    /// The tenants' terminals connect and report ten times a second.
    pub async fn start(server: &Server, tenants: &[&Tenant]) -> Self {
        Self::start_as(server, tenants, sim::Settings::default().editions).await
    }

    /// As [`start`](Self::start), with terminals of these editions of JT/T 808.
    pub async fn start_as(server: &Server, tenants: &[&Tenant], editions: Vec<u16>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = gateway::Settings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            spool_dir: folder.path().join("spool"),
            node: "test".into(),
            ..gateway::Settings::default()
        };
        let deps = gateway::Deps {
            db: server.database.db().clone(),
            events: Arc::clone(&server.events) as _,
            codes: AuthCodes::new(AuthKey { id: 1, secret: [7; 32] }, Vec::new()),
            trace: cluster::trace::Trace::off(),
        };
        let gateway = Gateway::start(settings, deps).await.expect("the gateway starts");
        let fleets = tenants
            .iter()
            .map(|tenant| {
                let settings = sim::Settings {
                    gateway: gateway.addr().to_string(),
                    terminals: 1,
                    first_sim: tenant.sim,
                    interval_ms: 100,
                    editions: editions.clone(),
                    ..sim::Settings::default()
                };
                Fleet::start(settings).expect("the settings fit")
            })
            .collect();
        Self { gateway, fleets, _folder: folder }
    }

    /// The way to the terminals.
    pub fn terminals(&self) -> Arc<dyn Terminals> {
        self.gateway.terminals()
    }

    /// The terminals go; the gateway stays.
    pub async fn park(&mut self) {
        for fleet in self.fleets.drain(..) {
            fleet.stop().await.expect("the terminals stop");
        }
    }

    pub async fn stop(mut self) {
        self.park().await;
        self.gateway.shutdown().await;
    }
}
