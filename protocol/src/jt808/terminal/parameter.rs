//! A terminal's parameters on the wire: 0x8103 sets them, 0x8104 and 0x8106 ask, 0x0104 answers. Knows nothing of what
//! they mean. Code of its own, like all of this side, and strict: a count that is wrong is an error of the platform.

use bytes::{BufMut, Bytes, BytesMut};

use crate::reader::Reader;

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its number in the standard's table.
    pub id: u32,
    /// Its value, at most 255 bytes.
    pub value: Bytes,
}

impl Parameter {
    /// 0x8103: the parameters to set, in order. None where the body does not hold exactly as many as it says.
    pub fn decode_set(body: &[u8]) -> Option<Vec<Self>> {
        let mut reader = Reader::new(body);
        let count = reader.u8().ok()?;
        let parameters = (0..count).map(|_| {
            let (id, length) = (reader.u32().ok()?, reader.u8().ok()?);
            let value = Bytes::copy_from_slice(reader.bytes(length.into()).ok()?);
            Some(Self { id, value })
        });
        let parameters = parameters.collect::<Option<_>>()?;
        reader.is_empty().then_some(parameters)
    }

    /// 0x8106: the numbers asked for. None where the body does not hold exactly as many as it says.
    pub fn decode_asked(body: &[u8]) -> Option<Vec<u32>> {
        let mut reader = Reader::new(body);
        let count = reader.u8().ok()?;
        let ids = (0..count).map(|_| reader.u32().ok()).collect::<Option<_>>()?;
        reader.is_empty().then_some(ids)
    }

    /// The body of 0x0104, which answers the query with `serial`: at most 255 parameters.
    pub fn encode_answer(serial: u16, parameters: &[Self]) -> Bytes {
        let count = u8::try_from(parameters.len()).unwrap_or(u8::MAX);
        let mut out = BytesMut::new();
        out.put_u16(serial);
        out.put_u8(count);
        for Self { id, value } in parameters.iter().take(count.into()) {
            let value = value.get(..value.len().min(usize::from(u8::MAX))).unwrap_or_default();
            out.put_u32(*id);
            out.put_u8(value.len().try_into().unwrap_or(u8::MAX));
            out.put_slice(value);
        }
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters() -> Vec<Parameter> {
        vec![
            Parameter { id: 0x0013, value: Bytes::from_static(b"10.0.0.1") },
            Parameter { id: 0x0018, value: Bytes::from_static(&[0, 0, 0x19, 0xd0]) },
        ]
    }

    #[test]
    fn reads_what_it_is_to_set_and_says_what_is_set() {
        let items = "00000013083130 2e302e302e31 0000001804000019d0".replace(' ', "");
        let body = hex::decode(format!("02{items}")).unwrap();
        assert_eq!(Parameter::decode_set(&body), Some(parameters()));
        assert_eq!(hex::encode(Parameter::encode_answer(7, &parameters())), format!("000702{items}"));
        assert_eq!(Parameter::decode_set(&[0]), Some(Vec::new()));
    }

    #[test]
    fn reads_what_is_asked_for() {
        assert_eq!(Parameter::decode_asked(&[2, 0, 0, 0, 0x13, 0, 0, 0, 0x18]), Some(vec![0x13, 0x18]));
    }

    #[test]
    fn a_body_that_holds_more_or_less_than_it_says_is_refused() {
        for body in [&b""[..], &[1], &[1, 0, 0, 0, 1, 2, 9], &[0, 9], &[1, 0, 0, 0, 1, 0, 9]] {
            assert_eq!(Parameter::decode_set(body), None, "{body:?}");
        }
        for body in [&b""[..], &[1], &[1, 0, 0, 0], &[1, 0, 0, 0, 1, 0]] {
            assert_eq!(Parameter::decode_asked(body), None, "{body:?}");
        }
    }
}
