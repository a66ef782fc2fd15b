//! The terminal's way out: frames to packets, as strict as the standard (flags 0x81, M on the last part,
//! bodies of at most 950 bytes).

use super::{DataType, PayloadType, Sim};

/// Longest body that the standard lets a sender put into one packet.
pub const MAX_SENT_BODY_BYTES: usize = 950;

/// Cuts one channel's frames into packets and keeps their sequence number.
#[derive(Clone, Debug)]
pub struct Packetizer {}

impl Packetizer {
    /// For the stream of `sim` and `channel`; the first packet has the sequence number 0.
    pub fn new(_sim: Sim, _channel: u8) -> Self {
        todo!()
    }

    /// Appends the packets of one frame to `out`, back to back as a terminal sends them.
    /// `timestamp_ms`: on any base; left out on the wire for transparent data.
    pub fn frame(
        &mut self,
        _data_type: DataType,
        _payload_type: PayloadType,
        _timestamp_ms: u64,
        _data: &[u8],
        _out: &mut Vec<u8>,
    ) {
        todo!()
    }
}
