//! One node's membership and candidacy, as a state machine: a lease, the node's own key under it, and, for a node that
//! may lead, the leader's key.
//!
//! One input with its time (`sight`, `answered`, `leave`, `tick`), then drain [`Candidate::poll`], then wait until
//! [`Candidate::deadline`]. Knows no socket, no clock, and not what etcd's keys are called.
//!
//! What keeps two nodes from leading at once:
//! - **A lease counts from when it was asked for.** A keep-alive that left at `t` and was answered makes the lease surely
//!   valid until `t` + TTL, less a margin for clocks that run at different rates; whatever etcd says later,
//!   beyond that this node leads no more. What it needs of clocks: none runs more than 1 % fast or slow, this node's and
//!   etcd's alike, and this node's does not stand still. One that does (a machine that was suspended) is what the
//!   [`Fence`](crate::Fence) is for.
//! - **Leading is read off the leader's key, never remembered**: the key names this life of this node *and* hangs on the
//!   lease held now. A key under an earlier lease of the same life may vanish at any moment.
//! - **An epoch that was given up stays given up**, even while the key still stands: the call that deletes it may be
//!   anywhere on its way.
//!
//! What is known of a key carries the revision at which it was true, and older news never replaces newer.

mod call;
mod ended;
mod sight;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::{Epoch, Incarnation, Member, NodeId, NodeInfo, Role, View};

pub use call::{Answer, Call, Request};
pub use ended::Ended;
pub use sight::{LeaderKey, LeaseId, Registration, Sight, Stranger};

/// The share of a lease's time that a node counts on, as a fraction: two clocks, one 1 % fast and the other 1 % slow,
/// differ by 2.02 %.
const SURE_OF: (u32, u32) = (39, 40);
/// Keep-alives in one lease's time. Two may be lost.
const KEEP_ALIVES_PER_TTL: u32 = 3;
/// Tries of a call that fails, in one lease's time.
const TRIES_PER_TTL: u32 = 10;

/// A time of leading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lead {
    /// What its orders carry.
    pub epoch: Epoch,
    /// Until when the lease is surely valid; moved on by each keep-alive.
    pub until: Instant,
}

impl Lead {
    /// The epoch, while it is sure. To be asked with the time of the order, not before.
    pub fn at(&self, now: Instant) -> Option<Epoch> {
        (now < self.until).then_some(self.epoch)
    }
}

/// One node's membership and candidacy.
#[derive(Debug)]
pub struct Candidate {
    node: NodeId,
    incarnation: Incarnation,
    version: String,
    /// Whether this node may lead at all.
    stands: bool,
    ttl: Duration,
    lease: Option<Lease>,
    own: Known<Option<Registration>>,
    leader: Known<Option<LeaderKey>>,
    /// Whether this node is to lead when nobody does: not while it drains and another could.
    may_lead: Known<bool>,
    /// The revision of the own key at the first look: what came later is a newer process. None before that look.
    replaces: Option<i64>,
    /// The highest epoch that was resigned.
    given_up: Epoch,
    keeping: Lane,
    stepping: Lane,
    outbox: VecDeque<Call>,
    ended: Option<Ended>,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    id: LeaseId,
    /// For how much of its time this node counts on it.
    sure: Duration,
    sure_until: Instant,
}

/// What is known of something in etcd, and as of which revision.
#[derive(Debug, Default)]
struct Known<T> {
    at: i64,
    what: T,
}

impl<T> Known<T> {
    /// Whether it was news.
    fn learn(&mut self, at: i64, what: T) -> bool {
        let is_news = at >= self.at;
        if is_news {
            *self = Self { at, what };
        }
        is_news
    }
}

/// Calls that go out one after another.
#[derive(Debug)]
struct Lane {
    in_flight: Option<Call>,
    not_before: Instant,
}

impl Lane {
    fn is_free(&self, now: Instant) -> bool {
        self.in_flight.is_none() && self.not_before <= now
    }
}

impl Candidate {
    /// A node that has not joined yet, with leases of `ttl`. It asks for nothing before its first [`Sight`].
    pub fn new(now: Instant, info: &NodeInfo, ttl: Duration) -> Self {
        let lane = || Lane { in_flight: None, not_before: now };
        Self {
            node: info.node.clone(),
            incarnation: info.incarnation,
            version: info.version.clone(),
            stands: info.runs(Role::Login),
            ttl,
            lease: None,
            own: Known::default(),
            leader: Known::default(),
            may_lead: Known::default(),
            replaces: None,
            given_up: Epoch::default(),
            keeping: lane(),
            stepping: lane(),
            outbox: VecDeque::new(),
            ended: None,
        }
    }

    /// How long a call may take: after that it has [`Failed`](Answer::Failed).
    pub fn call_limit(&self) -> Duration {
        self.ttl / KEEP_ALIVES_PER_TTL
    }

    /// What etcd showed. Sights may come late and in any order.
    pub fn sight(&mut self, now: Instant, sight: &Sight<'_>) {
        let at = sight.view.revision;
        if self.replaces.is_none() {
            self.replaces = Some(sight.own.map_or(0, |own| own.revision));
            if let Some(other) = self.of_another_dialect(sight) {
                self.end(Ended::Dialect { version: self.version.clone(), other });
            }
        }
        self.learn_own(at, sight.own);
        self.leader.learn(at, sight.leader);
        if self.stands {
            self.may_lead.learn(at, !self.gives_way(sight.view));
        }
        self.advance(now);
    }

    /// What came of a call that [`poll`](Candidate::poll) gave.
    pub fn answered(&mut self, now: Instant, call: &Call, answer: Answer) {
        let lane = self.lane(call.request);
        let is_of_lane = lane.in_flight.as_ref() == Some(call);
        if is_of_lane {
            lane.in_flight = None;
        }
        let is_done = match (answer, call.request) {
            (Answer::Granted(id, ttl), Request::Grant) => {
                let sure = ttl * SURE_OF.0 / SURE_OF.1;
                self.lease = Some(Lease { id, sure, sure_until: call.at + sure });
                self.keeping = Lane { in_flight: None, not_before: call.at + self.ttl / KEEP_ALIVES_PER_TTL };
                true
            }
            (Answer::KeptAlive, Request::KeepAlive(id)) => {
                if let Some(lease) = self.lease.as_mut().filter(|lease| lease.id == id) {
                    lease.sure_until = lease.sure_until.max(call.at + lease.sure);
                    self.keeping.not_before = call.at + self.ttl / KEEP_ALIVES_PER_TTL;
                }
                true
            }
            (
                Answer::LeaseLost | Answer::Revoked,
                Request::KeepAlive(id)
                | Request::Join { lease: id, .. }
                | Request::Stand(id)
                | Request::Revoke(id),
            ) => {
                self.lease = self.lease.filter(|lease| lease.id != id);
                matches!(call.request, Request::KeepAlive(_))
            }
            (Answer::Own { at, own }, _) => self.learn_own(at, own),
            (Answer::Leader { at, leader }, _) => self.leader.learn(at, leader),
            _ => false,
        };
        // Nor is an etcd asked in a loop that denies what it has granted, or whose answers are older than what is known.
        if !is_done && is_of_lane {
            self.lane(call.request).not_before = now + self.ttl / TRIES_PER_TTL;
        }
        self.advance(now);
    }

    /// Resigns, marks that it left, ends the lease and is over.
    pub fn leave(&mut self, now: Instant) {
        self.end(Ended::Left(self.node.clone()));
        self.advance(now);
    }

    /// That time has passed.
    pub fn tick(&mut self, now: Instant) {
        self.advance(now);
    }

    /// The next call to make.
    pub fn poll(&mut self) -> Option<Call> {
        self.outbox.pop_front()
    }

    /// When to call [`tick`](Candidate::tick) at the latest; None while there is nothing to wait for but inputs.
    pub fn deadline(&self) -> Option<Instant> {
        let keeping = self.is_keeping().then_some(&self.keeping);
        let stepping = self.wanted().is_some().then_some(&self.stepping);
        let lanes = [keeping, stepping].into_iter().flatten();
        let calls = lanes.filter(|lane| lane.in_flight.is_none()).map(|lane| lane.not_before);
        calls.min()
    }

    /// The time of leading that this node is in, if any; it may have run out: ask [`Lead::at`].
    pub fn lead(&self) -> Option<Lead> {
        let (lease, key) = (self.lease?, self.leader.what?);
        let leads = key.is_mine && key.lease == lease.id && key.epoch > self.given_up && self.ended.is_none();
        leads.then_some(Lead { epoch: key.epoch, until: lease.sure_until })
    }

    /// The epoch under which this node leads now.
    pub fn leads(&self, now: Instant) -> Option<Epoch> {
        self.lead()?.at(now)
    }

    /// Whether etcd has this node's key under the lease that it holds, as far as it knows.
    pub fn is_member(&self) -> bool {
        self.lease.is_some_and(|lease| self.has_joined_under(lease.id))
    }

    /// Why it is no member any more, once that is certain.
    pub fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// Whether it has ended and holds nothing any more.
    pub fn is_over(&self) -> bool {
        self.ended.is_some() && self.lease.is_none() && self.stepping.in_flight.is_none()
    }

    fn advance(&mut self, now: Instant) {
        if let Some(lease) = self.lease.filter(|_| self.is_keeping())
            && self.keeping.is_free(now)
        {
            self.send(now, Request::KeepAlive(lease.id));
        }
        if self.stepping.is_free(now)
            && let Some(request) = self.wanted()
        {
            if let Request::Resign(epoch) = request {
                self.given_up = self.given_up.max(epoch);
            }
            self.send(now, request);
        }
    }

    fn is_keeping(&self) -> bool {
        self.lease.is_some() && self.ended.is_none()
    }

    fn send(&mut self, now: Instant, request: Request) {
        let call = Call { request, at: now };
        self.lane(request).in_flight = Some(call);
        self.outbox.push_back(call);
    }

    /// Keep-alives wait for nothing else.
    fn lane(&mut self, request: Request) -> &mut Lane {
        if matches!(request, Request::KeepAlive(_)) { &mut self.keeping } else { &mut self.stepping }
    }

    /// The next step towards what this node should be, from what it knows.
    fn wanted(&self) -> Option<Request> {
        let my_key = self.leader.what.filter(|key| key.is_mine);
        if let Some(ended) = &self.ended {
            let lease = self.lease?;
            let own = self.own.what.filter(|own| own.incarnation == Some(self.incarnation));
            return Some(match (my_key, ended, own) {
                (Some(key), _, _) => Request::Resign(key.epoch),
                (None, Ended::Left(_), Some(own)) => Request::Depart { over: own.revision },
                (None, _, _) => Request::Revoke(lease.id),
            });
        }
        self.replaces?;
        let Some(lease) = self.lease else { return Some(Request::Grant) };
        if !self.has_joined_under(lease.id) {
            let over = self.own.what.map_or(0, |own| own.revision);
            return Some(Request::Join { lease: lease.id, over });
        }
        if let Some(key) = my_key {
            let is_to_stay = key.lease == lease.id && key.epoch > self.given_up && self.may_lead.what;
            return (!is_to_stay).then_some(Request::Resign(key.epoch));
        }
        (self.leader.what.is_none() && self.may_lead.what).then_some(Request::Stand(lease.id))
    }

    fn has_joined_under(&self, lease: LeaseId) -> bool {
        self.own.what.is_some_and(|own| own.incarnation == Some(self.incarnation) && own.lease == lease)
    }

    /// Takes another process under this node's name, come since the first look, for the newer one. Whether it was news.
    fn learn_own(&mut self, at: i64, own: Option<Registration>) -> bool {
        let is_news = self.own.learn(at, own);
        if let Some(own) = own.filter(|_| is_news)
            && own.incarnation != Some(self.incarnation)
            && self.replaces.is_some_and(|replaces| own.revision > replaces)
        {
            self.end(Ended::Replaced { node: self.node.clone(), by: own.incarnation });
        }
        is_news
    }

    fn end(&mut self, ended: Ended) {
        self.ended.get_or_insert(ended);
    }

    /// The process that this one replaces may have been of any version.
    fn of_another_dialect(&self, sight: &Sight<'_>) -> Option<Stranger> {
        let members = sight.view.members.values().map(|member| &member.info);
        let in_view = members.filter(|info| !info.speaks()).map(|info| Stranger {
            node: info.node.clone(),
            dialect: info.dialect,
            version: info.version.clone(),
        });
        in_view.chain(sight.strangers.iter().cloned()).find(|stranger| stranger.node != self.node)
    }

    /// Whether this node drains and another can lead. The last one leads on: somebody must see the drain through.
    fn gives_way(&self, view: &View) -> bool {
        let drains = view.members.get(&self.node).is_some_and(|own| own.is_draining);
        let can_lead =
            |member: &&Member| member.info.node != self.node && !member.is_draining && member.info.speaks();
        drains && view.with_role(Role::Login).any(|member| can_lead(&member))
    }
}

#[cfg(test)]
mod tests;
