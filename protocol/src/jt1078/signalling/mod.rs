//! Bodies of the JT/T 1078-2016 messages that travel inside JT/T 808 frames (section 5, and 0x1005).
//!
//! "→T" goes to the terminal, "→P" to the platform; a →T message without an answer of its own gets 0x0001.
//! Every number is kept as it came, so that what was decoded encodes to the same bytes; the standard's values
//! have names. Bytes behind the last field are ignored: CMSV6 appends up to two to 0x9101.
//! Knows no frames (that is [`crate::jt808`]) and no sequence of messages.

mod attributes;
mod field;
mod live;
mod parameter;
mod ptz;
mod recording;

pub use attributes::{AttributesQuery, AvAttributes, PassengerCount, SampleBits, SampleRate};
pub use field::{ShortText, SignallingError, TextTooLong};
pub use live::{CloseScope, LiveCommand, LiveControl, LiveKind, LiveStatus, StartLive, StreamProfile};
pub use parameter::{
    AlarmStorage, AvChannel, AvChannels, AvSettings, ChannelSettings, FatigueSettings, OnOff, Parameter,
    SetParameters, VideoSettings, WakeSettings, channel_settings, encode_channel_settings,
};
pub use ptz::{PtzDirection, PtzRotate, PtzSwitch};
pub use recording::{
    FtpUpload, FtpUploadControl, FtpUploadDone, MediaKind, PlaybackCommand, PlaybackControl, PlaybackMode,
    Recording, RecordingList, RecordingQuery, StartPlayback, StorageKind, StreamKind, UploadCommand,
};
