//! The cluster's keys as last read: what a range and the changes after it add up to.
//!
//! Knows the keys' names and values, not how they were fetched. A key that cannot be read is nobody's: it never hides
//! the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::{
    DIALECT, Epoch, Incarnation, Leader, LeaderKey, LeaseId, Member, NodeId, NodeInfo, Registration, Sight,
    Stranger, View,
};

/// Most nodes of a cluster, and most marks: far beyond what one leader can care for, and what one answer of etcd holds.
pub(super) const NODES_MAX: usize = 1_000;
/// Longest value that is read; a node's is about 500 bytes.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// The names of a cluster's keys.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn of(cluster: &str) -> Self {
        Self { prefix: format!("/motorcade/{cluster}/") }
    }

    pub(super) fn all(&self) -> &str {
        &self.prefix
    }

    pub(super) fn leader(&self) -> String {
        format!("{}leader", self.prefix)
    }

    pub(super) fn member(&self, node: &NodeId) -> String {
        format!("{}members/{node}", self.prefix)
    }

    pub(super) fn draining(&self, node: &NodeId) -> String {
        format!("{}draining/{node}", self.prefix)
    }

    pub(super) fn left(&self, node: &NodeId) -> String {
        format!("{}left/{node}", self.prefix)
    }

    fn parse(&self, key: &[u8]) -> Option<Key> {
        let name = std::str::from_utf8(key).ok()?.strip_prefix(&self.prefix)?;
        match name.split_once('/') {
            None => (name == "leader").then_some(Key::Leader),
            Some(("members", node)) => node.parse().ok().map(Key::Member),
            Some(("draining", node)) => node.parse().ok().map(Key::Draining),
            Some(("left", node)) => node.parse().ok().map(Key::Left),
            Some(_) => None,
        }
    }
}

enum Key {
    Leader,
    Member(NodeId),
    Draining(NodeId),
    Left(NodeId),
}

/// What stands in the leader's key, and in the mark of a node that left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    pub(super) node: NodeId,
    pub(super) incarnation: Incarnation,
}

/// A key and its value, as etcd has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
    /// The revision that made it.
    pub(super) created: i64,
    /// The revision that changed it last.
    pub(super) modified: i64,
    /// 0 where it hangs on none.
    pub(super) lease: i64,
}

/// The cluster's keys as of one revision.
#[derive(Clone, Debug)]
pub struct Book {
    keys: Keys,
    revision: i64,
    leader: Option<LeaderEntry>,
    members: BTreeMap<NodeId, MemberEntry>,
    draining: BTreeSet<NodeId>,
    left: BTreeMap<NodeId, Incarnation>,
    strangers: Vec<Stranger>,
    view: Arc<View>,
}

#[derive(Clone, Debug)]
struct LeaderEntry {
    holder: Option<Holder>,
    epoch: Epoch,
    lease: LeaseId,
}

#[derive(Clone, Debug)]
struct MemberEntry {
    who: Who,
    registration: Registration,
}

#[derive(Clone, Debug)]
enum Who {
    Node(Box<NodeInfo>),
    Stranger(Stranger),
    Unreadable,
}

impl Book {
    /// What a range read at `revision`.
    pub(super) fn new<'a>(keys: Keys, revision: i64, records: impl Iterator<Item = Record<'a>>) -> Self {
        let mut book = Self {
            keys,
            revision,
            leader: None,
            members: BTreeMap::new(),
            draining: BTreeSet::new(),
            left: BTreeMap::new(),
            strangers: Vec::new(),
            view: Arc::default(),
        };
        for record in records {
            book.put(&record);
        }
        book.show();
        book
    }

    /// Changes of later revisions, in their order. Those that it has already are passed over: whether any was news.
    pub(super) fn apply<'a>(&mut self, changes: impl Iterator<Item = Change<'a>>) -> bool {
        let from = self.revision;
        for change in changes {
            let revision = change.revision();
            if revision <= from {
                continue;
            }
            match change {
                Change::Put(record) => self.put(&record),
                Change::Delete { key, .. } => self.delete(key),
            }
            self.revision = self.revision.max(revision);
        }
        let is_news = self.revision > from;
        if is_news {
            self.show();
        }
        is_news
    }

    /// The revision that it shows.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Who is there, as everybody on a node reads it.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view)
    }

    /// The nodes that are marked to drain, whether they are there or not.
    pub fn draining(&self) -> impl Iterator<Item = &NodeId> {
        self.draining.iter()
    }

    /// What it shows one life of one node.
    pub fn sight(&self, node: &NodeId, incarnation: Incarnation) -> Sight<'_> {
        let leader = self.leader.as_ref().map(|entry| LeaderKey {
            is_mine: entry
                .holder
                .as_ref()
                .is_some_and(|holder| holder.node == *node && holder.incarnation == incarnation),
            epoch: entry.epoch,
            lease: entry.lease,
        });
        Sight {
            view: &self.view,
            own: self.members.get(node).map(|entry| entry.registration),
            leader,
            strangers: &self.strangers,
        }
    }

    fn put(&mut self, record: &Record<'_>) {
        match self.keys.parse(record.key) {
            Some(Key::Leader) => self.leader = Some(leader_entry(record)),
            Some(Key::Member(node)) => {
                if self.members.len() < NODES_MAX || self.members.contains_key(&node) {
                    let entry = member_entry(&node, record);
                    self.members.insert(node, entry);
                }
            }
            Some(Key::Draining(node)) => {
                if self.draining.len() < NODES_MAX {
                    self.draining.insert(node);
                }
            }
            Some(Key::Left(node)) => match read::<Holder>(record.value).filter(|life| life.node == node) {
                Some(life) if self.left.len() < NODES_MAX || self.left.contains_key(&node) => {
                    self.left.insert(node, life.incarnation);
                }
                Some(_) => {}
                None => warn!(node = %node, "the mark that node {node} left cannot be read"),
            },
            None => {
                warn!(etcd.key = %record.key.escape_ascii(), "an etcd key of the cluster is not known here")
            }
        }
    }

    fn delete(&mut self, key: &[u8]) {
        match self.keys.parse(key) {
            Some(Key::Leader) => self.leader = None,
            Some(Key::Member(node)) => {
                self.members.remove(&node);
            }
            Some(Key::Draining(node)) => {
                self.draining.remove(&node);
            }
            Some(Key::Left(node)) => {
                self.left.remove(&node);
            }
            None => {}
        }
    }

    fn show(&mut self) {
        let leader = self.leader.as_ref().and_then(|entry| {
            let Holder { node, incarnation } = entry.holder.clone()?;
            Some(Leader { node, incarnation, epoch: entry.epoch })
        });
        let mut members = BTreeMap::new();
        self.strangers.clear();
        for (node, entry) in &self.members {
            match &entry.who {
                Who::Node(info) => {
                    let is_draining = self.draining.contains(node);
                    members.insert(node.clone(), Member { info: NodeInfo::clone(info), is_draining });
                }
                Who::Stranger(stranger) => self.strangers.push(stranger.clone()),
                Who::Unreadable => {}
            }
        }
        self.view = Arc::new(View { revision: self.revision, leader, members, left: self.left.clone() });
    }
}

/// A change of a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change<'a> {
    Put(Record<'a>),
    Delete { key: &'a [u8], revision: i64 },
}

impl Change<'_> {
    fn revision(&self) -> i64 {
        match self {
            Change::Put(record) => record.modified,
            Change::Delete { revision, .. } => *revision,
        }
    }
}

pub(super) fn leader_key(record: &Record<'_>, own: &Holder) -> LeaderKey {
    let LeaderEntry { holder, epoch, lease } = leader_entry(record);
    LeaderKey { is_mine: holder.as_ref() == Some(own), epoch, lease }
}

pub(super) fn registration(node: &NodeId, record: &Record<'_>) -> Registration {
    member_entry(node, record).registration
}

fn leader_entry(record: &Record<'_>) -> LeaderEntry {
    let holder = read::<Holder>(record.value);
    if holder.is_none() {
        warn!("the leader's key in etcd cannot be read: nobody leads until it is deleted");
    }
    LeaderEntry { holder, epoch: Epoch(record.created), lease: LeaseId(record.lease) }
}

fn member_entry(node: &NodeId, record: &Record<'_>) -> MemberEntry {
    let info = read::<NodeInfo>(record.value).filter(|info| info.node == *node);
    let incarnation = info.as_ref().map(|info| info.incarnation);
    let who = match info {
        Some(info) => Who::Node(Box::new(info)),
        None => match read::<Introduction>(record.value) {
            Some(Introduction { dialect, version }) if dialect != DIALECT => {
                let version = version.chars().take(80).collect();
                Who::Stranger(Stranger { node: node.clone(), dialect, version })
            }
            _ => {
                warn!(node = %node, "the key of node {node} in etcd cannot be read");
                Who::Unreadable
            }
        },
    };
    let registration = Registration { incarnation, revision: record.modified, lease: LeaseId(record.lease) };
    MemberEntry { who, registration }
}

/// What every dialect's [`NodeInfo`] begins with.
#[derive(Deserialize)]
struct Introduction {
    dialect: u32,
    #[serde(default)]
    version: String,
}

fn read<T: serde::de::DeserializeOwned>(value: &[u8]) -> Option<T> {
    if value.len() > VALUE_BYTES_MAX {
        return None;
    }
    serde_json::from_slice(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;

    const GATEWAY: &str = r#"{"node":"gw","incarnation":3,"dialect":1,"version":"0.1.0","roles":["gateway"],
        "seams":"gw:7000","gateway":"gw:6608","media":null,"limits":{"terminals":10},"started_at":"2026-01-01T00:00:00Z"}"#;

    fn record<'a>(key: &'a str, value: &'a str, modified: i64) -> Record<'a> {
        Record { key: key.as_bytes(), value: value.as_bytes(), created: modified, modified, lease: 9 }
    }

    fn book(records: &[Record<'_>]) -> Book {
        Book::new(Keys::of("c"), 10, records.iter().copied())
    }

    fn node(name: &str) -> NodeId {
        name.parse().expect("a name")
    }

    #[test]
    fn a_range_and_later_changes_add_up() {
        let mut book = book(&[
            record("/motorcade/c/members/gw", GATEWAY, 4),
            record("/motorcade/c/leader", r#"{"node":"login","incarnation":5}"#, 6),
            record("/motorcade/c/draining/gw", "", 7),
        ]);
        let view = book.view();
        let leader = Leader { node: node("login"), incarnation: Incarnation(5), epoch: Epoch(6) };
        assert_eq!((view.revision, view.leader.as_ref()), (10, Some(&leader)));
        assert!(view.members[&node("gw")].is_draining && view.members[&node("gw")].info.runs(Role::Gateway));
        let sight = book.sight(&node("login"), Incarnation(5));
        assert_eq!(sight.leader, Some(LeaderKey { is_mine: true, epoch: Epoch(6), lease: LeaseId(9) }));
        assert!(!book.sight(&node("login"), Incarnation(6)).leader.expect("a leader").is_mine);
        let registration = Registration { incarnation: Some(Incarnation(3)), revision: 4, lease: LeaseId(9) };
        assert_eq!(book.sight(&node("gw"), Incarnation(1)).own, Some(registration));

        let delete = |key: &'static str, revision| Change::Delete { key: key.as_bytes(), revision };
        assert!(
            book.apply(
                [delete("/motorcade/c/leader", 11), delete("/motorcade/c/draining/gw", 12)].into_iter()
            )
        );
        let view = book.view();
        assert_eq!((view.revision, &view.leader), (12, &None));
        assert!(!view.members[&node("gw")].is_draining);
        assert!(
            !book.apply([delete("/motorcade/c/members/gw", 12)].into_iter()),
            "it has that revision already"
        );
        assert!(book.view().members.contains_key(&node("gw")));
    }

    #[test]
    fn who_left_is_no_member_and_marked_in_one_view() {
        let gone = |revision| Change::Delete { key: b"/motorcade/c/members/gw", revision };
        let mut book = book(&[
            record("/motorcade/c/members/gw", GATEWAY, 4),
            record("/motorcade/c/left/other", r#"{"node":"gw","incarnation":3}"#, 5),
            record("/motorcade/c/left/odd", "", 5),
        ]);
        assert_eq!(book.view().left, BTreeMap::new(), "the mark of one under the name of another");
        let mark = record("/motorcade/c/left/gw", r#"{"node":"gw","incarnation":3}"#, 11);
        assert!(book.apply([Change::Put(mark), gone(11)].into_iter()));
        let view = book.view();
        assert_eq!(view.left, BTreeMap::from([(node("gw"), Incarnation(3))]));
        assert!(view.members.is_empty());
        let forgotten = Change::Delete { key: b"/motorcade/c/left/gw", revision: 12 };
        assert!(book.apply([forgotten].into_iter()));
        assert!(book.view().left.is_empty());
    }

    #[test]
    fn changes_of_one_revision_all_count() {
        let mut book = book(&[]);
        let changes = [
            Change::Put(record("/motorcade/c/members/gw", GATEWAY, 11)),
            Change::Put(record("/motorcade/c/draining/gw", "", 11)),
        ];
        assert!(book.apply(changes.into_iter()));
        assert!(book.view().members[&node("gw")].is_draining);
    }

    #[test]
    fn what_cannot_be_read_hides_nothing_else() {
        let long = format!("\"{}\"", "x".repeat(VALUE_BYTES_MAX));
        let book = book(&[
            record("/motorcade/c/members/gw", GATEWAY, 2),
            record("/motorcade/c/members/other", GATEWAY, 2),
            record("/motorcade/c/members/long", &long, 2),
            record("/motorcade/c/members/Not a name", GATEWAY, 2),
            record("/motorcade/c/members/next", r#"{"dialect":2,"version":"9","moons":[1]}"#, 2),
            record("/motorcade/c/leader", "\u{0}", 3),
            record("/motorcade/c/leader/2", "{}", 3),
            record("/motorcade/other/members/gw2", GATEWAY, 3),
        ]);
        let view = book.view();
        assert_eq!(view.members.keys().map(NodeId::as_str).collect::<Vec<_>>(), ["gw"]);
        assert_eq!(view.leader, None);
        let sight = book.sight(&node("other"), Incarnation(3));
        assert_eq!(
            sight.own.expect("a key").incarnation,
            None,
            "the key of one node under the name of another"
        );
        assert_eq!(
            sight.leader.expect("a key"),
            LeaderKey { is_mine: false, epoch: Epoch(3), lease: LeaseId(9) }
        );
        let stranger = Stranger { node: node("next"), dialect: 2, version: "9".to_owned() };
        assert_eq!(sight.strangers, [stranger]);
    }

    #[test]
    fn a_flood_of_members_is_bounded() {
        let names: Vec<String> = (0..NODES_MAX + 5).map(|i| format!("/motorcade/c/members/n{i}")).collect();
        let book = book(&names.iter().map(|name| record(name, "{}", 2)).collect::<Vec<_>>());
        assert_eq!(book.members.len(), NODES_MAX);
    }
}
