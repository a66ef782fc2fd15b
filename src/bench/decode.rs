//! How long one 0x0200 takes from the buffer to its last additional item, and what it allocates.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use clap::Args;
use protocol::jt808::{Deframer, FrameSettings, ItemValue, LocationReport};

use super::figure;

/// A report of a 2013 terminal with mileage, fuel, recorder speed, signal state, IO, analogue, network and
/// satellites, as public test suites of other servers carry it.
const FRAME: &str = "7e0200004401234567890100010000000000000003015881d206ca8d2f00460145005a2411221030000104000003e80202\
    00c80302014525040000000\
    02a0200002b040000000030011f31010c1404000000001504000000001604000000001702000018030000";

/// `motorcade bench decode`
#[derive(Debug, Args)]
pub(crate) struct Decode {
    /// How many frames.
    #[arg(long, default_value_t = 4_000_000)]
    frames: usize,
}

/// Prints nanoseconds and allocations per frame.
pub(crate) fn run(what: &Decode) -> Result<()> {
    let frame = frame()?;
    // A socket's read: as many frames as a buffer of some 64 KiB holds.
    let per_read = 65_536 / frame.len();
    let stream = frame.repeat(per_read);
    let reads = what.frames.div_ceil(per_read);
    let mut deframer = Deframer::new(FrameSettings::default());
    let mut buffer = BytesMut::with_capacity(stream.len());
    let (mut frames, mut items, mut busy_ns) = (0usize, 0usize, 0u128);
    let mut allocations = 0;
    for _ in 0..reads {
        buffer.clear();
        buffer.reserve(stream.len());
        buffer.extend_from_slice(&stream);
        let start = Instant::now();
        let counted = allocation_counter::measure(|| {
            while let Some(Ok(frame)) = deframer.next(&mut buffer) {
                let edition = frame.header.edition();
                if let Ok(report) = LocationReport::decode(&frame.body, edition) {
                    for item in report.items {
                        let value = item.read();
                        items += usize::from(!matches!(black_box(&value), ItemValue::Unknown(_)));
                    }
                    black_box(&report);
                    frames += 1;
                }
            }
        });
        busy_ns += start.elapsed().as_nanos();
        allocations += counted.count_total;
    }
    ensure!(frames == reads * per_read, "{} of {} frames decoded", frames, reads * per_read);
    figure("0x0200 decoded (frame, header, body, items)", frames, "frames");
    figure("items decoded of each", items / frames, "items");
    figure("time per 0x0200", busy_ns / frames as u128, "ns (aim: 250)");
    figure("allocations per 0x0200", format!("{:.4}", allocations as f64 / frames as f64), "(aim: 0)");
    Ok(())
}

fn frame() -> Result<Vec<u8>> {
    let mut content = hex::decode(&FRAME[2..]).context("the sample is hex")?;
    let body_len = u16::try_from(content.len() - 12).context("a short body")?;
    content[2..4].copy_from_slice(&body_len.to_be_bytes());
    content.push(content.iter().fold(0, |check, byte| check ^ byte));
    let mut frame = vec![0x7e];
    protocol::jt808::frame::escape(&content, &mut frame);
    frame.push(0x7e);
    Ok(frame)
}
