//! An etcd as nodes see it: revisions, leases that end by its own clock, transactions on the cluster's keys.
//!
//! It does to each request what `cluster/src/etcd` would have the real one do. Never loses what it has acknowledged.

use std::sync::Arc;
use std::time::Duration;

use cluster::{
    Answer, Epoch, Incarnation, Leader, LeaderKey, LeaseId, Member, NodeInfo, Registration, Request, Sight,
    View,
};

use super::{Clock, MS, Micros, Random};

/// How late etcd notices at most that a lease has ended.
const EXPIRES_LATE_BY: Micros = 500 * MS;

/// One life of one node: the node by its place in the list that etcd was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    pub name: usize,
    pub incarnation: Incarnation,
}

/// What a look shows, kept until it arrives.
#[derive(Clone, Debug)]
pub struct Look {
    pub view: Arc<View>,
    pub own: Option<Registration>,
    pub leader: Option<LeaderKey>,
}

impl Look {
    pub fn sight(&self) -> Sight<'_> {
        Sight { view: &self.view, own: self.own, leader: self.leader, strangers: &[] }
    }
}

/// What stands in the leader's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderRow {
    pub who: Who,
    pub epoch: Epoch,
    lease: LeaseId,
}

/// The simulated etcd.
#[derive(Debug)]
pub struct Etcd {
    clock: Clock,
    ttl: Duration,
    revision: i64,
    infos: Vec<NodeInfo>,
    members: Vec<Option<Registration>>,
    draining: Vec<bool>,
    left: Vec<Option<Incarnation>>,
    leader: Option<LeaderRow>,
    leases: Vec<Lease>,
    next_lease: i64,
    view: Option<Arc<View>>,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    id: LeaseId,
    ends_at: Micros,
    /// How much later its end is noticed.
    late_by: Micros,
}

impl Etcd {
    /// An empty one for these nodes.
    pub fn new(clock: Clock, ttl: Duration, infos: Vec<NodeInfo>) -> Self {
        let nodes = infos.len();
        Self {
            clock,
            ttl,
            revision: 1,
            infos,
            members: vec![None; nodes],
            draining: vec![false; nodes],
            left: vec![None; nodes],
            leader: None,
            leases: Vec::new(),
            next_lease: 1,
            view: None,
        }
    }

    /// The revision of its last change.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Who leads.
    pub fn leader(&self) -> Option<LeaderRow> {
        self.leader
    }

    /// Which life of each node left last, as it said itself.
    pub fn left(&self) -> impl Iterator<Item = Who> {
        let marks = self.left.iter().enumerate();
        marks.filter_map(|(name, life)| Some(Who { name, incarnation: (*life)? }))
    }

    /// Does what is asked.
    pub fn execute(&mut self, now: Micros, random: &mut Random, who: Who, request: Request) -> Answer {
        match request {
            Request::Grant => {
                let late_by = if random.permille(500) { 0 } else { random.within(0..=EXPIRES_LATE_BY) };
                let lease = LeaseId(self.next_lease);
                self.next_lease += 1;
                self.leases.push(Lease { id: lease, ends_at: now + self.clock.span(self.ttl), late_by });
                Answer::Granted(lease, self.ttl)
            }
            Request::KeepAlive(id) => {
                let ends_at = now + self.clock.span(self.ttl);
                // One that has ended and is not noticed yet is not kept alive any more.
                match self.leases.iter_mut().find(|lease| lease.id == id && lease.ends_at > now) {
                    Some(lease) => {
                        lease.ends_at = ends_at;
                        Answer::KeptAlive
                    }
                    None => Answer::LeaseLost,
                }
            }
            Request::Join { lease, over } => {
                let own = &mut self.members[who.name];
                if own.map_or(0, |own| own.revision) == over {
                    if !self.leases.iter().any(|held| held.id == lease) {
                        return Answer::LeaseLost;
                    }
                    self.revision += 1;
                    let revision = self.revision;
                    *own = Some(Registration { incarnation: Some(who.incarnation), revision, lease });
                    self.view = None;
                }
                Answer::Own { at: self.revision, own: self.members[who.name] }
            }
            Request::Stand(lease) => {
                if self.leader.is_none() {
                    if !self.leases.iter().any(|held| held.id == lease) {
                        return Answer::LeaseLost;
                    }
                    self.revision += 1;
                    self.leader = Some(LeaderRow { who, epoch: Epoch(self.revision), lease });
                    self.view = None;
                }
                Answer::Leader { at: self.revision, leader: self.leader_key(who) }
            }
            Request::Resign(epoch) => {
                if self.leader.is_some_and(|leader| leader.epoch == epoch) {
                    self.revision += 1;
                    self.leader = None;
                    self.view = None;
                }
                Answer::Leader { at: self.revision, leader: self.leader_key(who) }
            }
            Request::Depart { over } => {
                let own = &mut self.members[who.name];
                if own.map_or(0, |own| own.revision) == over {
                    self.revision += 1;
                    *own = None;
                    self.left[who.name] = Some(who.incarnation);
                    self.view = None;
                }
                Answer::Own { at: self.revision, own: self.members[who.name] }
            }
            Request::Revoke(id) => {
                if !self.leases.iter().any(|lease| lease.id == id) {
                    return Answer::LeaseLost;
                }
                self.end_leases(|lease| lease.id == id);
                Answer::Revoked
            }
        }
    }

    /// Everything, as a range read or a watch shows it to one life of a node.
    pub fn look(&mut self, who: Who) -> Look {
        let view = Arc::clone(self.view.get_or_insert_with(|| {
            let nodes = self.members.iter().zip(&self.infos).zip(&self.draining);
            let members = nodes.filter_map(|((member, info), is_draining)| {
                let incarnation = (*member)?.incarnation?;
                let info = NodeInfo { incarnation, ..info.clone() };
                Some((info.node.clone(), Member { info, is_draining: *is_draining }))
            });
            let leader = self.leader.map(|leader| Leader {
                node: self.infos[leader.who.name].node.clone(),
                incarnation: leader.who.incarnation,
                epoch: leader.epoch,
            });
            let marks = self.left.iter().zip(&self.infos);
            let left = marks.filter_map(|(life, info)| Some((info.node.clone(), (*life)?)));
            Arc::new(View {
                revision: self.revision,
                leader,
                members: members.collect(),
                left: left.collect(),
            })
        }));
        Look { view, own: self.members[who.name], leader: self.leader_key(who) }
    }

    /// An operator's mark, or its end.
    pub fn mark(&mut self, name: usize, is_draining: bool) {
        self.revision += 1;
        self.draining[name] = is_draining;
        self.view = None;
    }

    /// Ends the leases whose time is over and noticed.
    pub fn expire(&mut self, now: Micros) {
        self.end_leases(|lease| lease.ends_at + lease.late_by <= now);
    }

    /// When [`expire`](Etcd::expire) has something to do next.
    pub fn next_expiry(&self) -> Option<Micros> {
        self.leases.iter().map(|lease| lease.ends_at + lease.late_by).min()
    }

    /// Comes back after a time away: every lease that it had begins anew, those too whose end it had not noticed.
    pub fn restart(&mut self, now: Micros) {
        let ends_at = now + self.clock.span(self.ttl);
        for lease in &mut self.leases {
            lease.ends_at = ends_at;
        }
    }

    fn leader_key(&self, who: Who) -> Option<LeaderKey> {
        self.leader.map(|leader| LeaderKey {
            is_mine: leader.who == who,
            epoch: leader.epoch,
            lease: leader.lease,
        })
    }

    fn end_leases(&mut self, ends: impl Fn(&Lease) -> bool) {
        let (members, leader) = (&mut self.members, &mut self.leader);
        let mut is_change = false;
        self.leases.retain(|lease| {
            let is_over = ends(lease);
            if is_over {
                for member in
                    members.iter_mut().filter(|held| held.is_some_and(|held| held.lease == lease.id))
                {
                    *member = None;
                    is_change = true;
                }
                if leader.is_some_and(|held| held.lease == lease.id) {
                    *leader = None;
                    is_change = true;
                }
            }
            !is_over
        });
        if is_change {
            self.revision += 1;
            self.view = None;
        }
    }
}
