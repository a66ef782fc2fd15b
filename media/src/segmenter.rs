//! Units to HLS segments: where one ends and the next begins, and its bytes in either form.
//!
//! Pure: units in, segments out. Every picture of the source goes into exactly one segment; a segment begins
//! with a key frame, except where a source sends none for half a minute.

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

/// A segment is closed at this length even without a key frame, 90 kHz.
const SEGMENT_90K_MAX: u64 = 30 * 90_000;

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
}

impl Segmenter {
    /// `tracks`: what is known before the first unit; the picture's is taken from the first unit itself.
    pub(crate) fn new(form: Form, segment_90k: u64, tracks: Tracks) -> Self {
        Self {
            form,
            segment_90k,
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
        }
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

    fn place(&mut self, unit: Arc<Unit>, out: &mut Vec<Segment>) {
        if self.cut.is_none()
            && let Some(start) = self.start_90k()
            && unit.is_video()
        {
            let length = unit.dts_90k.saturating_sub(start);
            let long = length >= SEGMENT_90K_MAX || self.open_bytes >= SEGMENT_BYTES_MAX;
            if (unit.key && length >= self.segment_90k) || long {
                self.cut = Some(unit.dts_90k);
            }
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
            out.push(segment);
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
        let end = cut.unwrap_or(last + usual).max(last + 1);
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

    #[test]
    fn what_waits_behind_a_segment_for_its_sound_is_bounded() {
        const PICTURE_BYTES: usize = 1 << 20;
        let mut sets = ParameterSets::new(VideoCodec::H264);
        sets.update(SETS);
        let track = Arc::new(VideoTrack::new(&sets).expect("both sets"));
        let data = Bytes::from([SETS, &[0, 0, 1, 0x65], &vec![1; PICTURE_BYTES]].concat());
        let tracks = Tracks { video: None, audio: AudioSpecificConfig::lc(8_000, 1) };
        let mut segmenter = Segmenter::new(Form::MpegTs, 2 * 90_000, tracks);
        let mut made = Vec::new();
        let mut taken = 0;
        // A key frame ends the first segment; from there on times all but stand.
        for dts_90k in [0].into_iter().chain((0..100).map(|number| 2 * 90_000 + number * 90)) {
            let unit = Unit {
                epoch: 1,
                generation: 1,
                dts_90k,
                duration_90k: 0,
                key: dts_90k % 90_000 == 0,
                config: Config::Video(Arc::clone(&track)),
                data: data.clone(),
                flv: Default::default(),
            };
            segmenter.unit(Arc::new(unit), &mut made);
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
