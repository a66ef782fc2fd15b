//! A viewer who reads FLV tag by tag.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Platform;

/// An FLV body being read.
pub struct Viewer {
    socket: TcpStream,
    bytes: Vec<u8>,
    head: String,
    /// The flags of the FLV header: 1 pictures, 4 sound.
    pub flags: u8,
}

/// A tag of it.
#[derive(Debug)]
pub struct Tag {
    /// 8 sound, 9 picture.
    pub kind: u8,
    pub time_ms: u32,
    pub body: Vec<u8>,
}

impl Tag {
    pub fn is_picture(&self) -> bool {
        self.kind == 9 && self.body.get(1) == Some(&1)
    }

    /// Whether it is AAC to be heard.
    pub fn is_sound(&self) -> bool {
        self.kind == 8 && self.body.get(1) == Some(&1)
    }

    pub fn is_key_frame(&self) -> bool {
        self.is_picture() && self.body[0] >> 4 == 1
    }
}

impl Viewer {
    /// By HTTP/1.0, whose bodies have no chunks and end with the connection.
    pub async fn open(platform: &Platform, path: &str) -> Self {
        let mut socket = TcpStream::connect(platform.server.viewer_addr()).await.expect("connects");
        socket.write_all(format!("GET /{path} HTTP/1.0\r\n\r\n").as_bytes()).await.expect("sends");
        Self { socket, bytes: Vec::new(), head: String::new(), flags: 0 }
    }

    async fn more(&mut self) -> bool {
        matches!(self.socket.read_buf(&mut self.bytes).await, Ok(1..))
    }

    pub async fn head(&mut self) -> &str {
        while self.head.is_empty() {
            if let Some(end) = self.bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                self.head = String::from_utf8_lossy(&self.bytes[..end]).into_owned();
                self.bytes.drain(..end + 4);
            } else {
                assert!(self.more().await, "no head");
            }
        }
        if self.bytes.starts_with(b"FLV") || self.head.contains("flv") {
            while self.bytes.len() < 13 {
                assert!(self.more().await, "no FLV header");
            }
            assert!(self.bytes.starts_with(b"FLV"));
            self.flags = self.bytes[4];
            self.bytes.drain(..13);
        }
        &self.head
    }

    pub async fn tag(&mut self) -> Option<Tag> {
        loop {
            if let Some([kind, a, b, c, t1, t2, t3, t0, ..]) = self.bytes.get(..11) {
                let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
                if self.bytes.len() >= length + 15 {
                    let tag = Tag {
                        kind: *kind,
                        time_ms: u32::from_be_bytes([*t0, *t1, *t2, *t3]),
                        body: self.bytes[11..11 + length].to_vec(),
                    };
                    self.bytes.drain(..length + 15);
                    return Some(tag);
                }
            }
            if !self.more().await {
                return None;
            }
        }
    }

    pub async fn tags(&mut self) -> Vec<Tag> {
        let mut tags = Vec::new();
        while let Some(tag) = self.tag().await {
            tags.push(tag);
        }
        tags
    }
}
