//! The platform's side of a terminal's parameters: 0x8106 asks for some, 0x0104 answers. 0x8104, which asks for all, has
//! no body; 0x8103, which sets some, is [`SetParameters`](crate::jt1078::signalling::SetParameters).

use crate::reader::{Reader, Truncated};

/// 0x8106: which parameters are asked for, by number; at most 255.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParametersQuery {
    /// Their numbers.
    pub ids: Vec<u32>,
}

impl ParametersQuery {
    /// Reads the body; bytes behind the last number are ignored.
    ///
    /// # Errors
    /// Where there are fewer numbers than it says.
    pub fn decode(body: &[u8]) -> Result<Self, Truncated> {
        let mut reader = Reader::new(body);
        let count = reader.u8()?;
        let ids = (0..count).map(|_| reader.u32()).collect::<Result<_, _>>()?;
        Ok(Self { ids })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let count = u8::try_from(self.ids.len()).unwrap_or(u8::MAX);
        out.push(count);
        for id in self.ids.iter().take(usize::from(count)) {
            out.extend_from_slice(&id.to_be_bytes());
        }
    }
}

/// 0x0104: the parameters that were asked for.
///
/// Devices count wrong, and some break off in the last value: everything that is whole is read, whatever the count says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParametersAnswer<'a> {
    /// The serial number of the question.
    pub serial: u16,
    /// How many there are, as the terminal says.
    pub count: u8,
    /// Number and value of each, in the order sent.
    pub parameters: Vec<(u32, &'a [u8])>,
    /// What follows the last whole one.
    pub rest: &'a [u8],
}

impl<'a> ParametersAnswer<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// Where not even the count is there.
    pub fn decode(body: &'a [u8]) -> Result<Self, Truncated> {
        let mut reader = Reader::new(body);
        let (serial, count) = (reader.u16()?, reader.u8()?);
        let mut rest = body.get(3..).unwrap_or_default();
        let mut parameters = Vec::new();
        while let Some((id, value, behind)) = item(rest) {
            parameters.push((id, value));
            rest = behind;
        }
        Ok(Self { serial, count, parameters, rest })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.serial.to_be_bytes());
        out.push(self.count);
        for (id, value) in &self.parameters {
            let length = u8::try_from(value.len()).unwrap_or(u8::MAX);
            out.extend_from_slice(&id.to_be_bytes());
            out.push(length);
            out.extend_from_slice(value.get(..usize::from(length)).unwrap_or(value));
        }
        out.extend_from_slice(self.rest);
    }

    /// The first value of the parameter `id`.
    pub fn value(&self, id: u32) -> Option<&'a [u8]> {
        self.parameters.iter().find(|(known, _)| *known == id).map(|(_, value)| *value)
    }
}

fn item(bytes: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let (id, bytes) = bytes.split_first_chunk::<4>()?;
    let (length, bytes) = bytes.split_first()?;
    let (value, behind) = bytes.split_at_checked(usize::from(*length))?;
    Some((u32::from_be_bytes(*id), value, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(hex: &str) -> (Vec<(u32, String)>, usize) {
        let body = hex::decode(hex).unwrap();
        let answer = ParametersAnswer::decode(&body).unwrap();
        let mut again = Vec::new();
        answer.encode(&mut again);
        assert_eq!(again, body);
        let parameters = answer.parameters.iter().map(|(id, value)| (*id, hex::encode(value))).collect();
        (parameters, answer.rest.len())
    }

    #[test]
    fn what_is_whole_is_read_whatever_the_count_says() {
        // SmallChi/JT808 JT808_0x0104Test.cs:105: says two, and breaks off behind the length of the second.
        let (parameters, rest) = read("00140200000001040000000a000000130f7777772e62616964752e636f6d");
        assert_eq!(parameters, [(1, "0000000a".to_owned())]);
        assert_eq!(rest, 18);
        let (parameters, rest) = read("000700000000180400001b58");
        assert_eq!((parameters, rest), (vec![(0x18, "00001b58".to_owned())], 0), "says none");
        assert!(ParametersAnswer::decode(&[0, 7]).is_err());
    }

    #[test]
    fn a_question_names_what_it_asks_for() {
        let (query, mut body) = (ParametersQuery { ids: vec![0x13, 0x17, 0x18] }, Vec::new());
        query.encode(&mut body);
        assert_eq!(hex::encode(&body), "03000000130000001700000018");
        assert_eq!(ParametersQuery::decode(&body), Ok(query));
        assert!(ParametersQuery::decode(&body[..12]).is_err());
    }
}
