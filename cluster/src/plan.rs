//! What the leader is to do about the state of the cluster: a plan of steps, each of which may be carried out twice
//! without harm.
//!
//! Pure: the time, the View and the sightings come from the caller, who carries the steps out under its epoch and
//! tells [`Roll::ordered`] so. Knows no database and no calls.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::dispatch::{Candidate, Candidates, Unfit};
use crate::{Incarnation, NodeId, Sightings, View};

/// Most nodes that the roll remembers after they are gone; beyond, those that are gone longest are forgotten.
const GONE_MAX: usize = 256;

/// How the leader decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// By how much a gateway may be off its share before terminals are moved, permille of the share.
    pub tolerance_permille: u32,
    /// Terminals that are not worth moving, where the tolerance is less.
    pub slack: u32,
    /// Most terminals that a gateway releases at a time: they all authenticate elsewhere at once.
    pub release_max: u32,
    /// How long a gateway rests after a release, so that the next plan sees what came of it.
    pub release_every: Duration,
    /// How long nothing is moved after a node came or went: its terminals are on their way by themselves. Also how long
    /// a node that is only on record may take to show itself.
    pub settle: Duration,
    /// How long a gateway must be gone before the copy of its spool is stored by the peer that holds it; and how long
    /// one that came back may take to say of copies of its former lives that they are stored, which it does not where
    /// its disk was lost.
    pub adopt_after: Duration,
    /// How long most nodes must have vanished before the leader believes that it is they, not it. Its lease was
    /// renewed all that time.
    pub believe_after: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            tolerance_permille: 50,
            slack: 2,
            release_max: 100,
            release_every: Duration::from_secs(5),
            settle: Duration::from_secs(15),
            adopt_after: Duration::from_secs(60),
            believe_after: Duration::from_secs(600),
        }
    }
}

/// Something to be done. Doing it again changes nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A node is lost: its terminals' sessions are closed in the database, and an event is stored.
    Lost {
        /// The node.
        node: NodeId,
        /// Which life of it.
        incarnation: Incarnation,
    },
    /// A node left of its own accord: an event is stored and, unless it is back, its terminals' sessions are closed in
    /// the database. It had given up its terminals before it said so.
    Left {
        /// The node.
        node: NodeId,
        /// Which life of it.
        incarnation: Incarnation,
        /// Whether another life of it is known: what that one has stays its own.
        is_back: bool,
    },
    /// The holder of a copy stores the spool of a gateway that does not come back.
    Adopt {
        /// The gateway.
        origin: NodeId,
        /// Which life of it wrote the spool.
        incarnation: Incarnation,
        /// The node that has the copy.
        holder: NodeId,
    },
    /// A gateway sends terminals back to the login servers.
    Release {
        /// The gateway.
        gateway: NodeId,
        /// How many.
        terminals: u32,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { node, incarnation: _ } => write!(f, "{node} is lost"),
            Self::Left { node, incarnation: _, is_back: false } => write!(f, "{node} left"),
            Self::Left { node, incarnation: _, is_back: true } => write!(f, "{node} left and is back"),
            Self::Adopt { origin, incarnation: _, holder } => {
                write!(f, "{holder} stores the spool of {origin}")
            }
            Self::Release { gateway, terminals } => write!(f, "{gateway} releases {terminals}"),
        }
    }
}

/// A copy of a gateway's spool that is not stored yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SpoolCopy {
    /// Whose spool.
    pub origin: NodeId,
    /// Which life of it wrote it.
    pub incarnation: Incarnation,
    /// The node that has the copy.
    pub holder: NodeId,
}

/// What the leader looks at.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The leader.
    pub me: &'a NodeId,
    /// Who holds a lease.
    pub view: &'a View,
    /// Who answers.
    pub sightings: &'a Sightings,
    /// The copies of spools that nodes in sight say they hold.
    pub copies: &'a [SpoolCopy],
}

/// The nodes that are to be there, and since when those that are not have been gone; what was ordered lately.
/// A new leader begins with those that are [on record](Self::expect): one that went with its predecessor is in no View
/// any more.
#[derive(Debug, Default)]
pub struct Roll {
    nodes: BTreeMap<NodeId, Entry>,
    began_at: Option<Instant>,
    /// When a node last came or went.
    changed_at: Option<Instant>,
    released: BTreeMap<NodeId, Instant>,
    adopted: BTreeMap<SpoolCopy, Instant>,
    /// What was ordered upon of the marks that are in the View.
    left: BTreeMap<NodeId, Incarnation>,
}

/// A node that was there once.
#[derive(Debug)]
struct Entry {
    incarnation: Incarnation,
    /// Since when it is a member; None while it is none.
    member_since: Option<Instant>,
    /// Whether it was not a member since this leader began.
    is_on_record_only: bool,
    /// Since when it does not answer.
    unseen_since: Option<Instant>,
    /// Since when it neither answers nor holds a lease.
    gone_since: Option<Instant>,
    /// Whether that was ordered upon.
    is_lost: bool,
    /// Whether it said that it left: then it is not lost, whoever sees it no more.
    has_left: bool,
}

impl Roll {
    /// Takes in nodes that were there when somebody led last, each in its last life. They are lost unless they show
    /// themselves.
    pub fn expect(&mut self, nodes: impl IntoIterator<Item = (NodeId, Incarnation)>) {
        for (node, incarnation) in nodes.into_iter().take(GONE_MAX) {
            self.nodes.entry(node).or_insert(Entry { is_on_record_only: true, ..Entry::new(incarnation) });
        }
    }

    /// Takes in what is seen at `now`. Before each plan.
    pub fn observe(&mut self, now: Instant, view: &View, sightings: &Sightings) {
        self.began_at.get_or_insert(now);
        let mut has_changed = false;
        for (node, member) in &view.members {
            let incarnation = member.info.incarnation;
            let is_known = self.nodes.get(node).is_some_and(|entry| entry.incarnation == incarnation);
            if !is_known {
                self.nodes.insert(node.clone(), Entry::new(incarnation));
                has_changed = true;
            }
        }
        for (node, entry) in &mut self.nodes {
            let is_member = is_member(view, node, entry.incarnation);
            let is_seen = is_seen(sightings, node, entry.incarnation);
            has_changed |= is_seen != entry.unseen_since.is_none();
            let has_left = view.left.get(node) == Some(&entry.incarnation);
            has_changed |= has_left && !entry.has_left;
            entry.has_left |= has_left;
            since(&mut entry.unseen_since, now, !is_seen);
            since(&mut entry.gone_since, now, !is_seen && !is_member);
            since(&mut entry.member_since, now, is_member);
            entry.is_lost &= !is_member;
            entry.is_on_record_only &= !is_member;
        }
        if has_changed {
            self.changed_at = Some(now);
        }
        self.forget(view);
    }

    /// `step` was ordered at `now`.
    pub fn ordered(&mut self, now: Instant, step: &Step) {
        match step {
            Step::Lost { node, incarnation } => {
                if let Some(entry) = self.nodes.get_mut(node)
                    && entry.incarnation == *incarnation
                {
                    entry.is_lost = true;
                }
            }
            Step::Left { node, incarnation, is_back: _ } => {
                self.left.insert(node.clone(), *incarnation);
            }
            Step::Adopt { origin, incarnation, holder } => {
                let (origin, holder) = (origin.clone(), holder.clone());
                self.adopted.insert(SpoolCopy { origin, incarnation: *incarnation, holder }, now);
            }
            Step::Release { gateway, .. } => {
                self.released.insert(gateway.clone(), now);
            }
        }
    }

    /// Whether most of the other nodes have vanished and are not given up yet: then it is the leader that is cut
    /// off. Those that it only knows from the record have not vanished from its sight, nor those that said they left.
    /// One other node alone proves nothing either way, and is believed to be lost when its lease lapses.
    pub fn is_cut_off(&self, now: Instant, me: &NodeId, policy: &Policy) -> bool {
        let mut others = 0;
        let mut vanished = 0;
        let counts = |entry: &Entry| !entry.is_lost && !entry.has_left && !entry.is_on_record_only;
        for (_, entry) in self.nodes.iter().filter(|(node, entry)| *node != me && counts(entry)) {
            others += 1;
            vanished += u32::from(entry.unseen_since.is_some_and(|since| now < since + policy.believe_after));
        }
        vanished >= 2 && 2 * vanished > others
    }

    /// For how long the life of a gateway has been over that wrote what a copy is of; None while it is not.
    fn over_for(&self, now: Instant, copy: &SpoolCopy) -> Option<Duration> {
        let since = match self.nodes.get(&copy.origin) {
            // It is there in another life, and has its spool, or has lost it.
            Some(entry) if entry.incarnation != copy.incarnation => entry.member_since.or(entry.gone_since)?,
            Some(entry) => entry.gone_since?,
            // It was gone before this leader began.
            None => self.began_at?,
        };
        Some(now.saturating_duration_since(since))
    }

    fn has_rested(&self, now: Instant, gateway: &NodeId, policy: &Policy) -> bool {
        self.released.get(gateway).is_none_or(|at| now >= *at + policy.release_every)
    }

    fn has_settled(&self, now: Instant, policy: &Policy) -> bool {
        self.changed_at.is_none_or(|at| now >= at + policy.settle)
    }

    /// Drops what no plan needs any more.
    fn forget(&mut self, view: &View) {
        self.released.retain(|node, _| view.members.contains_key(node));
        self.left.retain(|node, life| view.left.get(node) == Some(life));
        self.adopted.retain(|copy, _| view.members.contains_key(&copy.holder));
        let gone = self.nodes.iter().filter_map(|(node, entry)| Some((entry.gone_since?, node.clone())));
        let mut gone: Vec<_> = gone.collect();
        gone.sort();
        for (_, node) in gone.iter().take(gone.len().saturating_sub(GONE_MAX)) {
            self.nodes.remove(node);
        }
    }
}

impl Entry {
    fn new(incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            member_since: None,
            is_on_record_only: false,
            unseen_since: None,
            gone_since: None,
            is_lost: false,
            has_left: false,
        }
    }

    /// Whether it is gone, and nobody has acted on that.
    fn is_to_be_lost(&self, now: Instant, policy: &Policy) -> bool {
        let patience = if self.is_on_record_only { policy.settle } else { Duration::ZERO };
        !self.is_lost && !self.has_left && self.gone_since.is_some_and(|since| now >= since + patience)
    }
}

fn is_seen(sightings: &Sightings, node: &NodeId, incarnation: Incarnation) -> bool {
    sightings.get(node).is_some_and(|sighting| sighting.incarnation == incarnation && sighting.is_in_sight())
}

fn is_member(view: &View, node: &NodeId, incarnation: Incarnation) -> bool {
    view.members.get(node).is_some_and(|member| member.info.incarnation == incarnation)
}

/// Keeps since when something holds.
fn since(at: &mut Option<Instant>, now: Instant, holds: bool) {
    if holds {
        at.get_or_insert(now);
    } else {
        *at = None;
    }
}

/// What is to be done at `now`: where it is the leader that is cut off, nothing but to write down who said that it left.
pub fn plan(now: Instant, scene: &Scene<'_>, roll: &Roll, policy: &Policy) -> Vec<Step> {
    let mut steps = Vec::new();
    for (node, incarnation) in &scene.view.left {
        if roll.left.get(node) != Some(incarnation) {
            let is_back = roll.nodes.get(node).is_some_and(|entry| entry.incarnation != *incarnation);
            steps.push(Step::Left { node: node.clone(), incarnation: *incarnation, is_back });
        }
    }
    if roll.is_cut_off(now, scene.me, policy) {
        return steps;
    }
    for (node, entry) in &roll.nodes {
        if entry.is_to_be_lost(now, policy) {
            steps.push(Step::Lost { node: node.clone(), incarnation: entry.incarnation });
        }
    }
    adopt(now, scene, roll, policy, &mut steps);
    if roll.has_settled(now, policy) {
        rebalance(now, scene, roll, policy, &mut steps);
    }
    steps
}

/// Both witnesses say that the origin is gone, or is there in another life, and it has had its time to come back, or
/// to say that all is stored.
fn adopt(now: Instant, scene: &Scene<'_>, roll: &Roll, policy: &Policy, steps: &mut Vec<Step>) {
    for copy in scene.copies {
        // In that life: one that came back with its disk lost knows nothing of the copy.
        let is_there = is_member(scene.view, &copy.origin, copy.incarnation)
            || is_seen(scene.sightings, &copy.origin, copy.incarnation);
        let is_over = roll.over_for(now, copy).is_some_and(|over| over >= policy.adopt_after);
        let holder = scene.view.members.get(&copy.holder);
        let holder_is_fit = holder.is_some_and(|holder| {
            holder.info.speaks() && is_seen(scene.sightings, &copy.holder, holder.info.incarnation)
        });
        // Still there long after the order: said again.
        let was_ordered =
            roll.adopted.get(copy).is_some_and(|at| now.saturating_duration_since(*at) < policy.adopt_after);
        if !is_there && is_over && holder_is_fit && !was_ordered {
            steps.push(Step::Adopt {
                origin: copy.origin.clone(),
                incarnation: copy.incarnation,
                holder: copy.holder.clone(),
            });
        }
    }
}

/// Moves terminals off gateways that drain, and off those above their share where any gateway is off its own.
fn rebalance(now: Instant, scene: &Scene<'_>, roll: &Roll, policy: &Policy, steps: &mut Vec<Step>) {
    let candidates = Candidates::of(scene.view, scene.sightings).gateways;
    if candidates.iter().any(|gateway| gateway.unfit == Some(Unfit::Unseen)) {
        // What it carries is not known.
        return;
    }
    let takers: Vec<_> = candidates.iter().filter(|gateway| gateway.unfit.is_none()).collect();
    let leavers: Vec<_> =
        candidates.iter().filter(|gateway| gateway.unfit == Some(Unfit::Draining)).collect();
    let total: u64 = takers.iter().chain(&leavers).map(|gateway| u64::from(gateway.terminals)).sum();
    let limits: u64 = takers.iter().map(|gateway| u64::from(gateway.limit)).sum();
    if limits == 0 {
        return;
    }
    let share_milli = |gateway: &Candidate| {
        (total * 1_000 * u64::from(gateway.limit) / limits).min(1_000 * u64::from(gateway.limit))
    };
    let is_off = |gateway: &Candidate| {
        let share = share_milli(gateway);
        let tolerance = share * u64::from(policy.tolerance_permille) / 1_000;
        let allowed = tolerance.max(1_000 * u64::from(policy.slack));
        (1_000 * u64::from(gateway.terminals)).abs_diff(share) > allowed
    };
    let is_uneven = takers.iter().any(|gateway| is_off(gateway));
    let mut room: u64 =
        takers.iter().map(|gateway| u64::from(gateway.limit.saturating_sub(gateway.terminals))).sum();
    let mut release = |gateway: &Candidate, surplus: u64| {
        let terminals = surplus.min(u64::from(policy.release_max)).min(room);
        if terminals > 0 && roll.has_rested(now, &gateway.node, policy) {
            room -= terminals;
            let terminals = u32::try_from(terminals).unwrap_or(policy.release_max);
            steps.push(Step::Release { gateway: gateway.node.clone(), terminals });
        }
    };
    for gateway in leavers {
        release(gateway, u64::from(gateway.terminals));
    }
    if is_uneven {
        for (gateway, target) in takers.iter().zip(targets(&takers, total, share_milli)) {
            release(gateway, u64::from(gateway.terminals).saturating_sub(target));
        }
    }
}

/// How many terminals each is to have, in whole ones: what the shares leave over goes to those that have more than
/// theirs already, so that none is moved for it.
fn targets(takers: &[&Candidate], total: u64, share_milli: impl Fn(&Candidate) -> u64) -> Vec<u64> {
    let mut targets: Vec<u64> = takers.iter().map(|gateway| share_milli(gateway) / 1_000).collect();
    let mut over = total.saturating_sub(targets.iter().sum());
    let mut places: Vec<usize> = (0..takers.len()).collect();
    places.sort_by_key(|place| {
        let has_more = u64::from(takers[*place].terminals) > targets[*place];
        std::cmp::Reverse((has_more, share_milli(takers[*place]) % 1_000))
    });
    for place in places {
        if over > 0 && targets[place] < u64::from(takers[place].limit) {
            targets[place] += 1;
            over -= 1;
        }
    }
    targets
}

#[cfg(test)]
mod tests;
