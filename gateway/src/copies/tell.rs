//! Telling peers what they may forget of this gateway's spool. A peer that was not there is told when it is; what was
//! told is told again from time to time, as a telling may be lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cluster::{CopyError, CopyPeer, NodeId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Copying, changed};
use crate::gate::Gate;
use crate::spool::Place;

/// How long a peer may take to forget.
const TELL_WITHIN: Duration = Duration::from_secs(3);
/// How often it is looked at although nothing changed: for what a peer did not take.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After how long everything is told again.
const AGAIN_AFTER: Duration = Duration::from_secs(300);

/// What a peer was told and took.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    upto: u64,
    /// That all of the former lives is stored.
    former: bool,
}

/// Tells until `stop`.
pub(crate) async fn tell(gate: Arc<Gate>, stop: CancellationToken) {
    let Some(copying) = &gate.copying else { return };
    let (mut peers, mut drained) = (copying.peers.clone(), gate.spool.drained());
    let mut told = HashMap::new();
    let mut told_since = Instant::now();
    loop {
        if told_since.elapsed() >= AGAIN_AFTER {
            told.clear();
            told_since = Instant::now();
        }
        if stop.run_until_cancelled(round(&gate, copying, &mut told)).await.is_none() {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            _ = drained.changed() => {}
            () = changed(&mut peers) => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Tells every peer that is there what it was not told yet.
async fn round(gate: &Gate, copying: &Copying, told: &mut HashMap<NodeId, Told>) {
    let peers = copying.peers.borrow().clone().unwrap_or_default();
    told.retain(|node, _| peers.iter().any(|peer| peer.node == *node));
    for peer in peers {
        let before = told.get(&peer.node).copied().unwrap_or_default();
        // Before the doubt, which comes before what it is about counts as drained.
        let drained = *gate.spool.drained().borrow();
        let now = match gate.spool.is_doubtful() {
            true => adopted(gate, copying, &peer, drained, before).await,
            false => stored(gate, copying, &peer, drained, before).await,
        };
        match now {
            Ok(now) => {
                told.insert(peer.node, now);
            }
            Err(error) => tracing::debug!(%error, peer.node = %peer.node, "not told yet what is stored"),
        }
    }
}

/// Tells `peer` to forget what is stored.
async fn stored(
    gate: &Gate,
    copying: &Copying,
    peer: &CopyPeer,
    drained: Place,
    mut told: Told,
) -> Result<Told, CopyError> {
    if !told.former && drained >= gate.spool.found() {
        for incarnation in copying.former.iter().copied() {
            in_time(peer.copies.stored(&copying.me.origin, incarnation, u64::MAX)).await?;
        }
        told.former = true;
    }
    let upto = copying.ledger.lock().stored(drained, &peer.node);
    if let Some(upto) = upto.filter(|upto| *upto > told.upto) {
        in_time(peer.copies.stored(&copying.me.origin, copying.me.incarnation, upto)).await?;
        told.upto = upto;
    }
    Ok(told)
}

/// Asks `peer` to store what it has itself: the own spool is through, but did not give everything back.
async fn adopted(
    gate: &Gate,
    copying: &Copying,
    peer: &CopyPeer,
    drained: Place,
    told: Told,
) -> Result<Told, CopyError> {
    let all = {
        let ledger = copying.ledger.lock();
        let is_through = ledger.is_all_stored(drained) && drained >= gate.spool.found();
        is_through.then_some(Told { upto: ledger.last_number(), former: true })
    };
    match all {
        Some(all) if all.upto > told.upto || !told.former => {
            let left = in_time(peer.copies.adopt(&copying.me.origin)).await?;
            Ok(if left == 0 { all } else { told })
        }
        Some(_) | None => Ok(told),
    }
}

async fn in_time<T>(call: impl Future<Output = Result<T, CopyError>>) -> Result<T, CopyError> {
    let late = |_| Err(CopyError::Unreachable("it is too slow".to_owned()));
    tokio::time::timeout(TELL_WITHIN, call).await.unwrap_or_else(late)
}
