//! Who a simulated terminal is, and how it behaves.

use std::time::Duration;

use bytes::Bytes;

use super::Resend;
use crate::jt808::Edition;

/// Identity, periods and bounds of one terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The edition it speaks: 2011 and 2013 differ in the registration only, 2019 has its own header.
    pub edition: Edition,
    /// Its phone number in BCD, right-aligned; a 2011/2013 header carries the last six bytes.
    pub phone: [u8; 10],
    /// What it says of itself when it registers.
    pub identity: Identity,
    /// The stored authentication code; None makes it register first.
    pub code: Option<Bytes>,
    /// Period of 0x0002 while nothing else is sent. 60 s.
    pub heartbeat: Duration,
    /// The first wait for an answer; the wait before resend N+1 is the one before N times N+1. 15 s.
    pub answer_timeout: Duration,
    /// How often a message is sent again before the link counts as dead. 3.
    pub resends: u32,
    /// How an unanswered report is sent again, one kind per resend, the last one from then on.
    /// Same serial, new serial, batch.
    pub resend_kinds: Vec<Resend>,
    /// How many reports are kept until acknowledged; beyond, the oldest is dropped. 100,000 (about 10 MB).
    pub kept_max: usize,
    /// How many reports one 0x0704 carries. 15, which fit one package of 1,023 bytes.
    pub batch_max: usize,
    /// How many messages may wait for their acknowledgement before further reports join the backlog. 256.
    pub in_flight_max: usize,
    /// How many 0x0704 may wait for their acknowledgement while a backlog is sent. 4.
    pub batches_in_flight_max: usize,
    /// Whether each message that comes or goes is told ([`Event::Received`](super::Event::Received), [`Event::Sent`](super::Event::Sent)). false.
    pub tells_messages: bool,
}

/// What a terminal registers with (0x0100).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Province, first two digits of the GB/T 2260 code.
    pub province: u16,
    /// City and county, its last four digits.
    pub city: u16,
    /// Maker; cut or zero-padded to 5 bytes (2011, 2013) or 11 (2019).
    pub maker: String,
    /// Model; cut or padded to 8 (2011), 20 (2013) or 30 (2019) bytes.
    pub model: String,
    /// The maker's id of the device; cut or padded to 7 or 30 bytes.
    pub terminal_id: String,
    /// 0 none, 1 blue, 2 yellow, 3 black, 4 white, 5 green, 9 other.
    pub plate_colour: u8,
    /// The plate, written as GBK.
    pub plate: String,
    /// 15 digits (2019).
    pub imei: String,
    /// At most 20 bytes (2019).
    pub software: String,
}

impl Settings {
    /// A terminal with the documented defaults and no stored code.
    pub fn new(edition: Edition, phone: [u8; 10], identity: Identity) -> Self {
        Self {
            edition,
            phone,
            identity,
            code: None,
            heartbeat: Duration::from_secs(60),
            answer_timeout: Duration::from_secs(15),
            resends: 3,
            resend_kinds: vec![Resend::SameSerial, Resend::NewSerial, Resend::Batch],
            kept_max: 100_000,
            batch_max: 15,
            in_flight_max: 256,
            batches_in_flight_max: 4,
            tells_messages: false,
        }
    }
}
