//! JT/T 1078-2016: the media stream of a terminal, and the signalling that starts and stops it.
//!
//! A connection's bytes go through a [`Splitter`] (stream to packets), then, per (SIM, channel), through an
//! [`Assembler`] (packets to frames). [`signalling`] holds the bodies that travel inside JT/T 808 frames.
//! [`packetize`] is the terminal's own way out, written apart from the way in.
//! Knows no sockets, no requests and no viewers.

mod assembler;
mod packet;
pub mod packetize;
mod payload;
mod sample_clock;
pub mod signalling;
mod splitter;
mod timeline;
pub mod voice;

pub use assembler::{Assembler, Counters, Frame, FrameKind, MAX_FRAME_BYTES};
pub use packet::{
    DataType, Header, IdLength, MAGIC, MAX_BODY_BYTES, Packet, PacketError, SharedPacket, Sim, SubPackage,
};
pub use payload::PayloadType;
pub use sample_clock::SampleClock;
pub use splitter::Splitter;
pub use timeline::{Timeline, Track};
