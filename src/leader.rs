//! What the leader of a cluster does: looks at the nodes each second, plans, and carries the plan out under its epoch.
//!
//! Everything here is idempotent, so that a later leader may do it again. What is decided is decided by
//! [`plan`]; knows not how nodes are called or how a session is stored.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::etcd::Agreement;
use cluster::plan::{Policy, Roll, Scene, SpoolCopy, Step, plan};
use cluster::{
    Bus, Copies as _, Epoch, Events as _, Holders, Incarnation, Lead, NodeId, Order, Orders, Peers,
    RemoteCopies, Sightings, SightingsSeen, View,
};
use db::{Db, LeaderError, NodeEventKind, NodeLife, NodeOnRecord};
use model::{Event, Presence, TerminalId};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tracing::{debug, info, warn};

/// How often the leader looks and plans.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Most nodes that are looked up of those who were there before: far more than a cluster has.
const RECORD_MAX: u32 = 256;

/// What the leader of a cluster works with. Every login server has one; that of the leader acts.
pub(crate) struct Leadership {
    pub(crate) leads: watch::Receiver<Option<Lead>>,
    /// Where nodes that left have left their marks.
    pub(crate) agreement: Arc<Agreement>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) sightings: SightingsSeen,
    /// Where terminals are, as their gateways tell.
    pub(crate) holders: Arc<dyn Holders>,
    pub(crate) db: Db,
    pub(crate) bus: Arc<Bus>,
    /// This node's own gateway, if it is one: the leader does not call itself.
    pub(crate) own: Option<Own>,
}

/// The parts of this node that may be told what other nodes are told.
pub(crate) struct Own {
    pub(crate) orders: Arc<dyn Orders>,
    pub(crate) copies: Option<Arc<dyn cluster::Copies>>,
}

/// What a leader remembers while it leads.
#[derive(Default)]
struct Term {
    roll: Roll,
    /// Whether the roll and the marks have what the database knows from before.
    has_record: bool,
    /// The lives that are written down as joined, and the nodes as draining or drained.
    joined: HashSet<(NodeId, Incarnation)>,
    marks: HashMap<NodeId, NodeEventKind>,
}

impl Leadership {
    /// Leads whenever this node is the leader, for ever.
    pub(crate) async fn run(self) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut term: Option<(Epoch, Term)> = None;
        loop {
            ticks.tick().await;
            let Some(epoch) = self.epoch() else {
                if let Some((epoch, _)) = term.take() {
                    info!(%epoch, "this node does not lead any more");
                }
                continue;
            };
            let (_, term) = match &mut term {
                Some(term) if term.0 == epoch => term,
                other => {
                    info!(%epoch, "this node leads the cluster");
                    other.insert((epoch, Term::default()))
                }
            };
            self.look(epoch, term).await;
        }
    }

    /// Under which epoch this node leads at this moment. Asked before each step: nobody else takes it back in time.
    fn epoch(&self) -> Option<Epoch> {
        self.leads.borrow().and_then(|lead| lead.at(Instant::now()))
    }

    async fn look(&self, epoch: Epoch, term: &mut Term) {
        let view = self.peers.views().borrow().clone();
        let sightings = self.sightings.borrow().clone();
        term.roll.observe(Instant::now(), &view, &sightings);
        let copies = copies_kept(&sightings);
        let scene = Scene { me: self.peers.me(), view: &view, sightings: &sightings, copies: &copies };
        let policy = Policy::default();
        if term.roll.is_cut_off(Instant::now(), self.peers.me(), &policy) {
            warn!(%epoch, "most nodes are out of sight: it is this one that is cut off, nothing is ordered");
        }
        for step in plan(Instant::now(), &scene, &term.roll, &policy) {
            if self.epoch() != Some(epoch) {
                return;
            }
            if self.carry_out(epoch, &step).await {
                info!(%epoch, "{step}");
                term.roll.ordered(Instant::now(), &step);
            }
        }
        if self.epoch() == Some(epoch) {
            self.read_record(term).await;
        }
        if term.has_record && self.epoch() == Some(epoch) {
            self.write_down(epoch, term, &view, &sightings).await;
        }
    }

    /// Who went while nobody led, or with the leader before, is in no View, and what was written of drains is not to be
    /// written again: the database knows of both. Once a term.
    async fn read_record(&self, term: &mut Term) {
        if term.has_record {
            return;
        }
        match self.db.nodes_on_record(RECORD_MAX).await {
            Ok(found) => {
                for NodeOnRecord { life, drain } in found {
                    let Ok(node) = life.node.parse::<NodeId>() else { continue };
                    term.marks.extend(drain.map(|drain| (node.clone(), drain)));
                    term.roll.expect([(node, Incarnation(life.incarnation))]);
                }
                term.has_record = true;
            }
            Err(error) => debug!(%error, "who was there before is not known yet"),
        }
    }

    /// Whether it was done, or is under way.
    async fn carry_out(&self, epoch: Epoch, step: &Step) -> bool {
        match step {
            Step::Lost { node, incarnation } => self.lose(epoch, node, *incarnation).await,
            Step::Left { node, incarnation, is_back } => {
                self.let_go(epoch, node, *incarnation, *is_back).await
            }
            Step::Adopt { origin, incarnation: _, holder } => self.adopt(origin, holder).await,
            Step::Release { gateway, terminals } => {
                self.order(epoch, gateway, Order::Release { terminals: *terminals }).await
            }
        }
    }

    async fn lose(&self, epoch: Epoch, node: &NodeId, incarnation: Incarnation) -> bool {
        let terminals = self.db.node_lost(epoch.0, &life(node, incarnation)).await;
        self.are_offline(node, terminals)
    }

    /// What is written down needs no mark any more. One that stays is acted upon again, by this leader or the next.
    async fn let_go(&self, epoch: Epoch, node: &NodeId, incarnation: Incarnation, is_back: bool) -> bool {
        let terminals = self.db.node_left(epoch.0, &life(node, incarnation), is_back).await;
        if !self.are_offline(node, terminals) {
            return false;
        }
        match self.agreement.forget_left(node, incarnation).await {
            Ok(()) => true,
            Err(error) => {
                debug!("the mark that {node} left stays: {error}");
                false
            }
        }
    }

    /// Terminals of a node that is gone are offline, unless another gateway has them by now. Whether they were found.
    fn are_offline(&self, node: &NodeId, terminals: Result<Vec<TerminalId>, LeaderError>) -> bool {
        match terminals {
            Ok(terminals) => {
                // Who has come to another gateway is about to be online there.
                let is_nowhere = |terminal: &TerminalId| {
                    self.holders.holder_of(*terminal).is_none_or(|holder| holder == *node)
                };
                for terminal in terminals.into_iter().filter(is_nowhere) {
                    self.bus.publish(Event::Presence { terminal, presence: Presence::Offline });
                }
                true
            }
            Err(error) => {
                tell(&error, node);
                false
            }
        }
    }

    async fn adopt(&self, origin: &NodeId, holder: &NodeId) -> bool {
        let answer = if holder == self.peers.me() {
            match self.own.as_ref().and_then(|own| own.copies.as_ref()) {
                Some(copies) => copies.adopt(origin).await,
                None => return false,
            }
        } else {
            match self.peers.peer(holder) {
                Ok(peer) => RemoteCopies::new(peer, Arc::clone(&self.peers)).adopt(origin).await,
                Err(error) => {
                    debug!("{error}");
                    return false;
                }
            }
        };
        match answer {
            Ok(left) => {
                info!("{holder} stores the copy of {origin}: {left} bytes are left");
                true
            }
            Err(error) => {
                warn!("{holder} does not store the copy of {origin}: {error}");
                false
            }
        }
    }

    async fn order(&self, epoch: Epoch, node: &NodeId, order: Order) -> bool {
        let answer = if node == self.peers.me() {
            match &self.own {
                Some(own) => own.orders.order(epoch, order).await,
                None => return false,
            }
        } else {
            let call = async { self.peers.peer(node)?.order(epoch, order).await };
            match call.await {
                Ok(answer) => answer,
                Err(error) => {
                    warn!("an order did not reach {node}: {error}");
                    return false;
                }
            }
        };
        if let Err(refused) = &answer {
            warn!(%epoch, "{node}: {refused}");
        }
        answer.is_ok()
    }

    /// What happened to nodes, for people: once each.
    async fn write_down(&self, epoch: Epoch, term: &mut Term, view: &View, sightings: &Sightings) {
        for (node, member) in &view.members {
            let incarnation = member.info.incarnation;
            let life = life(node, incarnation);
            if !term.joined.contains(&(node.clone(), incarnation)) {
                let detail = format!("version {}", member.info.version);
                match self.db.node_happened(epoch.0, &life, NodeEventKind::Joined, &detail).await {
                    Ok(_) => _ = term.joined.insert((node.clone(), incarnation)),
                    Err(error) => return tell(&error, node),
                }
            }
            let carried = sightings.get(node).map(|sighting| sighting.load.terminals);
            let before = term.marks.get(node).copied();
            let mark = match (member.is_draining, before) {
                (true, None | Some(NodeEventKind::Undrained)) => NodeEventKind::Draining,
                (true, Some(NodeEventKind::Draining)) if carried == Some(0) => NodeEventKind::Drained,
                (false, Some(NodeEventKind::Draining | NodeEventKind::Drained)) => NodeEventKind::Undrained,
                _ => continue,
            };
            match self.db.node_happened(epoch.0, &life, mark, "").await {
                Ok(_) => _ = term.marks.insert(node.clone(), mark),
                Err(error) => return tell(&error, node),
            }
        }
        term.joined.retain(|(node, incarnation)| {
            view.members.get(node).is_some_and(|member| member.info.incarnation == *incarnation)
        });
        term.marks.retain(|node, _| view.members.contains_key(node));
    }
}

fn life(node: &NodeId, incarnation: Incarnation) -> NodeLife {
    NodeLife { node: node.to_string(), incarnation: incarnation.0 }
}

/// The copies that nodes in sight say they keep.
fn copies_kept(sightings: &Sightings) -> Vec<SpoolCopy> {
    let in_sight = sightings.iter().filter(|(_, sighting)| sighting.is_in_sight());
    let kept = in_sight.flat_map(|(holder, sighting)| {
        sighting.copies.iter().map(|(origin, incarnation)| SpoolCopy {
            origin: origin.clone(),
            incarnation: *incarnation,
            holder: holder.clone(),
        })
    });
    kept.collect()
}

fn tell(error: &LeaderError, node: &NodeId) {
    match error {
        LeaderError::OldEpoch { .. } => warn!("what happened to {node} is not written: {error}"),
        // it is tried again each second
        LeaderError::Db(error) => debug!("what happened to {node} is not written yet: {error}"),
    }
}
