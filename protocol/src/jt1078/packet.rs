//! One stream packet (JT/T 1078-2016 table 19): header and body, for 6- and 10-byte ids.
//!
//! Reading is lenient where devices deviate (V, P, X, CC, M and the body length are taken as they come);
//! what is read can be written again byte for byte. Knows no frames and no streams.

use std::fmt;

use bytes::Bytes;

use super::PayloadType;
use crate::reader::{Reader, Truncated};

/// What every packet starts with: "01cd".
pub const MAGIC: [u8; 4] = *b"01cd";

/// Longest body taken. The standard says 950, a WORD holds 65,535, and some devices need more than 950.
pub const MAX_BODY_BYTES: usize = 0xFFFF;

/// How many BCD bytes the SIM takes in the header; nothing in the packet tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdLength {
    /// Six bytes, as the standard writes it.
    Six,
    /// Ten bytes, as terminals of JT/T 808-2019 mostly do.
    Ten,
}

impl IdLength {
    /// The number of bytes.
    pub fn bytes(self) -> usize {
        match self {
            Self::Six => 6,
            Self::Ten => 10,
        }
    }

    /// The other of the two.
    pub fn other(self) -> Self {
        match self {
            Self::Six => Self::Ten,
            Self::Ten => Self::Six,
        }
    }
}

/// The SIM of a packet: BCD, padded with zeros on the left, kept as it came.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sim {
    bytes: [u8; 10],
    length: IdLength,
}

impl Sim {
    /// A SIM of six BCD bytes.
    pub fn six(id: [u8; 6]) -> Self {
        let mut bytes = [0; 10];
        for (to, from) in bytes.iter_mut().zip(id) {
            *to = from;
        }
        Self { bytes, length: IdLength::Six }
    }

    /// A SIM of ten BCD bytes.
    pub fn ten(bytes: [u8; 10]) -> Self {
        Self { bytes, length: IdLength::Ten }
    }

    /// The BCD bytes as on the wire, six or ten.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length.bytes()).unwrap_or_default()
    }

    /// How many bytes it took on the wire.
    pub fn length(&self) -> IdLength {
        self.length
    }

    /// Whether `bcd` is the same number once leading zeros are dropped: devices keep or lose them, and the
    /// control link may carry ten bytes where the stream carries six.
    pub fn is_same_number(&self, bcd: &[u8]) -> bool {
        significant_nibbles(self.as_bytes()).eq(significant_nibbles(bcd))
    }
}

fn significant_nibbles(bcd: &[u8]) -> impl Iterator<Item = u8> + '_ {
    bcd.iter().flat_map(|byte| [byte >> 4, byte & 0x0F]).skip_while(|nibble| *nibble == 0)
}

impl fmt::Display for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sim({self})")
    }
}

/// What a packet carries (high nibble of byte 15); decides which header fields exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataType {
    /// Video, an I frame by the device's word.
    I,
    /// Video, a P frame.
    P,
    /// Video, a B frame.
    B,
    /// Audio.
    Audio,
    /// Transparent data.
    Transparent,
}

impl DataType {
    /// By its number, 0-4.
    pub fn from_nibble(nibble: u8) -> Option<Self> {
        Some(match nibble {
            0 => Self::I,
            1 => Self::P,
            2 => Self::B,
            3 => Self::Audio,
            4 => Self::Transparent,
            _ => return None,
        })
    }

    /// Its number, 0-4.
    pub fn nibble(self) -> u8 {
        match self {
            Self::I => 0,
            Self::P => 1,
            Self::B => 2,
            Self::Audio => 3,
            Self::Transparent => 4,
        }
    }

    /// Whether it is one of the three kinds of picture.
    pub fn is_video(self) -> bool {
        matches!(self, Self::I | Self::P | Self::B)
    }
}

/// Which part of a frame a packet is (low nibble of byte 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SubPackage {
    /// The whole frame.
    Whole,
    /// Its first part.
    First,
    /// Its last part.
    Last,
    /// A part between.
    Middle,
}

impl SubPackage {
    /// By its number, 0-3 (not in the order of time: first 1, middle 3, last 2).
    pub fn from_nibble(nibble: u8) -> Option<Self> {
        Some(match nibble {
            0 => Self::Whole,
            1 => Self::First,
            2 => Self::Last,
            3 => Self::Middle,
            _ => return None,
        })
    }

    /// Its number, 0-3.
    pub fn nibble(self) -> u8 {
        match self {
            Self::Whole => 0,
            Self::First => 1,
            Self::Last => 2,
            Self::Middle => 3,
        }
    }
}

/// Everything of a packet before its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// V, P, X and CC as they came; the standard says 0x81 and devices differ. Only a sender is strict.
    pub flags: u8,
    /// M: last packet of a frame. Some devices never set it; nothing here relies on it.
    pub marker: bool,
    /// Codec of the body.
    pub payload_type: PayloadType,
    /// Rises by one per packet and wraps at 65,536.
    pub sequence: u16,
    /// Whose stream.
    pub sim: Sim,
    /// Logical channel (JT/T 1076 table 2); opaque.
    pub channel: u8,
    /// What the body is.
    pub data_type: DataType,
    /// Which part of its frame.
    pub sub_package: SubPackage,
    /// Milliseconds since anything; absent for transparent data.
    pub timestamp_ms: Option<u64>,
    /// Milliseconds since the last I frame; video only, often wrong.
    pub since_key_ms: Option<u16>,
    /// Milliseconds since the last frame; video only, often wrong.
    pub since_frame_ms: Option<u16>,
}

/// A packet that borrows its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The header.
    pub header: Header,
    /// The body.
    pub body: &'a [u8],
}

/// A packet whose body is a share of the connection's read buffer: cheap to keep and to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedPacket {
    /// The header.
    pub header: Header,
    /// The body.
    pub body: Bytes,
}

/// Why bytes are no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// The bytes end inside the packet.
    #[error(transparent)]
    Truncated(#[from] Truncated),
    /// The first four bytes are not the magic.
    #[error("the packet does not start with 30316364")]
    Magic,
    /// Data type above 4: the header's length cannot be known.
    #[error("data type {0} is not defined")]
    DataType(u8),
    /// Sub-package mark above 3.
    #[error("sub-package mark {0} is not defined")]
    SubPackage(u8),
}

impl Header {
    /// Reads a header off `reader`, and the length of the body that follows it.
    pub fn read(reader: &mut Reader<'_>, id_length: IdLength) -> Result<(Self, usize), PacketError> {
        if reader.array()? != MAGIC {
            return Err(PacketError::Magic);
        }
        let flags = reader.u8()?;
        let payload = reader.u8()?;
        let sequence = reader.u16()?;
        let sim = match id_length {
            IdLength::Six => Sim::six(reader.array()?),
            IdLength::Ten => Sim::ten(reader.array()?),
        };
        let channel = reader.u8()?;
        let kinds = reader.u8()?;
        let data_type = DataType::from_nibble(kinds >> 4).ok_or(PacketError::DataType(kinds >> 4))?;
        let sub_package =
            SubPackage::from_nibble(kinds & 0x0F).ok_or(PacketError::SubPackage(kinds & 0x0F))?;
        let timestamp_ms = if data_type == DataType::Transparent { None } else { Some(reader.u64()?) };
        let (since_key_ms, since_frame_ms) =
            if data_type.is_video() { (Some(reader.u16()?), Some(reader.u16()?)) } else { (None, None) };
        let body_bytes = usize::from(reader.u16()?);
        let header = Self {
            flags,
            marker: payload & 0x80 != 0,
            payload_type: PayloadType(payload & 0x7F),
            sequence,
            sim,
            channel,
            data_type,
            sub_package,
            timestamp_ms,
            since_key_ms,
            since_frame_ms,
        };
        Ok((header, body_bytes))
    }

    /// Length of the header on the wire, body length field included: 18, 26 or 30 with a six-byte id.
    pub fn wire_bytes(&self) -> usize {
        let fixed = 12 + self.sim.length().bytes();
        match self.data_type {
            DataType::Transparent => fixed,
            DataType::Audio => fixed + 8,
            DataType::I | DataType::P | DataType::B => fixed + 12,
        }
    }

    /// Writes the header and the length of a body of `body_bytes`. Which fields are written follows from the
    /// data type, as on reading; a field that is missing is written as 0.
    fn write(&self, body_bytes: u16, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.push(self.flags);
        out.push(u8::from(self.marker) << 7 | (self.payload_type.0 & 0x7F));
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(self.sim.as_bytes());
        out.push(self.channel);
        out.push(self.data_type.nibble() << 4 | self.sub_package.nibble());
        if self.data_type != DataType::Transparent {
            out.extend_from_slice(&self.timestamp_ms.unwrap_or_default().to_be_bytes());
        }
        if self.data_type.is_video() {
            out.extend_from_slice(&self.since_key_ms.unwrap_or_default().to_be_bytes());
            out.extend_from_slice(&self.since_frame_ms.unwrap_or_default().to_be_bytes());
        }
        out.extend_from_slice(&body_bytes.to_be_bytes());
    }
}

impl<'a> Packet<'a> {
    /// Reads one packet from the start of `bytes`; what follows it is left alone ([`Packet::wire_bytes`]).
    pub fn parse(bytes: &'a [u8], id_length: IdLength) -> Result<Self, PacketError> {
        let mut reader = Reader::new(bytes);
        let (header, body_bytes) = Header::read(&mut reader, id_length)?;
        Ok(Self { header, body: reader.bytes(body_bytes)? })
    }

    /// Length of the packet on the wire.
    pub fn wire_bytes(&self) -> usize {
        self.header.wire_bytes() + self.body.len()
    }

    /// Appends the packet as it was read. A body above [`MAX_BODY_BYTES`] is cut there: its length field
    /// cannot say more.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let length = u16::try_from(self.body.len()).unwrap_or(u16::MAX);
        self.header.write(length, out);
        out.extend_from_slice(self.body.get(..usize::from(length)).unwrap_or(self.body));
    }
}

impl SharedPacket {
    /// The packet, borrowing the body.
    pub fn as_packet(&self) -> Packet<'_> {
        Packet { header: self.header, body: &self.body }
    }
}
