//! One frame on its way from a terminal to its viewers, whatever the device spoke and whatever the viewer asks for.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use protocol::aac::AudioSpecificConfig;
use protocol::flv;
use protocol::media::{Sample, Track, Tracks, VideoTrack};

/// What a decoder must know before a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Config {
    /// A picture of this track.
    Video(Arc<VideoTrack>),
    /// A sound of this configuration.
    Audio(AudioSpecificConfig),
}

/// One access unit (Annex B) or one raw AAC frame.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    /// The owner's epoch: a ring refuses a lower one than it has seen.
    pub(crate) epoch: u64,
    /// Rises with every new source and every change of the picture's codec within a stream; times may leave
    /// a gap there.
    pub(crate) generation: u64,
    /// The stream's time, 90 kHz; never falls within a track, over all generations.
    pub(crate) dts_90k: u64,
    /// How long it lasts, 90 kHz; 0 for pictures: until the next.
    pub(crate) duration_90k: u32,
    /// Whether a viewer can start here: true for key frames only, false for sound.
    pub(crate) key: bool,
    /// Codec and parameters.
    pub(crate) config: Config,
    /// The coded bytes, shared by every viewer.
    pub(crate) data: Bytes,
    /// The same as the body of an FLV tag, made for the first viewer who wants it.
    pub(crate) flv: OnceLock<Option<Bytes>>,
}

impl Unit {
    pub(crate) fn is_video(&self) -> bool {
        matches!(self.config, Config::Video(_))
    }

    /// As the body of an FLV tag, shared by every viewer; None where FLV cannot carry it.
    pub(crate) fn flv_body(&self) -> Option<Bytes> {
        let video = match &self.config {
            Config::Video(track) => Some(track.codec),
            Config::Audio(_) => None,
        };
        self.flv.get_or_init(|| flv::tag_body(video, &self.sample()).map(Bytes::from)).clone()
    }

    /// As muxers take it.
    pub(crate) fn sample(&self) -> Sample<'_> {
        match self.config {
            Config::Video(_) => Sample {
                track: Track::Video,
                dts_90k: self.dts_90k,
                pts_90k: self.dts_90k,
                duration_90k: self.duration_90k,
                key: self.key,
                data: &self.data,
            },
            Config::Audio(_) => Sample::audio(self.dts_90k, self.duration_90k, &self.data),
        }
    }

    /// Takes this unit's configuration into `tracks`; whether that changed them.
    pub(crate) fn configure(&self, tracks: &mut Tracks) -> bool {
        match &self.config {
            Config::Video(video) => {
                let same = tracks.video.as_ref().is_some_and(|known| known == video.as_ref());
                if !same {
                    tracks.video = Some(video.as_ref().clone());
                }
                !same
            }
            Config::Audio(audio) => tracks.audio.replace(*audio) != Some(*audio),
        }
    }
}
