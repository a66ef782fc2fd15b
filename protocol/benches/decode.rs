//! What one 0x0200 costs from the wire to its items: time and allocations (aim: 250 ns, none).

use bytes::BytesMut;
use divan::{AllocProfiler, Bencher, black_box};
use protocol::jt808::{Deframer, Edition, FrameSettings, ItemValue, LocationReport};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

/// A 2013 terminal's report with seven items (T/JSATL12 recorder), one frame as on the wire.
const REPORT: &str = "7e0200004901583860765500040000000000000004000301d9f190073ca3c1000c00000000211204082941010400d728ad\
                      300100310109250400000000140400000004150400000000160400000000170200011803000000";

fn main() {
    divan::main();
}

/// The frame of [`REPORT`], its length and check byte made right.
fn frame() -> Vec<u8> {
    let digits: Vec<u8> = REPORT.bytes().filter(|digit| digit.is_ascii_hexdigit()).collect();
    let message = hex::decode(digits).unwrap_or_default().split_off(1);
    let mut message = message;
    let body_len = (message.len() - 12) as u8;
    message[3] = body_len;
    let check = message.iter().fold(0, |sum, byte| sum ^ byte);
    let mut frame = vec![0x7e];
    protocol::jt808::frame::escape(&message, &mut frame);
    protocol::jt808::frame::escape(&[check], &mut frame);
    frame.push(0x7e);
    frame
}

/// Header, location and a walk over the items, with the mileage read.
fn walk(body: &[u8]) -> (i32, i32, u32) {
    let Ok(report) = LocationReport::decode(body, Edition::V2013) else { return (0, 0, 0) };
    let mut mileage = 0;
    for item in report.items {
        if let ItemValue::Mileage { mileage_x10 } = black_box(item.read()) {
            mileage = mileage_x10;
        }
    }
    (report.latitude_e6(), report.longitude_e6(), mileage)
}

/// The whole way: delimiter, unescaping, checksum, header, location, items.
#[divan::bench]
fn report_from_the_wire(bencher: Bencher) {
    let frame = frame();
    let mut deframer = Deframer::new(FrameSettings::default());
    let mut input = BytesMut::with_capacity(64 * 1024);
    bencher.bench_local(move || {
        if input.is_empty() {
            input.reserve(64 * 1024);
        }
        input.extend_from_slice(black_box(&frame));
        match deframer.next(&mut input) {
            Some(Ok(frame)) => walk(&frame.body),
            _ => unreachable!("the frame is whole"),
        }
    });
}

/// The body alone.
#[divan::bench]
fn report_from_its_body(bencher: Bencher) {
    let frame = frame();
    let body = frame[13..frame.len() - 2].to_vec();
    bencher.bench_local(move || walk(black_box(&body)));
}
