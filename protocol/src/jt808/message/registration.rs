//! 0x0100 and 0x8100: a terminal registers. Three editions, three layouts, one id.

use crate::jt808::{Edition, Text};
use crate::reader::{Reader, Truncated};

/// Where the plate colour stands in each layout; the plate follows it to the end of the body.
const COLOUR_AT_2011: usize = 24;
const COLOUR_AT_2013: usize = 36;
const COLOUR_AT_2019: usize = 75;

/// 0x0100: what a terminal says about itself and its vehicle.
///
/// The fixed-width fields are kept as sent, padding included; what is encoded is padded to the edition's width
/// (and cut to it) where it has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration<'a> {
    /// The edition whose layout the body has.
    pub layout: Edition,
    /// Province: the first two digits of the GB/T 2260 code, 0 the platform's default.
    pub province: u16,
    /// City or county: its last four digits.
    pub city: u16,
    /// Maker: 5 bytes, 11 in 2019.
    pub maker: Text<'a>,
    /// Model: 8 bytes in 2011, 20 in 2013, 30 in 2019.
    pub model: Text<'a>,
    /// The maker's id of the terminal: 7 bytes, 30 in 2019.
    pub terminal_id: Text<'a>,
    /// Plate colour (JT/T 697.7): 0 no plate, 1 blue, 2 yellow, 3 black, 4 white, 5 green, 9 other.
    pub plate_colour: u8,
    /// Plate, or the VIN where there is no plate; may be empty.
    pub plate: Text<'a>,
}

impl<'a> Registration<'a> {
    /// Reads the body in the layout that it shows: 2019 from 76 bytes on, 2011 below 37 bytes, otherwise 2013
    /// unless only the 2011 place holds a plate colour.
    pub fn decode(body: &'a [u8], edition: Edition) -> Result<Self, Truncated> {
        let layout = layout(body, edition);
        let (maker, model, terminal_id) = widths(layout);
        let mut reader = Reader::new(body);
        Ok(Self {
            layout,
            province: reader.u16()?,
            city: reader.u16()?,
            maker: Text(reader.bytes(maker)?),
            model: Text(reader.bytes(model)?),
            terminal_id: Text(reader.bytes(terminal_id)?),
            plate_colour: reader.u8()?,
            plate: Text(reader.rest()),
        })
    }

    /// Appends the body in the layout of `edition`.
    pub fn encode(&self, out: &mut Vec<u8>, edition: Edition) {
        let (maker, model, terminal_id) = widths(edition);
        let model_padding = if edition == Edition::V2011 { b' ' } else { 0 };
        out.extend_from_slice(&self.province.to_be_bytes());
        out.extend_from_slice(&self.city.to_be_bytes());
        pad(self.maker, maker, 0, out);
        pad(self.model, model, model_padding, out);
        pad(self.terminal_id, terminal_id, 0, out);
        out.push(self.plate_colour);
        out.extend_from_slice(self.plate.raw());
    }
}

/// Widths of maker, model and terminal id.
fn widths(edition: Edition) -> (usize, usize, usize) {
    match edition {
        Edition::V2011 => (5, 8, 7),
        Edition::V2013 => (5, 20, 7),
        Edition::V2019 => (11, 30, 30),
    }
}

fn layout(body: &[u8], edition: Edition) -> Edition {
    let colour_at = |at: usize| body.get(at).is_some_and(|colour| *colour <= 9);
    if body.len() > COLOUR_AT_2019 && (edition == Edition::V2019 || colour_at(COLOUR_AT_2019)) {
        return Edition::V2019;
    }
    let old = body.len() <= COLOUR_AT_2013 || (!colour_at(COLOUR_AT_2013) && colour_at(COLOUR_AT_2011));
    if old { Edition::V2011 } else { Edition::V2013 }
}

fn pad(text: Text<'_>, width: usize, padding: u8, out: &mut Vec<u8>) {
    let bytes = if text.raw().len() > width { text.trimmed() } else { text.raw() };
    let bytes = bytes.get(..width).unwrap_or(bytes);
    out.extend_from_slice(bytes);
    out.extend(std::iter::repeat_n(padding, width - bytes.len()));
}

/// The result byte of 0x8100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RegisterResult(pub u8);

impl RegisterResult {
    /// Registered; the authentication code follows.
    pub const OK: Self = Self(0);
    /// The vehicle is registered already.
    pub const VEHICLE_REGISTERED: Self = Self(1);
    /// The database has no such vehicle.
    pub const NO_VEHICLE: Self = Self(2);
    /// The terminal is registered already.
    pub const TERMINAL_REGISTERED: Self = Self(3);
    /// The database has no such terminal.
    pub const NO_TERMINAL: Self = Self(4);
}

/// 0x8100: the answer to a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterAnswer<'a> {
    /// Serial number of the registration.
    pub serial: u16,
    /// How it fared.
    pub result: RegisterResult,
    /// The authentication code; the standard has it on success only.
    pub code: Text<'a>,
}

impl<'a> RegisterAnswer<'a> {
    /// Success, with the code that the terminal authenticates with from now on.
    pub fn accepted(serial: u16, code: &'a [u8]) -> Self {
        Self { serial, result: RegisterResult::OK, code: Text(code) }
    }

    /// A refusal.
    pub fn refused(serial: u16, result: RegisterResult) -> Self {
        Self { serial, result, code: Text(&[]) }
    }

    /// Reads the body.
    pub fn decode(body: &'a [u8], _edition: Edition) -> Result<Self, Truncated> {
        let mut reader = Reader::new(body);
        Ok(Self { serial: reader.u16()?, result: RegisterResult(reader.u8()?), code: Text(reader.rest()) })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _edition: Edition) {
        out.extend_from_slice(&self.serial.to_be_bytes());
        out.push(self.result.0);
        out.extend_from_slice(self.code.raw());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(edition: Edition, plate: &[u8]) -> Vec<u8> {
        let registration = Registration {
            layout: edition,
            province: 31,
            city: 115,
            maker: Text(b"4vide"),
            model: Text(b"www.808."),
            terminal_id: Text(b"7654321"),
            plate_colour: 1,
            plate: Text(plate),
        };
        let mut body = Vec::new();
        registration.encode(&mut body, edition);
        body
    }

    #[test]
    fn the_three_layouts_under_any_header() {
        for layout in [Edition::V2011, Edition::V2013, Edition::V2019] {
            let body = body(layout, b"\xb2\xe2A12345");
            for header in [Edition::V2013, Edition::V2019] {
                let registration = Registration::decode(&body, header).unwrap();
                assert_eq!((registration.layout, registration.plate_colour), (layout, 1));
                assert_eq!(registration.plate.to_str(), "测A12345");
                assert_eq!(registration.terminal_id.to_str(), "7654321");
            }
        }
    }

    #[test]
    fn a_2013_terminal_with_an_empty_plate() {
        let body = body(Edition::V2013, b"");
        assert_eq!(body.len(), 37);
        assert_eq!(Registration::decode(&body, Edition::V2013).unwrap().layout, Edition::V2013);
    }

    #[test]
    fn a_2011_terminal_with_zero_plate_bytes_and_one_with_a_vin() {
        let without = body(Edition::V2011, b"");
        assert_eq!(Registration::decode(&without, Edition::V2013).unwrap().layout, Edition::V2011);
        let vin = body(Edition::V2011, b"LSVAM4187C2184841");
        let registration = Registration::decode(&vin, Edition::V2013).unwrap();
        assert_eq!(
            (registration.layout, registration.plate.to_str().as_ref()),
            (Edition::V2011, "LSVAM4187C2184841")
        );
    }

    #[test]
    fn the_2011_model_is_padded_with_spaces() {
        let mut out = Vec::new();
        pad(Text(b"M1"), 8, b' ', &mut out);
        pad(Text(b"long\0\0\0"), 4, 0, &mut out);
        assert_eq!(out, b"M1      long");
    }

    proptest! {
        #[test]
        fn any_body_that_is_read_is_written_back(body in proptest::collection::vec(any::<u8>(), 0..120), new: bool) {
            let edition = if new { Edition::V2019 } else { Edition::V2013 };
            if let Ok(registration) = Registration::decode(&body, edition) {
                let mut again = Vec::new();
                registration.encode(&mut again, registration.layout);
                prop_assert_eq!(again, body);
            } else {
                prop_assert!(body.len() <= COLOUR_AT_2011);
            }
        }

        #[test]
        fn the_answer_comes_back(serial: u16, result: u8, code: Vec<u8>) {
            let answer = RegisterAnswer { serial, result: RegisterResult(result), code: Text(&code) };
            let mut body = Vec::new();
            answer.encode(&mut body, Edition::V2013);
            prop_assert_eq!(RegisterAnswer::decode(&body, Edition::V2013), Ok(answer));
        }
    }
}
