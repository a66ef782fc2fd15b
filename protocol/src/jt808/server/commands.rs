//! Commands that wait for their answers: matching, time-outs, resending. Knows no frames' insides.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Answer, Settings};
use crate::jt808::id;

/// The commands of one link, oldest first, bounded by [`Settings::commands_max`].
#[derive(Debug, Default)]
pub(super) struct Commands {
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    token: u64,
    id: u16,
    first_serial: u16,
    frames: Vec<Bytes>,
    /// How often it was sent again.
    resent: u32,
    wait: Duration,
    due: Instant,
    /// A general answer with result 0 came; the answer of its own kind is still to come.
    accepted: bool,
}

impl Waiting {
    fn has_serial(&self, serial: u16) -> bool {
        // The terminal may answer any package of a split command; most answer the last.
        usize::from(serial.wrapping_sub(self.first_serial)) < self.frames.len()
    }
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Send these frames again.
    Resend(Vec<Bytes>),
    /// Nothing helped.
    GiveUp { token: u64 },
}

impl Commands {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn push(
        &mut self,
        now: Instant,
        token: u64,
        id: u16,
        first_serial: u16,
        frames: Vec<Bytes>,
        settings: &Settings,
    ) {
        let wait = settings.command_timeout;
        let due = now + wait;
        self.waiting.push_back(Waiting {
            token,
            id,
            first_serial,
            frames,
            resent: 0,
            wait,
            due,
            accepted: false,
        });
    }

    /// Takes a general answer: the command that it ends, if any. False where it fits none.
    pub(super) fn on_general(
        &mut self,
        now: Instant,
        serial: u16,
        id: u16,
        result: u8,
        settings: &Settings,
    ) -> Result<Option<(u64, Answer)>, Unmatched> {
        let exact = self.waiting.iter().position(|w| w.id == id && w.has_serial(serial));
        // By id alone where there is no serial: some terminals answer with 0. Any other one is of an answer
        // that came too late.
        let by_id = || self.waiting.iter().position(|w| serial == 0 && w.id == id && !w.accepted);
        let index = exact.or_else(by_id);
        let waiting = index.and_then(|index| self.waiting.get_mut(index)).ok_or(Unmatched)?;
        if result == 0 && wants_own_answer(id) {
            waiting.accepted = true;
            waiting.resent = settings.command_resends;
            waiting.due = waiting.due.max(now + settings.command_timeout * (settings.command_resends + 1));
            return Ok(None);
        }
        let token = waiting.token;
        index.map(|index| self.waiting.remove(index));
        Ok(Some((token, Answer::General(result))))
    }

    /// Takes a message that may be the answer of its own kind to a command: that command's token.
    pub(super) fn on_own(&mut self, id: u16, body: &Bytes) -> Option<u64> {
        let serial = body.first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
        let fits = |w: &Waiting| own_answer(w.id) == Some(id);
        let exact = serial
            .filter(|_| begins_with_serial(id))
            .and_then(|serial| self.waiting.iter().position(|w| fits(w) && w.has_serial(serial)));
        let index = exact.or_else(|| self.waiting.iter().position(fits))?;
        self.waiting.remove(index).map(|waiting| waiting.token)
    }

    /// What is due at `now`, until None.
    pub(super) fn due(&mut self, now: Instant, settings: &Settings) -> Option<Due> {
        let index = self.waiting.iter().position(|w| w.due <= now)?;
        let waiting = self.waiting.get_mut(index)?;
        if waiting.resent >= settings.command_resends {
            return self.waiting.remove(index).map(|w| Due::GiveUp { token: w.token });
        }
        waiting.resent += 1;
        // T(N+1) = T(N) x (N+1); the platform uses the terminal's rule with its own settings (JT/T 808-2019).
        waiting.wait *= waiting.resent + 1;
        waiting.due = now + waiting.wait;
        Some(Due::Resend(waiting.frames.clone()))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.iter().map(|w| w.due).min()
    }
}

/// An answer to nothing.
#[derive(Debug)]
pub(super) struct Unmatched;

/// The message of its own kind that answers a command.
fn own_answer(command: u16) -> Option<u16> {
    Some(match command {
        id::QUERY_ALL_PARAMETERS | id::QUERY_PARAMETERS => id::PARAMETERS,
        id::QUERY_PROPERTIES => id::PROPERTIES,
        id::QUERY_LOCATION => id::LOCATION_ANSWER,
        id::ASK_QUESTION => id::QUESTION_ANSWER,
        id::CONTROL_VEHICLE => id::VEHICLE_CONTROL_ANSWER,
        id::QUERY_AREAS => id::AREAS,
        id::COLLECT_RECORDER => id::RECORDER_DATA,
        id::ASK_DRIVER => id::DRIVER_IDENTITY,
        id::SHOOT => id::SHOT_RESULT,
        id::SEARCH_MEDIA => id::MEDIA_LIST,
        id::QUERY_AV_ATTRIBUTES => id::AV_ATTRIBUTES,
        id::QUERY_RESOURCES | id::START_PLAYBACK => id::RESOURCE_LIST,
        _ => return None,
    })
}

/// Whether a general answer with result 0 is not the end. Of the two exceptions, 0x8801 has only the general answer
/// in the 2011 edition, and many terminals answer 0x9201 with it against the standard's 0x1205.
fn wants_own_answer(command: u16) -> bool {
    own_answer(command).is_some() && !matches!(command, id::SHOOT | id::START_PLAYBACK)
}

/// Whether the body of an answer begins with the serial number of its command.
fn begins_with_serial(answer: u16) -> bool {
    matches!(
        answer,
        id::PARAMETERS
            | id::LOCATION_ANSWER
            | id::QUESTION_ANSWER
            | id::VEHICLE_CONTROL_ANSWER
            | id::RECORDER_DATA
            | id::MEDIA_LIST
            | id::SHOT_RESULT
            | id::RESOURCE_LIST
    )
}

/// Whether a message answers commands only: it is never acknowledged (JT/T 808, the gateway's minimum).
pub(super) fn is_plain_answer(uplink: u16) -> bool {
    matches!(
        uplink,
        id::PARAMETERS
            | id::PROPERTIES
            | id::LOCATION_ANSWER
            | id::QUESTION_ANSWER
            | id::VEHICLE_CONTROL_ANSWER
            | id::AREAS
            | id::MEDIA_LIST
            | id::SHOT_RESULT
            | id::AV_ATTRIBUTES
            | id::TERMINAL_KEY
    )
}

/// Whether a message answers a command and wants an acknowledgement all the same.
pub(super) fn is_acknowledged_answer(uplink: u16) -> bool {
    matches!(uplink, id::RECORDER_DATA | id::DRIVER_IDENTITY | id::RESOURCE_LIST)
}
