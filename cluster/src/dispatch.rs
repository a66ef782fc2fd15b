//! Which gateway a terminal is sent to: the least loaded one, counting those that are on their way.
//!
//! Pure: the View, the sightings and the time come from the caller. Several login servers dispatch at once and know
//! nothing of each other's terminals on their way; see [`Dispatcher::assign`] for why they do not overshoot.

mod clients;
mod desk;

use std::cmp::{Ordering, Reverse};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use model::TerminalId;

use crate::rendezvous::rendezvous;
use crate::{Advertise, NodeId, Role, Sightings, View};

pub use clients::{COUNTED_FOR, ClientDispatcher, Wanted};
pub use desk::{Arrivals, Directions, Dispatch, Gateways};

/// How long a terminal that was sent counts as on its way: a slow mobile link and an authentication take seconds.
/// One that takes longer is counted when it arrives.
const RESERVED_FOR: Duration = Duration::from_secs(30);

/// How long it is remembered where a terminal was sent: one that returns within it did not get in there.
/// Longer than a terminal tries to connect to an address that swallows its packets.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);

/// Most terminals that are remembered; beyond, the oldest are forgotten. About 200 bytes each.
const TRIPS_MAX: usize = 65_536;

/// Most gateways that are remembered as having failed a terminal.
const FAILED_MAX: usize = 8;

/// How long an arrival is counted beside a report of load that does not show it yet. Reports come each second; a
/// gateway whose report is older than this is out of sight.
const ARRIVAL_COUNTED_FOR: Duration = Duration::from_secs(5);

/// Most arrivals that are counted beside a gateway's report: more than a gateway takes between two reports.
const ARRIVALS_MAX: usize = 16_384;

/// Why a gateway gets no terminals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It says other things than this program.
    Dialect,
    /// It is to give away what it has.
    Draining,
    /// It does not answer, or never did.
    Unseen,
    /// Its clock is wrong.
    Clock,
    /// It does not say where terminals dial it.
    Address,
}

/// A gateway that terminals might be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub node: NodeId,
    /// Where terminals dial it; None makes it unfit.
    pub dial: Option<Advertise>,
    /// How many terminals it can carry.
    pub limit: u32,
    /// How many it carried when it was last asked.
    pub terminals: u32,
    /// When it counted them, by its own clock, Unix milliseconds.
    pub measured_at_ms: i64,
    /// Why it gets none; None: it may.
    pub unfit: Option<Unfit>,
}

/// Every gateway, and how many dispatch to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    /// The gateways.
    pub gateways: Vec<Candidate>,
    /// How many nodes send terminals at once: as many as there are login servers, or API servers where these are more.
    pub dispatchers: u32,
}

impl Candidates {
    /// The gateways of the View as they were last seen.
    pub fn of(view: &View, sightings: &Sightings) -> Self {
        let gateways = view.with_role(Role::Gateway).map(|member| {
            let info = &member.info;
            let sighting =
                sightings.get(&info.node).filter(|sighting| sighting.incarnation == info.incarnation);
            let unfit = if !info.speaks() {
                Some(Unfit::Dialect)
            } else if member.is_draining || sighting.is_some_and(|sighting| sighting.is_draining) {
                Some(Unfit::Draining)
            } else if !sighting.is_some_and(|sighting| sighting.is_in_sight()) {
                Some(Unfit::Unseen)
            } else if !sighting.is_some_and(|sighting| sighting.has_right_clock()) {
                Some(Unfit::Clock)
            } else if info.gateway.is_none() {
                Some(Unfit::Address)
            } else {
                None
            };
            Candidate {
                node: info.node.clone(),
                dial: info.gateway.clone(),
                limit: info.limits.terminals,
                terminals: sighting.map_or(0, |sighting| sighting.load.terminals),
                measured_at_ms: sighting.map_or(i64::MIN, |sighting| sighting.measured_at_ms),
                unfit,
            }
        });
        let gateways = gateways.collect();
        // Terminals ask login servers, devices of other kinds have somebody ask the API; no fleet uses both at once.
        let count = |role| view.with_role(role).count();
        let dispatchers = count(Role::Login).max(count(Role::Api)).max(1);
        Self { gateways, dispatchers: u32::try_from(dispatchers).unwrap_or(u32::MAX) }
    }
}

/// Where a terminal is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The gateway.
    pub node: NodeId,
    /// Where the terminal dials it.
    pub dial: Advertise,
    /// How many gateways it was sent to lately without arriving.
    pub failed: usize,
}

/// Sends terminals to gateways, and remembers whom it sent where until they have arrived.
#[derive(Debug, Default)]
pub struct Dispatcher {
    trips: HashMap<TerminalId, Trip>,
    /// The trips in the order in which they began, by when they stop being reserved, and by when they are forgotten.
    /// Ended ones stand in both until their time.
    reserved: VecDeque<Due>,
    remembered: VecDeque<Due>,
    last_number: u64,
    places: HashMap<NodeId, Place>,
}

/// A terminal on its way to a gateway.
#[derive(Debug)]
struct Trip {
    number: u64,
    to: NodeId,
    /// When it began.
    at: Instant,
    /// Whether it counts as a terminal of that gateway.
    is_reserved: bool,
    /// The gateways that did not get it, the latest last.
    failed: VecDeque<NodeId>,
}

/// When something is over for the trip `number` of `terminal`.
#[derive(Debug)]
struct Due {
    at: Instant,
    terminal: TerminalId,
    number: u64,
}

/// What is counted for a gateway beside its own report.
#[derive(Debug)]
struct Place {
    /// Terminals that this dispatcher has sent and that have not arrived.
    reserved: u32,
    /// Terminals that arrived after the report, whoever sent them: when we heard of it, and since when the gateway
    /// has them by its own clock.
    arrivals: VecDeque<(Instant, i64)>,
    /// The report that `arrivals` follow, by the gateway's clock.
    measured_at_ms: i64,
}

impl Default for Place {
    fn default() -> Self {
        Self { reserved: 0, arrivals: VecDeque::new(), measured_at_ms: i64::MIN }
    }
}

impl Dispatcher {
    /// The gateway for `terminal`, which has just authenticated here; it counts there as on its way. None while no
    /// gateway is fit and has room.
    ///
    /// A terminal that comes again without having arrived goes to another gateway than those that failed it, as
    /// long as there is one.
    ///
    /// The least of (reported + arrived since + n × on their way from here) / limit, where n is the number of login
    /// servers: what this one has on its way, the others have too, roughly. So each fills up an n-th of a gap that
    /// all of them see, and together they fill it up once. Where the others have nothing to do the gap is closed in
    /// several steps instead of one, never overshot.
    pub fn assign(
        &mut self,
        now: Instant,
        candidates: &Candidates,
        terminal: TerminalId,
    ) -> Option<Assignment> {
        self.expire(now);
        self.take_reports(candidates);
        let mut failed = self.end(terminal).map(failures).unwrap_or_default();
        let weight = u64::from(candidates.dispatchers.max(1));
        let usable = || {
            candidates.gateways.iter().filter(|gateway| {
                gateway.unfit.is_none()
                    && gateway.dial.is_some()
                    && self.expected(gateway, 1) < u64::from(gateway.limit)
            })
        };
        let least = |one: &&Candidate, other: &&Candidate| {
            let (first, second) = (self.expected(one, weight), self.expected(other, weight));
            let (first, second) =
                (u128::from(first) * u128::from(other.limit), u128::from(second) * u128::from(one.limit));
            first.cmp(&second).then_with(|| by_rendezvous(terminal, one, other))
        };
        let untried = usable().filter(|gateway| !failed.contains(&gateway.node)).min_by(least);
        let chosen = untried.or_else(|| {
            let last = failed.back();
            let other = usable().filter(|gateway| Some(&gateway.node) != last).min_by(least);
            other.or_else(|| usable().min_by(least))
        })?;
        let count = failed.len();
        if untried.is_none() {
            // All of them have failed it: another round.
            failed.clear();
        }
        let assignment = Assignment { node: chosen.node.clone(), dial: chosen.dial.clone()?, failed: count };
        self.begin(now, terminal, assignment.node.clone(), failed);
        Some(assignment)
    }

    /// The gateway for `terminal`, which did not ask itself, and until when whoever asks again is told the same: as
    /// long as the terminal counts as on its way there, and the gateway is fit. After that, as [`assign`](Self::assign).
    pub fn ask(
        &mut self,
        now: Instant,
        candidates: &Candidates,
        terminal: TerminalId,
    ) -> Option<(Assignment, Instant)> {
        self.expire(now);
        if let Some(trip) = self.trips.get(&terminal)
            && trip.is_reserved
            && let Some(gateway) = candidates.gateways.iter().find(|gateway| gateway.node == trip.to)
            && let (None, Some(dial)) = (gateway.unfit, &gateway.dial)
        {
            let (node, dial) = (trip.to.clone(), dial.clone());
            return Some((Assignment { node, dial, failed: trip.failed.len() }, trip.at + RESERVED_FOR));
        }
        let assignment = self.assign(now, candidates, terminal)?;
        Some((assignment, now + RESERVED_FOR))
    }

    /// `terminal` has come to `gateway`, whoever sent it there, and has an authenticated link since `since_ms` (Unix
    /// milliseconds, by the gateway's clock).
    pub fn arrived(&mut self, now: Instant, terminal: TerminalId, gateway: &NodeId, since_ms: i64) {
        self.expire(now);
        self.end(terminal);
        let place = self.places.entry(gateway.clone()).or_default();
        if since_ms <= place.measured_at_ms {
            return;
        }
        if place.arrivals.len() >= ARRIVALS_MAX {
            place.arrivals.pop_front();
        }
        place.arrivals.push_back((now, since_ms));
    }

    /// `gateway` lists `terminal` among those that it has, perhaps for long: on its way to another one it may be all
    /// the same.
    pub fn listed(&mut self, terminal: TerminalId, gateway: &NodeId) {
        if self.trips.get(&terminal).is_some_and(|trip| trip.to == *gateway) {
            self.end(terminal);
        }
    }

    /// How many terminals are on their way, as far as they count.
    pub fn reservations(&self) -> usize {
        self.places.values().map(|place| place.reserved as usize).sum()
    }

    /// Forgets what is over.
    pub fn expire(&mut self, now: Instant) {
        while self.reserved.front().is_some_and(|due| due.at <= now) {
            let Some(due) = self.reserved.pop_front() else { break };
            self.unreserve(&due);
        }
        while self.remembered.len() > TRIPS_MAX || self.remembered.front().is_some_and(|due| due.at <= now) {
            let Some(due) = self.remembered.pop_front() else { break };
            self.unreserve(&due);
            if self.trips.get(&due.terminal).is_some_and(|trip| trip.number == due.number) {
                self.trips.remove(&due.terminal);
            }
        }
        while self.reserved.len() > TRIPS_MAX {
            let Some(due) = self.reserved.pop_front() else { break };
            self.unreserve(&due);
        }
        for place in self.places.values_mut() {
            while place.arrivals.front().is_some_and(|(heard, _)| *heard + ARRIVAL_COUNTED_FOR <= now) {
                place.arrivals.pop_front();
            }
        }
        self.places.retain(|_, place| place.reserved > 0 || !place.arrivals.is_empty());
    }

    /// Lets each report stand for the arrivals that it shows.
    fn take_reports(&mut self, candidates: &Candidates) {
        for gateway in &candidates.gateways {
            if let Some(place) = self.places.get_mut(&gateway.node)
                && place.measured_at_ms != gateway.measured_at_ms
            {
                place.measured_at_ms = gateway.measured_at_ms;
                place.arrivals.retain(|(_, since_ms)| *since_ms > gateway.measured_at_ms);
            }
        }
    }

    /// How many terminals a gateway will have, with those on their way from here counted `weight` times.
    fn expected(&self, gateway: &Candidate, weight: u64) -> u64 {
        let beside = self.places.get(&gateway.node);
        let (arrived, reserved) =
            beside.map_or((0, 0), |place| (place.arrivals.len() as u64, u64::from(place.reserved)));
        u64::from(gateway.terminals) + arrived + weight * reserved
    }

    fn begin(&mut self, now: Instant, terminal: TerminalId, to: NodeId, failed: VecDeque<NodeId>) {
        self.last_number += 1;
        let number = self.last_number;
        self.places.entry(to.clone()).or_default().reserved += 1;
        self.trips.insert(terminal, Trip { number, to, at: now, is_reserved: true, failed });
        self.reserved.push_back(Due { at: now + RESERVED_FOR, terminal, number });
        self.remembered.push_back(Due { at: now + REMEMBERED_FOR, terminal, number });
    }

    /// Forgets the trip of `terminal`, if it is on one.
    fn end(&mut self, terminal: TerminalId) -> Option<Trip> {
        let trip = self.trips.remove(&terminal)?;
        if trip.is_reserved {
            free(&mut self.places, &trip.to);
        }
        Some(trip)
    }

    fn unreserve(&mut self, due: &Due) {
        if let Some(trip) = self.trips.get_mut(&due.terminal)
            && trip.number == due.number
            && trip.is_reserved
        {
            trip.is_reserved = false;
            free(&mut self.places, &trip.to);
        }
    }
}

fn free(places: &mut HashMap<NodeId, Place>, gateway: &NodeId) {
    if let Some(place) = places.get_mut(gateway) {
        place.reserved = place.reserved.saturating_sub(1);
    }
}

/// The gateways that failed a terminal, with the one of its trip that ended without an arrival.
fn failures(trip: Trip) -> VecDeque<NodeId> {
    let mut failed = trip.failed;
    failed.retain(|node| *node != trip.to);
    failed.push_back(trip.to);
    if failed.len() > FAILED_MAX {
        failed.pop_front();
    }
    failed
}

/// Of two equally loaded gateways every dispatcher takes the same one for a terminal, and each gets its share.
fn by_rendezvous(terminal: TerminalId, one: &Candidate, other: &Candidate) -> Ordering {
    let rank = |gateway: &Candidate| Reverse(rendezvous(&terminal.0.to_be_bytes(), &gateway.node));
    rank(one).cmp(&rank(other)).then_with(|| one.node.cmp(&other.node))
}

#[cfg(test)]
mod tests;
