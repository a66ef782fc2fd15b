//! Which gateway holds which terminal, as the gateways themselves tell: each streams a snapshot of its links and then
//! their changes.
//!
//! Pure. Every node that listens to the same gateways comes to the same answer, whatever order it hears them in: what
//! one gateway says never touches what another said, and who holds a terminal is a function of all claims.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::TerminalId;

use crate::{LinkChange, LinkStamp, NodeId, View};

/// Most claims that are kept: three times the largest fleet in mind. About 100 bytes each. What is beyond is not
/// known here, and asked of the gateways.
const CLAIMS_MAX: usize = 1_000_000;

/// A link that is not its terminal's newest: its gateway is to close it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaleLink {
    /// Whose.
    pub terminal: TerminalId,
    /// Who holds it.
    pub gateway: NodeId,
    /// Which it is, so that no newer one is closed in its place.
    pub stamp: LinkStamp,
}

/// One subscription to one gateway's links; what an older one still says is not believed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subscription {
    gateway: Arc<NodeId>,
    number: u64,
}

impl Subscription {
    /// The gateway that speaks.
    pub fn gateway(&self) -> &NodeId {
        &self.gateway
    }
}

/// The terminals and their gateways.
#[derive(Debug, Default)]
pub struct Directory {
    /// Hardly ever more than one claim each.
    by_terminal: HashMap<TerminalId, Vec<Claim>>,
    sources: BTreeMap<Arc<NodeId>, Source>,
    claims: usize,
    last_number: u64,
}

/// A gateway says that it holds a link.
#[derive(Clone, Debug)]
struct Claim {
    gateway: Arc<NodeId>,
    stamp: LinkStamp,
}

/// What is known of a gateway that speaks.
#[derive(Debug)]
struct Source {
    /// The subscription that is believed.
    number: u64,
    claims: usize,
}

impl Directory {
    /// Begins a subscription to `gateway`, which from now on is the only one believed. What was known of the
    /// gateway stays until the subscription's snapshot.
    pub fn subscribe(&mut self, gateway: &NodeId) -> Subscription {
        self.last_number += 1;
        let number = self.last_number;
        let gateway = self
            .sources
            .get_key_value(gateway)
            .map_or_else(|| Arc::new(gateway.clone()), |(known, _)| Arc::clone(known));
        self.sources.entry(Arc::clone(&gateway)).or_insert(Source { number, claims: 0 }).number = number;
        Subscription { gateway, number }
    }

    /// Takes all links of a gateway, in place of what was known of it. Gives every link that is now known for
    /// stale among those of the terminals named.
    ///
    /// The gateway has subscribed to its own changes before it took the snapshot, so that a change may come that
    /// the snapshot shows already: it changes nothing.
    pub fn snapshot(
        &mut self,
        from: &Subscription,
        links: impl IntoIterator<Item = (TerminalId, LinkStamp)>,
    ) -> Vec<StaleLink> {
        if !self.believes(from) {
            return Vec::new();
        }
        self.drop_claims(&from.gateway);
        let mut stale = Vec::new();
        for (terminal, stamp) in links {
            self.claim(terminal, &from.gateway, stamp);
            stale.extend(self.stale_links(terminal));
        }
        stale
    }

    /// Takes one change. Gives every stale link of its terminal.
    pub fn changed(&mut self, from: &Subscription, change: LinkChange) -> Vec<StaleLink> {
        if !self.believes(from) {
            return Vec::new();
        }
        if change.is_up {
            self.claim(change.terminal, &from.gateway, change.stamp);
        } else {
            let is_this = |stamp: &LinkStamp| !stamp.is_newer_than(&change.stamp);
            self.unclaim(change.terminal, &from.gateway, is_this);
        }
        self.stale_links(change.terminal).collect()
    }

    /// The gateway that holds `terminal`.
    pub fn of(&self, terminal: TerminalId) -> Option<&NodeId> {
        self.holder(terminal).map(|claim| &*claim.gateway)
    }

    /// Which link of its terminal is the newest.
    pub fn stamp_of(&self, terminal: TerminalId) -> Option<LinkStamp> {
        self.holder(terminal).map(|claim| claim.stamp)
    }

    /// `gateway` said that it does not hold `terminal`: the entry is wrong, until the gateway says otherwise.
    pub fn forget(&mut self, terminal: TerminalId, gateway: &NodeId) {
        self.unclaim(terminal, gateway, |_| true);
    }

    /// Forgets a gateway that left the cluster, and does not believe its subscriptions any longer. (One that comes
    /// back in another life is subscribed to anew, and its snapshot replaces all.)
    pub fn leave(&mut self, gateway: &NodeId) {
        self.drop_claims(gateway);
        self.sources.remove(gateway);
    }

    /// Forgets every gateway that is not in the View.
    pub fn follow(&mut self, view: &View) {
        let gone: Vec<Arc<NodeId>> =
            self.sources.keys().filter(|node| !view.members.contains_key(&***node)).cloned().collect();
        for gateway in gone {
            self.leave(&gateway);
        }
    }

    /// How many terminals are known.
    pub fn len(&self) -> usize {
        self.by_terminal.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.by_terminal.is_empty()
    }

    fn believes(&self, subscription: &Subscription) -> bool {
        self.sources.get(&subscription.gateway).is_some_and(|source| source.number == subscription.number)
    }

    fn holder(&self, terminal: TerminalId) -> Option<&Claim> {
        holder(self.by_terminal.get(&terminal)?)
    }

    fn stale_links(&self, terminal: TerminalId) -> impl Iterator<Item = StaleLink> {
        let claims = self.by_terminal.get(&terminal).map(Vec::as_slice).unwrap_or_default();
        let holder = holder(claims).map(|claim| &claim.gateway);
        claims.iter().filter(move |claim| Some(&claim.gateway) != holder).map(move |claim| StaleLink {
            terminal,
            gateway: NodeId::clone(&claim.gateway),
            stamp: claim.stamp,
        })
    }

    fn claim(&mut self, terminal: TerminalId, gateway: &Arc<NodeId>, stamp: LinkStamp) {
        let is_full = self.claims >= CLAIMS_MAX;
        if let Some(claims) = self.by_terminal.get_mut(&terminal)
            && let Some(claim) = claims.iter_mut().find(|claim| claim.gateway == *gateway)
        {
            // Its own earlier word, heard late.
            if !claim.stamp.is_newer_than(&stamp) {
                claim.stamp = stamp;
            }
            return;
        }
        let Some(source) = self.sources.get_mut(gateway).filter(|_| !is_full) else { return };
        source.claims += 1;
        self.claims += 1;
        let claims = self.by_terminal.entry(terminal).or_insert_with(|| Vec::with_capacity(1));
        claims.push(Claim { gateway: Arc::clone(gateway), stamp });
    }

    fn unclaim(&mut self, terminal: TerminalId, gateway: &NodeId, which: impl Fn(&LinkStamp) -> bool) {
        let Some(claims) = self.by_terminal.get_mut(&terminal) else { return };
        let before = claims.len();
        claims.retain(|claim| !(*claim.gateway == *gateway && which(&claim.stamp)));
        let gone = before - claims.len();
        if claims.is_empty() {
            self.by_terminal.remove(&terminal);
        }
        self.claims -= gone;
        if let Some(source) = self.sources.get_mut(gateway) {
            source.claims -= gone;
        }
    }

    fn drop_claims(&mut self, gateway: &NodeId) {
        let Some(source) = self.sources.get_mut(gateway).filter(|source| source.claims > 0) else { return };
        self.claims -= std::mem::take(&mut source.claims);
        self.by_terminal.retain(|_, claims| {
            claims.retain(|claim| *claim.gateway != *gateway);
            !claims.is_empty()
        });
    }
}

/// Who holds the terminal that these claim. Of those with an epoch the highest counts, of those without the latest;
/// of these two the newer. (To compare pair by pair would make it depend on the order.)
fn holder(claims: &[Claim]) -> Option<&Claim> {
    let best = |with_epoch: bool| {
        claims
            .iter()
            .filter(|claim| claim.stamp.epoch.is_some() == with_epoch)
            .max_by_key(|claim| (claim.stamp.epoch, claim.stamp.since_ms, &claim.gateway))
    };
    match (best(true), best(false)) {
        (Some(opened), Some(unopened)) if unopened.stamp.is_newer_than(&opened.stamp) => Some(unopened),
        (Some(opened), _) => Some(opened),
        (None, unopened) => unopened,
    }
}

#[cfg(test)]
mod tests;
