//! FLV, MPEG-TS and fMP4 as the ffprobe program reads them: every frame, the right size and codec, no complaint.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[allow(dead_code, reason = "another test uses the rest of it")]
mod capture;

use std::io::Write;
use std::process::{Command, Stdio};

use capture::Capture;
use protocol::aac::{AudioSpecificConfig, adts_frames};
use protocol::jt1078::FrameKind;
use protocol::media::{Sample, Track, Tracks, VideoTrack};
use protocol::nal::{ParameterSets, VideoCodec, from_length_prefixed, is_key, nal_units};
use protocol::{flv, fmp4, mpegts};
use serde_json::Value;

/// A stream ready for any muxer.
struct Stream {
    name: String,
    tracks: Tracks,
    samples: Vec<Owned>,
}

struct Owned {
    track: Track,
    dts_90k: u64,
    duration_90k: u32,
    key: bool,
    data: Vec<u8>,
}

impl Owned {
    fn sample(&self) -> Sample<'_> {
        Sample {
            track: self.track,
            dts_90k: self.dts_90k,
            pts_90k: self.dts_90k,
            duration_90k: self.duration_90k,
            key: self.key,
            data: &self.data,
        }
    }
}

impl Stream {
    fn count(&self, track: Track) -> usize {
        self.samples.iter().filter(|sample| sample.track == track).count()
    }

    /// Runs of samples, each beginning with a key frame.
    fn segments(&self) -> Vec<Vec<Sample<'_>>> {
        let mut segments: Vec<Vec<Sample<'_>>> = Vec::new();
        for sample in self.samples.iter().map(Owned::sample) {
            if segments.is_empty() || (sample.track == Track::Video && sample.key) {
                segments.push(Vec::new());
            }
            segments.last_mut().unwrap().push(sample);
        }
        segments
    }

    fn flv(&self) -> Vec<u8> {
        let (mut muxer, mut out) = (flv::Muxer::new(), Vec::new());
        muxer.begin(&self.tracks, &mut out);
        self.samples.iter().for_each(|sample| muxer.sample(&sample.sample(), &mut out));
        out
    }

    fn transport_segments(&self) -> Vec<Vec<u8>> {
        let mut muxer = mpegts::Muxer::new(self.tracks.clone());
        let segments = self.segments().into_iter().map(|samples| {
            let mut out = Vec::new();
            muxer.begin_segment(&mut out);
            samples.iter().for_each(|sample| muxer.sample(sample, &mut out));
            out
        });
        segments.collect()
    }

    fn fragmented_mp4(&self) -> Vec<u8> {
        let mut out = Vec::new();
        fmp4::init_segment(&self.tracks, &mut out);
        for (samples, sequence) in self.segments().iter().zip(1..) {
            fmp4::media_segment(&self.tracks, sequence, samples, &mut out);
        }
        out
    }
}

/// The decodable pictures of a capture: those before its first key frame are left out.
fn pictures(capture: &Capture) -> Stream {
    let (mut sets, mut tracks, mut samples) = (ParameterSets::new(VideoCodec::H264), None, Vec::new());
    for frame in capture.replay().frames {
        if frame.kind != FrameKind::Video {
            continue;
        }
        if sets.update(&frame.data) {
            tracks = VideoTrack::new(&sets);
        }
        if !frame.gap {
            samples.push(Owned {
                track: Track::Video,
                dts_90k: frame.timestamp_ms * 90,
                duration_90k: 0,
                key: frame.key,
                data: frame.data.to_vec(),
            });
        }
    }
    Stream { name: capture.name.clone(), tracks: Tracks { video: tracks, audio: None }, samples }
}

/// Adds a second of 440 Hz for each second of pictures.
fn with_tone(mut stream: Stream) -> Stream {
    let end_90k = stream.samples.last().unwrap().dts_90k;
    let seconds = (end_90k / 90_000 + 1).to_string();
    let adts = ffmpeg(&[
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=440:sample_rate=8000",
        "-t",
        &seconds,
        "-c:a",
        "aac",
        "-ac",
        "1",
        "-f",
        "adts",
        "-",
    ]);
    let start_90k = stream.samples.first().unwrap().dts_90k;
    for (index, frame) in adts_frames(&adts).enumerate() {
        let frame = frame.unwrap();
        let duration_90k = frame.config.frame_duration_90k();
        stream.tracks.audio = Some(frame.config);
        stream.samples.push(Owned {
            track: Track::Audio,
            dts_90k: start_90k + index as u64 * u64::from(duration_90k),
            duration_90k,
            key: true,
            data: frame.data.to_vec(),
        });
    }
    assert_eq!(stream.tracks.audio, AudioSpecificConfig::lc(8_000, 1));
    stream.samples.sort_by_key(|sample| sample.dts_90k);
    stream
}

/// Two seconds of an H.265 test picture with a key frame each second.
fn h265_clip() -> Stream {
    let bytes = ffmpeg(&[
        "-f",
        "lavfi",
        "-i",
        "testsrc=size=322x242:rate=10",
        "-t",
        "2",
        "-pix_fmt",
        "yuv420p",
        "-c:v",
        "libx265",
        "-x265-params",
        "keyint=10:min-keyint=10:bframes=0:aud=1:repeat-headers=1:log-level=none",
        "-f",
        "hevc",
        "-",
    ]);
    let mut units: Vec<Vec<u8>> = Vec::new();
    for unit in nal_units(&bytes) {
        // access unit delimiter
        if unit[0] >> 1 == 35 {
            units.push(Vec::new());
        }
        let picture = units.last_mut().unwrap();
        picture.extend_from_slice(&[0, 0, 0, 1]);
        picture.extend_from_slice(unit);
    }
    let mut sets = ParameterSets::new(VideoCodec::H265);
    assert!(sets.update(&units[0]));
    assert!(!sets.update(&units[10]), "the same sets again are no change");
    let samples = units.into_iter().enumerate().map(|(index, data)| Owned {
        track: Track::Video,
        dts_90k: index as u64 * 9_000,
        duration_90k: 0,
        key: is_key(VideoCodec::H265, &data),
        data,
    });
    Stream {
        name: "h265".to_owned(),
        samples: samples.collect(),
        tracks: Tracks { video: VideoTrack::new(&sets), audio: None },
    }
}

#[test]
fn every_decodable_picture_of_a_capture_is_in_every_container() {
    let (Some(captures), true) = (capture::all(), tools()) else { return };
    for capture in captures {
        let wanted = &capture.facts["ffprobe"];
        let stream = pictures(&capture);
        let video = stream.tracks.video.as_ref().unwrap();
        assert_eq!((&wanted["width"], &wanted["height"]), (&video.width.into(), &video.height.into()));
        let transport = stream.transport_segments();
        let forms = [
            ("FLV", "flv", stream.flv()),
            ("MPEG-TS", "mpegts", transport.concat()),
            ("fMP4", "mp4", stream.fragmented_mp4()),
        ];
        for (form, format, bytes) in forms {
            let probed = probe(&stream.name, format, &bytes);
            for key in ["codec_name", "profile", "width", "height", "level", "nb_read_frames"] {
                assert_eq!(probed[0][key], wanted[key], "{}: {form}: {key}", stream.name);
            }
            println!("{}: {form}: {} frames", stream.name, stream.samples.len());
        }
        let mut frames = 0;
        for segment in &transport {
            let probed = probe(&stream.name, "mpegts", segment);
            frames += probed[0]["nb_read_frames"].as_str().unwrap().parse::<usize>().unwrap();
        }
        assert_eq!(wanted["nb_read_frames"], frames.to_string(), "{}: segment by segment", stream.name);
        println!("{}: {} MPEG-TS segments, each on its own: {frames} frames", stream.name, transport.len());
    }
}

#[test]
fn sound_goes_beside_the_pictures() {
    let (Some(captures), true) = (capture::all(), tools()) else { return };
    let capture = captures.into_iter().find(|capture| capture.name.starts_with("gen720x576")).unwrap();
    let stream = with_tone(pictures(&capture));
    let forms = [
        ("flv", stream.flv()),
        ("mpegts", stream.transport_segments().concat()),
        ("mp4", stream.fragmented_mp4()),
    ];
    for (format, bytes) in forms {
        let probed = probe(&stream.name, format, &bytes);
        let count = |codec: &str| {
            let found = probed.iter().find(|found| found["codec_name"] == codec).unwrap();
            found["nb_read_frames"].as_str().unwrap().parse::<usize>().unwrap()
        };
        assert_eq!(count("h264"), stream.count(Track::Video), "{format}");
        assert_eq!(count("aac"), stream.count(Track::Audio), "{format}");
        let audio = probed.iter().find(|found| found["codec_name"] == "aac").unwrap();
        assert_eq!((&audio["sample_rate"], &audio["channels"]), (&"8000".into(), &1.into()), "{format}");
        println!("{format}: {} pictures, {} sounds", count("h264"), count("aac"));
    }
}

#[test]
fn h265_goes_into_mpeg_ts_and_fmp4() {
    if !tools() {
        return;
    }
    let stream = h265_clip();
    let video = stream.tracks.video.as_ref().unwrap();
    assert_eq!((video.width, video.height), (322, 242));
    assert!(video.codec_string().starts_with("hvc1.1.6.L"), "{}", video.codec_string());
    assert_eq!(stream.samples.iter().filter(|sample| sample.key).count(), 2);
    for (format, bytes) in
        [("mpegts", stream.transport_segments().concat()), ("mp4", stream.fragmented_mp4())]
    {
        let probed = probe("h265", format, &bytes);
        assert_eq!(probed[0]["codec_name"], "hevc", "{format}");
        assert_eq!((&probed[0]["width"], &probed[0]["height"]), (&322.into(), &242.into()), "{format}");
        assert_eq!(probed[0]["nb_read_frames"], "20", "{format}");
        if format == "mp4" {
            assert_eq!(probed[0]["codec_tag_string"], "hvc1");
        }
        println!("H.265: {format}: 20 frames");
    }
}

/// FFmpeg 5.1 reads no H.265 in FLV, so the tags are taken apart here.
#[test]
fn h265_goes_into_flv_under_the_legacy_codec_id() {
    if !tools() {
        return;
    }
    let stream = h265_clip();
    let bytes = stream.flv();
    assert_eq!(bytes[..13], *b"FLV\x01\x01\0\0\0\x09\0\0\0\0");
    let (mut rest, mut tags) = (&bytes[13..], Vec::new());
    while !rest.is_empty() {
        let size = usize::from(rest[1]) << 16 | usize::from(rest[2]) << 8 | usize::from(rest[3]);
        let time_ms = u32::from_be_bytes([rest[7], rest[4], rest[5], rest[6]]);
        let (tag, later) = rest.split_at(11 + size);
        assert_eq!(later[..4], (tag.len() as u32).to_be_bytes(), "PreviousTagSize");
        tags.push((tag[0], time_ms, tag[11..].to_vec()));
        rest = &later[4..];
    }
    assert_eq!(tags.len(), 2 + 20);
    assert_eq!((tags[0].0, &tags[0].2[..13]), (18, &b"\x02\x00\x0aonMetaData"[..]));
    let record = stream.tracks.video.as_ref().unwrap().parameter_sets.decoder_record().unwrap();
    assert_eq!(tags[1].2, [&[0x1C, 0, 0, 0, 0][..], &record].concat());
    for ((tag_type, time_ms, body), (index, sample)) in
        tags[2..].iter().zip(stream.samples.iter().enumerate())
    {
        assert_eq!((*tag_type, *time_ms), (9, index as u32 * 100));
        assert_eq!(body[..5], [if sample.key { 0x1C } else { 0x2C }, 1, 0, 0, 0]);
        let mut annexb = Vec::new();
        from_length_prefixed(&body[5..], &mut annexb);
        let got: Vec<&[u8]> = nal_units(&annexb).collect();
        // parameter sets and delimiters stay out of the samples
        let wanted: Vec<&[u8]> =
            nal_units(&sample.data).filter(|unit| !(32..=35).contains(&(unit[0] >> 1))).collect();
        assert_eq!(got, wanted);
    }
    println!("H.265: FLV: 20 frames, read back");
}

/// Whether the programs are there.
fn tools() -> bool {
    let there = |name| Command::new(name).arg("-version").output().is_ok();
    let both = there("ffmpeg") && there("ffprobe");
    if !both {
        println!("skipped: ffmpeg and ffprobe are not installed");
    }
    both
}

fn ffmpeg(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("ffmpeg").args(["-v", "error", "-nostdin"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// What ffprobe finds after decoding everything; it must not complain.
fn probe(name: &str, format: &str, bytes: &[u8]) -> Vec<Value> {
    let mut child = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-show_streams", "-of", "json", "-f", format, "-i", "pipe:0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    // a full pipe and a full output must not wait for each other
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaint.is_empty(), "{name}: {format}: {complaint}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    answer["streams"].as_array().unwrap().clone()
}
