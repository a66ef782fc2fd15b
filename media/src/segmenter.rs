//! Units to HLS segments: where one ends and the next begins, and its bytes in either form.
//!
//! Pure: units in, segments out. Every picture of the source goes into exactly one segment. A segment ends at
//! the first key frame after a while. The first one tells how often these come and so how long segments may
//! be at most; where key frames come more rarely later on, segments end, and begin, without one.

use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use protocol::media::{Sample, Tracks};
use protocol::{fmp4, mpegts};

use crate::unit::Unit;

/// What a segment is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// Fragmented MP4 with an init segment (v1).
    Fmp4,
    /// MPEG transport stream (CMSV6).
    MpegTs,
}

/// A closed segment.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// Its bytes.
    pub(crate) data: Bytes,
    /// How long it lasts, 90 kHz.
    pub(crate) duration_90k: u64,
    /// Whether time or codec does not run on from the segment before.
    pub(crate) discontinuity: bool,
    /// The init segment that it needs, where that is not the one before.
    pub(crate) init: Option<Bytes>,
}

/// The first segment is closed at this length even without a key frame, 90 kHz.
const FIRST_SEGMENT_90K_MAX: u64 = 30 * 90_000;

/// By how much a segment may be longer than the target, 90 kHz: RFC 8216, 4.3.3.1 compares with its duration
/// rounded to whole seconds, and players read it rounded to milliseconds.
const ROUNDED_OFF_90K: u64 = 44_100;

/// A segment is closed at this many bytes even without a key frame, and when as many came behind its end while
/// it waited for its sound.
const SEGMENT_BYTES_MAX: usize = 16 << 20;

/// Sound comes later than the pictures of its time, because an encoder holds some back. A segment waits for
/// its sound until pictures are this far ahead, 90 kHz.
const SOUND_LAG_90K: u64 = 63_000;

/// A picture's length where nothing tells it, 90 kHz.
const PICTURE_90K: u64 = 3_600;

/// See the module.
pub(crate) struct Segmenter {
    form: Form,
    segment_90k: u64,
    /// The target duration; None: there was no segment yet.
    target_s: Option<u64>,
    tracks: Tracks,
    generation: u64,
    mpegts: Option<mpegts::Muxer>,
    fragment: u32,
    init_due: bool,
    discontinuity_due: bool,
    open: Vec<Arc<Unit>>,
    open_bytes: usize,
    /// Where the open segment ends, once a key frame came to end it.
    cut: Option<u64>,
    /// Units at or behind the cut.
    behind: Vec<Arc<Unit>>,
    behind_bytes: usize,
    /// Sound before this is of a time without a picture, which no segment has, 90 kHz.
    sound_from_90k: u64,
}

impl Segmenter {
    /// `tracks`: what is known before the first unit; the picture's is taken from the first unit itself.
    pub(crate) fn new(form: Form, segment_90k: u64, tracks: Tracks) -> Self {
        Self {
            form,
            segment_90k,
            target_s: None,
            tracks,
            generation: 0,
            mpegts: None,
            fragment: 0,
            init_due: true,
            discontinuity_due: false,
            open: Vec::new(),
            open_bytes: 0,
            cut: None,
            behind: Vec::new(),
            behind_bytes: 0,
            sound_from_90k: 0,
        }
    }

    /// The target duration, s: no segment's duration is longer when rounded. Known and unchanging from the first
    /// segment on. That is as long as need be for key frames as they come then and not for the rarest ones: players
    /// stay three targets behind.
    pub(crate) fn target_s(&self) -> Option<u64> {
        self.target_s
    }

    /// Takes a unit; appends the segments that it ends.
    pub(crate) fn unit(&mut self, unit: Arc<Unit>, out: &mut Vec<Segment>) {
        let mut tracks = self.tracks.clone();
        let changed = unit.configure(&mut tracks);
        let restarted = unit.generation != self.generation;
        if changed || restarted {
            self.finish(out);
            // Before the first segment nothing can be discontinuous.
            self.discontinuity_due |= self.fragment > 0;
            self.init_due |= changed;
            self.generation = unit.generation;
            if changed {
                self.tracks = tracks;
                self.mpegts = None;
            }
        }
        if self.start_90k().is_none() && !unit.is_video() {
            // Sound alone opens no segment: it joins the picture that follows, or the one before has it.
            return;
        }
        self.place(unit, out);
    }

    /// Closes the open segment: the source is gone, or what follows does not run on from it.
    pub(crate) fn finish(&mut self, out: &mut Vec<Segment>) {
        while !self.open.is_empty() {
            self.close(out);
        }
    }

    /// Units were skipped before the next one.
    pub(crate) fn skip(&mut self, out: &mut Vec<Segment>) {
        self.finish(out);
        self.discontinuity_due |= self.fragment > 0;
    }

    fn start_90k(&self) -> Option<u64> {
        self.open.iter().find(|unit| unit.is_video()).map(|unit| unit.dts_90k)
    }

    /// Where a segment that begins at `start_90k` must end, once that is known.
    fn latest_end_90k(&self, start_90k: u64) -> Option<u64> {
        self.target_s.map(|target_s| start_90k + target_s * 90_000 + ROUNDED_OFF_90K)
    }

    /// Where the open segment ends, now that the picture `next` comes; None: not yet.
    fn cut_for(&self, next: &Unit) -> Option<u64> {
        let start = self.start_90k()?;
        let length = next.dts_90k.saturating_sub(start);
        if let Some(latest) = self.latest_end_90k(start).filter(|latest| next.dts_90k > *latest) {
            // `next` is too late to end it: that falls to a picture it has already, or to none of them.
            let fair = start + self.segment_90k / 2;
            let pictures = || self.open.iter().rev().filter(|unit| unit.is_video() && unit.dts_90k > start);
            let key = pictures().find(|unit| unit.key && unit.dts_90k >= fair);
            return Some(key.or_else(|| pictures().next()).map_or(latest, |unit| unit.dts_90k));
        }
        let long = self.target_s.is_none() && length >= FIRST_SEGMENT_90K_MAX;
        let full = self.open_bytes >= SEGMENT_BYTES_MAX;
        let due = if self.begins_with_key() { self.segment_90k } else { self.segment_90k / 2 };
        ((next.key && length >= due) || long || full).then_some(next.dts_90k)
    }

    fn begins_with_key(&self) -> bool {
        self.open.iter().find(|unit| unit.is_video()).is_some_and(|unit| unit.key)
    }

    fn place(&mut self, unit: Arc<Unit>, out: &mut Vec<Segment>) {
        if !unit.is_video() && unit.dts_90k < self.sound_from_90k {
            return;
        }
        if self.cut.is_none()
            && unit.is_video()
            && let Some(cut) = self.cut_for(&unit)
        {
            self.cut = Some(cut);
            self.behind = self.open.extract_if(.., |unit| unit.dts_90k >= cut).collect();
            self.open_bytes = self.open.iter().map(|unit| unit.data.len()).sum();
            self.behind_bytes = self.behind.iter().map(|unit| unit.data.len()).sum();
        }
        let Some(cut) = self.cut else {
            self.open_bytes += unit.data.len();
            self.open.push(unit);
            return;
        };
        let sound_is_there = match self.tracks.audio {
            None => true,
            Some(_) if unit.is_video() => unit.dts_90k > cut + SOUND_LAG_90K,
            Some(_) => unit.dts_90k >= cut,
        };
        if unit.dts_90k < cut {
            self.open_bytes += unit.data.len();
            self.open.push(unit);
        } else {
            self.behind_bytes += unit.data.len();
            self.behind.push(unit);
        }
        let is_full = self.behind_bytes >= SEGMENT_BYTES_MAX || self.open_bytes >= 2 * SEGMENT_BYTES_MAX;
        if sound_is_there || is_full {
            self.close(out);
        }
    }

    /// Closes the open segment and goes on with what lies behind the cut.
    fn close(&mut self, out: &mut Vec<Segment>) {
        let units = mem::take(&mut self.open);
        let cut = self.cut.take();
        (self.open_bytes, self.behind_bytes) = (0, 0);
        if let Some(segment) = self.segment(&units, cut) {
            let usual_90k = segment.duration_90k.max(self.segment_90k);
            self.target_s.get_or_insert_with(|| usual_90k.div_ceil(90_000));
            out.push(segment);
        }
        let next = self.behind.iter().find(|unit| unit.is_video()).map(|unit| unit.dts_90k);
        if let Some((next, _)) = next.zip(cut).filter(|(next, cut)| next > cut) {
            // A picture stood longer than a segment may be.
            self.discontinuity_due = true;
            self.sound_from_90k = next;
        }
        for unit in mem::take(&mut self.behind) {
            self.place(unit, out);
        }
    }

    fn segment(&mut self, units: &[Arc<Unit>], cut: Option<u64>) -> Option<Segment> {
        let pictures: Vec<u64> =
            units.iter().filter(|unit| unit.is_video()).map(|unit| unit.dts_90k).collect();
        let (first, last) = (*pictures.first()?, *pictures.last()?);
        let usual = match pictures.len() {
            1 => PICTURE_90K,
            count => ((last - first) / (count as u64 - 1)).max(1),
        };
        let latest = self.latest_end_90k(first).unwrap_or(u64::MAX);
        let end = cut.unwrap_or(last + usual).min(latest).max(last + 1);
        let mut ends = pictures.iter().skip(1).copied().chain([end]);
        let samples: Vec<Sample<'_>> = units
            .iter()
            .map(|unit| {
                let mut sample = unit.sample();
                if unit.is_video()
                    && let Some(end) = ends.next()
                {
                    sample.duration_90k = u32::try_from(end.saturating_sub(unit.dts_90k)).unwrap_or(u32::MAX);
                }
                sample
            })
            .collect();
        let mut init = None;
        let mut data =
            Vec::with_capacity(units.iter().map(|unit| unit.data.len()).sum::<usize>() * 9 / 8 + 4096);
        self.fragment += 1;
        match self.form {
            Form::Fmp4 => {
                if mem::take(&mut self.init_due) {
                    let mut bytes = Vec::new();
                    fmp4::init_segment(&self.tracks, &mut bytes);
                    init = Some(bytes.into());
                }
                fmp4::media_segment(&self.tracks, self.fragment, &samples, &mut data);
            }
            Form::MpegTs => {
                let tracks = &self.tracks;
                let muxer = self.mpegts.get_or_insert_with(|| mpegts::Muxer::new(tracks.clone()));
                muxer.begin_segment(&mut data);
                for sample in &samples {
                    muxer.sample(sample, &mut data);
                }
            }
        }
        Some(Segment {
            data: data.into(),
            duration_90k: end - first,
            discontinuity: mem::take(&mut self.discontinuity_due),
            init,
        })
    }
}

#[cfg(test)]
mod tests {
    use protocol::aac::AudioSpecificConfig;
    use protocol::media::VideoTrack;
    use protocol::nal::{ParameterSets, VideoCodec};

    use super::*;
    use crate::unit::Config;

    /// Start codes, an SPS of 1920x1080, a PPS.
    const SETS: &[u8] = &[
        0, 0, 1, 0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00, 0x00,
        0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6, 0x58, 0, 0, 1, 0x68, 0xeb, 0xe3,
        0xcb, 0x22, 0xc0,
    ];

    fn track() -> Arc<VideoTrack> {
        let mut sets = ParameterSets::new(VideoCodec::H264);
        sets.update(SETS);
        Arc::new(VideoTrack::new(&sets).expect("both sets"))
    }

    fn unit(dts_90k: u64, key: bool, config: Config, data: Bytes) -> Arc<Unit> {
        let duration_90k = match &config {
            Config::Video(_) => 0,
            Config::Audio(config) => config.frame_duration_90k(),
        };
        let (epoch, generation, flv) = (1, 1, Default::default());
        Arc::new(Unit { epoch, generation, dts_90k, duration_90k, key, config, data, flv })
    }

    /// The segments of pictures at these times, ms, each with whether it is a key frame, and the target at the end
    /// of each.
    fn segments(pictures: impl Iterator<Item = (u64, bool)>) -> Vec<(Segment, u64)> {
        let track = track();
        let data = Bytes::from([SETS, &[0, 0, 1, 0x65, 1]].concat());
        let mut segmenter = Segmenter::new(Form::MpegTs, 2 * 90_000, Tracks::default());
        let mut all = Vec::new();
        let mut take = |segmenter: &mut Segmenter, made: &mut Vec<Segment>| {
            let target_s = segmenter.target_s();
            all.extend(made.drain(..).map(|segment| (segment, target_s.expect("there is a segment"))));
        };
        let mut made = Vec::new();
        for (at_ms, key) in pictures {
            let config = Config::Video(Arc::clone(&track));
            segmenter.unit(unit(at_ms * 90, key, config, data.clone()), &mut made);
            take(&mut segmenter, &mut made);
        }
        segmenter.finish(&mut made);
        take(&mut segmenter, &mut made);
        all
    }

    /// Each segment's duration, ms.
    fn durations_ms(segments: &[(Segment, u64)]) -> Vec<u64> {
        segments.iter().map(|(segment, _)| segment.duration_90k / 90).collect()
    }

    #[test]
    fn the_target_stays_and_no_segment_outgrows_it_however_rare_key_frames_become() {
        // 25 pictures a second; key frames every second, then every six.
        let pictures = (0..750).map(|n| (n * 40, if n < 250 { n % 25 == 0 } else { (n - 250) % 150 == 0 }));
        let segments = segments(pictures);
        for (segment, target_s) in &segments {
            assert_eq!(*target_s, 2);
            // As a player reads it: three decimals, then whole seconds.
            let read: f64 =
                format!("{:.3}", segment.duration_90k as f64 / 90_000.0).parse().expect("a number");
            assert!(read.round() <= 2.0, "{read}");
            assert!(!segment.discontinuity, "time runs on");
        }
        let durations = durations_ms(&segments);
        assert_eq!(durations[..7], [2_000, 2_000, 2_000, 2_000, 2_000, 2_480, 2_480]);
        // The key frame ends a segment that began without one before its two seconds.
        assert_eq!(durations[7..10], [1_040, 2_480, 2_480]);
        assert_eq!(durations.iter().sum::<u64>(), 30_000, "every picture is there");
    }

    #[test]
    fn key_frames_that_come_more_rarely_from_the_start_make_the_target_longer() {
        let segments = segments((0..300).map(|n| (n * 40, n % 100 == 0)));
        assert_eq!(durations_ms(&segments), [4_000; 3]);
        assert!(segments.iter().all(|(_, target_s)| *target_s == 4));
    }

    #[test]
    fn a_segment_that_would_outgrow_the_target_ends_at_an_earlier_key_frame_if_there_is_one() {
        // After two seconds, key frames 1.5 s apart.
        let pictures = (0..275).map(|n| (n * 40, n % 25 == 0 && n < 50 || n >= 50 && (n - 50) % 38 == 0));
        let segments = segments(pictures);
        assert_eq!(durations_ms(&segments)[..4], [2_000, 1_520, 1_520, 1_520]);
    }

    #[test]
    fn a_picture_that_stands_longer_than_the_target_leaves_a_gap_that_is_told() {
        let segments =
            segments([(0, true), (1_000, false), (2_000, true), (9_000, true), (10_000, false)].into_iter());
        assert_eq!(durations_ms(&segments), [2_000, 2_490, 2_000]);
        let told: Vec<_> = segments.iter().map(|(segment, _)| segment.discontinuity).collect();
        assert_eq!(told, [false, false, true]);
    }

    #[test]
    fn sound_of_a_time_without_a_picture_is_left_out() {
        let config = AudioSpecificConfig::lc(8_000, 1).expect("a standard rate");
        let tracks = Tracks { video: None, audio: Some(config) };
        let mut segmenter = Segmenter::new(Form::MpegTs, 2 * 90_000, tracks);
        let (track, mut made) = (track(), Vec::new());
        let data = Bytes::from([SETS, &[0, 0, 1, 0x65, 1]].concat());
        for frame in 0..100 {
            let at_90k = frame * 11_520;
            if [0, 16, 80].contains(&frame) {
                let config = Config::Video(Arc::clone(&track));
                segmenter.unit(unit(at_90k, true, config, data.clone()), &mut made);
            }
            segmenter
                .unit(unit(at_90k, false, Config::Audio(config), Bytes::from_static(&[0; 2_000])), &mut made);
        }
        segmenter.finish(&mut made);
        let seconds: Vec<_> = made.iter().map(|segment| segment.duration_90k / 90_000).collect();
        assert_eq!(seconds, [2, 3, 0]);
        // 20 frames and a picture, not 84.
        let last = &made[2];
        assert!(last.discontinuity && last.data.len() < 60_000, "{}", last.data.len());
    }

    #[test]
    fn what_waits_behind_a_segment_for_its_sound_is_bounded() {
        const PICTURE_BYTES: usize = 1 << 20;
        let track = track();
        let data = Bytes::from([SETS, &[0, 0, 1, 0x65], &vec![1; PICTURE_BYTES]].concat());
        let tracks = Tracks { video: None, audio: AudioSpecificConfig::lc(8_000, 1) };
        let mut segmenter = Segmenter::new(Form::MpegTs, 2 * 90_000, tracks);
        let mut made = Vec::new();
        let mut taken = 0;
        // A key frame ends the first segment; from there on times all but stand.
        for dts_90k in [0].into_iter().chain((0..100).map(|number| 2 * 90_000 + number * 90)) {
            let config = Config::Video(Arc::clone(&track));
            segmenter.unit(unit(dts_90k, dts_90k % 90_000 == 0, config, data.clone()), &mut made);
            taken += 1;
            let held = segmenter.open.len() + segmenter.behind.len();
            assert!(held * PICTURE_BYTES <= 3 * SEGMENT_BYTES_MAX, "{held} of {taken}");
        }
        segmenter.finish(&mut made);
        assert!(segmenter.open.is_empty() && segmenter.behind.is_empty());
        // What was closed for its bytes is all there.
        let bytes: usize = made.iter().map(|segment| segment.data.len()).sum();
        assert!(bytes >= taken * PICTURE_BYTES, "{bytes} of {taken} pictures");
    }
}
