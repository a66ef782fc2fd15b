//! The calls of the service `motorcade.Node`: their paths, what goes there and comes back, their bounds.
//!
//! What they mean stands at the seams that they carry; a change here is a new [`DIALECT`](crate::DIALECT), unless either
//! side can do without it, as all can without traces.

use std::time::Duration;

use chrono::{DateTime, Utc};
use model::{Command, Event, Reply, SendError, StreamKey, TerminalId, TerminalLink};
use serde::{Deserialize, Serialize};

use super::codec::{Json, Message, Parcel};
use crate::copies::BATCH_BYTES_MAX;
use crate::{
    CopyError, Epoch, Incarnation, LinkChange, LinkStamp, Load, MediaError, NodeId, Order, OrderError,
};

/// The header that carries a call's [`Stamp`](crate::Stamp).
pub const STAMP_HEADER: &str = "motorcade-call";

/// The header that names the [request](crate::RequestId) for which a call is made, if it is made for one.
pub(crate) const REQUEST_HEADER: &str = "motorcade-request";

/// The header that carries the [`Traceparent`](crate::trace::Traceparent) of what a call is a part of, if it is of any.
pub const TRACE_HEADER: &str = "traceparent";

/// The header in which a refusal tells the clock of the node that refused, Unix milliseconds.
pub(crate) const CLOCK_HEADER: &str = "motorcade-clock";

/// Most bytes of a message, where a call says nothing else: several times what any of them needs.
const MESSAGE_BYTES_MAX: usize = 256 << 10;

/// Most bytes of what stands before a parcel's bytes.
const HEAD_BYTES_MAX: usize = 4 << 10;

/// Most bytes of a picture, and of a message in a stream.
const LARGE_BYTES_MAX: usize = 8 << 20;

/// Links in one message: some 100 bytes each.
pub(crate) const LINKS_PER_MESSAGE: usize = 4_096;

/// Events in one message: some 500 bytes each. Fewer where fewer are waiting.
pub(crate) const EVENTS_PER_MESSAGE: usize = 512;

/// One call of the service.
pub(crate) trait Call {
    /// `/service/method`.
    const PATH: &'static str;
    /// How long a caller waits for the answer (to a stream: for its beginning), the connection not counted.
    const WITHIN: Duration;
    /// Most bytes of the request.
    const REQUEST_BYTES_MAX: usize = MESSAGE_BYTES_MAX;
    /// Most bytes of the reply, or of one message of a stream.
    const REPLY_BYTES_MAX: usize = MESSAGE_BYTES_MAX;
    /// What goes there.
    type Request: Message;
    /// What comes back, once or as a stream.
    type Reply: Message;
}

/// A call whose request and reply are JSON.
macro_rules! call {
    ($(#[$doc:meta])* $name:ident, $path:literal, $request:ty => $reply:ty, within $within_s:literal s) => {
        $(#[$doc])*
        pub(crate) struct $name;

        impl Call for $name {
            const PATH: &'static str = concat!("/motorcade.Node/", $path);
            const WITHIN: Duration = Duration::from_secs($within_s);
            type Request = Json<$request>;
            type Reply = Json<$reply>;
        }
    };
}

call!(
    /// The keep-alive. Within the time in which three of them are missed.
    AskStatus, "status", () => NodeStatus, within 2 s
);
call!(
    /// [`Terminals::link`](crate::Terminals::link), which waits 3 s for a slow terminal.
    AskLink, "link", TerminalId => Result<TerminalLink, SendError>, within 10 s
);
call!(
    /// [`Terminals::send`](crate::Terminals::send): some seconds more than a gateway waits for the terminal.
    SendCommand, "send", (TerminalId, Command) => Result<Reply, SendError>, within 30 s
);
call!(
    /// [`Terminals::disconnect`](crate::Terminals::disconnect).
    Disconnect, "disconnect", TerminalId => (), within 5 s
);
call!(
    /// [`Holders::holder_of`](crate::Holders::holder_of).
    GatewayOf, "gateway_of", TerminalId => Option<NodeId>, within 5 s
);
call!(
    /// [`Expects::expect`](crate::trace::Expects::expect); its context is the call's.
    Expect, "expect", TerminalId => (), within 2 s
);
call!(
    /// An order of the leader.
    GiveOrder, "order", (Epoch, Order) => Result<(), OrderError>, within 10 s
);
call!(
    /// [`Copies::stored`](crate::Copies::stored).
    Stored, "stored", StoredUpTo => Result<(), CopyError>, within 10 s
);
call!(
    /// [`Copies::adopt`](crate::Copies::adopt), on the word of the leader of that epoch, or of the origin itself.
    Adopt, "adopt", (Epoch, NodeId) => Result<Result<u64, CopyError>, OrderError>, within 10 s
);

/// [`Copies::keep`](crate::Copies::keep): a disk may take its time.
pub(crate) struct Keep;

impl Call for Keep {
    const PATH: &'static str = "/motorcade.Node/keep";
    const WITHIN: Duration = Duration::from_secs(10);
    const REQUEST_BYTES_MAX: usize = BATCH_BYTES_MAX + HEAD_BYTES_MAX;
    type Request = Parcel<BatchHead>;
    type Reply = Json<Result<(), CopyError>>;
}

/// [`Media::snapshot`](crate::Media::snapshot); the bytes are the picture.
pub(crate) struct Snapshot;

impl Call for Snapshot {
    const PATH: &'static str = "/motorcade.Node/snapshot";
    const WITHIN: Duration = Duration::from_secs(15);
    const REPLY_BYTES_MAX: usize = LARGE_BYTES_MAX;
    type Request = Json<StreamKey>;
    type Reply = Parcel<Result<(), MediaError>>;
}

/// What [`Links::follow`](crate::Links::follow) gives, as a stream.
pub(crate) struct FollowLinks;

impl Call for FollowLinks {
    const PATH: &'static str = "/motorcade.Node/links";
    const WITHIN: Duration = Duration::from_secs(5);
    const REPLY_BYTES_MAX: usize = LARGE_BYTES_MAX;
    type Request = Json<()>;
    type Reply = Json<LinksTold>;
}

/// What happens on a node, as a stream.
pub(crate) struct FollowEvents;

impl Call for FollowEvents {
    const PATH: &'static str = "/motorcade.Node/events";
    const WITHIN: Duration = Duration::from_secs(5);
    const REPLY_BYTES_MAX: usize = LARGE_BYTES_MAX;
    type Request = Json<()>;
    type Reply = Json<Vec<EventTold>>;
}

/// What a node says of itself when it is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Which life of it.
    pub incarnation: Incarnation,
    /// What it carries.
    pub load: Load,
    /// Whether it gets no more and gives away what it has.
    pub is_draining: bool,
    /// When it said so, by its own clock.
    pub now: DateTime<Utc>,
    /// The revision of its View.
    pub revision: i64,
    /// The highest epoch of a leader that it has seen.
    pub epoch: Epoch,
    /// The spools of which it keeps a copy that is not stored yet: whose, and of which life.
    pub copies: Vec<(NodeId, Incarnation)>,
}

/// Which batch the bytes of a [`Keep`] are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BatchHead {
    pub(crate) origin: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) number: u64,
    pub(crate) follows: Option<u64>,
}

/// Which batches are in the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredUpTo {
    pub(crate) origin: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) upto: u64,
}

/// One message of [`FollowLinks`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LinksTold {
    /// Links that are there at the beginning.
    Some(Vec<(TerminalId, LinkStamp)>),
    /// No more of them. Comes once.
    All,
    /// What changed then.
    Changes(Vec<LinkChange>),
}

/// One event of [`FollowEvents`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum EventTold {
    /// It happened.
    Event(Event),
    /// So many are missing here.
    Lagged(u64),
}
