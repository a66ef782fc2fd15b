//! What a terminal writes: frames and the bodies it sends. Deliberately shares no code with the platform's side, so
//! that an error in one of them does not hide in the other.

use bytes::{BufMut, Bytes, BytesMut};

use super::Settings;
use super::settings::Identity;
use crate::jt808::Edition;

/// The most body bytes of one package (10 bits of the attribute word).
pub(super) const PACKAGE_BODY_MAX: usize = 1023;

/// A location as a terminal writes it into 0x0200 and 0x0704 (JT/T 808 location body).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// Alarm bits.
    pub alarm: u32,
    /// Status bits without the hemispheres (bits 2 and 3), which follow the coordinates.
    pub status: u32,
    /// 1e-6 degree, north positive.
    pub latitude_e6: i32,
    /// 1e-6 degree, east positive.
    pub longitude_e6: i32,
    /// Metres.
    pub altitude_m: i16,
    /// 0.1 km/h.
    pub speed_x10: u16,
    /// Degrees from north, clockwise, 0 to 359.
    pub direction_deg: u16,
    /// BCD YY MM DD hh mm ss in GMT+8, written as it stands: an impossible time is the caller's to make.
    pub time: [u8; 6],
    /// Additional items by id; a value is cut at 255 bytes.
    pub items: Vec<(u8, Vec<u8>)>,
}

impl Location {
    /// The body.
    pub fn encode(&self) -> Bytes {
        let mut out =
            BytesMut::with_capacity(28 + self.items.iter().map(|(_, v)| v.len() + 2).sum::<usize>());
        let hemispheres = u32::from(self.latitude_e6 < 0) << 2 | u32::from(self.longitude_e6 < 0) << 3;
        out.put_u32(self.alarm);
        out.put_u32(self.status & !0b1100 | hemispheres);
        out.put_u32(self.latitude_e6.unsigned_abs());
        out.put_u32(self.longitude_e6.unsigned_abs());
        out.put_i16(self.altitude_m);
        out.put_u16(self.speed_x10);
        out.put_u16(self.direction_deg);
        out.put_slice(&self.time);
        for (id, value) in &self.items {
            let value = value.get(..value.len().min(usize::from(u8::MAX))).unwrap_or_default();
            out.put_u8(*id);
            out.put_u8(value.len().try_into().unwrap_or(u8::MAX));
            out.put_slice(value);
        }
        out.freeze()
    }
}

/// 0x0100.
pub(super) fn registration(edition: Edition, identity: &Identity) -> Bytes {
    let (maker, model, terminal_id) = match edition {
        Edition::V2011 => (5, 8, 7),
        Edition::V2013 => (5, 20, 7),
        Edition::V2019 => (11, 30, 30),
    };
    // The 2011 text pads the model with spaces, the later ones with zeros.
    let model_pad = if edition == Edition::V2011 { b' ' } else { 0 };
    let mut out = BytesMut::new();
    out.put_u16(identity.province);
    out.put_u16(identity.city);
    put_padded(&mut out, identity.maker.as_bytes(), maker, 0);
    put_padded(&mut out, identity.model.as_bytes(), model, model_pad);
    put_padded(&mut out, identity.terminal_id.as_bytes(), terminal_id, 0);
    out.put_u8(identity.plate_colour);
    out.put_slice(&encoding_rs::GBK.encode(&identity.plate).0);
    out.freeze()
}

/// 0x0102.
pub(super) fn authentication(settings: &Settings, code: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    if settings.edition == Edition::V2019 {
        let code = code.get(..code.len().min(usize::from(u8::MAX))).unwrap_or_default();
        out.put_u8(code.len().try_into().unwrap_or(u8::MAX));
        out.put_slice(code);
        put_padded(&mut out, settings.identity.imei.as_bytes(), 15, 0);
        put_padded(&mut out, settings.identity.software.as_bytes(), 20, 0);
    } else {
        out.put_slice(code);
    }
    out.freeze()
}

/// 0x0001.
pub(super) fn general_answer(serial: u16, id: u16, result: u8) -> Bytes {
    let mut out = BytesMut::with_capacity(5);
    out.put_u16(serial);
    out.put_u16(id);
    out.put_u8(result);
    out.freeze()
}

/// 0x0005 (2019): asks for packages `missing` of the message whose first package had `first_serial`.
pub(super) fn package_request(first_serial: u16, missing: &[u16]) -> Bytes {
    let mut out = BytesMut::with_capacity(4 + 2 * missing.len());
    out.put_u16(first_serial);
    out.put_u16(missing.len().try_into().unwrap_or(u16::MAX));
    for index in missing {
        out.put_u16(*index);
    }
    out.freeze()
}

/// 0x0704 of type 1 (backfill).
pub(super) fn backfill<'a>(bodies: impl ExactSizeIterator<Item = &'a Bytes>) -> Bytes {
    let mut out = BytesMut::with_capacity(PACKAGE_BODY_MAX);
    out.put_u16(bodies.len().try_into().unwrap_or(u16::MAX));
    out.put_u8(1);
    for body in bodies {
        out.put_u16(body.len().try_into().unwrap_or(u16::MAX));
        out.put_slice(body);
    }
    out.freeze()
}

/// The frames of one message, split above [`PACKAGE_BODY_MAX`], with serial numbers from `serial` on.
pub(super) fn frames(settings: &Settings, id: u16, serial: u16, body: &[u8]) -> Vec<Bytes> {
    if body.len() <= PACKAGE_BODY_MAX {
        return vec![frame(settings, id, serial, None, body)];
    }
    let total: u16 = body.len().div_ceil(PACKAGE_BODY_MAX).try_into().unwrap_or(u16::MAX);
    (1..=total)
        .zip(body.chunks(PACKAGE_BODY_MAX))
        .map(|(index, part)| frame(settings, id, serial.wrapping_add(index - 1), Some((total, index)), part))
        .collect()
}

fn frame(settings: &Settings, id: u16, serial: u16, package: Option<(u16, u16)>, body: &[u8]) -> Bytes {
    let mut plain = BytesMut::with_capacity(22 + body.len());
    let attributes = body.len() as u16 & 0x03ff
        | u16::from(package.is_some()) << 13
        | u16::from(settings.edition == Edition::V2019) << 14;
    plain.put_u16(id);
    plain.put_u16(attributes);
    if settings.edition == Edition::V2019 {
        plain.put_u8(1);
        plain.put_slice(&settings.phone);
    } else {
        let [_, _, _, _, short @ ..] = settings.phone;
        plain.put_slice(&short);
    }
    plain.put_u16(serial);
    if let Some((total, index)) = package {
        plain.put_u16(total);
        plain.put_u16(index);
    }
    plain.put_slice(body);
    plain.put_u8(plain.iter().fold(0, |check, byte| check ^ byte));

    let mut wire = BytesMut::with_capacity(plain.len() + plain.len() / 16 + 2);
    wire.put_u8(0x7e);
    for byte in plain {
        match byte {
            0x7d => wire.put_slice(&[0x7d, 0x01]),
            0x7e => wire.put_slice(&[0x7d, 0x02]),
            byte => wire.put_u8(byte),
        }
    }
    wire.put_u8(0x7e);
    wire.freeze()
}

fn put_padded(out: &mut BytesMut, text: &[u8], width: usize, pad: u8) {
    let text = text.get(..text.len().min(width)).unwrap_or_default();
    out.put_slice(text);
    out.put_bytes(pad, width - text.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(edition: Edition) -> Settings {
        let identity = Identity {
            province: 44,
            city: 300,
            maker: "MAKER".into(),
            model: "M1".into(),
            terminal_id: "0000001".into(),
            plate_colour: 1,
            plate: "粤B12345".into(),
            imei: "123456789012345".into(),
            software: "1.0".into(),
        };
        Settings::new(edition, [0, 0, 0, 0, 0x01, 0x39, 0x12, 0x34, 0x56, 0x78], identity)
    }

    fn hex(bytes: &[u8]) -> String {
        hex::encode(bytes)
    }

    #[test]
    fn a_heartbeat_in_both_headers() {
        let old = frames(&settings(Edition::V2013), 0x0002, 5, &[]);
        assert_eq!(hex(&old[0]), "7e000200000139123456780005377e");
        let new = frames(&settings(Edition::V2019), 0x0002, 5, &[]);
        assert_eq!(hex(&new[0]), "7e0002400001000000000139123456780005767e");
    }

    #[test]
    fn escapes_delimiter_and_escape_byte() {
        let frame = frames(&settings(Edition::V2013), 0x0900, 0x7e7d, &[0x7d, 0x7e]);
        assert!(hex(&frame[0]).contains("7d027d017d017d02"));
        assert_eq!(frame[0].iter().filter(|b| **b == 0x7e).count(), 2);
    }

    #[test]
    fn registration_layouts() {
        let body = |edition| hex(&registration(edition, &settings(edition).identity));
        let plate = "01d4c1423132333435";
        assert_eq!(
            body(Edition::V2011),
            format!("002c012c{}{}{}{plate}", "4d414b4552", "4d31202020202020", "30303030303031")
        );
        assert_eq!(
            body(Edition::V2013),
            format!("002c012c{}4d31{}{}{plate}", "4d414b4552", "00".repeat(18), "30303030303031")
        );
        assert_eq!(
            body(Edition::V2019),
            format!(
                "002c012c4d414b4552{}4d31{}30303030303031{}{plate}",
                "00".repeat(6),
                "00".repeat(28),
                "00".repeat(23)
            )
        );
    }

    #[test]
    fn authentication_layouts() {
        assert_eq!(hex(&authentication(&settings(Edition::V2013), b"code")), "636f6465");
        assert_eq!(
            hex(&authentication(&settings(Edition::V2019), b"code")),
            format!("04636f6465313233343536373839303132333435312e30{}", "00".repeat(17))
        );
    }

    #[test]
    fn a_location_and_a_batch_of_two() {
        let location = Location {
            alarm: 1,
            status: 3,
            latitude_e6: -31_000_000,
            longitude_e6: 121_500_000,
            altitude_m: -5,
            speed_x10: 605,
            direction_deg: 270,
            time: [0x26, 0x11, 0x22, 0x04, 0x30, 0x00],
            items: vec![(0x01, vec![0, 0, 0, 9]), (0xf9, vec![1, 2])],
        };
        let body = location.encode();
        let text = "000000010000000701d905c0073df160fffb025d010e261122043000010400000009f9020102";
        assert_eq!(hex(&body), text);
        let batch = backfill([body.clone(), body].iter());
        assert_eq!(hex(&batch), format!("0002010026{text}0026{text}"));
    }

    #[test]
    fn a_long_body_is_split_with_consecutive_serials() {
        let parts = frames(&settings(Edition::V2013), 0x0704, 0xffff, &[0x11; 2000]);
        assert_eq!(parts.len(), 2);
        assert_eq!(hex(&parts[0][1..17]), "070423ff013912345678ffff00020001");
        assert_eq!(hex(&parts[1][1..17]), "070423d1013912345678000000020002");
    }
}
