//! Framing: `7e | header | body | check | 7e`, with 7e and 7d inside written as 7d 02 and 7d 01.
//!
//! Finds frames in a stream of bytes, whatever lies between them, and writes them. Knows no message bodies and
//! does not put split messages together ([`crate::jt808::Reassembler`] does).

use std::cell::Cell;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

use crate::jt808::header::{HEADER_BYTES_MAX, Header, PACKAGE_BODY_BYTES_MAX, Package};

/// What begins and ends every frame.
pub const DELIMITER: u8 = 0x7e;
const ESCAPE: u8 = 0x7d;

/// The longest frame of the standard between its delimiters: header, body and check byte, all of them escaped.
pub const FRAME_BYTES_MAX_STANDARD: usize = 2 * (HEADER_BYTES_MAX + PACKAGE_BODY_BYTES_MAX + 1);

/// How a [`Deframer`] treats a stream.
#[derive(Clone, Copy, Debug)]
pub struct FrameSettings {
    /// The most bytes between two delimiters, as they come from the wire; what is longer is skipped up to the
    /// next delimiter. Bounds the memory of a connection that never sends one.
    pub frame_bytes_max: usize,
    /// Whether a frame with a wrong check byte is taken all the same, for devices that cannot do better.
    pub accept_wrong_checksum: bool,
}

impl Default for FrameSettings {
    /// The standard's longest frame, and no mercy for checksums.
    fn default() -> Self {
        Self { frame_bytes_max: FRAME_BYTES_MAX_STANDARD, accept_wrong_checksum: false }
    }
}

/// One frame: its header, and the body as a slice of the buffer that it was received in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The header.
    pub header: Header,
    /// The body, unescaped. Its length is what lies between the delimiters, whatever the header says.
    pub body: Bytes,
    /// The body's length as the header declares it; some devices count wrong.
    pub declared_len: usize,
    /// Where the frame's first byte after its opening delimiter stood in the stream.
    pub offset: u64,
}

impl Frame {
    /// Whether the header declares the length that the body has.
    pub fn length_agrees(&self) -> bool {
        self.declared_len == self.body.len()
    }
}

/// Bytes of the stream that are no frame. They are gone; the next frame is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {kind}")]
pub struct FrameError {
    /// Where the bytes began in the stream.
    pub offset: u64,
    /// What was wrong with them.
    pub kind: FrameErrorKind,
}

/// What is wrong with bytes that are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameErrorKind {
    /// Bytes before the first delimiter, or between one frame and the next.
    #[error("{bytes} bytes outside of any frame")]
    Noise {
        /// How many.
        bytes: usize,
    },
    /// A 7d that neither 01 nor 02 follows.
    #[error("7d without 01 or 02 behind it, at byte {at} of the frame")]
    LoneEscape {
        /// Its place after the opening delimiter.
        at: usize,
    },
    /// The exclusive or of all bytes is not the check byte.
    #[error("check byte {carried:02x} instead of {computed:02x}")]
    Checksum {
        /// The check byte of the frame.
        carried: u8,
        /// What it should have been.
        computed: u8,
    },
    /// No delimiter within the bound.
    #[error("more than {bytes_max} bytes without a delimiter")]
    Oversize {
        /// The bound.
        bytes_max: usize,
    },
    /// Too few bytes for a header and a check byte.
    #[error("{bytes} bytes are too few for a header")]
    Short {
        /// How many there were, unescaped.
        bytes: usize,
    },
}

/// What a [`Deframer`] has seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCounts {
    /// Frames given out.
    pub frames: u64,
    /// Frames given out whose header declares another length than they have.
    pub wrong_length: u64,
    /// Frames given out whose check byte was wrong ([`FrameSettings::accept_wrong_checksum`]).
    pub wrong_checksum_accepted: u64,
    /// [`FrameErrorKind::Noise`].
    pub noise: u64,
    /// [`FrameErrorKind::LoneEscape`].
    pub lone_escape: u64,
    /// [`FrameErrorKind::Checksum`].
    pub checksum: u64,
    /// [`FrameErrorKind::Oversize`].
    pub oversize: u64,
    /// [`FrameErrorKind::Short`].
    pub short: u64,
}

/// Cuts a stream of bytes into frames.
///
/// Feed a buffer, call [`next`](Self::next) until it gives `None`, add more bytes to the same buffer. A good
/// frame behind bad bytes is never lost: every 7e that closes a bad frame may open the next one.
#[derive(Debug)]
pub struct Deframer {
    settings: FrameSettings,
    counts: FrameCounts,
    state: State,
    /// Stream position of the input's first byte.
    offset: u64,
    /// How many bytes of the input are known to hold no delimiter.
    scanned: usize,
}

/// What the last delimiter was to the bytes that follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There was none yet: what comes is noise.
    Unopened,
    /// It opened a frame, or ended something broken and may have.
    Open,
    /// It closed a good frame. Devices that share a single 7e open the next one with it; otherwise noise.
    Closed,
    /// The bound was passed; nothing is taken up to the next one.
    Oversize,
}

impl Deframer {
    /// A deframer at the beginning of a stream.
    pub fn new(settings: FrameSettings) -> Self {
        Self { settings, counts: FrameCounts::default(), state: State::Unopened, offset: 0, scanned: 0 }
    }

    /// What was seen so far.
    pub fn counts(&self) -> FrameCounts {
        self.counts
    }

    /// Stream position of the first byte that was not consumed yet.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next frame of `input`, or what stood in its place; `None` when more bytes are needed. Consumes what
    /// it gives out and leaves at most [`FrameSettings::frame_bytes_max`] bytes in `input`. Bodies are slices
    /// of `input`'s memory, unescaped in place.
    pub fn next(&mut self, input: &mut BytesMut) -> Option<Result<Frame, FrameError>> {
        loop {
            let Some(len) = self.delimiter(input) else {
                return self.overflow(input).map(|error| Err(self.count(error)));
            };
            let offset = self.offset;
            let segment = input.split_to(len);
            input.advance(1);
            self.offset += len as u64 + 1;
            self.scanned = 0;
            if segment.len() > self.settings.frame_bytes_max && self.state != State::Oversize {
                self.state = State::Open;
                let kind = FrameErrorKind::Oversize { bytes_max: self.settings.frame_bytes_max };
                return Some(Err(self.count(FrameError { offset, kind })));
            }
            if segment.is_empty() || self.state == State::Oversize {
                self.state = State::Open;
                continue;
            }
            let bytes = segment.len();
            let frame = match self.state {
                State::Unopened => Err(FrameErrorKind::Noise { bytes }),
                State::Closed => self
                    .frame(segment, offset)
                    .ok()
                    .filter(Frame::length_agrees)
                    .ok_or(FrameErrorKind::Noise { bytes }),
                State::Open | State::Oversize => self.frame(segment, offset),
            };
            return Some(match frame {
                Ok(frame) => {
                    self.state = State::Closed;
                    self.counts.frames += 1;
                    self.counts.wrong_length += u64::from(!frame.length_agrees());
                    Ok(frame)
                }
                Err(kind) => {
                    self.state = State::Open;
                    Err(self.count(FrameError { offset, kind }))
                }
            });
        }
    }

    fn delimiter(&mut self, input: &[u8]) -> Option<usize> {
        let unseen = input.get(self.scanned..).unwrap_or_default();
        let found = memchr(DELIMITER, unseen).map(|at| self.scanned + at);
        self.scanned = input.len();
        found
    }

    /// Drops what is already longer than any frame may be.
    fn overflow(&mut self, input: &mut BytesMut) -> Option<FrameError> {
        let bytes_max = self.settings.frame_bytes_max;
        let oversize = self.state == State::Oversize;
        if !oversize && input.len() <= bytes_max {
            return None;
        }
        let offset = self.offset;
        self.offset += input.len() as u64;
        self.scanned = 0;
        input.clear();
        self.state = State::Oversize;
        (!oversize).then_some(FrameError { offset, kind: FrameErrorKind::Oversize { bytes_max } })
    }

    #[inline]
    fn frame(&mut self, mut segment: BytesMut, offset: u64) -> Result<Frame, FrameErrorKind> {
        let unescaped = unescape(&mut segment);
        let computed = check(&segment);
        let bytes = segment.len();
        match unescaped {
            Err(lone) if lone.last && computed == 0 => {} // an unescaped check byte
            Err(lone) => return Err(FrameErrorKind::LoneEscape { at: lone.at }),
            Ok(()) => {}
        }
        let Some((carried, message)) = segment.split_last() else {
            return Err(FrameErrorKind::Short { bytes });
        };
        let carried = *carried;
        let Ok((header, body, declared_len)) = Header::decode(message) else {
            return Err(FrameErrorKind::Short { bytes });
        };
        let (body_at, body_end) = (message.len() - body.len(), message.len());
        if computed != 0 {
            if !self.settings.accept_wrong_checksum {
                return Err(FrameErrorKind::Checksum { carried, computed: computed ^ carried });
            }
            self.counts.wrong_checksum_accepted += 1;
        }
        segment.truncate(body_end);
        let mut body = segment.freeze();
        body.advance(body_at);
        Ok(Frame { header, body, declared_len, offset })
    }

    fn count(&mut self, error: FrameError) -> FrameError {
        let count = match error.kind {
            FrameErrorKind::Noise { .. } => &mut self.counts.noise,
            FrameErrorKind::LoneEscape { .. } => &mut self.counts.lone_escape,
            FrameErrorKind::Checksum { .. } => &mut self.counts.checksum,
            FrameErrorKind::Oversize { .. } => &mut self.counts.oversize,
            FrameErrorKind::Short { .. } => &mut self.counts.short,
        };
        *count += 1;
        error
    }
}

/// Appends the frame of a whole message or of one package, delimiters included.
///
/// The header's length field has ten bits: for a body over [`PACKAGE_BODY_BYTES_MAX`] use [`encode_split`].
pub fn encode(header: &Header, body: &[u8], out: &mut Vec<u8>) {
    let mut head = Vec::with_capacity(HEADER_BYTES_MAX);
    header.encode(&mut head, body.len());
    let check = check(&head) ^ check(body);
    out.reserve(head.len() + body.len() + 8);
    out.push(DELIMITER);
    escape(&head, out);
    escape(body, out);
    escape(&[check], out);
    out.push(DELIMITER);
}

/// Appends the frames of a message of any length up to 65,535 packages: one frame where it fits, otherwise
/// packages of at most `package_bytes_max` bytes (1 to [`PACKAGE_BODY_BYTES_MAX`]) with consecutive serials
/// from the header's. Gives how many serials were used; the terminal acknowledges the last one.
pub fn encode_split(
    header: &Header,
    body: &[u8],
    package_bytes_max: usize,
    out: &mut Vec<u8>,
) -> Option<u16> {
    let package_bytes = package_bytes_max.clamp(1, PACKAGE_BODY_BYTES_MAX);
    if body.len() <= package_bytes {
        encode(header, body, out);
        return Some(1);
    }
    let total = u16::try_from(body.len().div_ceil(package_bytes)).ok()?;
    for (package, index) in body.chunks(package_bytes).zip(1..=total) {
        let serial = header.serial.wrapping_add(index - 1);
        let header = Header { serial, package: Some(Package { total, index }), ..*header };
        encode(&header, package, out);
    }
    Some(total)
}

/// Appends `bytes` with 7e and 7d escaped.
pub fn escape(mut bytes: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = bytes.iter().position(|byte| matches!(*byte, DELIMITER | ESCAPE)) {
        let (plain, rest) = bytes.split_at(at);
        out.extend_from_slice(plain);
        let Some((special, rest)) = rest.split_first() else { return };
        out.extend_from_slice(&[ESCAPE, if *special == DELIMITER { 2 } else { 1 }]);
        bytes = rest;
    }
    out.extend_from_slice(bytes);
}

/// The exclusive or of all bytes, sixteen at a time.
fn check(bytes: &[u8]) -> u8 {
    let (blocks, rest) = bytes.as_chunks::<16>();
    let folded = blocks.iter().fold(0, |sum, block| sum ^ u128::from_ne_bytes(*block));
    folded.to_ne_bytes().iter().chain(rest).fold(0, |sum, byte| sum ^ byte)
}

struct LoneEscape {
    at: usize,
    last: bool,
}

/// Unescapes in place. After an error the bytes are as far unescaped as they could be.
fn unescape(bytes: &mut BytesMut) -> Result<(), LoneEscape> {
    let Some(first) = memchr(ESCAPE, bytes) else { return Ok(()) };
    let cells = Cell::from_mut(bytes.as_mut()).as_slice_of_cells();
    let (mut read, mut write) = (cells.iter().skip(first), cells.iter().skip(first));
    let (mut kept, mut at) = (first, first);
    let mut lone = None;
    while let Some(byte) = read.next().map(Cell::get) {
        let mut value = byte;
        if byte == ESCAPE {
            match read.next().map(Cell::get) {
                Some(1) => {}
                Some(2) => value = DELIMITER,
                next => {
                    lone = Some(LoneEscape { at, last: next.is_none() });
                    if next.is_some() {
                        break;
                    }
                }
            }
            at += 1;
        }
        at += 1;
        if let Some(cell) = write.next() {
            cell.set(value);
        }
        kept += 1;
    }
    bytes.truncate(kept);
    lone.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests;
