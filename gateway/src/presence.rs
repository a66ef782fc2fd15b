//! Who is online, written into the database: each terminal's links are compared with what the database was
//! told, and the difference is told. A change says "look now", a period says "look anyway", so that a
//! database that was away hears of everything once it is back. One task does it all, so that the session
//! rows of a terminal are opened and closed in the order of its links.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use cluster::Advertise;
use cluster::trace::{Message, Party, Step, StepTaken, Traceparent};
use db::DbError;
use model::{Event, Presence as State, TerminalId};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::gate::Gate;
use crate::link::Link;

/// Most terminals in one statement: a whole fleet comes back at once after an outage.
const AT_ONCE: usize = 500;
/// How often every terminal is looked at although nobody said so.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Rest after the database did not take something.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How long the last words may take when the gateway stops.
const FAREWELL_WITHIN: Duration = Duration::from_secs(5);

/// The terminals whose state has to be looked at. No more than there are terminals.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    changed: Mutex<HashSet<TerminalId>>,
    look: Notify,
    /// Whether this node is one of its cluster's, as far as it knows.
    is_member: AtomicBool,
    /// Whether it is to be seen to that every session which was told still stands.
    is_to_uphold: AtomicBool,
}

/// A session that the database knows of.
#[derive(Clone, Copy, Debug)]
struct Told {
    link: u64,
    epoch: i64,
    /// Whether the link was told which alarms last.
    knows_alarms: bool,
}

/// What the database was told. No more than there are terminals.
#[derive(Debug, Default)]
struct Sessions {
    told: HashMap<TerminalId, Told>,
    /// Those whose session was perhaps opened: the commit's outcome is unknown, and so is the epoch.
    unsure: HashSet<TerminalId>,
}

impl Sessions {
    fn forget(&mut self, terminal: TerminalId) {
        self.told.remove(&terminal);
        self.unsure.remove(&terminal);
    }
}

impl Presence {
    /// The terminal's link came or went.
    pub(crate) fn changed(&self, terminal: TerminalId) {
        self.changed.lock().insert(terminal);
        self.look.notify_one();
    }

    /// Whether this node is a member of its cluster. One that was none may have been taken for lost, and its terminals
    /// for offline; and only of a member somebody will say so when it is lost in truth.
    pub(crate) fn stands(&self, is_member: bool) {
        if !self.is_member.swap(is_member, Ordering::Relaxed) && is_member {
            self.is_to_uphold.store(true, Ordering::Relaxed);
            self.look.notify_one();
        }
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
    let mut sessions = Sessions::default();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = gate.presence.look.notified() => {}
            _ = looks.tick() => look_anyway(&gate, &sessions),
        }
        uphold(&gate, &sessions).await;
        if !settle_all(&gate, &mut sessions).await {
            // Its permit is kept: the next round begins at once after the rest.
            gate.presence.look.notify_one();
            stop.run_until_cancelled(tokio::time::sleep(RETRY_AFTER)).await;
        }
    }
    if tokio::time::timeout(FAREWELL_WITHIN, settle_all(&gate, &mut sessions)).await.is_err() {
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

/// Notes every terminal whose link is not the one that the database was told of. What it was told is looked at too, as
/// it may be late that somebody takes this node for lost.
fn look_anyway(gate: &Gate, sessions: &Sessions) {
    let is_member = gate.presence.is_member.load(Ordering::Relaxed);
    gate.presence.is_to_uphold.fetch_or(is_member, Ordering::Relaxed);
    let links = gate.links.numbers();
    let mut changed = gate.presence.changed.lock();
    let known = sessions.told.keys().chain(&sessions.unsure);
    changed.extend(known.filter(|terminal| !links.contains_key(terminal)));
    changed.extend(
        links
            .iter()
            .filter(|(terminal, link)| sessions.told.get(terminal).is_none_or(|told| told.link != **link))
            .map(|(terminal, _)| terminal),
    );
}

/// Takes back that terminals with a link here are offline, where somebody took this node for lost and no other one has
/// opened a session since. What the database does not take now is left for the next look.
async fn uphold(gate: &Gate, sessions: &Sessions) {
    if !gate.presence.is_to_uphold.swap(false, Ordering::Relaxed) {
        return;
    }
    let links = gate.links.numbers();
    let stands = |(terminal, told): (&TerminalId, &Told)| {
        (links.get(terminal) == Some(&told.link)).then_some((*terminal, told.epoch))
    };
    let held: Vec<(TerminalId, i64)> = sessions.told.iter().filter_map(stands).collect();
    for held in held.chunks(AT_ONCE) {
        let upheld = match gate.db.sessions_upheld(held).await {
            Ok(upheld) => upheld,
            Err(error) => {
                tracing::debug!(%error, "sessions not upheld yet");
                gate.presence.is_to_uphold.store(true, Ordering::Relaxed);
                return;
            }
        };
        if !upheld.is_empty() {
            tracing::warn!("{} terminals with a link here were marked offline: they are not", upheld.len());
        }
        for terminal in upheld.into_iter().filter(|terminal| gate.links.of(*terminal).is_some()) {
            gate.events.publish(Event::Presence { terminal, presence: State::Online });
        }
    }
}

/// Whether everything that changed was told.
async fn settle_all(gate: &Gate, sessions: &mut Sessions) -> bool {
    let changed: Vec<TerminalId> = gate.presence.take().into_iter().collect();
    let mut all = true;
    for terminals in changed.chunks(AT_ONCE) {
        let left = match settle(gate, terminals, sessions).await {
            Ok(left) => left,
            Err(error) => {
                tracing::debug!(%error, "presence of {} terminals not told yet", terminals.len());
                terminals.to_vec()
            }
        };
        all &= left.is_empty();
        gate.presence.changed.lock().extend(left);
    }
    all
}

/// Makes the database agree with the terminals' links. Gives those that are to be looked at again.
async fn settle(
    gate: &Gate,
    terminals: &[TerminalId],
    sessions: &mut Sessions,
) -> Result<Vec<TerminalId>, DbError> {
    let (mut coming, mut silent, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    for terminal in terminals.iter().copied() {
        match (gate.links.of(terminal), sessions.told.get(&terminal)) {
            (Some(link), Some(told)) if told.link == link.number => {
                if !told.knows_alarms {
                    silent.push((terminal, link));
                }
            }
            (Some(link), _) => coming.push((terminal, link)),
            (None, _) => ended.push(terminal),
        }
    }

    let void = void(gate, &coming).await?;
    for (terminal, link) in coming.extract_if(.., |(terminal, _)| void.contains(terminal)) {
        turn_out(gate, terminal, &link);
        // The database may still hold the session of a link before this one.
        ended.push(terminal);
    }
    close(gate, &ended, sessions).await?;
    open(gate, &coming, sessions).await?;
    silent.extend(coming);
    tell_alarms(gate, silent, &mut sessions.told).await
}

/// Closes the sessions of terminals without a link, as far as the database was told of any.
async fn close(gate: &Gate, ended: &[TerminalId], sessions: &mut Sessions) -> Result<(), DbError> {
    let (unsure, sure): (Vec<TerminalId>, Vec<TerminalId>) =
        ended.iter().copied().partition(|terminal| sessions.unsure.contains(terminal));
    let sure: Vec<(TerminalId, i64)> = sure
        .into_iter()
        .filter_map(|terminal| Some((terminal, sessions.told.get(&terminal)?.epoch)))
        .collect();
    if !sure.is_empty() {
        gate.db.sessions_closed(&sure).await?;
    }
    if !unsure.is_empty() {
        gate.db.sessions_given_up(&gate.settings.node, &unsure).await?;
    }
    for terminal in ended {
        sessions.forget(*terminal);
    }
    Ok(())
}

/// Those who were let in on the word of their code alone, while the database was away, and whose code is not
/// good any more.
async fn void(gate: &Gate, coming: &[(TerminalId, Arc<Link>)]) -> Result<HashSet<TerminalId>, DbError> {
    let unchecked: Vec<TerminalId> =
        coming.iter().filter(|(_, link)| link.unchecked.is_some()).map(|(terminal, _)| *terminal).collect();
    if unchecked.is_empty() {
        return Ok(HashSet::new());
    }
    let current = gate.db.revocations(&unchecked).await?;
    let is_good = |terminal: &TerminalId, link: &Link| {
        current.get(terminal).is_some_and(|(sim, revocations)| {
            sim == link.sim.as_str() && link.unchecked.is_none_or(|count| count == *revocations)
        })
    };
    let void = coming.iter().filter(|(_, link)| link.unchecked.is_some());
    Ok(void.filter(|(terminal, link)| !is_good(terminal, link)).map(|(terminal, _)| *terminal).collect())
}

/// Opens the sessions of new links.
async fn open(
    gate: &Gate,
    coming: &[(TerminalId, Arc<Link>)],
    sessions: &mut Sessions,
) -> Result<(), DbError> {
    if coming.is_empty() {
        return Ok(());
    }
    let peers: Vec<_> = coming.iter().map(|(terminal, link)| (*terminal, link.peer.to_string())).collect();
    // Looked at first: what is drained now is stored when the sessions are read.
    let knows_alarms = gate.spool.bytes() == 0;
    let begun = SystemTime::now();
    let opened = gate.db.sessions_opened(&gate.settings.node, &peers).await.inspect_err(|error| {
        if matches!(error, DbError::OutcomeUnknown) {
            sessions.unsure.extend(coming.iter().map(|(terminal, _)| *terminal));
        }
    })?;
    for (terminal, link) in coming {
        match opened.get(terminal) {
            Some(session) => {
                if knows_alarms {
                    link.newest.send_replace(Some(session.newest));
                }
                sessions.unsure.remove(terminal);
                let stored = trace_stored(gate, *terminal, link, begun);
                gate.links.opened(*terminal, link.number, session.epoch, stored);
                sessions
                    .told
                    .insert(*terminal, Told { link: link.number, epoch: session.epoch, knows_alarms });
            }
            None => {
                turn_out(gate, *terminal, link);
                sessions.forget(*terminal);
            }
        }
    }
    Ok(())
}

/// Where the terminal is was written, and that this node is its gateway.
fn trace_stored(gate: &Gate, terminal: TerminalId, link: &Link, begun: SystemTime) -> Option<Traceparent> {
    link.course.record(&gate.trace, &gate.awaited, terminal, |node| StepTaken {
        phone: Some(link.sim.clone()),
        terminal_address: Some(link.peer),
        gateway_address: Some(Advertise { host: Some(link.local.ip().to_string()), port: link.local.port() }),
        begun,
        ..StepTaken::now(Step::Stored, node, Party::Database, Message::Words("session opened".into()))
    })
}

/// Tells links that do not know it which alarms last, once nothing of the terminals' past is in the spool any
/// more. Gives those that have to wait.
async fn tell_alarms(
    gate: &Gate,
    links: Vec<(TerminalId, Arc<Link>)>,
    told: &mut HashMap<TerminalId, Told>,
) -> Result<Vec<TerminalId>, DbError> {
    let silent = |(terminal, _): &(TerminalId, Arc<Link>)| {
        told.get(terminal).is_some_and(|told| !told.knows_alarms).then_some(*terminal)
    };
    let terminals: Vec<TerminalId> = links.iter().filter_map(silent).collect();
    if terminals.is_empty() || gate.spool.bytes() > 0 {
        return Ok(terminals);
    }
    let newest = gate.db.newest_alarms(&terminals).await?;
    for (terminal, link) in links {
        if let (Some(newest), Some(told)) = (newest.get(&terminal), told.get_mut(&terminal)) {
            link.newest.send_replace(Some(*newest));
            told.knows_alarms = true;
        }
    }
    Ok(Vec::new())
}

/// Ends the link of a terminal that is no longer known, or no longer by this code.
fn turn_out(gate: &Gate, terminal: TerminalId, link: &Link) {
    tracing::warn!(terminal.sim = %link.sim, "terminal {} is not known any more; its link is closed", link.sim);
    gate.door.forget(terminal);
    link.close.cancel();
}
