//! A terminal that speaks byte by byte, so that a test can also say what no terminal should.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, TimeDelta, Utc};
use protocol::jt808::message::{GeneralReply, RegisterAnswer, Registration};
use protocol::jt808::{
    BcdTime, Deframer, Edition, FrameSettings, Header, Item, Items, LocationReport, Package, Phone, Text,
    frame,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{QUIET, WITHIN};

/// A message from the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: u16,
    pub serial: u16,
    pub body: Bytes,
}

/// A terminal of the 2013 dialect.
pub struct Device {
    socket: TcpStream,
    phone: Phone,
    serial: u16,
    deframer: Deframer,
    input: BytesMut,
}

impl Device {
    pub async fn connect(addr: SocketAddr, sim: &str) -> Self {
        let socket = TcpStream::connect(addr).await.expect("connects");
        Self {
            socket,
            phone: Phone::short(sim).expect("at most 12 digits"),
            serial: 0,
            deframer: Deframer::new(FrameSettings::default()),
            input: BytesMut::new(),
        }
    }

    /// Connected, registered and authenticated.
    pub async fn online(addr: SocketAddr, sim: &str) -> Self {
        let mut device = Self::connect(addr, sim).await;
        let code = device.register("").await.expect("registered");
        assert_eq!(device.authenticate(&code).await, 0, "authenticated");
        device
    }

    /// Its own address on the link.
    pub fn addr(&self) -> SocketAddr {
        self.socket.local_addr().expect("an address")
    }

    /// The whole frame of a message, and its serial number.
    pub fn frame(&mut self, id: u16, body: &[u8]) -> (u16, Vec<u8>) {
        self.packet(id, body, None)
    }

    pub fn packet(&mut self, id: u16, body: &[u8], package: Option<Package>) -> (u16, Vec<u8>) {
        let serial = self.serial;
        self.serial = self.serial.wrapping_add(1);
        let mut header = Header::new(id, Edition::V2013, self.phone, serial);
        header.package = package;
        let mut bytes = Vec::new();
        frame::encode(&header, body, &mut bytes);
        (serial, bytes)
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.expect("the link takes bytes");
    }

    /// Writes as much of `bytes` as the link takes within `limit`; it may be closed.
    pub async fn write_within(&mut self, limit: Duration, bytes: &[u8]) {
        let _ = tokio::time::timeout(limit, self.socket.write_all(bytes)).await;
    }

    /// Sends a message; gives its serial number.
    pub async fn send(&mut self, id: u16, body: &[u8]) -> u16 {
        let (serial, bytes) = self.frame(id, body);
        self.write(&bytes).await;
        serial
    }

    /// The next message; None when the platform closed the link.
    pub async fn receive(&mut self) -> Option<Message> {
        tokio::time::timeout(WITHIN, self.next()).await.expect("a message or the end within the limit")
    }

    /// The next message within `limit`; None when there was none (or the end).
    pub async fn receive_within(&mut self, limit: Duration) -> Option<Message> {
        tokio::time::timeout(limit, self.next()).await.ok().flatten()
    }

    /// Believes that nothing comes, and that the link is open.
    pub async fn assert_quiet(&mut self) {
        if let Ok(message) = tokio::time::timeout(QUIET, self.next()).await {
            panic!("{message:x?} came (None: the link was closed)");
        }
    }

    /// Whether the link is open and in order: a heartbeat is answered.
    pub async fn assert_alive(&mut self) {
        let serial = self.send(0x0002, &[]).await;
        assert_eq!(self.reply_to(serial).await, 0);
    }

    /// Waits for the end of the link; what comes before is skipped.
    pub async fn assert_closed(&mut self) {
        while self.receive().await.is_some() {}
    }

    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(frame) = self.deframer.next(&mut self.input) {
                let frame = frame.expect("the platform writes good frames");
                return Some(Message { id: frame.header.id, serial: frame.header.serial, body: frame.body });
            }
            match self.socket.read_buf(&mut self.input).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The result of the general answer to the message `serial`.
    pub async fn reply_to(&mut self, serial: u16) -> u8 {
        let message = self.receive().await.expect("an answer");
        assert_eq!(message.id, 0x8001, "{message:x?}");
        let reply = GeneralReply::decode(&message.body, Edition::V2013).expect("decodes");
        assert_eq!(reply.serial, serial);
        reply.result.0
    }

    pub fn registration(plate: &str) -> Vec<u8> {
        let plate = protocol::jt808::gbk::encode(plate);
        let registration = Registration {
            layout: Edition::V2013,
            province: 31,
            city: 115,
            maker: Text(b"MAKER"),
            model: Text(b"MODEL-1"),
            terminal_id: Text(b"DEV0001"),
            plate_colour: if plate.is_empty() { 0 } else { 2 },
            plate: Text(&plate),
        };
        let mut body = Vec::new();
        registration.encode(&mut body, Edition::V2013);
        body
    }

    /// Registers: the code, or the result of a refusal.
    pub async fn register(&mut self, plate: &str) -> Result<String, u8> {
        let serial = self.send(0x0100, &Self::registration(plate)).await;
        let message = self.receive().await.expect("an answer");
        assert_eq!(message.id, 0x8100, "{message:x?}");
        let answer = RegisterAnswer::decode(&message.body, Edition::V2013).expect("decodes");
        assert_eq!(answer.serial, serial);
        match answer.result.0 {
            0 => Ok(answer.code.to_str().into_owned()),
            result => {
                assert!(answer.code.is_empty(), "a code goes with result 0 only");
                Err(result)
            }
        }
    }

    /// Authenticates: the result.
    pub async fn authenticate(&mut self, code: &str) -> u8 {
        let serial = self.send(0x0102, code.as_bytes()).await;
        self.reply_to(serial).await
    }

    /// Reports and wants it acknowledged.
    pub async fn report(&mut self, body: &[u8]) {
        let serial = self.send(0x0200, body).await;
        assert_eq!(self.reply_to(serial).await, 0);
    }
}

/// A location body of the time `at`, with a number of the test's own inside it.
pub fn location(at: DateTime<Utc>, alarm: u32, number: u32) -> Vec<u8> {
    use chrono::{Datelike as _, Timelike as _};
    let local = at + TimeDelta::hours(8);
    let time = BcdTime::new(
        local.year() as u16,
        local.month() as u8,
        local.day() as u8,
        local.hour() as u8,
        local.minute() as u8,
        local.second() as u8,
    );
    let mut items = Vec::new();
    Item { id: 0x01, value: &number.to_be_bytes() }.encode(&mut items);
    let mut report = LocationReport {
        alarm,
        status: 0b11,
        speed_x10: 500,
        time: time.expect("a time"),
        items: Items(&items),
        ..LocationReport::default()
    };
    report.set_coordinates(31_000_000, 121_000_000);
    let mut body = Vec::new();
    report.encode(&mut body, Edition::V2013);
    body
}
