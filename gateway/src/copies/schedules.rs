//! Random schedules over the ledger and real copies on disks: peers that go, start again, lose their disks or answer
//! too late, calls that come twice or long after, new lives of the origin. Whatever was acknowledged and is not
//! stored lies with the peer that had it when it was acknowledged, as long as that keeps its disk; and in the end
//! nobody keeps anything.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::DateTime;
use cluster::{Batch, CopyError, Incarnation, NodeId};
use model::TerminalId;

use super::CopyOf;
use super::kept::Shelf;
use super::ledger::Ledger;
use crate::disk::LocalDisk;
use crate::spool::{Place, Record};

const SCHEDULES: u64 = 40;
const STEPS: usize = 120;
/// Reports in a segment of the origin's spool.
const SEGMENT: usize = 5;

struct Peer {
    node: NodeId,
    dir: PathBuf,
    shelf: Shelf,
    is_up: bool,
}

struct Schedule {
    random: u64,
    _folder: tempfile::TempDir,
    peers: Vec<Peer>,
    /// How many reports were written, how many of them acknowledged, and how many are stored.
    written: usize,
    acknowledged: usize,
    stored: usize,
    life: u64,
    /// How many were written by former lives.
    found: usize,
    ledger: Ledger,
    /// Who had everything at the last acknowledgement, unless its disk was lost since.
    holder: Option<usize>,
    /// Every batch that was ever sent, and to whom.
    sent: Vec<(usize, Batch)>,
}

fn origin() -> NodeId {
    "gw-origin".parse().expect("a name")
}

fn report(number: usize) -> Record {
    let received_at = DateTime::from_timestamp_micros(1_700_000_000_000_000).expect("a time");
    Record { terminal: TerminalId(number as i64 + 1), received_at, body: vec![0; 30].into() }
}

/// The place behind report `number`.
fn behind(number: usize) -> Place {
    Place { segment: (number / SEGMENT) as u64 + 1, offset: (number % SEGMENT) as u64 + 1 }
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let peers = ["gw-a", "gw-b", "gw-c"].map(|name| {
            let dir = folder.path().join(name);
            let shelf = open(&dir);
            Peer { node: name.parse().expect("a name"), dir, shelf, is_up: true }
        });
        Self {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            _folder: folder,
            peers: peers.into(),
            written: 0,
            acknowledged: 0,
            stored: 0,
            life: 1,
            found: 0,
            ledger: Ledger::default(),
            holder: None,
            sent: Vec::new(),
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % bound as u64) as usize
    }

    fn step(&mut self) {
        match self.below(12) {
            0..=3 => {
                self.written += 1 + self.below(4);
                if let Some(peer) = self.copy() {
                    self.acknowledged = self.written;
                    self.holder = Some(peer);
                }
            }
            4 => self.stored += self.below(self.written - self.stored + 1),
            5 => self.tell(),
            6 => {
                let peer = self.below(self.peers.len());
                self.peers[peer].is_up ^= true;
            }
            7 => {
                let peer = self.below(self.peers.len());
                self.start_again(peer);
            }
            8 if self.below(3) == 0 => {
                let peer = self.below(self.peers.len());
                std::fs::remove_dir_all(&self.peers[peer].dir).expect("its disk is lost");
                self.start_again(peer);
                self.holder = self.holder.filter(|holder| *holder != peer);
            }
            9 if self.below(3) == 0 => {
                self.life += 1;
                self.found = self.written;
                self.ledger = Ledger::default();
            }
            10 if !self.sent.is_empty() => {
                let late = self.below(self.sent.len());
                let (peer, batch) = self.sent[late].clone();
                // whatever becomes of it: nobody waits for it any more
                let _ = self.peers[peer].shelf.keep(batch);
            }
            _ => {}
        }
    }

    fn start_again(&mut self, peer: usize) {
        let dir = self.peers[peer].dir.clone();
        self.peers[peer].shelf = open(&dir);
    }

    /// Copies until a peer has everything: which one.
    fn copy(&mut self) -> Option<usize> {
        let mut given_up = BTreeSet::new();
        loop {
            let is_there = |peer: usize, peers: &[Peer]| peers[peer].is_up && !given_up.contains(&peer);
            let with =
                self.ledger.peer().and_then(|node| self.peers.iter().position(|peer| peer.node == *node));
            let peer = match with.filter(|peer| is_there(*peer, &self.peers)) {
                Some(peer) => peer,
                None => {
                    self.ledger.end();
                    let first = self.below(self.peers.len());
                    let mut order = (0..self.peers.len()).map(|next| (first + next) % self.peers.len());
                    let peer = order.find(|peer| is_there(*peer, &self.peers))?;
                    self.ledger.begin(self.peers[peer].node.clone());
                    peer
                }
            };
            let cursor = self.ledger.cursor();
            let Some(first) = (self.stored..self.written).find(|number| behind(*number) > cursor) else {
                self.ledger.complete();
                return Some(peer);
            };
            let most = first + 1 + self.below(3);
            let last = (first..self.written.min(most))
                .take_while(|number| behind(*number).segment == behind(first).segment)
                .last()
                .unwrap_or(first);
            let records: Vec<Record> = (first..=last).map(report).collect();
            let (number, follows) = self.ledger.sending(behind(last));
            let incarnation = Incarnation(self.life);
            let batch =
                Batch { origin: origin(), incarnation, number, follows, records: Record::batch(&records) };
            self.sent.push((peer, batch.clone()));
            let fault = self.below(12);
            let kept = match fault {
                0 => Err(CopyError::Unreachable("the call is lost".to_owned())),
                _ => self.peers[peer].shelf.keep(batch),
            };
            match kept {
                Ok(()) if fault == 1 => {
                    // its answer is lost
                    given_up.insert(peer);
                    self.ledger.end();
                }
                Ok(()) => self.ledger.kept(number, behind(last)),
                Err(CopyError::Gap { .. }) if follows.is_some() => {
                    self.ledger.begin(self.peers[peer].node.clone());
                }
                Err(_) => {
                    given_up.insert(peer);
                    self.ledger.end();
                }
            }
        }
    }

    fn drained(&self) -> Place {
        self.stored.checked_sub(1).map_or(Place::default(), behind)
    }

    fn tell(&mut self) {
        let drained = self.drained();
        for peer in self.peers.iter_mut().filter(|peer| peer.is_up) {
            if let Some(upto) = self.ledger.stored(drained, &peer.node) {
                peer.shelf.stored(&of(self.life), upto).expect("forgotten");
            }
            if self.stored >= self.found {
                (1..self.life).for_each(|life| peer.shelf.stored(&of(life), u64::MAX).expect("forgotten"));
            }
        }
    }

    fn check(&self, seed: u64) {
        let Some(holder) = self.holder else { return };
        let kept = self.peers[holder].shelf.reports();
        let missing: Vec<i64> = (self.stored..self.acknowledged)
            .map(|number| report(number).terminal.0)
            .filter(|number| !kept.contains(number))
            .collect();
        assert!(missing.is_empty(), "schedule {seed}: {missing:?} are not with {}", self.peers[holder].node);
    }
}

fn of(life: u64) -> CopyOf {
    CopyOf { origin: origin(), incarnation: Incarnation(life) }
}

fn open(dir: &std::path::Path) -> Shelf {
    std::fs::create_dir_all(dir).expect("made");
    Shelf::open(dir, 1 << 30, Arc::new(LocalDisk), Arc::default()).expect("opens")
}

#[test]
fn what_was_acknowledged_lies_with_its_peer_until_it_is_stored() {
    for seed in 1..=SCHEDULES {
        let mut schedule = Schedule::new(seed);
        for _ in 0..STEPS {
            schedule.step();
            schedule.check(seed);
        }
        schedule.stored = schedule.written;
        schedule.peers.iter_mut().for_each(|peer| peer.is_up = true);
        schedule.tell();
        for peer in &schedule.peers {
            assert!(peer.shelf.reports().is_empty(), "schedule {seed}: {} keeps what is stored", peer.node);
        }
    }
}
