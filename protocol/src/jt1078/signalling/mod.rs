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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whatever decodes is written again as the bytes it came from, and reads as the same.
    macro_rules! check_round_trips {
        ($bytes:ident: $($body:ident)*) => {$(
            if let Ok(message) = $body::decode(&$bytes) {
                let mut again = Vec::new();
                message.encode(&mut again);
                prop_assert_eq!(Some(&again[..]), $bytes.get(..again.len()), "{}", stringify!($body));
                prop_assert_eq!($body::decode(&again), Ok(message));
            }
        )*};
    }

    proptest! {
        #[test]
        fn every_body_is_written_as_it_was_read(
            mut bytes in prop::collection::vec(any::<u8>(), 0..200),
            text_bytes in 0_u8..30,
            recordings in 0_usize..5,
        ) {
            let listed = bytes.get(..6 + 28 * recordings).map(<[u8]>::to_vec).unwrap_or_default();
            check_round_trips!(listed: RecordingList);
            if let Some(first) = bytes.first_mut() {
                *first = text_bytes;
            }
            check_round_trips! {
                bytes: AttributesQuery AvAttributes PassengerCount StartLive LiveControl LiveStatus
                StartPlayback PlaybackControl RecordingQuery FtpUpload FtpUploadDone FtpUploadControl
                PtzRotate PtzSwitch SetParameters AvSettings AlarmStorage FatigueSettings WakeSettings
            }
            let rows = bytes.get(..3 + bytes.len().saturating_sub(3) / 4 * 4).map(<[u8]>::to_vec);
            let rows = rows.unwrap_or_default();
            check_round_trips!(rows: AvChannels);
            if let Ok(channels) = channel_settings(&bytes) {
                let mut again = Vec::new();
                encode_channel_settings(&channels, &mut again);
                prop_assert_eq!(Some(&again[..]), bytes.get(..again.len()));
            }
        }
    }
}
