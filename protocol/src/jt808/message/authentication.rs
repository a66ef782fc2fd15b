//! 0x0102: a terminal authenticates with the code that 0x8100 gave it.

use crate::jt808::{Edition, Text};
use crate::reader::{Reader, Truncated};

/// Width of the IMEI of 2019.
pub const IMEI_BYTES: usize = 15;
/// Width of the software version of 2019; some terminals send fewer.
pub const SOFTWARE_BYTES: usize = 20;

/// 0x0102: the authentication code, and in 2019 what the terminal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authentication<'a> {
    /// The edition whose layout the body has: 2013 (the code alone, as in 2011) or 2019.
    pub layout: Edition,
    /// The code; empty from terminals that never registered.
    pub code: Text<'a>,
    /// IMEI (2019; empty in the others), 15 digits.
    pub imei: Text<'a>,
    /// Software version (2019; empty in the others), padded with 0x00 to 20 bytes.
    pub software: Text<'a>,
}

impl<'a> Authentication<'a> {
    /// The body of 2011 and 2013.
    pub fn code_only(code: &'a [u8]) -> Self {
        Self { layout: Edition::V2013, code: Text(code), imei: Text(&[]), software: Text(&[]) }
    }

    /// Reads the body in the layout that it shows: some terminals send the 2013 body under the 2019 header,
    /// some the 2019 body under the old one.
    pub fn decode(body: &'a [u8], edition: Edition) -> Result<Self, Truncated> {
        if !is_2019(body, edition) {
            return Ok(Self::code_only(body));
        }
        let mut reader = Reader::new(body);
        let code_len = usize::from(reader.u8()?);
        let code = Text(reader.bytes(code_len)?);
        let imei = Text(reader.bytes(reader.left().min(IMEI_BYTES))?);
        Ok(Self { layout: Edition::V2019, code, imei, software: Text(reader.rest()) })
    }

    /// Appends the body in the layout of `edition`. In 2019's, a code over 255 bytes is cut, and an IMEI or a
    /// software version is written as it is.
    pub fn encode(&self, out: &mut Vec<u8>, edition: Edition) {
        if edition != Edition::V2019 {
            return out.extend_from_slice(self.code.raw());
        }
        let code = self.code.raw();
        let code = code.get(..usize::from(u8::MAX)).unwrap_or(code);
        out.push(code.len() as u8);
        out.extend_from_slice(code);
        out.extend_from_slice(self.imei.raw());
        out.extend_from_slice(self.software.raw());
    }
}

/// Whether `body` starts with a length, that many bytes of code, and either nothing or an IMEI. Under the old
/// header it must be the whole 2019 body with an IMEI of digits: there a code alone is what is expected.
fn is_2019(body: &[u8], edition: Edition) -> bool {
    let Some((code_len, rest)) = body.split_first() else { return false };
    let Some((_, rest)) = rest.split_at_checked(usize::from(*code_len)) else { return false };
    match edition {
        Edition::V2019 => rest.is_empty() || rest.len() >= IMEI_BYTES,
        Edition::V2011 | Edition::V2013 => {
            let imei = rest.get(..IMEI_BYTES).unwrap_or_default();
            rest.len() == IMEI_BYTES + SOFTWARE_BYTES && imei.iter().all(u8::is_ascii_digit)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NEW: &[u8] = b"\x0b17299841738123456789012345\
        3.7.15\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

    #[test]
    fn the_2019_body_under_either_header() {
        for header in [Edition::V2013, Edition::V2019] {
            let authentication = Authentication::decode(NEW, header).unwrap();
            assert_eq!(authentication.layout, Edition::V2019);
            assert_eq!(authentication.code.to_str(), "17299841738");
            assert_eq!(authentication.imei.to_str(), "123456789012345");
            assert_eq!(authentication.software.to_str(), "3.7.15");
        }
    }

    #[test]
    fn the_2013_body_under_either_header() {
        for header in [Edition::V2013, Edition::V2019] {
            let authentication = Authentication::decode(b"authentication", header).unwrap();
            assert_eq!(
                (authentication.layout, authentication.code.raw()),
                (Edition::V2013, &b"authentication"[..])
            );
        }
    }

    #[test]
    fn an_empty_body_from_terminals_that_never_registered() {
        for header in [Edition::V2013, Edition::V2019] {
            assert!(Authentication::decode(b"", header).unwrap().code.is_empty());
        }
    }

    #[test]
    fn fewer_bytes_of_software_version_than_20() {
        let authentication = Authentication::decode(&NEW[..33], Edition::V2019).unwrap();
        assert_eq!((authentication.layout, authentication.software.raw()), (Edition::V2019, &b"3.7.15"[..]));
        let authentication = Authentication::decode(&NEW[..12], Edition::V2019).unwrap();
        assert_eq!((authentication.layout, authentication.imei.raw()), (Edition::V2019, &b""[..]));
    }

    proptest! {
        #[test]
        fn any_body_is_read_and_written_back(body in proptest::collection::vec(any::<u8>(), 0..120), new: bool) {
            let edition = if new { Edition::V2019 } else { Edition::V2013 };
            let authentication = Authentication::decode(&body, edition).unwrap();
            let mut again = Vec::new();
            authentication.encode(&mut again, authentication.layout);
            prop_assert_eq!(again, body);
        }
    }
}
