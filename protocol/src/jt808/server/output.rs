//! What a platform session hands out: bytes to send, events to act on, the end of the link.

use bytes::Bytes;

use crate::jt808::{Edition, FrameErrorKind, Header, Phone};

/// One thing for the caller to do. Taken by [`Session::poll`](super::Session::poll) until there is none left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes (one whole frame).
    Transmit(Bytes),
    /// Act on this.
    Event(Event),
    /// Close the link. Nothing follows; the session takes no more input.
    Close(CloseReason),
}

/// Something that the session cannot decide alone, or that others want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A terminal asks for its registration (0x0100). Wants [`Session::registered`](super::Session::registered).
    Register {
        /// Who asks, as its header says.
        phone: Phone,
        /// The layout of `body`.
        edition: Edition,
        /// The whole body: `message::Registration` decodes it with `edition` (tried already).
        body: Bytes,
        /// Whom to answer.
        to: ReplyTo,
    },
    /// A terminal shows its authentication code (0x0102). Wants
    /// [`Session::authenticated`](super::Session::authenticated).
    Authenticate {
        /// Who asks, as its header says.
        phone: Phone,
        /// The edition of its header: what the platform writes to it is in that form.
        edition: Edition,
        /// The code, as raw bytes; some devices send none or a fixed text.
        code: Bytes,
        /// The IMEI (15 bytes; JT/T 808-2019 only).
        imei: Option<Bytes>,
        /// The software version, padding removed (JT/T 808-2019 only).
        software: Option<Bytes>,
        /// Whom to answer.
        to: ReplyTo,
    },
    /// Positions (0x0200 or 0x0704). Wants [`Session::stored`](super::Session::stored): its acknowledgement
    /// leaves only then.
    Reports {
        /// Names this message to [`Session::stored`](super::Session::stored).
        ticket: Ticket,
        /// The edition of its header.
        edition: Edition,
        /// How they came.
        source: ReportSource,
        /// The location bodies (28 bytes and items), in their order, none decoded yet: one for 0x0200, at most
        /// 8,738 of one 0x0704 (the most that fit the largest split message, 256 KiB).
        bodies: Vec<Bytes>,
    },
    /// The terminal left its vehicle (0x0003, acknowledged already): void its code.
    Unregister,
    /// A command came to its end. Each token that [`Session::command`](super::Session::command) took comes back
    /// exactly once, unless the link closes first.
    Answer {
        /// The token that came with the command.
        token: u64,
        /// How it ended.
        answer: Answer,
    },
    /// A terminal asks for the time (0x0004, JT/T 808-2019). Wants [`Session::time`](super::Session::time).
    TimeAsked {
        /// Whom to answer.
        to: ReplyTo,
    },
    /// Something was skipped. The link stays open; count it.
    Trouble(Trouble),
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The terminal's general answer (0x0001): 0 done, 1 failed, 2 message wrong, 3 not supported.
    General(u8),
    /// The answer of its own kind, such as 0x1003 to 0x9003.
    Message {
        /// Its message id.
        id: u16,
        /// Its whole body.
        body: Bytes,
    },
    /// No answer after the last resend.
    TimedOut,
    /// Not sent: too many commands wait already ([`Settings::commands_max`](super::Settings::commands_max)).
    Busy,
    /// Not sent: the terminal is not authenticated.
    NotAuthenticated,
    /// Not sent: the body is larger than [`super::COMMAND_BODY_MAX`].
    TooLong,
}

/// How positions came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportSource {
    /// One report (0x0200).
    Report,
    /// A batch of reports (0x0704 type 0).
    Batch,
    /// Reports from a time without a link (0x0704 type 1).
    Backfill,
}

/// Names a message of positions whose acknowledgement waits. Unique within its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(super) u64);

/// Names a message that waits for an answer of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo(pub(super) Header);

impl ReplyTo {
    /// The serial number of the message; of its last package where it was split.
    pub fn serial(&self) -> u16 {
        self.0.serial
    }
}

/// What became of positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Safely stored: acknowledge.
    Stored,
    /// Not stored: no reply, so that the terminal keeps its copy and sends it again.
    Failed,
    /// Perhaps stored (a commit that was abandoned): no reply either.
    Unknown,
}

/// The result of a registration, as 0x8100 carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RegisterResult {
    /// Registered; the authentication code goes with it.
    Done = 0,
    /// The vehicle is registered already.
    VehicleTaken = 1,
    /// There is no such vehicle.
    NoSuchVehicle = 2,
    /// The terminal is registered already.
    TerminalTaken = 3,
    /// There is no such terminal.
    NoSuchTerminal = 4,
}

/// Something that was skipped or could not be done, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// A frame whose check byte is wrong.
    Checksum,
    /// A frame with an escape that the standard does not know (a lone 0x7d).
    Escape,
    /// A frame that is longer than the limit.
    Oversized,
    /// A frame too short for a header.
    Header,
    /// Bytes outside of any frame.
    Noise,
    /// A body that does not decode.
    Body {
        /// The message id.
        id: u16,
    },
    /// A message before the terminal was authenticated, or one more log-in while several wait to be decided.
    BeforeAuthentication {
        /// The message id.
        id: u16,
    },
    /// A message in the name of another phone number than the one that was authenticated on this link.
    ForeignPhone {
        /// The message id.
        id: u16,
    },
    /// An encrypted body (answered with result 3).
    Encrypted {
        /// The message id.
        id: u16,
    },
    /// A message that the platform does not take (answered with result 3).
    Unsupported {
        /// The message id.
        id: u16,
    },
    /// An answer to no command that waits.
    UnmatchedAnswer {
        /// The message id.
        id: u16,
    },
    /// A split message that was given up: too old, or no room.
    SplitDropped,
    /// A package that cannot belong to a split message (index 0 or above its total, another total).
    SplitInvalid,
    /// A retransmission was asked for packages that are not kept any more.
    ResendUnknown,
    /// A 0x0704 whose count disagrees with its items, or whose last item is cut off: what was whole was taken.
    BatchCount,
}

impl From<FrameErrorKind> for Trouble {
    fn from(kind: FrameErrorKind) -> Self {
        match kind {
            FrameErrorKind::Noise { .. } => Self::Noise,
            FrameErrorKind::LoneEscape { .. } => Self::Escape,
            FrameErrorKind::Checksum { .. } => Self::Checksum,
            FrameErrorKind::Oversize { .. } => Self::Oversized,
            FrameErrorKind::Short { .. } => Self::Header,
        }
    }
}

/// Why a link is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The other side closed it.
    #[error("closed by the terminal")]
    Ended,
    /// Nobody authenticated in time.
    #[error("not authenticated in time")]
    NotAuthenticated,
    /// Nothing came for too long.
    #[error("nothing received for too long")]
    Idle,
    /// Too many bytes without one good frame.
    #[error("no valid frame in {bytes} bytes")]
    Noise {
        /// How many.
        bytes: usize,
    },
}
