//! Commands to a terminal and what comes back.

use serde::{Deserialize, Serialize};

use crate::{AvAttributes, Channel, Profile, ServersChange, Sim, TerminalId, TerminalServers};

/// A command to one terminal. The gateway that holds it turns this into wire messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Send live sound and pictures of a channel (JT/T 1078-2016, 0x9101).
    StartLive {
        /// Which channel.
        channel: Channel,
        /// Main or sub stream.
        profile: Profile,
        /// Where to: a host name or address; None lets the gateway put the address by which the terminal
        /// reached it.
        host: Option<String>,
        /// TCP port.
        tcp_port: u16,
    },
    /// Stop sending live sound and pictures of a channel (JT/T 1078-2016, 0x9102 command 0).
    StopLive {
        /// Which channel.
        channel: Channel,
        /// Main or sub stream.
        profile: Profile,
    },
    /// Tell which servers it dials by itself (JT/T 808, 0x8106 or 0x8104).
    ReadServers,
    /// Dial these servers from the next connection on (JT/T 808, 0x8103). The link stays.
    SetServers(ServersChange),
}

/// What a terminal answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It will (general answer, result 0).
    Accepted,
    /// The servers that it dials, to [`Command::ReadServers`].
    Servers(TerminalServers),
}

/// What the gateway that holds a terminal knows of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalLink {
    /// Its number, which also stands in the header of its JT/T 1078 packets.
    pub sim: Sim,
    /// Bytes of the number in its JT/T 1078 header, as its JT/T 808 edition suggests: 6 or 10.
    pub sim_bytes: u8,
    /// Its audio and video attributes; None where it did not answer 0x9003.
    pub av: Option<AvAttributes>,
}

/// Why a command brought no reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum SendError {
    /// No gateway holds the terminal.
    #[error("terminal {0} is not connected")]
    NotConnected(TerminalId),
    /// The link broke before the answer came.
    #[error("terminal {0} disconnected before it answered")]
    Disconnected(TerminalId),
    /// It did not answer in time.
    #[error("terminal {0} did not answer in time")]
    Timeout(TerminalId),
    /// It answered with a result other than 0 (1 failed, 2 message wrong, 3 not supported).
    #[error("terminal {terminal} refused with result {result}")]
    Refused {
        /// Which terminal.
        terminal: TerminalId,
        /// Its result code.
        result: u8,
    },
    /// It cannot be told this: its edition of JT/T 808 has no words for it. Nothing was sent.
    #[error("terminal {terminal} cannot be told this: {reason}")]
    Unsayable {
        /// Which terminal.
        terminal: TerminalId,
        /// Why.
        reason: String,
    },
    /// It answered with something that cannot be read.
    #[error("what terminal {0} answered cannot be read")]
    Unreadable(TerminalId),
    /// Too many commands wait for this terminal.
    #[error("too many commands wait for terminal {0}")]
    Busy(TerminalId),
}
