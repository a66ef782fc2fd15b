//! FLV: tags for HTTP-FLV and WebSocket-FLV. H.265 goes by the legacy codec id 12 that FLV players read
//! (FFmpeg before 6.1 reads none).
//!
//! Knows no viewers: one [`Muxer`] writes for one of them; the [bodies](tag_body) of tags are everybody's.

use crate::aac::AudioSpecificConfig;
use crate::media::{Sample, Track, Tracks, VideoTrack};
use crate::nal::{VideoCodec, length_prefixed, nal_units};

/// Longest tag body: its length has 24 bits.
const MAX_TAG_BODY_BYTES: usize = 0xFF_FFFF;

const TAG_AUDIO: u8 = 8;
const TAG_VIDEO: u8 = 9;
const TAG_SCRIPT: u8 = 18;

/// SoundFormat 10 (AAC), and what must be said of AAC whatever its rate: 44 kHz, 16 bits, stereo.
const SOUND_AAC: u8 = 0xAF;

const PACKET_SEQUENCE_HEADER: u8 = 0;
const PACKET_FRAMES: u8 = 1;

const FRAME_KEY: u8 = 1;
const FRAME_INTER: u8 = 2;

/// Writes one viewer's FLV. Times never fall within a track. Sound too old for a time is left out: put at 0
/// instead, it would stay late for good in players that lay sound frames end to end.
///
/// Where there is one track, times start at 0 with its first sample. Where there is sound beside the pictures,
/// they start one frame of sound before the first picture: sound comes out of its encoder later than the pictures
/// of its time, and an encoder's first frame belongs to the sound of the next.
#[derive(Clone, Debug, Default)]
pub struct Muxer {
    video: Option<VideoTrack>,
    audio: Option<AudioSpecificConfig>,
    /// The decoding time that is 0 in the FLV; None: not known before the first picture, or sample.
    base_90k: Option<u64>,
    last_video_ms: u64,
    last_audio_ms: u64,
    body: Vec<u8>,
}

impl Muxer {
    /// A muxer that has written nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the file header, onMetaData and the sequence headers of `tracks`. Once, first.
    pub fn begin(&mut self, tracks: &Tracks, out: &mut Vec<u8>) {
        let flags = u8::from(tracks.audio.is_some()) << 2 | u8::from(tracks.video.is_some());
        out.extend_from_slice(&[b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0]);
        self.change(tracks, out);
    }

    /// Appends new metadata and sequence headers after a codec change within the stream.
    pub fn change(&mut self, tracks: &Tracks, out: &mut Vec<u8>) {
        let now_ms = self.last_video_ms.max(self.last_audio_ms);
        self.body.clear();
        metadata(tracks, &mut self.body);
        tag(TAG_SCRIPT, now_ms, &self.body, out);
        if let Some((track, record)) =
            tracks.video.as_ref().and_then(|track| Some((track, track.parameter_sets.decoder_record()?)))
        {
            self.body.clear();
            self.body.push(FRAME_KEY << 4 | codec_id(track.codec));
            self.body.extend_from_slice(&[PACKET_SEQUENCE_HEADER, 0, 0, 0]);
            self.body.extend_from_slice(&record);
            tag(TAG_VIDEO, now_ms, &self.body, out);
        }
        if let Some(config) = &tracks.audio {
            let [first, second] = config.encode();
            tag(TAG_AUDIO, now_ms, &[SOUND_AAC, PACKET_SEQUENCE_HEADER, first, second], out);
        }
        self.video = tracks.video.clone();
        self.audio = tracks.audio;
    }

    /// Appends one sample as a tag. One without a [body](tag_body) or a [frame](Muxer::frame) is left out.
    pub fn sample(&mut self, sample: &Sample<'_>, out: &mut Vec<u8>) {
        let Some(body) = tag_body(self.video.as_ref().map(|track| track.codec), sample) else { return };
        let Some(frame) = self.frame(sample.track, sample.dts_90k, body.len()) else { return };
        out.extend_from_slice(&frame.head);
        out.extend_from_slice(&body);
        out.extend_from_slice(&frame.tail);
    }

    /// What stands around a tag body of `body_bytes` for a sample of this track and time; `None` for a track
    /// that [`Muxer::begin`] did not name, for a body above 16 MiB, and, where there are pictures, for sound
    /// before the first of them: one that comes before it, or is older by more than a frame of sound.
    pub fn frame(&mut self, track: Track, dts_90k: u64, body_bytes: usize) -> Option<TagFrame> {
        let (tag_type, last_ms) = match (track, &self.video, &self.audio) {
            (Track::Video, Some(_), _) => (TAG_VIDEO, &mut self.last_video_ms),
            (Track::Audio, _, Some(_)) => (TAG_AUDIO, &mut self.last_audio_ms),
            _ => return None,
        };
        if body_bytes > MAX_TAG_BODY_BYTES {
            return None;
        }
        let base_90k = match (self.base_90k, track, &self.audio) {
            (Some(base_90k), ..) => base_90k,
            (None, Track::Video, Some(sound)) => dts_90k.saturating_sub(sound.frame_duration_90k().into()),
            (None, Track::Audio, _) if self.video.is_some() => return None,
            (None, ..) => dts_90k,
        };
        self.base_90k = Some(base_90k);
        if track == Track::Audio && dts_90k < base_90k {
            return None;
        }
        *last_ms = (*last_ms).max(dts_90k.saturating_sub(base_90k) / 90);
        Some(TagFrame::new(tag_type, *last_ms, body_bytes))
    }
}

/// The body of a sample's tag: the same for every viewer, whenever it began. `video` is the codec of the
/// picture track, if there is one. `None` for a picture without it, and for one without a slice.
pub fn tag_body(video: Option<VideoCodec>, sample: &Sample<'_>) -> Option<Vec<u8>> {
    let mut body = Vec::with_capacity(sample.data.len() + 16);
    match (sample.track, video) {
        (Track::Video, Some(codec)) => {
            let frame = if sample.key { FRAME_KEY } else { FRAME_INTER };
            let composition_ms = sample.pts_90k.wrapping_sub(sample.dts_90k).cast_signed() / 90;
            let [.., high, middle, low] = composition_ms.to_be_bytes();
            body.extend_from_slice(&[frame << 4 | codec_id(codec), PACKET_FRAMES, high, middle, low]);
            let header_bytes = body.len();
            length_prefixed(nal_units(sample.data).filter(|unit| codec.is_sample_unit(unit)), &mut body);
            (body.len() > header_bytes).then_some(body)
        }
        (Track::Video, None) => None,
        (Track::Audio, _) => {
            body.extend_from_slice(&[SOUND_AAC, PACKET_FRAMES]);
            body.extend_from_slice(sample.data);
            Some(body)
        }
    }
}

/// What stands around the body of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagFrame {
    /// The tag header.
    pub head: [u8; 11],
    /// PreviousTagSize.
    pub tail: [u8; 4],
}

impl TagFrame {
    /// The 32-bit time wraps after 49 days; bodies have less than 2^24 bytes.
    fn new(tag_type: u8, time_ms: u64, body_bytes: usize) -> Self {
        let [.., size_high, size_middle, size_low] = body_bytes.to_be_bytes();
        let [.., extended, high, middle, low] = time_ms.to_be_bytes();
        Self {
            head: [tag_type, size_high, size_middle, size_low, high, middle, low, extended, 0, 0, 0],
            tail: (body_bytes as u32 + 11).to_be_bytes(),
        }
    }
}

/// Appends a tag and the PreviousTagSize behind it.
fn tag(tag_type: u8, time_ms: u64, body: &[u8], out: &mut Vec<u8>) {
    let frame = TagFrame::new(tag_type, time_ms, body.len());
    out.extend_from_slice(&frame.head);
    out.extend_from_slice(body);
    out.extend_from_slice(&frame.tail);
}

fn codec_id(codec: VideoCodec) -> u8 {
    match codec {
        VideoCodec::H264 => 7,
        VideoCodec::H265 => 12,
    }
}

/// The script tag onMetaData: an AMF0 string and an ECMA array.
fn metadata(tracks: &Tracks, out: &mut Vec<u8>) {
    let mut numbers = Vec::new();
    if let Some(video) = &tracks.video {
        numbers.push(("width", f64::from(video.width)));
        numbers.push(("height", f64::from(video.height)));
        numbers.push(("videocodecid", f64::from(codec_id(video.codec))));
    }
    if let Some(audio) = &tracks.audio {
        numbers.push(("audiocodecid", 10.0));
        numbers.push(("audiosamplerate", f64::from(audio.sample_rate_hz)));
        numbers.push(("audiosamplesize", 16.0));
    }
    out.push(2);
    key("onMetaData", out);
    out.push(8);
    out.extend_from_slice(&(numbers.len() as u32 + u32::from(tracks.audio.is_some())).to_be_bytes());
    for (name, value) in numbers {
        key(name, out);
        out.push(0);
        out.extend_from_slice(&value.to_be_bytes());
    }
    if let Some(audio) = &tracks.audio {
        key("stereo", out);
        out.extend_from_slice(&[1, u8::from(audio.channels > 1)]);
    }
    out.extend_from_slice(&[0, 0, 9]);
}

fn key(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(name.len() as u16).to_be_bytes());
    out.extend_from_slice(name.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nal::ParameterSets;

    /// The time of a tag, ms.
    fn time_ms(head: &[u8]) -> u32 {
        u32::from_be_bytes([head[7], head[4], head[5], head[6]])
    }

    fn picture_track() -> VideoTrack {
        let parameter_sets = ParameterSets::new(VideoCodec::H264);
        VideoTrack { codec: VideoCodec::H264, width: 352, height: 288, parameter_sets }
    }

    #[test]
    fn times_of_sound_alone_start_at_zero_never_fall_and_use_the_extension() {
        let mut muxer = Muxer::new();
        let tracks = Tracks { video: None, audio: AudioSpecificConfig::lc(8_000, 1) };
        let mut out = Vec::new();
        muxer.begin(&tracks, &mut out);
        assert_eq!(out[..13], *b"FLV\x01\x04\x00\x00\x00\x09\x00\x00\x00\x00");
        let times = [9_000, 18_000, 17_000, 9_000 + 90 * 0x0123_4567];
        let wanted = [0, 100, 100, 0x0123_4567_u32];
        for (time, wanted) in times.into_iter().zip(wanted) {
            out.clear();
            muxer.sample(&Sample::audio(time, 0, &[1, 2]), &mut out);
            assert_eq!(out[..4], [TAG_AUDIO, 0, 0, 4]);
            assert_eq!(time_ms(&out), wanted);
            assert_eq!(out[11..], [SOUND_AAC, 1, 1, 2, 0, 0, 0, 15]);
        }
    }

    #[test]
    fn times_of_pictures_alone_start_at_zero() {
        let mut muxer = Muxer::new();
        muxer.begin(&Tracks { video: Some(picture_track()), audio: None }, &mut Vec::new());
        for (time_90k, wanted_ms) in [(900_000, 0), (903_600, 40)] {
            let frame = muxer.frame(Track::Video, time_90k, 1).expect("a picture");
            assert_eq!(time_ms(&frame.head), wanted_ms);
        }
        assert_eq!(muxer.frame(Track::Audio, 903_600, 1), None, "it was not announced");
    }

    /// A viewer who begins at a key frame gets sound of before it behind it: the encoder held it back.
    #[test]
    fn sound_keeps_its_distance_from_the_pictures_or_is_left_out() {
        let tracks = Tracks { video: Some(picture_track()), audio: AudioSpecificConfig::lc(8_000, 1) };
        let mut muxer = Muxer::new();
        muxer.begin(&tracks, &mut Vec::new());
        let mut at_ms =
            |track, at_ms: u64| muxer.frame(track, at_ms * 90, 1).map(|frame| time_ms(&frame.head));
        assert_eq!(at_ms(Track::Audio, 10_000), None, "nothing tells yet where the pictures begin");
        assert_eq!(at_ms(Track::Video, 10_000), Some(128));
        assert_eq!(at_ms(Track::Audio, 9_616), None);
        assert_eq!(at_ms(Track::Audio, 9_744), None);
        assert_eq!(at_ms(Track::Video, 10_040), Some(168));
        assert_eq!(at_ms(Track::Audio, 9_872), Some(0), "an encoder's first frame");
        assert_eq!(at_ms(Track::Audio, 10_000), Some(128));
        assert_eq!(at_ms(Track::Audio, 10_128), Some(256));
        assert_eq!(at_ms(Track::Video, 10_080), Some(208));
    }

    #[test]
    fn a_track_that_was_not_announced_is_left_out() {
        let (mut muxer, mut out) = (Muxer::new(), Vec::new());
        muxer.sample(&Sample::video(0, true, &[0, 0, 1, 0x65, 1]), &mut out);
        muxer.sample(&Sample::audio(0, 0, &[1]), &mut out);
        assert!(out.is_empty());
    }
}
