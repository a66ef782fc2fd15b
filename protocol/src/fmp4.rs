//! Fragmented MP4 (ISO/IEC 14496-12): the init segment and media segments of HLS and Media Source Extensions.
//!
//! Both tracks count in 90 kHz. Knows no playlists and no viewers.

use crate::aac::AudioSpecificConfig;
use crate::media::{Sample, TICKS_PER_SECOND, Track, Tracks, VideoTrack};
use crate::nal::{VideoCodec, length_prefixed};

const VIDEO_TRACK_ID: u32 = 1;
const AUDIO_TRACK_ID: u32 = 2;

/// Duration of a single sample that nothing is known of: a twenty-fifth of a second.
const DEFAULT_DURATION_90K: u32 = 3_600;

/// sample_depends_on 2: leans on no other.
const SAMPLE_KEY: u32 = 0x0200_0000;
/// sample_depends_on 1, sample_is_non_sync_sample.
const SAMPLE_DELTA: u32 = 0x0101_0000;

/// Rotation and scale: none.
const MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// Appends the init segment (ftyp, moov) of `tracks`. A codec change needs a new one.
pub fn init_segment(tracks: &Tracks, out: &mut Vec<u8>) {
    nested(b"ftyp", out, |out| out.extend_from_slice(b"iso6\0\0\0\x01iso6mp41dash"));
    nested(b"moov", out, |out| {
        nested(b"mvhd", out, |out| {
            // version and flags, creation, modification, time scale, duration (0: in the fragments)
            words(&[0, 0, 0, TICKS_PER_SECOND as u32, 0, 0x1_0000, 0x0100_0000, 0, 0], out);
            words(&MATRIX, out);
            words(&[0; 6], out);
            words(&[AUDIO_TRACK_ID + 1], out);
        });
        if let Some(video) = &tracks.video {
            video_track(video, out);
        }
        if let Some(audio) = &tracks.audio {
            audio_track(audio, out);
        }
        nested(b"mvex", out, |out| {
            for id in track_ids(tracks) {
                nested(b"trex", out, |out| words(&[0, id, 1, 0, 0, 0], out));
            }
        });
    });
}

/// Appends one media segment (styp, moof, mdat) of `samples`, in any interleaving, each track in rising dts.
/// `sequence` rises from 1 from fragment to fragment. Samples of tracks that are not there and pictures
/// without a slice are left out; a segment without any sample is not written.
pub fn media_segment(tracks: &Tracks, sequence: u32, samples: &[Sample<'_>], out: &mut Vec<u8>) {
    let mut data = Vec::new();
    let runs: Vec<Run> = [Track::Video, Track::Audio]
        .into_iter()
        .filter_map(|track| Run::gather(tracks, track, samples, &mut data))
        .collect();
    if runs.is_empty() {
        return;
    }
    nested(b"styp", out, |out| out.extend_from_slice(b"msdh\0\0\0\0msdhiso6"));
    let moof = out.len();
    let mut offsets = Vec::new();
    nested(b"moof", out, |out| {
        nested(b"mfhd", out, |out| words(&[0, sequence], out));
        for run in &runs {
            offsets.push((run.write(out), run.data_offset));
        }
    });
    // data offsets count from the start of the moof; the samples follow the header of the mdat
    let before_data = out.len() - moof + 8;
    for (at, data_offset) in offsets {
        patch(out, at, (before_data + data_offset) as u32);
    }
    nested(b"mdat", out, |out| out.extend_from_slice(&data));
}

/// The samples of one track in one segment.
struct Run {
    track_id: u32,
    dts_90k: u64,
    /// Where its data begins among the segment's.
    data_offset: usize,
    entries: Vec<Entry>,
}

struct Entry {
    duration_90k: u32,
    size_bytes: u32,
    flags: u32,
    composition_90k: i32,
}

impl Run {
    /// Copies the samples of `track` behind `data`; `None` where there are none.
    fn gather(tracks: &Tracks, track: Track, samples: &[Sample<'_>], data: &mut Vec<u8>) -> Option<Self> {
        let track_id = match track {
            Track::Video if tracks.video.is_some() => VIDEO_TRACK_ID,
            Track::Audio if tracks.audio.is_some() => AUDIO_TRACK_ID,
            _ => return None,
        };
        let data_offset = data.len();
        let mut entries: Vec<Entry> = Vec::new();
        let (mut first_dts, mut last_dts) = (None, 0_u64);
        for sample in samples.iter().filter(|sample| sample.track == track) {
            let before = data.len();
            match (&tracks.video, track) {
                (Some(video), Track::Video) => length_prefixed(video.sample_units(sample.data), data),
                _ => data.extend_from_slice(sample.data),
            }
            if data.len() == before {
                continue;
            }
            if let Some(previous) = entries.last_mut()
                && previous.duration_90k == 0
            {
                let step = sample.dts_90k.saturating_sub(last_dts);
                previous.duration_90k = u32::try_from(step).unwrap_or(u32::MAX).max(1);
            }
            first_dts.get_or_insert(sample.dts_90k);
            last_dts = sample.dts_90k;
            let composition = sample.pts_90k.wrapping_sub(sample.dts_90k).cast_signed();
            entries.push(Entry {
                duration_90k: sample.duration_90k,
                size_bytes: u32::try_from(data.len() - before).unwrap_or(u32::MAX),
                flags: if sample.key { SAMPLE_KEY } else { SAMPLE_DELTA },
                composition_90k: i32::try_from(composition).unwrap_or(0),
            });
        }
        let previous = entries.iter().rev().nth(1).map_or(DEFAULT_DURATION_90K, |entry| entry.duration_90k);
        if let Some(last) = entries.last_mut()
            && last.duration_90k == 0
        {
            last.duration_90k = previous;
        }
        first_dts.map(|dts_90k| Self { track_id, dts_90k, data_offset, entries })
    }

    /// Appends the traf; gives where its data offset stands.
    fn write(&self, out: &mut Vec<u8>) -> usize {
        let mut offset_at = 0;
        nested(b"traf", out, |out| {
            // default-base-is-moof
            nested(b"tfhd", out, |out| words(&[0x02_0000, self.track_id], out));
            nested(b"tfdt", out, |out| {
                words(&[0x0100_0000], out);
                out.extend_from_slice(&self.dts_90k.to_be_bytes());
            });
            nested(b"trun", out, |out| {
                // version 1 (signed composition offsets); data offset, duration, size, flags, composition
                words(&[0x0100_0F01, self.entries.len() as u32], out);
                offset_at = out.len();
                words(&[0], out);
                for entry in &self.entries {
                    let composition = entry.composition_90k.cast_unsigned();
                    words(&[entry.duration_90k, entry.size_bytes, entry.flags, composition], out);
                }
            });
        });
        offset_at
    }
}

fn track_ids(tracks: &Tracks) -> impl Iterator<Item = u32> {
    let video = tracks.video.as_ref().map(|_| VIDEO_TRACK_ID);
    let audio = tracks.audio.map(|_| AUDIO_TRACK_ID);
    video.into_iter().chain(audio)
}

fn video_track(track: &VideoTrack, out: &mut Vec<u8>) {
    let entry: &[u8; 4] = match track.codec {
        VideoCodec::H264 => b"avc1",
        VideoCodec::H265 => b"hvc1",
    };
    let record: &[u8; 4] = match track.codec {
        VideoCodec::H264 => b"avcC",
        VideoCodec::H265 => b"hvcC",
    };
    // pictures are at most 16,384 wide and twice as high
    let size = track.width << 16 | track.height & 0xFFFF;
    nested(b"trak", out, |out| {
        track_header(VIDEO_TRACK_ID, 0, [track.width << 16, track.height << 16], out);
        media(b"vide", b"VideoHandler\0", out, |out| {
            nested(b"vmhd", out, |out| words(&[1, 0, 0], out));
            data_and_tables(out, |out| {
                nested(entry, out, |out| {
                    words(&[0, 1, 0, 0, 0, 0, size, 0x0048_0000, 0x0048_0000, 0], out);
                    // one frame, no compressor name, depth 24, no colour table
                    out.extend_from_slice(&[0, 1]);
                    out.extend_from_slice(&[0; 32]);
                    out.extend_from_slice(&[0, 24, 0xFF, 0xFF]);
                    let bytes = track.parameter_sets.decoder_record().unwrap_or_default();
                    nested(record, out, |out| out.extend_from_slice(&bytes));
                });
            });
        });
    });
}

fn audio_track(config: &AudioSpecificConfig, out: &mut Vec<u8>) {
    nested(b"trak", out, |out| {
        track_header(AUDIO_TRACK_ID, 0x0100_0000, [0, 0], out);
        media(b"soun", b"SoundHandler\0", out, |out| {
            nested(b"smhd", out, |out| words(&[0, 0], out));
            data_and_tables(out, |out| {
                nested(b"mp4a", out, |out| {
                    let channels = u32::from(config.channels);
                    // 16 bits; the rate has 16 bits before its point, 0 says: look into the config
                    let rate = u16::try_from(config.sample_rate_hz).unwrap_or(0);
                    words(&[0, 1, 0, 0, channels << 16 | 16, 0, u32::from(rate) << 16], out);
                    nested(b"esds", out, |out| elementary_stream(config, out));
                });
            });
        });
    });
}

/// ES_Descriptor with the AudioSpecificConfig (ISO/IEC 14496-1).
fn elementary_stream(config: &AudioSpecificConfig, out: &mut Vec<u8>) {
    words(&[0], out);
    out.extend_from_slice(&[0x03, 25, 0, 2, 0]);
    // MPEG-4 audio stream; buffer size and bit rates unknown
    out.extend_from_slice(&[0x04, 17, 0x40, 0x15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&[0x05, 2]);
    out.extend_from_slice(&config.encode());
    out.extend_from_slice(&[0x06, 1, 2]);
}

/// tkhd: enabled, in movie; `volume_word` holds the volume in its upper half.
fn track_header(id: u32, volume_word: u32, size: [u32; 2], out: &mut Vec<u8>) {
    nested(b"tkhd", out, |out| {
        words(&[3, 0, 0, id, 0, 0, 0, 0, 0, volume_word], out);
        words(&MATRIX, out);
        words(&size, out);
    });
}

/// mdia around what `write` puts into its minf.
fn media(handler: &[u8; 4], name: &[u8], out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    nested(b"mdia", out, |out| {
        // language "und"
        nested(b"mdhd", out, |out| words(&[0, 0, 0, TICKS_PER_SECOND as u32, 0, 0x55C4_0000], out));
        nested(b"hdlr", out, |out| {
            words(&[0, 0], out);
            out.extend_from_slice(handler);
            words(&[0; 3], out);
            out.extend_from_slice(name);
        });
        nested(b"minf", out, write);
    });
}

/// dinf (data in this file) and an stbl whose only sample entry `write` makes; samples are in the fragments.
fn data_and_tables(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    nested(b"dinf", out, |out| {
        nested(b"dref", out, |out| {
            words(&[0, 1], out);
            nested(b"url ", out, |out| words(&[1], out));
        });
    });
    nested(b"stbl", out, |out| {
        nested(b"stsd", out, |out| {
            words(&[0, 1], out);
            write(out);
        });
        nested(b"stts", out, |out| words(&[0, 0], out));
        nested(b"stsc", out, |out| words(&[0, 0], out));
        nested(b"stsz", out, |out| words(&[0, 0, 0], out));
        nested(b"stco", out, |out| words(&[0, 0], out));
    });
}

/// A box around what `write` appends.
fn nested(name: &[u8; 4], out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    words(&[0], out);
    out.extend_from_slice(name);
    write(out);
    let length = out.len() - at;
    patch(out, at, length as u32);
}

fn patch(out: &mut [u8], at: usize, value: u32) {
    if let Some(place) = out.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *place = value.to_be_bytes();
    }
}

fn words(values: &[u32], out: &mut Vec<u8>) {
    values.iter().for_each(|value| out.extend_from_slice(&value.to_be_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_knows_sizes_durations_and_where_its_data_is() {
        let tracks = Tracks { video: None, audio: AudioSpecificConfig::lc(8_000, 1) };
        let samples = [
            Sample::audio(0, 11_520, &[1; 5]),
            Sample::audio(11_520, 0, &[2; 6]),
            Sample::audio(20_000, 0, &[3; 7]),
            Sample::video(0, true, &[0, 0, 1, 0x65, 9]),
        ];
        let mut out = Vec::new();
        media_segment(&tracks, 7, &samples, &mut out);
        let find = |name: &[u8; 4]| out.windows(4).position(|window| window == name).unwrap();
        let trun = &out[find(b"trun") + 4..];
        let word = |at: usize| u32::from_be_bytes(trun[at..at + 4].try_into().unwrap());
        assert_eq!((word(0), word(4)), (0x0100_0F01, 3));
        let entries: Vec<(u32, u32)> = (0..3).map(|i| (word(12 + i * 16), word(16 + i * 16))).collect();
        assert_eq!(entries, [(11_520, 5), (8_480, 6), (8_480, 7)]);
        let moof = find(b"moof") - 4;
        assert_eq!(out[moof + word(8) as usize..][..5], [1; 5]);
        assert_eq!(out.len(), moof + word(8) as usize + 18);
    }

    #[test]
    fn a_segment_of_nothing_is_not_written() {
        let mut out = Vec::new();
        media_segment(&Tracks::default(), 1, &[Sample::audio(0, 0, &[1])], &mut out);
        assert!(out.is_empty());
    }
}
