//! Copying the spool to a peer: a cursor on what was written, one peer at a time. A peer that fails, is full or is
//! slow is given up for a while; the next one gets everything that is not stored, from the beginning.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cluster::{Batch, CopyError, CopyPeer, NodeId};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{CopyOf, Copying, changed};
use crate::gate::Gate;
use crate::spool::{Place, RECORD_BYTES_MAX, Record, Written, raise};
use crate::trouble::Trouble;

/// About how many bytes go to a peer at once: all that is in memory of a spool that is copied anew. One record more
/// stays below what a peer takes.
const BATCH_BYTES: usize = 1 << 20;
/// How long a peer may take to have a batch on its disk before it counts as lost.
const KEEP_WITHIN: Duration = Duration::from_secs(3);
/// How long a peer that was given up is left alone.
const PEER_RESTS_FOR: Duration = Duration::from_secs(5);
/// How often the copier looks although nobody said so.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const _: () = assert!(BATCH_BYTES + RECORD_BYTES_MAX <= cluster::BATCH_BYTES_MAX);

/// Copies until `stop`.
pub(crate) async fn copy(gate: Arc<Gate>, stop: CancellationToken) {
    let Some(copying) = &gate.copying else { return };
    let mut copier = Copier { gate: &gate, copying, written: gate.spool.written(), resting: HashMap::new() };
    let mut peers = copying.peers.clone();
    while !stop.is_cancelled() {
        if matches!(copier.step().await, Step::Copied) {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            _ = copier.written.changed() => {}
            () = changed(&mut peers) => {}
            () = copying.look.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

struct Copier<'a> {
    gate: &'a Gate,
    copying: &'a Copying,
    written: watch::Receiver<Option<Arc<Written>>>,
    /// The peers that were given up, and until when. No more than there are peers.
    resting: HashMap<NodeId, Instant>,
}

enum Step {
    /// Something was copied, or its peer given up; there is more to do.
    Copied,
    /// Nothing can be done now.
    Rest,
}

impl Copier<'_> {
    async fn step(&mut self) -> Step {
        let Some(peers) = self.copying.peers.borrow().clone() else { return Step::Rest };
        let peer = self.choose(&peers);
        let has_nobody = peer.is_none();
        self.copying
            .has_nobody
            .send_if_modified(|before| std::mem::replace(before, has_nobody) != has_nobody);
        let Some(peer) = peer else { return Step::Rest };
        // While the database is there the drain is the shorter way.
        let is_wanted = self.gate.database.is_away() || self.copying.waiting.load(Ordering::Relaxed) > 0;
        if !is_wanted {
            return Step::Rest;
        }
        let cursor = {
            let mut ledger = self.copying.ledger.lock();
            if ledger.peer() != Some(&peer.node) {
                tracing::info!(peer.node = %peer.node, "the spool is copied to {}", peer.node);
                ledger.begin(peer.node.clone());
            }
            ledger.cursor()
        };
        match self.next(cursor).await {
            Ok(Some((records, end))) => {
                self.send(peer, &records, end).await;
                Step::Copied
            }
            Ok(None) => {
                self.copying.ledger.lock().complete();
                Step::Rest
            }
            Err(error) => {
                tracing::error!(%error, "the spool cannot be read to be copied");
                Step::Rest
            }
        }
    }

    /// The peer that has the copy, while it is there; else the first one that is not given up.
    fn choose(&mut self, peers: &[CopyPeer]) -> Option<CopyPeer> {
        let now = Instant::now();
        let of = |node: &NodeId| peers.iter().find(|peer| peer.node == *node);
        self.resting.retain(|node, until| *until > now && of(node).is_some());
        let mut ledger = self.copying.ledger.lock();
        if let Some(node) = ledger.peer() {
            if let Some(peer) = of(node) {
                return Some(peer.clone());
            }
            tracing::warn!(peer.node = %node, "{node}, which had the copy of the spool, is gone");
            self.gate.troubles.count(Trouble::PeerLost);
            ledger.end();
        }
        peers.iter().find(|peer| !self.resting.contains_key(&peer.node)).cloned()
    }

    /// What lies behind the cursor: from memory where it was written just now and the copy is that far, else from
    /// the disk.
    async fn next(&mut self, cursor: Place) -> std::io::Result<Option<(Vec<Record>, Place)>> {
        let written = self.written.borrow_and_update().clone();
        if let Some(written) = written.filter(|written| written.begin == cursor) {
            let mut end = cursor;
            let mut count = 0;
            for record in &written.records {
                if end.offset - cursor.offset >= BATCH_BYTES as u64 {
                    break;
                }
                end.offset += record.bytes() as u64;
                count += 1;
            }
            return Ok(Some((written.records[..count].to_vec(), end)));
        }
        let chunk = self.gate.spool.after(cursor, BATCH_BYTES as u64).await?;
        Ok(chunk.map(|chunk| {
            let end = chunk.end();
            (chunk.records, end)
        }))
    }

    async fn send(&mut self, peer: CopyPeer, records: &[Record], end: Place) {
        let (number, follows) = self.copying.ledger.lock().sending(end);
        let CopyOf { origin, incarnation } = self.copying.me.clone();
        let batch = Batch { origin, incarnation, number, follows, records: Record::batch(records) };
        match tokio::time::timeout(KEEP_WITHIN, peer.copies.keep(batch)).await {
            Ok(Ok(())) => {
                self.copying.ledger.lock().kept(number, end);
                raise(&self.copying.copied, end);
                self.gate.counts.copied.add(records.len());
            }
            Ok(Err(CopyError::Gap { .. })) if follows.is_some() => {
                tracing::info!(peer.node = %peer.node, "{} lost its copy of the spool: it begins anew", peer.node);
                self.copying.ledger.lock().begin(peer.node);
            }
            Ok(Err(error)) => self.give_up(peer, &error),
            Err(_) => self.give_up(peer, &CopyError::Unreachable("it is too slow".to_owned())),
        }
    }

    /// Whatever the peer has stays there until everything in it is stored.
    fn give_up(&mut self, peer: CopyPeer, error: &CopyError) {
        tracing::warn!(%error, peer.node = %peer.node, "{} is not used for copies for a while", peer.node);
        let is_full = matches!(error, CopyError::Full);
        self.gate.troubles.count(if is_full { Trouble::PeerFull } else { Trouble::PeerLost });
        self.copying.ledger.lock().end();
        self.resting.insert(peer.node, Instant::now() + PEER_RESTS_FOR);
    }
}
