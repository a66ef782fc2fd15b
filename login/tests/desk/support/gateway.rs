//! A gateway that takes spliced connections and does what the test says.

use bytes::BytesMut;
use chrono::Utc;
use cluster::proxy::{Spliced, Unsealer};
use protocol::jt808::message::{GeneralReply, ReplyResult};
use protocol::jt808::{Deframer, Edition, FrameSettings, Header, frame};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Message, QUIET, WITHIN, secret};

pub struct Gateway {
    listener: TcpListener,
    unsealer: Unsealer,
}

/// A spliced terminal, at the gateway's end.
pub struct Link {
    socket: TcpStream,
    /// Who dialled whom.
    pub who: Spliced,
    deframer: Deframer,
    input: BytesMut,
    /// The header of the terminal's latest message.
    header: Option<Header>,
    serial: u16,
}

impl Gateway {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self { listener, unsealer: Unsealer::new(secret()) }
    }

    pub fn port(&self) -> u16 {
        self.listener.local_addr().expect("bound").port()
    }

    /// The next connection, behind its header.
    pub async fn accept(&self) -> Link {
        let accepted = tokio::time::timeout(WITHIN, self.listener.accept()).await;
        let (mut socket, _) = accepted.expect("a connection within the limit").expect("a connection");
        let mut input = BytesMut::new();
        let (who, taken) = loop {
            let now = Utc::now().timestamp().unsigned_abs();
            if let Some(read) = self.unsealer.read(&input, now).expect("a genuine header") {
                break read;
            }
            assert_ne!(socket.read_buf(&mut input).await.expect("reads"), 0, "the header is whole");
        };
        let _ = input.split_to(taken);
        let deframer = Deframer::new(FrameSettings::default());
        Link { socket, who, deframer, input, header: None, serial: 0 }
    }

    /// The next connection, whose authentication is accepted.
    pub async fn let_in(&self) -> Link {
        let mut link = self.accept().await;
        let authentication = link.receive().await.expect("an authentication");
        assert_eq!(authentication.id, 0x0102);
        link.reply(authentication.serial, 0x0102, 0).await;
        link
    }

    /// Believes that nobody dials.
    pub async fn assert_quiet(&self) {
        assert!(tokio::time::timeout(QUIET, self.listener.accept()).await.is_err(), "a connection came");
    }
}

impl Link {
    /// The terminal's next message; None when its link was closed.
    pub async fn receive(&mut self) -> Option<Message> {
        tokio::time::timeout(WITHIN, self.next()).await.expect("a message or the end within the limit")
    }

    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(frame) = self.deframer.next(&mut self.input) {
                let frame = frame.expect("nothing but frames is passed on");
                self.header = Some(frame.header);
                return Some(Message { id: frame.header.id, serial: frame.header.serial, body: frame.body });
            }
            match self.socket.read_buf(&mut self.input).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Sends a message in the form of the terminal's latest.
    pub async fn send(&mut self, id: u16, body: &[u8]) {
        let header = self.header.expect("the terminal has spoken").answer(id, self.serial);
        self.serial += 1;
        let mut bytes = Vec::new();
        frame::encode(&header, body, &mut bytes);
        self.socket.write_all(&bytes).await.expect("the link takes bytes");
    }

    /// The general answer to a message.
    pub async fn reply(&mut self, serial: u16, id: u16, result: u8) {
        let mut body = Vec::new();
        GeneralReply::new(serial, id, ReplyResult(result)).encode(&mut body, Edition::V2013);
        self.send(0x8001, &body).await;
    }

    /// Waits for the end of the link; what comes before is skipped.
    pub async fn assert_closed(&mut self) {
        while self.receive().await.is_some() {}
    }
}
