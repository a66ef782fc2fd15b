//! The terminals of this process: those that its gateway holds, and whatever its gateway or login server remembers of
//! who may come in.
//!
//! Terminals are reached at the gateway alone; that one is to go is told to both, or the login server would go on
//! taking its old code, or that of one that was deleted, as long as its memory lasts.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use cluster::Terminals;
use model::{Command, Reply, SendError, TerminalId, TerminalLink};

/// The doors of this process.
pub(crate) struct Doors {
    gateway: Option<Arc<dyn Terminals>>,
    /// Started after the others know of this process.
    login: OnceLock<login::Control>,
}

impl Doors {
    /// Of a process with this gateway, if it has one.
    pub(crate) fn new(gateway: Option<Arc<dyn Terminals>>) -> Self {
        Self { gateway, login: OnceLock::new() }
    }

    /// The login server of this process has been started.
    pub(crate) fn opens(&self, login: login::Control) {
        let _ = self.login.set(login);
    }
}

#[async_trait]
impl Terminals for Doors {
    async fn link(&self, terminal: TerminalId) -> Result<TerminalLink, SendError> {
        match &self.gateway {
            Some(gateway) => gateway.link(terminal).await,
            None => Err(SendError::NotConnected(terminal)),
        }
    }

    async fn send(&self, terminal: TerminalId, command: Command) -> Result<Reply, SendError> {
        match &self.gateway {
            Some(gateway) => gateway.send(terminal, command).await,
            None => Err(SendError::NotConnected(terminal)),
        }
    }

    async fn disconnect(&self, terminal: TerminalId) {
        if let Some(login) = self.login.get() {
            login.forget(terminal);
        }
        if let Some(gateway) = &self.gateway {
            gateway.disconnect(terminal).await;
        }
    }
}
