//! Message bodies by meaning: decode and encode of each, in each edition.
//!
//! Every `decode` borrows from the body and never fails on what devices are known to send; every `encode`
//! writes what was decoded, byte for byte. What senders add behind the standard's fields is kept as `rest`.

mod authentication;
mod batch;
mod general_reply;
mod location_answer;
mod media;
mod parameters;
mod redirect;
mod registration;
mod retransmission;
mod server_time;

pub use authentication::{Authentication, IMEI_BYTES, SOFTWARE_BYTES};
pub use batch::{BatchItem, BatchItems, LocationBatch, encode_batch};
pub use general_reply::{GeneralReply, ReplyResult};
pub use location_answer::LocationAnswer;
pub use media::{MediaData, MediaEvent, MediaList, MediaListItem};
pub use parameters::{ParametersAnswer, ParametersQuery};
pub use redirect::{ControlForm, Redirect, Unsayable};
pub use registration::{RegisterAnswer, RegisterResult, Registration};
pub use retransmission::Retransmission;
pub use server_time::ServerTime;

use crate::jt808::{Edition, LocationReport, id};
use crate::reader::Truncated;

/// A message body, read by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// 0x0001.
    TerminalReply(GeneralReply<'a>),
    /// 0x0002; the bytes that vendors put into a body that the standard leaves empty.
    Heartbeat(&'a [u8]),
    /// 0x0003; likewise.
    Unregister(&'a [u8]),
    /// 0x0004; likewise.
    AskTime(&'a [u8]),
    /// 0x0005.
    TerminalRetransmission(Retransmission<'a>),
    /// 0x0100.
    Registration(Registration<'a>),
    /// 0x0102.
    Authentication(Authentication<'a>),
    /// 0x0200.
    LocationReport(LocationReport<'a>),
    /// 0x0201.
    LocationAnswer(LocationAnswer<'a>),
    /// 0x0704.
    LocationBatch(LocationBatch<'a>),
    /// 0x0500: the location after a vehicle was controlled.
    VehicleControlAnswer(LocationAnswer<'a>),
    /// 0x0800.
    MediaEvent(MediaEvent),
    /// 0x0801.
    MediaData(MediaData<'a>),
    /// 0x0802.
    MediaList(MediaList<'a>),
    /// 0x8001.
    PlatformReply(GeneralReply<'a>),
    /// 0x8003.
    PlatformRetransmission(Retransmission<'a>),
    /// 0x8004.
    ServerTime(ServerTime<'a>),
    /// 0x8100.
    RegisterAnswer(RegisterAnswer<'a>),
    /// Any other id, raw.
    Other {
        /// Message id.
        id: u16,
        /// The body.
        body: &'a [u8],
    },
}

impl<'a> Message<'a> {
    /// Reads `body` as the message of `id`. `edition` is the header's; bodies of another one show themselves
    /// by their layout.
    pub fn decode(id: u16, body: &'a [u8], edition: Edition) -> Result<Self, Truncated> {
        Ok(match id {
            id::TERMINAL_REPLY => Self::TerminalReply(GeneralReply::decode(body, edition)?),
            id::HEARTBEAT => Self::Heartbeat(body),
            id::UNREGISTER => Self::Unregister(body),
            id::ASK_TIME => Self::AskTime(body),
            id::TERMINAL_RETRANSMISSION => {
                Self::TerminalRetransmission(Retransmission::decode(body, edition)?)
            }
            id::REGISTER => Self::Registration(Registration::decode(body, edition)?),
            id::AUTHENTICATE => Self::Authentication(Authentication::decode(body, edition)?),
            id::LOCATION_REPORT => Self::LocationReport(LocationReport::decode(body, edition)?),
            id::LOCATION_ANSWER => Self::LocationAnswer(LocationAnswer::decode(body, edition)?),
            id::LOCATION_BATCH => Self::LocationBatch(LocationBatch::decode(body, edition)?),
            id::VEHICLE_CONTROL_ANSWER => Self::VehicleControlAnswer(LocationAnswer::decode(body, edition)?),
            id::MEDIA_EVENT => Self::MediaEvent(MediaEvent::decode(body, edition)?),
            id::MEDIA_DATA => Self::MediaData(MediaData::decode(body, edition)?),
            id::MEDIA_LIST => Self::MediaList(MediaList::decode(body, edition)?),
            id::PLATFORM_REPLY => Self::PlatformReply(GeneralReply::decode(body, edition)?),
            id::PLATFORM_RETRANSMISSION => {
                Self::PlatformRetransmission(Retransmission::decode(body, edition)?)
            }
            id::SERVER_TIME => Self::ServerTime(ServerTime::decode(body, edition)?),
            id::REGISTER_ANSWER => Self::RegisterAnswer(RegisterAnswer::decode(body, edition)?),
            id => Self::Other { id, body },
        })
    }

    /// The message's id.
    pub fn id(&self) -> u16 {
        match self {
            Self::TerminalReply(_) => id::TERMINAL_REPLY,
            Self::Heartbeat(_) => id::HEARTBEAT,
            Self::Unregister(_) => id::UNREGISTER,
            Self::AskTime(_) => id::ASK_TIME,
            Self::TerminalRetransmission(_) => id::TERMINAL_RETRANSMISSION,
            Self::Registration(_) => id::REGISTER,
            Self::Authentication(_) => id::AUTHENTICATE,
            Self::LocationReport(_) => id::LOCATION_REPORT,
            Self::LocationAnswer(_) => id::LOCATION_ANSWER,
            Self::LocationBatch(_) => id::LOCATION_BATCH,
            Self::VehicleControlAnswer(_) => id::VEHICLE_CONTROL_ANSWER,
            Self::MediaEvent(_) => id::MEDIA_EVENT,
            Self::MediaData(_) => id::MEDIA_DATA,
            Self::MediaList(_) => id::MEDIA_LIST,
            Self::PlatformReply(_) => id::PLATFORM_REPLY,
            Self::PlatformRetransmission(_) => id::PLATFORM_RETRANSMISSION,
            Self::ServerTime(_) => id::SERVER_TIME,
            Self::RegisterAnswer(_) => id::REGISTER_ANSWER,
            Self::Other { id, .. } => *id,
        }
    }

    /// Appends the body. A message whose layout was found while decoding is written in the layout of
    /// [`layout`](Self::layout), whatever `edition` the header has.
    pub fn encode(&self, out: &mut Vec<u8>, edition: Edition) {
        let edition = self.layout().unwrap_or(edition);
        match self {
            Self::TerminalReply(reply) | Self::PlatformReply(reply) => reply.encode(out, edition),
            Self::Heartbeat(rest) | Self::Unregister(rest) | Self::AskTime(rest) => {
                out.extend_from_slice(rest)
            }
            Self::TerminalRetransmission(message) | Self::PlatformRetransmission(message) => {
                message.encode(out, edition);
            }
            Self::Registration(message) => message.encode(out, edition),
            Self::Authentication(message) => message.encode(out, edition),
            Self::LocationReport(message) => message.encode(out, edition),
            Self::LocationAnswer(message) | Self::VehicleControlAnswer(message) => {
                message.encode(out, edition)
            }
            Self::MediaEvent(message) => message.encode(out, edition),
            Self::MediaData(message) => message.encode(out, edition),
            Self::MediaList(message) => message.encode(out, edition),
            Self::LocationBatch(message) => message.encode(out, edition),
            Self::ServerTime(message) => message.encode(out, edition),
            Self::RegisterAnswer(message) => message.encode(out, edition),
            Self::Other { body, .. } => out.extend_from_slice(body),
        }
    }

    /// The edition whose layout the body has, where bodies of one edition come under headers of another.
    pub fn layout(&self) -> Option<Edition> {
        match self {
            Self::TerminalRetransmission(message) | Self::PlatformRetransmission(message) => {
                Some(message.layout)
            }
            Self::Registration(message) => Some(message.layout),
            Self::Authentication(message) => Some(message.layout),
            _ => None,
        }
    }
}
