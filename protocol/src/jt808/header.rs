//! The message header in its two forms (2011/2013 and 2019), and which of them a frame has.
//!
//! Knows no bodies and no framing: it is given the unescaped bytes between two delimiters.

use crate::jt808::Phone;
use crate::reader::{Reader, Truncated};

/// The longest body that one package carries: the ten bits of its length.
pub const PACKAGE_BODY_BYTES_MAX: usize = 0x3ff;
/// The longest header: 2019 with a package item.
pub const HEADER_BYTES_MAX: usize = 21;
/// The shortest header: 2011/2013 without a package item.
pub const HEADER_BYTES_MIN: usize = 12;

const LENGTH_MASK: u16 = 0x03ff;
const ENCRYPTION_SHIFT: u32 = 10;
const PACKAGED: u16 = 1 << 13;
const VERSIONED: u16 = 1 << 14;
const RESERVED: u16 = 1 << 15;
/// What the 2019 header is longer by: the version byte and four more bytes of phone number.
const FORM_DIFFERENCE_BYTES: usize = 5;

/// Messages of lock devices whose serial number takes one byte.
const SHORT_SERIAL_IDS: [u16; 2] = [0x5501, 0x5502];

/// An edition of JT/T 808. 2013 is the technical specification for BeiDou-compatible terminals, the dialect
/// that most devices speak; it shares its header with 2011 and differs in the bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Edition {
    /// JT/T 808-2011.
    V2011,
    /// The 2013 dialect.
    V2013,
    /// JT/T 808-2019.
    V2019,
}

/// The package item of a long message's header (attribute bit 13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Package {
    /// How many packages the message has.
    pub total: u16,
    /// Which one this is, from 1.
    pub index: u16,
}

/// A message header; everything that an encoder needs to write the same bytes again but the body's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// Message id ([`crate::jt808::id`]).
    pub id: u16,
    /// The terminal's phone number field.
    pub phone: Phone,
    /// The protocol version byte of the 2019 header, `None` in the 2011/2013 one.
    pub version: Option<u8>,
    /// The sender's serial number, from 0, wraps.
    pub serial: u16,
    /// The package item, where the message is split.
    pub package: Option<Package>,
    /// Attribute bits 10 to 12: 0 none, 1 RSA, others reserved.
    pub encryption: u8,
    /// Attribute bit 14 as sent. It announces the 2019 header; some terminals set it with the old header or
    /// leave it clear with the new one, and are answered in the same way.
    pub versioned: bool,
    /// Attribute bit 15 as sent, reserved (lock devices: "answer wanted").
    pub reserved: bool,
    /// The serial number takes one byte, as lock devices have it in 0x5501 and 0x5502.
    pub short_serial: bool,
}

impl Header {
    /// A header of `edition` for a whole, unencrypted message. A short phone in the 2019 header and a long one
    /// in the others are converted, which drops digits from the left of the long one.
    pub fn new(id: u16, edition: Edition, phone: Phone, serial: u16) -> Self {
        let (phone, version) = match edition {
            Edition::V2019 => (widened(phone), Some(1)),
            Edition::V2011 | Edition::V2013 => (narrowed(phone), None),
        };
        Self {
            id,
            phone,
            version,
            serial,
            package: None,
            encryption: 0,
            versioned: version.is_some(),
            reserved: false,
            short_serial: false,
        }
    }

    /// A header that answers this one in the form that its sender used: same phone bytes, version byte and
    /// bit 14.
    pub fn answer(&self, id: u16, serial: u16) -> Self {
        Self { id, serial, package: None, encryption: 0, reserved: false, short_serial: false, ..*self }
    }

    /// The edition as far as the header tells it: 2019, or else 2013. Bodies of 2011 show themselves by
    /// their layout.
    pub fn edition(&self) -> Edition {
        match self.version {
            Some(_) => Edition::V2019,
            None => Edition::V2013,
        }
    }

    /// How many bytes this header takes.
    pub fn bytes_len(&self) -> usize {
        let form = if self.version.is_some() { FORM_DIFFERENCE_BYTES } else { 0 };
        let package = if self.package.is_some() { 4 } else { 0 };
        HEADER_BYTES_MIN + form + package - usize::from(self.short_serial)
    }

    /// Reads the header off `message` (header and body, unescaped, without the check byte). Gives the header,
    /// the body, and the body's length as the header declares it.
    ///
    /// The form is the one that bit 14 announces, unless the declared length is off by exactly the five bytes
    /// that the forms differ by: then it is the other one.
    #[inline]
    pub fn decode(message: &[u8]) -> Result<(Self, &[u8], usize), Truncated> {
        let attributes = Reader::new(message.get(2..).unwrap_or_default()).u16().unwrap_or(0);
        let announced = attributes & VERSIONED != 0;
        let declared = usize::from(attributes & LENGTH_MASK);
        let body_len = |long: bool| {
            let form = if long { FORM_DIFFERENCE_BYTES } else { 0 };
            let package = if attributes & PACKAGED != 0 { 4 } else { 0 };
            message.len().checked_sub(HEADER_BYTES_MIN + form + package)
        };
        let fits = |long: bool| body_len(long) == Some(declared);
        let long = if !fits(announced) && fits(!announced) { !announced } else { announced };

        let mut reader = Reader::new(message);
        let id = reader.u16()?;
        reader.u16()?;
        let (version, phone) = match long {
            true => (Some(reader.u8()?), Phone::Long(reader.array()?)),
            false => (None, Phone::Short(reader.array()?)),
        };
        let short_serial = SHORT_SERIAL_IDS.contains(&id) && !long;
        let serial = if short_serial { reader.u8()?.into() } else { reader.u16()? };
        let package = match attributes & PACKAGED != 0 {
            true => Some(Package { total: reader.u16()?, index: reader.u16()? }),
            false => None,
        };
        let encryption = (attributes >> ENCRYPTION_SHIFT & 0b111) as u8;
        let (versioned, reserved) = (announced, attributes & RESERVED != 0);
        let header =
            Self { id, phone, version, serial, package, encryption, versioned, reserved, short_serial };
        Ok((header, reader.rest(), declared))
    }

    /// Appends the header of a package whose body has `body_len` bytes, of which the ten bits of the field
    /// are written.
    pub fn encode(&self, out: &mut Vec<u8>, body_len: usize) {
        let mut attributes = (body_len & PACKAGE_BODY_BYTES_MAX) as u16;
        attributes |= u16::from(self.encryption & 0b111) << ENCRYPTION_SHIFT;
        for (set, bit) in
            [(self.package.is_some(), PACKAGED), (self.versioned, VERSIONED), (self.reserved, RESERVED)]
        {
            attributes |= if set { bit } else { 0 };
        }
        out.extend_from_slice(&self.id.to_be_bytes());
        out.extend_from_slice(&attributes.to_be_bytes());
        let phone = match self.version {
            Some(version) => {
                out.push(version);
                widened(self.phone)
            }
            None => narrowed(self.phone),
        };
        out.extend_from_slice(phone.as_bytes());
        match self.short_serial {
            true => out.push(self.serial as u8),
            false => out.extend_from_slice(&self.serial.to_be_bytes()),
        }
        if let Some(Package { total, index }) = self.package {
            out.extend_from_slice(&total.to_be_bytes());
            out.extend_from_slice(&index.to_be_bytes());
        }
    }
}

fn widened(phone: Phone) -> Phone {
    match phone {
        Phone::Short([a, b, c, d, e, f]) => Phone::Long([0, 0, 0, 0, a, b, c, d, e, f]),
        Phone::Long(_) => phone,
    }
}

fn narrowed(phone: Phone) -> Phone {
    match phone {
        Phone::Long([_, _, _, _, a, b, c, d, e, f]) => Phone::Short([a, b, c, d, e, f]),
        Phone::Short(_) => phone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        hex::decode(hex).unwrap()
    }

    fn round_trip(message: &[u8]) -> Header {
        let (header, body, declared) = Header::decode(message).unwrap();
        assert_eq!(declared, body.len());
        let mut again = Vec::new();
        header.encode(&mut again, body.len());
        assert_eq!(again.len(), header.bytes_len());
        again.extend_from_slice(body);
        assert_eq!(again, message);
        header
    }

    #[test]
    fn the_old_form_and_the_new_one_with_and_without_a_package_item() {
        let old = round_trip(&bytes("0001000501391234432300000000810300"));
        assert_eq!((old.edition(), old.phone.digits()), (Edition::V2013, "013912344323".to_owned()));

        let new = round_trip(&bytes("0001400501000000000139123443290000007b020001"));
        assert_eq!((new.edition(), new.version, new.versioned), (Edition::V2019, Some(1), true));
        assert_eq!(new.phone.sim(), "13912344329");

        let split = round_trip(&bytes("8100600901000000000139123443290001000300026465323031392d2d2d"));
        assert_eq!(split.package, Some(Package { total: 3, index: 2 }));
        let split = round_trip(&bytes("08012002013912344323000100030002ffd8"));
        assert_eq!((split.package, split.version), (Some(Package { total: 3, index: 2 }), None));
    }

    #[test]
    fn a_terminal_that_sets_bit_14_with_the_old_header() {
        let header = round_trip(&bytes("0002400001391234432300ff"));
        assert_eq!((header.version, header.versioned), (None, true));
        let answer = header.answer(0x8001, 7);
        assert_eq!((answer.version, answer.versioned, answer.phone), (None, true, header.phone));
    }

    #[test]
    fn a_frame_with_the_2019_header_and_bit_14_clear() {
        let header = round_trip(&bytes("81040000010000000001391234432300ff"));
        assert_eq!((header.version, header.versioned, header.edition()), (Some(1), false, Edition::V2019));
    }

    #[test]
    fn a_wrong_length_that_no_form_explains_leaves_the_form_to_bit_14() {
        let message = bytes("0002000901391234432300ffaabb");
        let (header, body, declared) = Header::decode(&message).unwrap();
        assert_eq!((header.version, body, declared), (None, &[0xaa, 0xbb][..], 9));
    }

    #[test]
    fn a_lock_device_that_counts_in_one_byte() {
        let header = round_trip(&bytes("5502800213912344323447aabb"));
        assert_eq!((header.serial, header.short_serial, header.reserved), (0x47, true, true));
        assert!(!header.answer(0x4401, 0x0102).short_serial);
    }

    #[test]
    fn encryption_and_the_reserved_bit_are_kept() {
        let header = round_trip(&bytes("0a00940101391234432300ffaa"));
        assert_eq!((header.encryption, header.reserved), (0b101, true));
        let answer = header.answer(0x8001, 1);
        assert_eq!((answer.encryption, answer.reserved), (0, false));
    }

    #[test]
    fn a_header_cut_short_is_an_error_at_every_length() {
        let whole = bytes("810060090100000000013912344329000100030002");
        for len in 0..whole.len() {
            assert!(Header::decode(&whole[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn phones_move_between_the_forms() {
        let phone = Phone::short("013912344323").unwrap();
        assert_eq!(Header::new(2, Edition::V2019, phone, 0).phone.digits(), "00000000013912344323");
        let phone = Phone::long("13912344323").unwrap();
        assert_eq!(Header::new(2, Edition::V2013, phone, 0).phone.digits(), "013912344323");
    }
}
