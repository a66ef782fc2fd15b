//! What a terminal's sound and pictures are (0x9003, 0x1003), and its passenger counter (0x1005).

use super::SignallingError;
use super::field::{body, code};
use crate::jt808::BcdTime;
use crate::jt1078::PayloadType;
use crate::reader::Reader;

/// 0x9003 →T: asks for the audio and video attributes; empty. The answer is [`AvAttributes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttributesQuery;

impl AttributesQuery {
    /// The message's number.
    pub const ID: u16 = 0x9003;

    /// Reads the body: there is nothing in it, and what is there is ignored.
    pub fn decode(_bytes: &[u8]) -> Result<Self, SignallingError> {
        Ok(Self)
    }

    /// Appends nothing.
    pub fn encode(&self, _out: &mut Vec<u8>) {}
}

code! {
    /// Audio sampling rate of 0x1003.
    pub struct SampleRate {
        /// 8 kHz.
        KHZ_8 = 0,
        /// 22.05 kHz.
        KHZ_22_05 = 1,
        /// 44.1 kHz.
        KHZ_44_1 = 2,
        /// 48 kHz.
        KHZ_48 = 3,
    }
}

impl SampleRate {
    /// The rate, Hz; `None` for a number that the standard does not define.
    pub fn hertz(self) -> Option<u32> {
        [8_000, 22_050, 44_100, 48_000].get(usize::from(self.0)).copied()
    }
}

code! {
    /// Bits per audio sample of 0x1003.
    pub struct SampleBits {
        /// 8 bits.
        EIGHT = 0,
        /// 16 bits.
        SIXTEEN = 1,
        /// 32 bits.
        THIRTY_TWO = 2,
    }
}

impl SampleBits {
    /// The bits; `None` for a number that the standard does not define.
    pub fn bits(self) -> Option<u8> {
        [8, 16, 32].get(usize::from(self.0)).copied()
    }
}

body! {
    /// 0x1003 →P: the terminal's audio and video attributes (the answer to 0x9003).
    #[derive(Copy)]
    pub struct AvAttributes = 0x1003 {
        /// Audio codec that goes in.
        audio_codec: PayloadType,
        /// Audio channels that go in.
        audio_channels: u8,
        /// Audio sampling rate.
        sample_rate: SampleRate,
        /// Bits per audio sample.
        sample_bits: SampleBits,
        /// Length of an audio frame, bytes.
        audio_frame_bytes: u16,
        /// Whether sound can be played: 0 no. At least one device says no and plays.
        audio_output: u8,
        /// Video codec.
        video_codec: PayloadType,
        /// Most physical audio channels.
        audio_channels_max: u8,
        /// Most physical video channels.
        video_channels_max: u8,
    }
}

body! {
    /// 0x1005 →P: passengers counted in a period.
    #[derive(Copy)]
    pub struct PassengerCount = 0x1005 {
        /// Start of the period, GMT+8.
        start: BcdTime,
        /// End of the period, GMT+8.
        end: BcdTime,
        /// Passengers who got on.
        boarded: u16,
        /// Passengers who got off.
        left: u16,
    }
}
