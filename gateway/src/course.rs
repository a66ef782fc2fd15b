//! The steps of a terminal's way that are done here, for its trace: what it said before it was known, which step of a
//! login server they come after, and which of them was the last.
//!
//! Nothing waits for a trace, and nothing of a stranger is told: what it says is kept until it has authenticated.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use cluster::trace::{Party, StepTaken, Trace, Traceparent};
use model::TerminalId;
use parking_lot::Mutex;

/// How long a terminal that is on its way is waited for: as long as login servers count it as that.
const AWAITED_FOR: Duration = Duration::from_secs(30);

/// Most terminals that are waited for; beyond, the oldest are forgotten. About 100 bytes each.
const AWAITED_MAX: usize = 8_192;

/// Most steps of one connection that are kept until it is known whose it is: it is closed soon after.
pub(crate) const STEPS_MAX: usize = 8;

/// The terminals that a login server has sent here, and by which step.
#[derive(Debug, Default)]
pub(crate) struct Awaited(Mutex<OnTheirWay>);

#[derive(Debug, Default)]
struct OnTheirWay {
    by_terminal: HashMap<TerminalId, (Instant, Traceparent)>,
    /// In the order in which they were told; some have arrived or were told anew.
    told: VecDeque<(Instant, TerminalId)>,
}

impl Awaited {
    /// `terminal` was sent here by the step of `context`.
    pub(crate) fn put(&self, now: Instant, terminal: TerminalId, context: Traceparent) {
        let mut way = self.0.lock();
        while let Some((at, oldest)) = way.told.front().copied() {
            if way.told.len() < AWAITED_MAX && now.saturating_duration_since(at) < AWAITED_FOR {
                break;
            }
            way.told.pop_front();
            if way.by_terminal.get(&oldest).is_some_and(|(told, _)| *told == at) {
                way.by_terminal.remove(&oldest);
            }
        }
        way.told.push_back((now, terminal));
        way.by_terminal.insert(terminal, (now, context));
    }

    /// `terminal` has arrived: by which step it was sent, if it is known.
    fn take(&self, now: Instant, terminal: TerminalId) -> Option<Traceparent> {
        let (at, context) = self.0.lock().by_terminal.remove(&terminal)?;
        (now.saturating_duration_since(at) < AWAITED_FOR).then_some(context)
    }
}

/// The trace of one link.
#[derive(Debug, Default)]
pub(crate) struct Course(Mutex<State>);

#[derive(Debug)]
enum State {
    /// Nothing was recorded yet: the call that says which trace it is may be as quick as the terminal, no quicker.
    Heard(Vec<StepTaken>),
    /// The last step.
    After(Option<Traceparent>),
}

impl Default for State {
    fn default() -> Self {
        Self::Heard(Vec::new())
    }
}

impl Course {
    /// Of a link whose terminal said this to get it.
    pub(crate) fn of(heard: Vec<StepTaken>) -> Self {
        Self(Mutex::new(State::Heard(heard)))
    }

    /// Records the link's next step, which `taken` puts together for this node, after all before it.
    pub(crate) fn record(
        &self,
        trace: &Trace,
        awaited: &Awaited,
        terminal: TerminalId,
        taken: impl FnOnce(Party) -> StepTaken,
    ) -> Option<Traceparent> {
        if !trace.is_on() {
            return None;
        }
        let mut state = self.0.lock();
        let mut last = match &mut *state {
            State::After(last) => *last,
            State::Heard(heard) => {
                let sent = awaited.take(Instant::now(), terminal);
                std::mem::take(heard).into_iter().fold(sent, |last, step| {
                    trace.record(last, |_| StepTaken { terminal: Some(terminal), ..step })
                })
            }
        };
        last = trace.record(last, |node| StepTaken { terminal: Some(terminal), ..taken(node) });
        *state = State::After(last);
        last
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cluster::trace::{Message, Recorder, Step};

    use super::*;

    const SENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn sent() -> Traceparent {
        SENT.parse().expect("a context")
    }

    /// Gives each span the next number after its parent's.
    #[derive(Default)]
    struct Steps(Mutex<Vec<(Step, Option<u64>)>>);

    impl Recorder for Steps {
        fn record(&self, step: StepTaken, after: Option<Traceparent>) -> Option<Traceparent> {
            assert_eq!(step.terminal, Some(TerminalId(7)));
            let mut steps = self.0.lock();
            steps.push((step.step, after.map(|after| after.span.get())));
            let span = 1_000 + steps.len() as u64;
            Some(Traceparent { span: span.try_into().expect("not 0"), ..after.unwrap_or_else(sent) })
        }
    }

    fn step(step: Step) -> StepTaken {
        StepTaken::now(step, Party::Carrier, Party::Database, Message::Words("".into()))
    }

    #[test]
    fn what_was_heard_comes_after_the_login_server_s_step_and_before_everything_else() {
        let steps = Arc::new(Steps::default());
        let trace = Trace::to("gw1".parse().expect("a name"), Arc::clone(&steps) as _);
        let (awaited, terminal) = (Awaited::default(), TerminalId(7));
        let course = Course::of(vec![step(Step::Registers)]);
        // told after the terminal spoke, which is early enough
        awaited.put(Instant::now(), terminal, sent());
        assert!(course.record(&trace, &awaited, terminal, |_| step(Step::Stored)).is_some());
        assert!(course.record(&trace, &awaited, terminal, |_| step(Step::Answered)).is_some());
        let told = [
            (Step::Registers, Some(sent().span.get())),
            (Step::Stored, Some(1_001)),
            (Step::Answered, Some(1_002)),
        ];
        assert_eq!(*steps.0.lock(), told);

        steps.0.lock().clear();
        let next = Course::of(vec![step(Step::Registers)]);
        next.record(&trace, &awaited, terminal, |_| step(Step::Answered));
        assert_eq!(steps.0.lock()[0], (Step::Registers, None), "it is told of once: this is another way");
        let off = next.record(&Trace::off(), &awaited, terminal, |_| unreachable!("nobody records"));
        assert_eq!(off, None);
    }

    #[test]
    fn so_many_are_waited_for_and_so_long() {
        let (awaited, now) = (Awaited::default(), Instant::now());
        let counts = || {
            let way = awaited.0.lock();
            (way.by_terminal.len(), way.told.len())
        };
        for number in 0..=AWAITED_MAX as i64 {
            awaited.put(now, TerminalId(number), sent());
        }
        assert_eq!(awaited.take(now, TerminalId(0)), None, "the oldest made room");
        assert_eq!(awaited.take(now, TerminalId(1)), Some(sent()));
        assert_eq!(awaited.take(now, TerminalId(1)), None, "once");
        assert_eq!(awaited.take(now + AWAITED_FOR, TerminalId(2)), None);
        awaited.put(now + AWAITED_FOR, TerminalId(3), sent());
        assert_eq!(counts(), (1, 1));
        for _ in 0..2 * AWAITED_MAX {
            awaited.put(now + AWAITED_FOR, TerminalId(3), sent());
        }
        assert_eq!(counts(), (1, AWAITED_MAX));
    }
}
