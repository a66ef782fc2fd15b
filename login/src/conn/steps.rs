//! The steps of a terminal's way that its connection at the login server takes, as they are traced.
//!
//! Decides nothing: a connection that is not traced goes the same way.

use std::time::SystemTime;

use cluster::dispatch::Assignment;
use cluster::trace::{DeviceMessage, Message, Party, Step, StepTaken, Traceparent};
use model::Sim;

use super::Conn;
use super::redirect::Guest;

impl Conn {
    /// The terminal said `said` to get a gateway, and is answered.
    pub(super) fn asked(
        &self,
        begun: SystemTime,
        sim: &Sim,
        said: DeviceMessage,
        answer: DeviceMessage,
    ) -> Option<StepTaken> {
        let (terminal, login) = (Party::Terminal(sim.clone()), self.desk.trace.node()?);
        Some(StepTaken {
            answer: Some(answer),
            phone: Some(sim.clone()),
            terminal_address: Some(self.peer.ip().to_canonical()),
            begun,
            ..StepTaken::now(Step::Asks, terminal, login, Message::Device(said))
        })
    }

    /// Records how the guest asked for its gateway and got one since `admitted`.
    pub(super) fn assigned(
        &mut self,
        guest: &Guest,
        asked: Option<StepTaken>,
        admitted: SystemTime,
    ) -> Option<Traceparent> {
        let trace = &self.desk.trace;
        let asked = self.registered.take().into_iter().chain(asked).fold(None, |last, step| {
            trace.record(last, |_| StepTaken { terminal: Some(guest.terminal), ..step })
        });
        let Assignment { node, dial, .. } = &guest.assignment;
        trace.record(asked, |login| StepTaken {
            phone: Some(guest.sim.clone()),
            terminal: Some(guest.terminal),
            gateway_address: Some(dial.clone()),
            begun: admitted,
            ..StepTaken::now(
                Step::Assigned,
                login.clone(),
                login,
                Message::Words(format!("assigned to {node}").into()),
            )
        })
    }
}
