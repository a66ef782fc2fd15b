//! What a terminal has said, byte by byte as it came, so that a gateway can be told it again.
//!
//! Knows where an authentication stands among the bytes; knows no session and no socket.

use bytes::BytesMut;
use protocol::jt808::frame::FRAME_BYTES_MAX_STANDARD;
use protocol::jt808::message::Authentication;
use protocol::jt808::{Deframer, FrameSettings, id};

/// What is kept of a stranger's earlier bytes: an authentication may have begun in them.
const TAIL_BYTES: usize = FRAME_BYTES_MAX_STANDARD + 2;

/// The bytes of a terminal: the latest ones only, until they are kept.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    bytes: Vec<u8>,
    is_kept: bool,
}

impl Heard {
    /// Takes what has just been read.
    pub(crate) fn take(&mut self, read: &[u8]) {
        if !self.is_kept {
            self.bytes.drain(..self.bytes.len().saturating_sub(TAIL_BYTES));
        }
        self.bytes.extend_from_slice(read);
    }

    /// Keeps everything from the authentication with `code` on, and gives its serial number; None where it does not
    /// stand there in one piece.
    pub(crate) fn keep_from(&mut self, code: &[u8]) -> Option<u16> {
        let mut deframer = Deframer::new(FrameSettings::default());
        let mut input = BytesMut::from(self.bytes.as_slice());
        let frame = std::iter::from_fn(|| deframer.next(&mut input)).flatten().find(|frame| {
            let edition = frame.header.edition();
            frame.header.id == id::AUTHENTICATE
                && Authentication::decode(&frame.body, edition).is_ok_and(|said| said.code.raw() == code)
        })?;
        // The byte before a frame is the delimiter that opens it.
        let begin = usize::try_from(frame.offset).ok()?.checked_sub(1)?;
        self.bytes.drain(..begin);
        self.is_kept = true;
        Some(frame.header.serial)
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use protocol::jt808::{Edition, Header, Phone, frame};

    use super::*;

    fn message(id: u16, serial: u16, body: &[u8]) -> Vec<u8> {
        let phone = Phone::short("13912345678").expect("a phone number");
        let mut bytes = Vec::new();
        frame::encode(&Header::new(id, Edition::V2013, phone, serial), body, &mut bytes);
        bytes
    }

    #[test]
    fn everything_from_the_accepted_authentication_on_is_kept_as_it_came() {
        let (wrong, right) = (message(0x0102, 7, b"wrong"), message(0x0102, 8, b"ri~ght"));
        let (report, later) = (message(0x0200, 9, &[1; 30]), message(0x0002, 10, &[]));
        let mut heard = Heard::default();
        heard.take(b"noise");
        heard.take(&wrong);
        // Cut anywhere, even inside of an escape.
        for byte in &right {
            heard.take(std::slice::from_ref(byte));
        }
        heard.take(&report);
        assert_eq!(heard.keep_from(b"ri~ght"), Some(8));
        heard.take(&later);
        assert_eq!(heard.into_bytes(), [right, report, later].concat());
    }

    #[test]
    fn of_a_stranger_only_the_end_is_kept() {
        let mut heard = Heard::default();
        for _ in 0..100 {
            heard.take(&[0x30; 4_096]);
        }
        assert!(heard.len() <= TAIL_BYTES + 4_096, "{}", heard.len());
        heard.take(&message(0x0102, 3, b"code"));
        assert_eq!(heard.keep_from(b"other"), None);
        assert_eq!(heard.keep_from(b"code"), Some(3));
        assert_eq!(heard.into_bytes(), message(0x0102, 3, b"code"));
    }
}
