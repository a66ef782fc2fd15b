//! A terminal's way to its gateway as the steps of a trace: what a step says, where it goes, and how a trace goes on at
//! another node.
//!
//! Roles tell their steps to a [`Trace`]; what records them is the binary's. Context goes from node to node beside each
//! call ([`within`], [`current`]). A terminal carries none, so its login server tells the gateway that it is on its way
//! ([`Heralds`]), without waiting: whatever of this is lost, only the trace is torn.

mod traceparent;

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use model::{Sim, TerminalId};

use crate::{Advertise, NodeId};

pub use traceparent::{Traceparent, TraceparentError};

/// The six steps of a terminal's way to its gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// It registers or authenticates at a login server.
    Asks = 1,
    /// The login server reads its memory, balances, assigns.
    Assigned = 2,
    /// It tells the terminal the gateway's address, or carries it there.
    Returned = 3,
    /// The terminal registers or authenticates at the gateway.
    Registers = 4,
    /// Where it is and which gateway has it is stored, in the database and in other nodes.
    Stored = 5,
    /// The gateway answers it.
    Answered = 6,
}

impl Step {
    /// Its number, from 1.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Its number and what happens, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Asks => "1 the terminal asks for a gateway",
            Self::Assigned => "2 the login server assigns a gateway",
            Self::Returned => "3 the login server returns the gateway's address",
            Self::Registers => "4 the terminal registers at the gateway",
            Self::Stored => "5 the terminal's and the gateway's addresses are stored",
            Self::Answered => "6 the gateway returns the result",
        }
    }
}

/// Who says something in a step, or is told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Party {
    /// A terminal, by its phone number.
    Terminal(Sim),
    /// A node.
    Node(NodeId),
    /// The login server that carries a terminal's link, whichever it is.
    Carrier,
    /// The database.
    Database,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Terminal(sim) => f.write_str(sim.as_str()),
            Self::Node(node) => f.write_str(node.as_str()),
            Self::Carrier => f.write_str("login server"),
            Self::Database => f.write_str("database"),
        }
    }
}

/// A message of JT/T 808.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceMessage {
    /// Its id, such as 0x0102.
    pub id: u16,
    /// Its serial number.
    pub serial: u16,
}

impl DeviceMessage {
    /// Its id as people write it.
    pub fn name(self) -> String {
        format!("{:#06x}", self.id)
    }
}

/// What is said in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// To or from a terminal.
    Device(DeviceMessage),
    /// Between nodes, or within one: some words of the program's own, never a device's.
    Words(Cow<'static, str>),
}

/// A step that was done. What comes from a terminal is in it only as what has bounds: its phone number, message numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepTaken {
    /// Which.
    pub step: Step,
    /// Who did it, or said it.
    pub from: Party,
    /// To whom.
    pub to: Party,
    /// What was said.
    pub message: Message,
    /// How it was answered, where the answer is no step of its own.
    pub answer: Option<DeviceMessage>,
    /// The terminal's phone number, where it is known.
    pub phone: Option<Sim>,
    /// The terminal, once it is known.
    pub terminal: Option<TerminalId>,
    /// The terminal's address, where the step is about it.
    pub terminal_address: Option<IpAddr>,
    /// The gateway's address, where the step is about it.
    pub gateway_address: Option<Advertise>,
    /// When it began.
    pub begun: SystemTime,
    /// When it was done.
    pub ended: SystemTime,
}

impl StepTaken {
    /// A step that was done in no time, just now.
    pub fn now(step: Step, from: Party, to: Party, message: Message) -> Self {
        let now = SystemTime::now();
        Self {
            step,
            from,
            to,
            message,
            answer: None,
            phone: None,
            terminal: None,
            terminal_address: None,
            gateway_address: None,
            begun: now,
            ended: now,
        }
    }
}

/// What records steps. Called by the tasks that serve terminals: it must not wait.
pub trait Recorder: Send + Sync {
    /// Records what was done `after` a span of this or another node; without one a trace begins. Gives the span, for what
    /// comes after it, also where the trace is not one of those that are kept.
    fn record(&self, step: StepTaken, after: Option<Traceparent>) -> Option<Traceparent>;
}

/// Where a node's steps go: to a recorder, or nowhere. Cheap to clone.
#[derive(Clone, Default)]
pub struct Trace(Option<(NodeId, Arc<dyn Recorder>)>);

impl Trace {
    /// Steps of `node` go to `recorder`.
    pub fn to(node: NodeId, recorder: Arc<dyn Recorder>) -> Self {
        Self(Some((node, recorder)))
    }

    /// Nowhere: nothing is traced, and steps are not even put together.
    pub fn off() -> Self {
        Self::default()
    }

    /// Whether anybody records.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// This node, where anybody records.
    pub fn node(&self) -> Option<Party> {
        self.0.as_ref().map(|(node, _)| Party::Node(node.clone()))
    }

    /// The step that `taken` puts together for this node, as [`Recorder::record`]. None where nothing is traced.
    pub fn record(
        &self,
        after: Option<Traceparent>,
        taken: impl FnOnce(Party) -> StepTaken,
    ) -> Option<Traceparent> {
        let (node, recorder) = self.0.as_ref()?;
        recorder.record(taken(Party::Node(node.clone())), after)
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_on() { "Trace(on)" } else { "Trace(off)" })
    }
}

/// A gateway that is told which terminals are on their way to it, so that their traces go on there.
pub trait Expects: Send + Sync {
    /// `terminal` was sent here by the step of `context`.
    fn expect(&self, terminal: TerminalId, context: Traceparent);
}

/// What tells gateways which terminals are on their way to them.
pub trait Heralds: Send + Sync {
    /// Tells `gateway` as [`Expects::expect`]; never waits. It may not hear of it.
    fn on_its_way(&self, gateway: &NodeId, terminal: TerminalId, context: Traceparent);
}

/// Tells the only gateway there is, in this process; where there is none, nobody.
pub struct HeraldHere(pub Option<Arc<dyn Expects>>);

impl Heralds for HeraldHere {
    fn on_its_way(&self, _: &NodeId, terminal: TerminalId, context: Traceparent) {
        if let Some(gateway) = &self.0 {
            gateway.expect(terminal, context);
        }
    }
}

tokio::task_local! {
    static CURRENT: Option<Traceparent>;
}

/// Does something as a part of the trace of `context`: calls to other nodes carry it.
pub async fn within<F: Future>(context: Option<Traceparent>, doing: F) -> F::Output {
    CURRENT.scope(context, doing).await
}

/// Which trace what is done now is a part of.
pub fn current() -> Option<Traceparent> {
    CURRENT.try_with(|context| *context).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn nothing_is_put_together_where_nobody_records() {
        let trace = Trace::off();
        assert!(!trace.is_on());
        assert_eq!(trace.record(None, |_| unreachable!("nobody records")), None);
    }

    #[test]
    fn steps_are_counted_as_they_are_named() {
        let all = [Step::Asks, Step::Assigned, Step::Returned, Step::Registers, Step::Stored, Step::Answered];
        assert!(all.is_sorted());
        for (number, step) in (1..).zip(all) {
            assert_eq!(step.number(), number);
            assert!(step.name().starts_with(&format!("{number} ")));
        }
    }

    #[tokio::test]
    async fn context_is_of_what_is_done_within_it_alone() {
        let context = CONTEXT.parse().ok();
        assert_eq!(current(), None);
        within(context, async {
            tokio::task::yield_now().await;
            assert_eq!(current(), context);
            within(None, async { assert_eq!(current(), None) }).await;
            assert_eq!(tokio::spawn(async { current() }).await.expect("no panic"), None, "a task is its own");
        })
        .await;
        assert_eq!(current(), None);
    }
}
