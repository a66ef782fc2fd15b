//! What a terminal reads: frames, headers and split messages of the platform. Like [`encode`](super::encode), code of
//! its own. A frame that does not hold is dropped: what the platform wants it sends again.

use bytes::{Buf, Bytes, BytesMut};

use crate::jt808::Edition;
use crate::reader::Reader;

/// The longest downlink frame that is collected, bytes before unescaping.
pub(super) const FRAME_MAX: usize = 4096;
/// The most packages of one split command, and the most bytes that they hold together.
const PACKAGES_MAX: u16 = 64;

/// One message of the platform, or one package of a split one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Downlink {
    pub(super) id: u16,
    pub(super) serial: u16,
    /// Total and index.
    pub(super) package: Option<(u16, u16)>,
    pub(super) body: Bytes,
}

/// Cuts the next frame off `input`: `Some(None)` is a frame that does not hold, None wants more input.
pub(super) fn next(edition: Edition, input: &mut BytesMut) -> Option<Option<Downlink>> {
    loop {
        let open = input.iter().position(|b| *b == 0x7e).unwrap_or(input.len());
        input.advance(open);
        let close = input.iter().skip(1).position(|b| *b == 0x7e)? + 1;
        let segment = input.split_to(close);
        let segment = segment.get(1..).unwrap_or_default();
        if segment.is_empty() {
            continue;
        }
        let downlink = parse(edition, segment);
        // The closing delimiter of a good frame belongs to it; that of a bad one may open the next.
        if downlink.is_some() {
            input.advance(1);
        }
        return Some(downlink);
    }
}

fn parse(edition: Edition, segment: &[u8]) -> Option<Downlink> {
    let mut plain = Vec::with_capacity(segment.len());
    let mut bytes = segment.iter();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            0x7d => match bytes.next()? {
                0x01 => 0x7d,
                0x02 => 0x7e,
                _ => return None,
            },
            byte => *byte,
        });
    }
    if plain.iter().fold(0, |check, byte| check ^ byte) != 0 {
        return None;
    }
    plain.pop();
    let mut reader = Reader::new(&plain);
    let id = reader.u16().ok()?;
    let attributes = reader.u16().ok()?;
    // The platform must answer in the form that the terminal used: this is no place to be lenient.
    if (attributes & 1 << 14 != 0) != (edition == Edition::V2019) {
        return None;
    }
    reader.bytes(if edition == Edition::V2019 { 11 } else { 6 }).ok()?;
    let serial = reader.u16().ok()?;
    let package =
        if attributes & 1 << 13 != 0 { Some((reader.u16().ok()?, reader.u16().ok()?)) } else { None };
    let body = reader.take_rest();
    if body.len() != usize::from(attributes & 0x03ff) {
        return None;
    }
    Some(Downlink { id, serial, package, body: Bytes::copy_from_slice(body) })
}

/// Collects the packages of one split command at a time; a new one takes the place of an unfinished one.
#[derive(Debug, Default)]
pub(super) struct Collector {
    id: u16,
    first_serial: u16,
    parts: Vec<Option<Bytes>>,
}

impl Collector {
    /// Takes one package; the whole body once it is the last that was missing. The whole carries the serial number
    /// of the run's last package, which is what terminals in the field answer.
    pub(super) fn take(&mut self, part: Downlink) -> Option<Downlink> {
        let Some((total, index)) = part.package else { return Some(part) };
        if index == 0 || index > total || total > PACKAGES_MAX {
            return None;
        }
        let first_serial = part.serial.wrapping_sub(index - 1);
        if (self.id, self.first_serial, self.parts.len()) != (part.id, first_serial, usize::from(total)) {
            *self = Self { id: part.id, first_serial, parts: vec![None; usize::from(total)] };
        }
        *self.parts.get_mut(usize::from(index - 1))? = Some(part.body);
        if self.parts.iter().any(Option::is_none) {
            return None;
        }
        let body: Vec<u8> = self.parts.drain(..).flatten().flatten().collect();
        Some(Downlink {
            id: part.id,
            serial: first_serial.wrapping_add(total - 1),
            package: None,
            body: body.into(),
        })
    }

    /// The first serial number and the missing indexes of the command that is being collected.
    pub(super) fn missing(&self) -> Option<(u16, Vec<u16>)> {
        let missing: Vec<u16> =
            (1..).zip(&self.parts).filter(|(_, part)| part.is_none()).map(|(index, _)| index).collect();
        (!missing.is_empty()).then_some((self.first_serial, missing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resynchronises_after_a_bad_frame_that_shares_its_delimiter() {
        // A general answer with serial 5 to 0x0002, after noise and half a frame.
        let good = "7e8001000501391234567800000005000200b37e";
        let mut input =
            BytesMut::from(&hex::decode(format!("2424 7e80 {good}").replace(' ', "")).unwrap()[..]);
        assert_eq!(next(Edition::V2013, &mut input), Some(None));
        let Some(Some(found)) = next(Edition::V2013, &mut input) else { panic!("a frame") };
        assert_eq!((found.id, found.serial, &found.body[..]), (0x8001, 0, &[0, 5, 0, 2, 0][..]));
        assert_eq!(next(Edition::V2013, &mut input), None);
    }

    #[test]
    fn collects_packages_in_any_order() {
        let part = |serial, index, body: &'static [u8]| Downlink {
            id: 0x8300,
            serial,
            package: Some((2, index)),
            body: Bytes::from_static(body),
        };
        let mut collector = Collector::default();
        assert_eq!(collector.take(part(8, 2, b"b")), None);
        assert_eq!(collector.missing(), Some((7, vec![1])));
        let whole = collector.take(part(7, 1, b"a")).expect("whole");
        assert_eq!((whole.serial, &whole.body[..]), (8, &b"ab"[..]));
    }
}
