//! One run of a stream, from its first viewer to its end: what it waits for, and what is to be done next.
//!
//! Pure: times and news come in, a step comes out. Knows no tasks, no terminals and no other stream.

use std::time::Duration;

use model::SendError;
use tokio::time::Instant;

use crate::Settings;
use crate::ring::Signs;
use crate::stream::EndReason;

/// A terminal that answered 0x9101 but sends nothing is asked again this often; some need it.
const ASK_AGAIN: Duration = Duration::from_secs(6);

/// A source this long without a byte gives way to a second connection for the same pair, and is asked again
/// where it brought no picture yet.
pub(super) const REPLACEABLE_AFTER: Duration = Duration::from_secs(5);

/// A source that ran this long has recovered: its next loss has the whole recovery time again.
const STEADY_AFTER: Duration = Duration::from_secs(10);

/// Longest pause between two requests to a lost source.
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// How long things take; see [`Settings`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    start: Duration,
    idle: Duration,
    recover: Duration,
    pause: Duration,
    linger: Duration,
}

impl From<&Settings> for Pace {
    fn from(settings: &Settings) -> Self {
        Self {
            start: Duration::from_secs(settings.start_s),
            idle: Duration::from_secs(settings.source_idle_s),
            recover: Duration::from_secs(settings.recover_s),
            pause: Duration::from_millis(settings.recover_pause_ms),
            linger: Duration::from_secs(settings.linger_s),
        }
    }
}

/// What the hub has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Nothing,
    /// Ask the terminal to send (0x9101).
    Ask,
    /// Give up the source and tell the viewers that it is being asked again.
    Recover,
    /// End the stream.
    End(EndReason),
}

/// What a run waits for.
#[derive(Clone, Copy, Debug)]
enum State {
    /// Its place: the 0x9102 of whoever had it before.
    Waiting,
    /// The first key frame, until then; asked again at the second (None: an answer is outstanding).
    Starting { until: Instant, ask_at: Option<Instant> },
    /// Nothing.
    Live { since: Instant },
    /// The source's return, until then; asked again at the second (None: an answer is outstanding).
    Recovering { until: Instant, ask_at: Option<Instant>, pause: Duration },
}

#[derive(Clone, Copy, Debug)]
struct Source {
    id: u64,
    /// Whether 0x9101 was sent again since it came: the connection that this brings takes its place.
    asked_again: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Run {
    pace: Pace,
    viewers: usize,
    linger_until: Option<Instant>,
    source: Option<Source>,
    state: State,
    /// When a recovery that never became steady ends.
    recover_until: Option<Instant>,
    was_live: bool,
}

impl Run {
    /// A run without viewers that waits for its place.
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            pace,
            viewers: 0,
            linger_until: None,
            source: None,
            state: State::Waiting,
            recover_until: None,
            was_live: false,
        }
    }

    /// Whether frames have flowed.
    pub(super) fn was_live(&self) -> bool {
        self.was_live
    }

    /// Whether it waits for its place.
    pub(super) fn waits(&self) -> bool {
        matches!(self.state, State::Waiting)
    }

    /// Whether nobody watches.
    pub(super) fn is_unwatched(&self) -> bool {
        self.viewers == 0
    }

    /// A viewer came.
    pub(super) fn join(&mut self) {
        self.viewers += 1;
        self.linger_until = None;
    }

    /// A viewer went.
    pub(super) fn leave(&mut self, now: Instant) -> Step {
        self.viewers = self.viewers.saturating_sub(1);
        if self.viewers > 0 {
            return Step::Nothing;
        }
        if matches!(self.state, State::Recovering { .. }) {
            return Step::End(EndReason::Unwatched);
        }
        self.linger_until = Some(now + self.pace.linger);
        Step::Nothing
    }

    /// Its place may be looked for.
    pub(super) fn start(&mut self, now: Instant) {
        self.state = State::Starting { until: now + self.pace.start, ask_at: None };
    }

    /// Its place is being freed.
    pub(super) fn park(&mut self) {
        self.state = State::Waiting;
    }

    /// 0x9101 goes out.
    pub(super) fn ask(&mut self) {
        if let State::Starting { ask_at, .. } | State::Recovering { ask_at, .. } = &mut self.state {
            *ask_at = None;
        }
        if let Some(source) = &mut self.source {
            source.asked_again = true;
        }
    }

    /// The terminal answered 0x9101, or did not.
    pub(super) fn asked(&mut self, answer: Result<(), SendError>, now: Instant) -> Step {
        match (&mut self.state, answer) {
            (State::Starting { .. }, Err(error))
                if self.source.is_none() && !matches!(error, SendError::Timeout(_)) =>
            {
                return Step::End(error.into());
            }
            // Some stream without answering; who does neither has waited long enough for its answer.
            (State::Starting { ask_at, .. }, Err(SendError::Timeout(_))) => {
                *ask_at = Some(now + self.pace.pause);
            }
            (State::Starting { ask_at, .. }, _) => *ask_at = Some(now + ASK_AGAIN),
            (State::Recovering { ask_at, pause, .. }, _) => {
                *ask_at = Some(now + *pause);
                *pause = (*pause * 2).min(PAUSE_MAX);
            }
            (State::Waiting | State::Live { .. }, _) => {}
        }
        Step::Nothing
    }

    /// A connection wants to be the source; false: another one is, and it is alive.
    pub(super) fn claim(&mut self, id: u64, signs: Signs, now: Instant) -> bool {
        let alive = now.saturating_duration_since(signs.heard_at) < REPLACEABLE_AFTER;
        if self.source.is_some_and(|source| !source.asked_again && alive) {
            return false;
        }
        self.source = Some(Source { id, asked_again: false });
        true
    }

    /// The first key frame of source `id` is there; false: it is no longer the source.
    pub(super) fn arrived(&mut self, id: u64, now: Instant) -> bool {
        let is_source = self.source.is_some_and(|source| source.id == id);
        if is_source {
            self.state = State::Live { since: now };
            self.was_live = true;
        }
        is_source
    }

    /// Source `id` is gone.
    pub(super) fn lost(&mut self, id: u64, now: Instant) -> Step {
        if self.source.is_none_or(|source| source.id != id) {
            return Step::Nothing;
        }
        self.source = None;
        match &mut self.state {
            State::Live { since } => {
                if self.viewers == 0 {
                    return Step::End(EndReason::Unwatched);
                }
                let steady = now.saturating_duration_since(*since) >= STEADY_AFTER;
                let until = self.recover_until.filter(|_| !steady).unwrap_or(now + self.pace.recover);
                self.recover_until = Some(until);
                let pause = self.pace.pause;
                self.state = State::Recovering { until, ask_at: Some(now + pause), pause: pause * 2 };
                Step::Recover
            }
            State::Starting { ask_at, .. } | State::Recovering { ask_at, .. } => {
                *ask_at = Some(now + self.pace.pause);
                Step::Nothing
            }
            State::Waiting => Step::Nothing,
        }
    }

    /// When [`due`](Self::due) wants to be called.
    pub(super) fn deadline(&self, signs: Signs) -> Option<Instant> {
        let state = match self.state {
            State::Waiting => None,
            State::Starting { until, ask_at } | State::Recovering { until, ask_at, .. } => {
                Some(ask_at.map_or(until, |ask_at| ask_at.min(until)))
            }
            // Sound alone is no live picture.
            State::Live { .. } => Some(signs.heard_at.min(signs.picture_at) + self.pace.idle),
        };
        [state, self.linger_until].into_iter().flatten().min()
    }

    /// What is to be done at `now`, where a deadline has passed.
    pub(super) fn due(&mut self, signs: Signs, now: Instant) -> Step {
        if self.deadline(signs).is_none_or(|deadline| deadline > now) {
            return Step::Nothing;
        }
        if self.linger_until.is_some_and(|until| until <= now) {
            return Step::End(EndReason::Unwatched);
        }
        match &mut self.state {
            State::Starting { until, .. } if *until <= now => Step::End(EndReason::NoPicture),
            State::Recovering { until, .. } if *until <= now => Step::End(EndReason::Lost),
            State::Starting { ask_at, .. } | State::Recovering { ask_at, .. } => {
                let silent = now.saturating_duration_since(signs.heard_at) >= REPLACEABLE_AFTER;
                if self.source.is_none() || silent {
                    return Step::Ask;
                }
                // Bytes come: it only has no key frame yet.
                *ask_at = Some(now + ASK_AGAIN);
                Step::Nothing
            }
            State::Live { .. } => match self.source {
                Some(source) => self.lost(source.id, now),
                None => Step::Nothing,
            },
            State::Waiting => Step::Nothing,
        }
    }
}
