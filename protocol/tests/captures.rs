//! Every capture through splitter and assembler: packets, frames and bytes are those of captures.json.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod capture;

use std::collections::BTreeMap;

use protocol::adpcm;
use protocol::jt1078::{DataType, FrameKind, PayloadType, SharedPacket, SubPackage};
use sha2::{Digest, Sha256};

fn sha256<'a>(parts: impl Iterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    parts.for_each(|part| hash.update(part));
    hex::encode(hash.finalize())
}

#[test]
fn packets_frames_and_bytes_are_those_of_captures_json() {
    let Some(captures) = capture::all() else { return };
    assert!(!captures.is_empty());
    for capture in captures {
        let name = &capture.name;
        let facts = &capture.facts;
        assert_eq!(sha256([&capture.bytes[..]].into_iter()), facts["sha256"], "{name}: another file");
        let replay = capture.replay();
        let packets = &replay.packets;

        assert_eq!(replay.id_length.unwrap().bytes() as u64, capture.number("sim_len"), "{name}");
        assert_eq!(replay.skipped_bytes, capture.number("unparsed"), "{name}");
        assert_eq!(packets.len() as u64, capture.number("packets"), "{name}");
        let first = packets.first().unwrap().header;
        let last = packets.last().unwrap().header;
        assert_eq!(u64::from(first.sequence), capture.number("seq_first"), "{name}");
        assert_eq!(u64::from(last.sequence), capture.number("seq_last"), "{name}");
        assert_eq!(replay.counters.sequence_gaps, capture.number("seq_gaps"), "{name}");
        assert!(packets.iter().all(|packet| facts["sim"][0] == packet.header.sim.to_string()), "{name}");
        assert!(packets.iter().all(|packet| facts["channels"][0] == packet.header.channel), "{name}");
        let longest = packets.iter().map(|packet| packet.body.len()).max().unwrap();
        assert_eq!(longest as u64, capture.number("max_body"), "{name}");

        assert_eq!(counted(packets, |packet| u8::from(packet.header.marker).to_string()), facts["m_bit"]);
        let codec = |packet: &SharedPacket| {
            let PayloadType(number) = packet.header.payload_type;
            let name = packet.header.payload_type.name().unwrap().replace('.', "");
            format!("{name}({number})")
        };
        assert_eq!(counted(packets, codec), facts["payload_types"], "{name}");

        let video: Vec<_> = packets.iter().filter(|packet| packet.header.data_type.is_video()).collect();
        let audio: Vec<_> =
            packets.iter().filter(|packet| packet.header.data_type == DataType::Audio).collect();
        assert_eq!(video.len() as u64, capture.number("video_packets"), "{name}");
        assert_eq!(audio.len() as u64, capture.number("audio_packets"), "{name}");
        let stamp = |packet: &SharedPacket| packet.header.timestamp_ms.unwrap();
        assert_eq!(stamp(video.first().unwrap()), capture.number("video_ts_first"), "{name}");
        assert_eq!(stamp(video.last().unwrap()), capture.number("video_ts_last"), "{name}");
        let ends = |wanted: DataType| {
            let ends = |packet: &&&SharedPacket| {
                packet.header.data_type == wanted
                    && matches!(packet.header.sub_package, SubPackage::Whole | SubPackage::Last)
            };
            video.iter().filter(ends).count()
        };
        for (letter, data_type) in [("I", DataType::I), ("P", DataType::P), ("B", DataType::B)] {
            assert_eq!(facts["frames"][letter], ends(data_type), "{name}: {letter} frames");
        }

        let pictures: Vec<_> = replay.frames.iter().filter(|frame| frame.kind == FrameKind::Video).collect();
        assert_eq!(pictures.len() as u64, capture.number("complete_frames"), "{name}");
        for (picture, wanted) in pictures.iter().zip(facts["first_frames"].as_array().unwrap()) {
            assert_eq!(wanted["bytes"], picture.data.len(), "{name}");
            assert_eq!(wanted["timestamp"], picture.device_timestamp_ms.unwrap(), "{name}");
        }
        let video_sha256 = sha256(pictures.iter().map(|picture| &picture.data[..]));
        assert_eq!(video_sha256, facts["video_es_sha256"], "{name}");
        if !audio.is_empty() {
            let audio_sha256 = sha256(audio.iter().map(|packet| &packet.body[..]));
            assert_eq!(audio_sha256, facts["audio_sha256"], "{name}");
            let sounds = replay.frames.iter().filter(|frame| frame.kind == FrameKind::Audio).count();
            assert_eq!(sounds, audio.len(), "{name}");
        }

        // the timeline follows the device's stamps, which in these captures neither stop nor jump
        let span = pictures.last().unwrap().timestamp_ms - pictures.first().unwrap().timestamp_ms;
        assert_eq!(span, capture.number("video_span_ms"), "{name}");
        let decodable = pictures.iter().filter(|picture| !picture.gap).count();
        assert_eq!(facts["ffprobe"]["nb_read_frames"], decodable.to_string(), "{name}");
        println!(
            "{name}: {} packets, {} pictures ({decodable} decodable), {} sounds",
            packets.len(),
            pictures.len(),
            audio.len()
        );
    }
}

#[test]
fn adpcm_packets_end_in_the_state_that_the_next_one_begins_with() {
    let Some(captures) = capture::all() else { return };
    let mut compared = 0;
    for capture in captures {
        let sounds: Vec<_> = capture
            .replay()
            .frames
            .into_iter()
            .filter(|frame| frame.payload_type == PayloadType::ADPCM)
            .collect();
        for pair in sounds.windows(2) {
            assert!(pair[0].hisilicon, "{}: the HiSilicon header is taken off", capture.name);
            let mut samples = Vec::new();
            let end = adpcm::decode(&pair[0].data, &mut samples).unwrap();
            assert_eq!(samples.len(), 320);
            let [low, high, step_index, _] = *pair[1].data.first_chunk().unwrap();
            assert_eq!((end.predictor, end.step_index), (i16::from_le_bytes([low, high]), step_index));
            compared += 1;
        }
    }
    println!("{compared} ADPCM packets compared with their successors");
    assert_eq!(compared, 27);
}

fn counted(packets: &[SharedPacket], key: impl Fn(&SharedPacket) -> String) -> serde_json::Value {
    let mut counts = BTreeMap::<String, u64>::new();
    for packet in packets {
        *counts.entry(key(packet)).or_default() += 1;
    }
    serde_json::to_value(counts).unwrap()
}
