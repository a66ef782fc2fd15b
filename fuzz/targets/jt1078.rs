//! JT/T 1078 streams: no byte is lost uncounted, packets are written again as the same, frames keep their
//! bound, pictures go through every muxer; and what a terminal sends arrives.
#![no_main]

use std::time::{Duration, Instant};

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use protocol::aac::{AudioSpecificConfig, adts_frames};
use protocol::jt1078::packetize::Packetizer;
use protocol::jt1078::{
    Assembler, DataType, Frame, FrameKind, IdLength, MAX_FRAME_BYTES, Packet, PayloadType, SharedPacket, Sim,
    Splitter,
};
use protocol::media::{Sample, Tracks, VideoTrack};
use protocol::nal::{self, ParameterSets, VideoCodec};
use protocol::{adpcm, flv, fmp4, mpegts};

fuzz_target!(|input: &[u8]| {
    let Some((seed, stream)) = input.split_first() else { return };
    from_the_wire(*seed, stream);
    to_the_wire(*seed, stream);
});

fn from_the_wire(seed: u8, stream: &[u8]) {
    let hint = match seed % 3 {
        0 => None,
        1 => Some(IdLength::Six),
        _ => Some(IdLength::Ten),
    };
    let (mut splitter, mut assembler) = (Splitter::new(hint), Assembler::new());
    let (mut buffer, mut now, mut taken) = (BytesMut::new(), Instant::now(), 0);
    let mut frames = Vec::new();
    let mut take = |packet: SharedPacket| {
        let mut again = Vec::new();
        packet.as_packet().encode(&mut again);
        let read = Packet::parse(&again, packet.header.sim.length());
        assert_eq!(read, Ok(packet.as_packet()));
        taken += again.len();
        now += Duration::from_millis(u64::from(seed));
        frames.extend(assembler.push(packet, now));
    };
    for read in stream.chunks(usize::from(seed) + 1) {
        buffer.extend_from_slice(read);
        while let Some(packet) = splitter.split(&mut buffer) {
            take(packet);
        }
    }
    while let Some(packet) = splitter.finish(&mut buffer) {
        take(packet);
    }
    assert_eq!(taken as u64 + splitter.skipped_bytes(), stream.len() as u64);
    check_times(&frames);
    frames.iter().for_each(look_into);
    mux(&frames);
}

fn check_times(frames: &[Frame]) {
    let pictures: Vec<&Frame> = frames.iter().filter(|frame| frame.kind == FrameKind::Video).collect();
    assert!(pictures.windows(2).all(|pair| pair[0].timestamp_ms < pair[1].timestamp_ms));
    assert!(pictures.iter().all(|picture| !(picture.key && picture.gap)));
}

fn look_into(frame: &Frame) {
    assert!(frame.data.len() <= MAX_FRAME_BYTES);
    let mut samples = Vec::new();
    adpcm::decode(&frame.data, &mut samples);
    adts_frames(&frame.data).for_each(drop);
    let (mut prefixed, mut annexb, mut again) = (Vec::new(), Vec::new(), Vec::new());
    nal::length_prefixed(nal::nal_units(&frame.data), &mut prefixed);
    nal::from_length_prefixed(&prefixed, &mut annexb);
    nal::length_prefixed(nal::nal_units(&annexb), &mut again);
    assert_eq!(again, prefixed);
}

fn mux(frames: &[Frame]) {
    for codec in [VideoCodec::H264, VideoCodec::H265] {
        let mut sets = ParameterSets::new(codec);
        for frame in frames {
            sets.update(&frame.data);
            assert!(
                !sets.update(&frame.data) || sets.units().count() > 1,
                "the same sets again are no change"
            );
        }
        let tracks = Tracks { video: VideoTrack::new(&sets), audio: AudioSpecificConfig::lc(8_000, 1) };
        let samples: Vec<Sample<'_>> = frames
            .iter()
            .map(|frame| match frame.kind {
                FrameKind::Video => Sample::video(frame.timestamp_ms * 90, frame.key, &frame.data),
                _ => Sample::audio(frame.timestamp_ms * 90, 0, &frame.data),
            })
            .collect();
        let (mut flv, mut transport, mut mp4) = (Vec::new(), Vec::new(), Vec::new());
        let (mut flv_muxer, mut transport_muxer) = (flv::Muxer::new(), mpegts::Muxer::new(tracks.clone()));
        flv_muxer.begin(&tracks, &mut flv);
        transport_muxer.begin_segment(&mut transport);
        for sample in &samples {
            flv_muxer.sample(sample, &mut flv);
            transport_muxer.sample(sample, &mut transport);
        }
        fmp4::init_segment(&tracks, &mut mp4);
        fmp4::media_segment(&tracks, 1, &samples, &mut mp4);
        assert_eq!(transport.len() % mpegts::PACKET_BYTES, 0);
        assert!(transport.chunks(mpegts::PACKET_BYTES).all(|packet| packet[0] == 0x47));
        check_boxes(&mp4);
    }
}

/// The top-level boxes fill the file.
fn check_boxes(mut rest: &[u8]) {
    while !rest.is_empty() {
        let size = u32::from_be_bytes(*rest.first_chunk().expect("a box has a size"));
        assert!(size >= 8);
        rest = rest.get(size as usize..).expect("a box lies within the file");
    }
}

fn to_the_wire(seed: u8, data: &[u8]) {
    let sim = if seed & 1 == 0 { Sim::six([9; 6]) } else { Sim::ten([9; 10]) };
    let mut packetizer = Packetizer::new(sim, seed);
    let mut wire = Vec::new();
    for (data_type, part) in [DataType::I, DataType::Audio, DataType::P].into_iter().zip(data.chunks(1500)) {
        packetizer.frame(data_type, PayloadType::AVS, 7, part, &mut wire);
    }
    let (mut splitter, mut assembler) = (Splitter::new(Some(sim.length())), Assembler::new());
    let mut buffer = BytesMut::from(&wire[..]);
    let mut frames = Vec::new();
    while let Some(packet) = splitter.finish(&mut buffer) {
        frames.extend(assembler.push(packet, Instant::now()));
    }
    assert_eq!(splitter.skipped_bytes(), 0);
    let parts: Vec<&[u8]> = data.chunks(1500).take(3).collect();
    let got: Vec<&[u8]> = frames.iter().map(|frame| &frame.data[..]).collect();
    assert_eq!(got, parts);
}
