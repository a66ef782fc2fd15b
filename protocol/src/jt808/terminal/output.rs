//! What a terminal session hands out: bytes to send, events to act on, the end of the link.

use bytes::Bytes;

/// One thing for the driver to do. Taken by [`Session::poll`](super::Session::poll) until there is none left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes (one whole frame).
    Transmit(Bytes),
    /// Act on this.
    Event(Event),
    /// Close the link, then call [`Session::disconnected`](super::Session::disconnected).
    Close(CloseReason),
}

/// Something that happened to the terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The platform registered it and gave this code, which the session uses from now on: store it.
    Registered {
        /// The code, raw.
        code: Bytes,
    },
    /// The platform refused the registration (0x8100 result 1 to 4).
    RegistrationRefused {
        /// Its result.
        result: u8,
    },
    /// The platform took the code; reports leave from now on.
    Authenticated,
    /// The platform refused the code; the session registers again, unless the code was
    /// [lent](super::Session::connected_with).
    AuthenticationRefused,
    /// A report was acknowledged (result 0, or 4 for one with an alarm) and is not kept any more.
    Acknowledged {
        /// The key under which it was given.
        key: u64,
    },
    /// A report was refused for good (result 2 or 3) and is not kept any more.
    Refused {
        /// The key under which it was given.
        key: u64,
        /// The result.
        result: u8,
    },
    /// A report was given up because too many are kept.
    Dropped {
        /// The key under which it was given.
        key: u64,
    },
    /// A report went out again.
    Resent {
        /// The key under which it was given.
        key: u64,
        /// How.
        kind: Resend,
    },
    /// A command came. Wants [`Session::answer`](super::Session::answer) or
    /// [`Session::answer_with`](super::Session::answer_with).
    Command {
        /// The message id, such as 0x9101.
        id: u16,
        /// The serial number of its last package, which the answer names.
        serial: u16,
        /// The whole body.
        body: Bytes,
    },
    /// A message of the platform arrived, whatever it is; told before anything that comes of it, and only with
    /// [`Settings::tells_messages`](super::Settings::tells_messages).
    Received {
        /// The message id.
        id: u16,
        /// The serial number of its last package.
        serial: u16,
    },
    /// A message goes out for the first time; told only with
    /// [`Settings::tells_messages`](super::Settings::tells_messages). What goes out again is not told.
    Sent {
        /// The message id.
        id: u16,
        /// The serial number of its last package.
        serial: u16,
    },
    /// The platform told the time (0x8004): BCD YY MM DD hh mm ss, UTC.
    Time([u8; 6]),
}

/// How a report goes out again. Devices in the field do each of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resend {
    /// The same bytes, the old serial number.
    SameSerial,
    /// The same body under a new serial number.
    NewSerial,
    /// Inside a 0x0704 of type 1 (backfill).
    Batch,
}

/// Why the session wants its link closed, or why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The platform closed it.
    #[error("closed by the platform")]
    Ended,
    /// A message stayed unanswered after the last resend (JT/T 808-2019: the link is then dead).
    #[error("message {id:#06x} stayed unanswered")]
    Unanswered {
        /// Its message id.
        id: u16,
    },
    /// The platform refused the registration.
    #[error("registration refused with result {result}")]
    RegistrationRefused {
        /// Its result.
        result: u8,
    },
    /// The platform refused the very code that it had given on this link, or the one that was lent for it.
    #[error("authentication refused with a code given for this link")]
    AuthenticationRefused,
    /// The platform sent too many bytes without a frame.
    #[error("no valid frame in {bytes} bytes")]
    Noise {
        /// How many.
        bytes: usize,
    },
}
