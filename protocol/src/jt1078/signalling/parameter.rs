//! Values of the audio and video parameters that travel inside 0x8103 and 0x0104 (section 5.2).

use super::SignallingError;
use super::field::{Field, record_field};
use crate::reader::Reader;

/// 0x8103 →T: sets parameters, by number; those of this module and all others of JT/T 808.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetParameters<'a> {
    /// The parameters, in the order sent; at most 255.
    pub parameters: Vec<Parameter<'a>>,
}

/// One parameter, its value not read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// Its number.
    pub id: u32,
    /// Its value, at most 255 bytes.
    pub value: &'a [u8],
}

impl<'a> SetParameters<'a> {
    /// The message's number.
    pub const ID: u16 = 0x8103;

    /// Reads the body; bytes behind the last parameter are ignored.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, SignallingError> {
        let mut reader = Reader::new(bytes);
        let parameters = (0..reader.u8()?).map(|_| {
            let (id, length) = (reader.u32()?, reader.u8()?);
            Ok(Parameter { id, value: reader.bytes(usize::from(length))? })
        });
        Ok(Self { parameters: parameters.collect::<Result<_, SignallingError>>()? })
    }

    /// Appends the body: at most 255 parameters, of each at most 255 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let count = u8::try_from(self.parameters.len()).unwrap_or(u8::MAX);
        out.push(count);
        for Parameter { id, value } in self.parameters.iter().take(usize::from(count)) {
            let length = u8::try_from(value.len()).unwrap_or(u8::MAX);
            out.extend_from_slice(&id.to_be_bytes());
            out.push(length);
            out.extend_from_slice(value.get(..usize::from(length)).unwrap_or(value));
        }
    }
}

/// Encoder settings of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoSettings {
    /// 0 constant bit rate, 1 variable, 2 average, 100-127 custom.
    pub mode: u8,
    /// 0 QCIF, 1 CIF, 2 WCIF, 3 D1, 4 WD1, 5 720P, 6 1080P.
    pub resolution: u8,
    /// Frames from key frame to key frame, 1-1000.
    pub gop_frames: u16,
    /// Frames a second, 1-120.
    pub frame_rate: u8,
    /// Target bit rate, kbit/s.
    pub bit_rate_kbps: u32,
}

record_field!(VideoSettings { mode, resolution, gop_frames, frame_rate, bit_rate_kbps });

/// Parameter 0x0075: settings for all channels that 0x0077 does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvSettings {
    /// The live stream.
    pub live: VideoSettings,
    /// The stored stream.
    pub stored: VideoSettings,
    /// What is written into the picture: bit 0 time, 1 plate, 2 channel, 3 position, 4 recorder speed,
    /// 5 satellite speed, 6 driving time, 11-15 custom.
    pub osd: u16,
    /// Sound output: 0 off.
    pub audio_output: u8,
}

record_field!(AvSettings { live, stored, osd, audio_output });

/// One channel of parameter 0x0077.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelSettings {
    /// Logical channel.
    pub channel: u8,
    /// The live stream.
    pub live: VideoSettings,
    /// The stored stream.
    pub stored: VideoSettings,
    /// As in [`AvSettings`].
    pub osd: u16,
}

record_field!(ChannelSettings { channel, live, stored, osd });

/// One channel of parameter 0x0076.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvChannel {
    /// Physical channel, from 1.
    pub physical: u8,
    /// Logical channel.
    pub logical: u8,
    /// 0 sound and pictures, 1 sound, 2 pictures.
    pub kind: u8,
    /// Whether a camera mount can be turned: 0 no.
    pub ptz: u8,
}

record_field!(AvChannel { physical, logical, kind, ptz });

/// Parameter 0x0076: the channels that a terminal has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvChannels {
    /// How many carry sound and pictures.
    pub audio_video: u8,
    /// How many carry sound.
    pub audio: u8,
    /// How many carry pictures.
    pub video: u8,
    /// The table: as many rows as came, by rights the sum of the three.
    pub table: Vec<AvChannel>,
}

/// Parameter 0x0079: special alarm recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlarmStorage {
    /// Share of the store that alarm recordings may take, percent, 1-99.
    pub share_percent: u8,
    /// Longest alarm recording, minutes.
    pub duration_min: u8,
    /// Recorded before the alarm, minutes.
    pub before_min: u8,
}

record_field!(AlarmStorage { share_percent, duration_min, before_min });

/// Parameter 0x007B: image analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FatigueSettings {
    /// Passengers allowed.
    pub seats: u8,
    /// Fatigue threshold.
    pub threshold: u8,
}

record_field!(FatigueSettings { seats, threshold });

/// A daily period of [`WakeSettings`], BCD hour and minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnOff {
    /// Wake at, `hhmm`.
    pub on: [u8; 2],
    /// Sleep at, `hhmm`.
    pub off: [u8; 2],
}

/// Parameter 0x007C: when a sleeping terminal wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WakeSettings {
    /// Bit 0 on a condition, 1 by timer, 2 by hand.
    pub mode: u8,
    /// Bit 0 emergency, 1 collision or rollover, 2 door.
    pub conditions: u8,
    /// Days of the timer, bit 0 Monday.
    pub weekdays: u8,
    /// Which of the four periods are on, bit 0 the first.
    pub enabled: u8,
    /// The four periods.
    pub periods: [OnOff; 4],
}

record_field!(WakeSettings { mode, conditions, weekdays, enabled, periods });

impl Field for OnOff {
    fn read(reader: &mut Reader<'_>) -> Result<Self, SignallingError> {
        Ok(Self { on: reader.array()?, off: reader.array()? })
    }
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.on);
        out.extend_from_slice(&self.off);
    }
}

impl Field for [OnOff; 4] {
    fn read(reader: &mut Reader<'_>) -> Result<Self, SignallingError> {
        Ok([OnOff::read(reader)?, OnOff::read(reader)?, OnOff::read(reader)?, OnOff::read(reader)?])
    }
    fn write(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|period| period.write(out));
    }
}

impl Field for AvChannels {
    fn read(reader: &mut Reader<'_>) -> Result<Self, SignallingError> {
        let (audio_video, audio, video) = (reader.u8()?, reader.u8()?, reader.u8()?);
        let mut table = Vec::new();
        while !reader.is_empty() {
            table.push(AvChannel::read(reader)?);
        }
        Ok(Self { audio_video, audio, video, table })
    }
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.audio_video, self.audio, self.video]);
        self.table.iter().for_each(|channel| channel.write(out));
    }
}

macro_rules! value {
    ($($name:ident = $id:literal)*) => {$(
        impl $name {
            /// The parameter's number.
            pub const ID: u32 = $id;

            /// Reads the parameter's value; bytes behind its last field are ignored.
            pub fn decode(bytes: &[u8]) -> Result<Self, SignallingError> {
                Field::read(&mut Reader::new(bytes))
            }

            /// Appends the parameter's value.
            pub fn encode(&self, out: &mut Vec<u8>) {
                Field::write(self, out);
            }
        }
    )*};
}

value! {
    AvSettings = 0x0075
    AvChannels = 0x0076
    AlarmStorage = 0x0079
    FatigueSettings = 0x007B
    WakeSettings = 0x007C
}

impl ChannelSettings {
    /// The parameter's number; its value is a list ([`channel_settings`]).
    pub const ID: u32 = 0x0077;
}

/// Reads the value of parameter 0x0077.
pub fn channel_settings(bytes: &[u8]) -> Result<Vec<ChannelSettings>, SignallingError> {
    let mut reader = Reader::new(bytes);
    (0..reader.u8()?).map(|_| ChannelSettings::read(&mut reader)).collect()
}

/// Appends the value of parameter 0x0077: at most 255 channels.
pub fn encode_channel_settings(channels: &[ChannelSettings], out: &mut Vec<u8>) {
    let count = u8::try_from(channels.len()).unwrap_or(u8::MAX);
    out.push(count);
    channels.iter().take(usize::from(count)).for_each(|channel| channel.write(out));
}
