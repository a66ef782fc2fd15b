//! The parameter sets in force, and when they change.

use bytes::Bytes;

use super::access_unit::slice;
use super::{VideoCodec, decoder_record, h264, h265, nal_units};

/// Most sets kept of each kind; terminals use one, encoders with several layers a few.
pub const MAX_SETS_PER_KIND: usize = 8;

/// Longest set taken, bytes; real ones stay below 200, scaling lists may bring them to a thousand.
pub const MAX_SET_BYTES: usize = 4096;

/// Which set a unit is, in the order in which a decoder wants them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetKind {
    /// Video parameter set (H.265).
    Video,
    /// Sequence parameter set.
    Sequence,
    /// Picture parameter set.
    Picture,
}

/// Cache of a stream's parameter sets, by kind and id. Bounded: [`MAX_SETS_PER_KIND`] of [`MAX_SET_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSets {
    codec: VideoCodec,
    /// Sorted by kind; within a kind the one seen last stands last, and the last sequence set is in force.
    sets: Vec<ParameterSet>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ParameterSet {
    kind: SetKind,
    id: u8,
    unit: Bytes,
}

impl ParameterSets {
    /// An empty cache.
    pub fn new(codec: VideoCodec) -> Self {
        Self { codec, sets: Vec::new() }
    }

    /// Whose sets these are.
    pub fn codec(&self) -> VideoCodec {
        self.codec
    }

    /// Takes the sets out of an Annex B access unit; whether any is new or different. Sets that cannot be
    /// read are left out. Looks no further than the first slice: sets stand before it.
    pub fn update(&mut self, access_unit: &[u8]) -> bool {
        let mut changed = false;
        for unit in nal_units(access_unit) {
            if slice(self.codec, unit).is_some() {
                break;
            }
            changed |= self.take(unit);
        }
        changed
    }

    /// Whether a decoder record can be written: SPS and PPS, and for H.265 a VPS.
    pub fn is_complete(&self) -> bool {
        let has = |kind| self.units_of(kind).next().is_some();
        has(SetKind::Sequence)
            && has(SetKind::Picture)
            && (self.codec == VideoCodec::H264 || has(SetKind::Video))
    }

    /// The sets as NAL units, VPS, SPS, PPS, in the order a decoder wants them.
    pub fn units(&self) -> impl Iterator<Item = &Bytes> + '_ {
        self.sets.iter().map(|set| &set.unit)
    }

    /// The sets of one kind.
    pub fn units_of(&self, kind: SetKind) -> impl Iterator<Item = &Bytes> + '_ {
        self.sets.iter().filter(move |set| set.kind == kind).map(|set| &set.unit)
    }

    /// The sequence set in force: the one seen last.
    pub fn sequence(&self) -> Option<&Bytes> {
        self.units_of(SetKind::Sequence).last()
    }

    /// avcC or hvcC (ISO/IEC 14496-15); `None` until complete and readable.
    pub fn decoder_record(&self) -> Option<Vec<u8>> {
        decoder_record::write(self)
    }

    fn take(&mut self, unit: &[u8]) -> bool {
        let Some((kind, id)) = identify(self.codec, unit) else {
            return false;
        };
        if unit.len() > MAX_SET_BYTES {
            return false;
        }
        let end = self.sets.partition_point(|set| set.kind <= kind);
        if let Some(at) = self.sets.iter().position(|set| set.kind == kind && set.id == id) {
            let was_last = at + 1 == end;
            let mut set = self.sets.remove(at);
            let same = set.unit == unit;
            if !same {
                set.unit = Bytes::copy_from_slice(unit);
            }
            self.sets.insert(end - 1, set);
            // only the order of sequence sets means anything: the last is in force
            return !same || (kind == SetKind::Sequence && !was_last);
        }
        self.sets.insert(end, ParameterSet { kind, id, unit: Bytes::copy_from_slice(unit) });
        if self.units_of(kind).count() > MAX_SETS_PER_KIND
            && let Some(oldest) = self.sets.iter().position(|set| set.kind == kind)
        {
            self.sets.remove(oldest);
        }
        true
    }
}

/// Kind and id of a set that can be read.
fn identify(codec: VideoCodec, unit: &[u8]) -> Option<(SetKind, u8)> {
    match codec {
        VideoCodec::H264 => match h264::unit_type(unit)? {
            h264::SPS => Some((SetKind::Sequence, h264::Sps::parse(unit).ok()?.id)),
            h264::PPS => Some((SetKind::Picture, h264::pps_id(unit).ok()?)),
            _ => None,
        },
        VideoCodec::H265 => match h265::unit_type(unit)? {
            h265::VPS => Some((SetKind::Video, h265::vps_id(unit).ok()?)),
            h265::SPS => Some((SetKind::Sequence, h265::Sps::parse(unit).ok()?.id)),
            h265::PPS => Some((SetKind::Picture, h265::pps_id(unit).ok()?)),
            _ => None,
        },
    }
}
