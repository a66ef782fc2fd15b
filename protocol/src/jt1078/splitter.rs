//! A stream of bytes to packets.

use bytes::BytesMut;

use super::{IdLength, SharedPacket};

/// Cuts one connection's bytes into packets. Goes by length; looks for the magic only to find its feet again.
///
/// Feed the read buffer to [`Splitter::split`] until it gives `None`, then read more into the same buffer.
#[derive(Debug)]
pub struct Splitter {}

impl Splitter {
    /// `hint`: the id length to expect, from the edition of the terminal's control link; it is tried first
    /// and verified, never trusted.
    pub fn new(_hint: Option<IdLength>) -> Self {
        todo!()
    }

    /// The next packet, taken off the front of `buffer` without a copy; `None`: more bytes are wanted.
    ///
    /// The first packet (and the first after a loss of step) is handed out only when the magic of a second
    /// one was seen where the first ends.
    pub fn split(&mut self, _buffer: &mut BytesMut) -> Option<SharedPacket> {
        todo!()
    }

    /// Like [`Splitter::split`] after the stream ended: the last packet counts when it ends where the bytes end.
    pub fn finish(&mut self, _buffer: &mut BytesMut) -> Option<SharedPacket> {
        todo!()
    }

    /// The id length in use, once it is settled.
    pub fn id_length(&self) -> Option<IdLength> {
        todo!()
    }

    /// Bytes thrown away so far because no packet was found in them.
    pub fn skipped_bytes(&self) -> u64 {
        todo!()
    }
}
