//! Who is online, written into the database: each terminal's links are compared with what the database was
//! told, and the difference is told. A change says "look now", a period says "look anyway", so that a
//! database that was away hears of everything once it is back. One task does it all, so that the session
//! rows of a terminal are opened and closed in the order of its links.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use db::DbError;
use futures_util::StreamExt as _;
use model::{Event, Presence as State, TerminalId};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::gate::Gate;
use crate::link::Link;

/// Terminals handled at a time: as many as the database's control pool has connections.
const AT_ONCE: usize = 2;
/// Rest after the database did not take something.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How long the last words may take when the gateway stops.
const FAREWELL_WITHIN: Duration = Duration::from_secs(5);

/// The terminals whose state has to be looked at. No more than there are terminals.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    changed: Mutex<HashSet<TerminalId>>,
    look: Notify,
}

/// A session that the database knows of.
#[derive(Clone, Copy, Debug)]
struct Told {
    link: u64,
    epoch: i64,
}

impl Presence {
    /// The terminal's link came or went.
    pub(crate) fn changed(&self, terminal: TerminalId) {
        self.changed.lock().insert(terminal);
        self.look.notify_one();
    }

    fn take(&self) -> HashSet<TerminalId> {
        std::mem::take(&mut *self.changed.lock())
    }
}

/// Tells the database until `stop`, and then, for a bounded time, what is left to tell.
pub(crate) async fn run(gate: Arc<Gate>, stop: CancellationToken) {
    if stop.run_until_cancelled(forget_former_life(&gate)).await.is_none() {
        return;
    }
    let mut told = HashMap::new();
    while stop.run_until_cancelled(gate.presence.look.notified()).await.is_some() {
        if !settle_all(&gate, &mut told).await {
            // Its permit is kept: the next round begins at once after the rest.
            gate.presence.look.notify_one();
            stop.run_until_cancelled(tokio::time::sleep(RETRY_AFTER)).await;
        }
    }
    if tokio::time::timeout(FAREWELL_WITHIN, settle_all(&gate, &mut told)).await.is_err() {
        tracing::warn!("the database did not hear in time which terminals went offline");
    }
}

/// After a crash the database still holds this node's sessions; none of them is alive.
async fn forget_former_life(gate: &Gate) {
    let lost = loop {
        match gate.db.sessions_lost(&gate.settings.node).await {
            Ok(lost) => break lost,
            Err(error) => {
                tracing::debug!(%error, "sessions of the former life not closed yet");
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    };
    for terminal in lost {
        if gate.links.of(terminal).is_none() {
            gate.events.publish(Event::Presence { terminal, presence: State::Offline });
        }
    }
}

/// Whether everything that changed was told.
async fn settle_all(gate: &Gate, told: &mut HashMap<TerminalId, Told>) -> bool {
    let changed = gate.presence.take();
    let mut settled = futures_util::stream::iter(changed)
        .map(|terminal| {
            let before = told.get(&terminal).copied();
            async move { (terminal, settle(gate, terminal, before).await) }
        })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await
        .into_iter();
    let mut all = true;
    for (terminal, result) in settled.by_ref() {
        match result {
            Ok(Some(now)) => {
                told.insert(terminal, now);
            }
            Ok(None) => {
                told.remove(&terminal);
            }
            Err(error) => {
                tracing::debug!(terminal.id = %terminal, %error, "presence not told yet");
                gate.presence.changed.lock().insert(terminal);
                all = false;
            }
        }
    }
    all
}

/// Makes the database agree with the terminal's link.
async fn settle(gate: &Gate, terminal: TerminalId, told: Option<Told>) -> Result<Option<Told>, DbError> {
    match (gate.links.of(terminal), told) {
        (Some(link), Some(told)) if told.link == link.number => Ok(Some(told)),
        (Some(link), _) => open(gate, terminal, &link).await,
        (None, Some(told)) => {
            gate.db.session_closed(terminal, told.epoch).await?;
            Ok(None)
        }
        (None, None) => Ok(None),
    }
}

async fn open(gate: &Gate, terminal: TerminalId, link: &Arc<Link>) -> Result<Option<Told>, DbError> {
    if let Some(revocations) = link.unchecked {
        // Let in on the word of its code alone, while the database was away.
        let current = gate.db.terminal_by_sim(&link.sim).await?;
        if current.is_none_or(|now| now.id != terminal || now.auth_revocations != revocations) {
            return Ok(turn_out(gate, terminal, link));
        }
    }
    match gate.db.session_opened(terminal, &gate.settings.node, &link.peer.to_string()).await {
        Ok(session) => {
            link.session.send_replace(Some(session));
            Ok(Some(Told { link: link.number, epoch: session.epoch }))
        }
        Err(DbError::NotFound) => Ok(turn_out(gate, terminal, link)),
        Err(error) => Err(error),
    }
}

/// Ends the link of a terminal that is no longer known, or no longer by this code.
fn turn_out(gate: &Gate, terminal: TerminalId, link: &Link) -> Option<Told> {
    tracing::warn!(terminal.sim = %link.sim, "terminal {} is not known any more; its link is closed", link.sim);
    gate.known.forget(terminal);
    link.close.cancel();
    None
}
