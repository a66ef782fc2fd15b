//! The nodes of the cluster, and what happened to them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The cluster as the node that answers knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Cluster {
    /// The node that answers.
    pub node: String,
    /// Which node leads; null while none does, and where a node is alone.
    pub leader: Option<NodeLeader>,
    /// Since when etcd is away from the node that answers, so that the rest may be old; null while it is not.
    pub etcd_away_since: Option<DateTime<Utc>>,
    /// Every node, in the order of names.
    pub nodes: Vec<Node>,
}

/// The node that leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeLeader {
    /// Its name.
    pub node: String,
    /// A later leader has a higher one.
    pub epoch: i64,
}

/// A node: one motorcade process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// What it does.
    pub roles: Vec<NodeRole>,
    /// The program's version.
    pub version: String,
    /// When it began, by its own clock.
    pub started_at: DateTime<Utc>,
    /// Where terminals dial it, `host:port`, the host `*` where it is the one that they know already; null where it is
    /// no gateway.
    pub gateway: Option<String>,
    /// Where viewers dial it, as above; null where it is no media server.
    pub media: Option<String>,
    /// Where people and programs dial it, as above; null where it has no API, or its port was not known when it joined.
    pub web: Option<String>,
    /// Most terminals that it takes.
    pub terminals_max: u32,
    /// Whether it leads.
    pub leads: bool,
    /// Whether it is marked to drain: it gets nothing more and gives away what it has.
    pub draining: bool,
    /// Whether it answers: it left fewer than three questions in a row unanswered. One is asked each second.
    pub seen: bool,
    /// What its last answer said; null where it never answered.
    pub sighting: Option<NodeSighting>,
}

/// Something that a node may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeRole {
    /// Dispatches terminals to gateways; one of them leads the cluster.
    Login,
    /// Terminals' signalling.
    Gateway,
    /// Video in, video out.
    Media,
    /// API, CMSV6 face, console.
    Api,
}

/// What a node answered last, to the node that answers here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeSighting {
    /// How many questions in a row it has left unanswered since.
    pub missed: u32,
    /// When it measured its load, by its own clock; null where that is no time.
    pub measured_at: Option<DateTime<Utc>>,
    /// Its clock less that of the node that answers here, milliseconds.
    pub clock_offset_ms: i64,
    /// Whether the two agree, to 10 s; where not, it gets nothing more.
    pub clock_right: bool,
    /// Whether it said that it drains.
    pub draining: bool,
    /// What it carried.
    pub load: NodeLoad,
}

/// What a node carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeLoad {
    /// Terminals that are authenticated there.
    pub terminals: u32,
    /// Viewers.
    pub viewers: u32,
    /// Share of all processors in use, 0 to 1,000; the whole machine's.
    pub cpu_permille: u16,
    /// Bytes of memory in use; the whole machine's.
    pub memory_bytes: u64,
    /// Bytes of memory.
    pub memory_max_bytes: u64,
    /// Bytes in use on the disk of its data folder.
    pub storage_bytes: u64,
    /// Bytes of that disk.
    pub storage_max_bytes: u64,
}

/// Something that happened to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeEvent {
    /// Its key, rising.
    pub id: i64,
    /// When the leader wrote it.
    pub at: DateTime<Utc>,
    /// To which node.
    pub node: String,
    /// What.
    pub kind: NodeEventKind,
    /// The leader's epoch.
    pub epoch: i64,
    /// More about it, for people; may be empty.
    pub detail: String,
}

impl From<db::NodeEvent> for NodeEvent {
    fn from(row: db::NodeEvent) -> Self {
        let db::NodeEvent { id, at, node, kind, epoch, detail } = row;
        Self { id, at, node, kind: kind.into(), epoch, detail }
    }
}

/// What may happen to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeEventKind {
    /// It is in the cluster.
    Joined,
    /// Its lease lapsed, and it answers nobody.
    Lost,
    /// It said that it ends.
    Left,
    /// It is to give away what it has.
    Draining,
    /// It has nothing any more.
    Drained,
    /// It may have something again.
    Undrained,
}

impl From<db::NodeEventKind> for NodeEventKind {
    fn from(kind: db::NodeEventKind) -> Self {
        match kind {
            db::NodeEventKind::Joined => Self::Joined,
            db::NodeEventKind::Lost => Self::Lost,
            db::NodeEventKind::Left => Self::Left,
            db::NodeEventKind::Draining => Self::Draining,
            db::NodeEventKind::Drained => Self::Drained,
            db::NodeEventKind::Undrained => Self::Undrained,
        }
    }
}

/// Which events of nodes to list, the latest first.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct NodeEventQuery {
    /// Only of the node of this name, which may be gone by now.
    #[param(pattern = "^[a-z][a-z0-9-]*$", max_length = 40)]
    pub node: Option<String>,
    /// The `next_cursor` of the page before; absent: the first page.
    #[param(max_length = 128)]
    pub cursor: Option<String>,
    /// Items a page, 1 to 500; 50 where absent.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
}
