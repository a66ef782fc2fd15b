//! The terminal's phone number field: the 808 identity, kept as the bytes that the terminal sent.

use std::fmt;

use crate::jt808::bcd::decimal;

/// The phone number field of a header, verbatim: 6 bytes in the 2011/2013 header, 10 in the 2019 one.
///
/// Every downlink copies these bytes. Two phones are equal when their bytes are; terminals are told apart by
/// [`sim`](Self::sim), which drops the leading zeros that the longer header adds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phone {
    /// BCD\[6\], 2011 and 2013.
    Short([u8; 6]),
    /// BCD\[10\], 2019.
    Long([u8; 10]),
}

impl Phone {
    /// The bytes as they stand in the header.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short(bytes) => bytes,
            Self::Long(bytes) => bytes,
        }
    }

    /// A 2011/2013 field from up to 12 decimal digits, padded with zeros on the left.
    pub fn short(digits: &str) -> Option<Self> {
        pack(digits).map(Self::Short)
    }

    /// A 2019 field from up to 20 decimal digits, padded with zeros on the left.
    pub fn long(digits: &str) -> Option<Self> {
        pack(digits).map(Self::Long)
    }

    /// All digits of the field, leading zeros included, in hexadecimal where a nibble is no decimal digit.
    pub fn digits(&self) -> String {
        self.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether every nibble is a decimal digit, as the standard wants.
    pub fn is_decimal(&self) -> bool {
        self.as_bytes().iter().all(|byte| decimal(*byte).is_some())
    }

    /// The identity as people write it: the digits without leading zeros (`0` when there is nothing else).
    ///
    /// A field that is no BCD holds a binary IMEI: six bytes are one big-endian number, and the Luhn digit that
    /// the device left out is appended. Longer ones are given in hexadecimal.
    pub fn sim(&self) -> String {
        match self {
            Self::Short(bytes) if !self.is_decimal() => {
                let number = bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
                let digits = number.to_string();
                let check = luhn(&digits);
                format!("{digits}{check}")
            }
            _ => {
                let digits = self.digits();
                match digits.trim_start_matches('0') {
                    "" => "0".to_owned(),
                    stripped => stripped.to_owned(),
                }
            }
        }
    }
}

impl fmt::Display for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sim())
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Phone({})", self.digits())
    }
}

fn pack<const N: usize>(digits: &str) -> Option<[u8; N]> {
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let mut packed = [0u8; N];
    let mut rest = digits.bytes().rev().map(|digit| digit - b'0');
    for byte in packed.iter_mut().rev() {
        *byte = rest.next().unwrap_or(0) | rest.next().unwrap_or(0) << 4;
    }
    rest.next().is_none().then_some(packed)
}

/// The digit that makes `digits` and itself pass the Luhn test.
fn luhn(digits: &str) -> u8 {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let value = u32::from(digit.saturating_sub(b'0'));
            match place.is_multiple_of(2) {
                true => value / 5 + value * 2 % 10,
                false => value,
            }
        })
        .sum();
    (10 - (sum % 10) as u8) % 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_zeros_stay_in_the_bytes_and_leave_the_identity() {
        let phone = Phone::long("13912344329").unwrap();
        assert_eq!(phone.digits(), "00000000013912344329");
        assert_eq!(phone.sim(), "13912344329");
        assert_eq!(Phone::short("013912344329").unwrap().as_bytes(), [0x01, 0x39, 0x12, 0x34, 0x43, 0x29]);
        assert_eq!(Phone::Short([0; 6]).sim(), "0");
    }

    #[test]
    fn a_terminal_that_puts_a_binary_imei_into_the_phone_field() {
        // JC371
        let phone = Phone::Short([0x4e, 0xb6, 0xfb, 0x4a, 0xd6, 0x28]);
        assert!(!phone.is_decimal());
        assert_eq!(phone.digits(), "4eb6fb4ad628");
        assert_eq!(phone.sim(), "865478070001047");
    }

    #[test]
    fn a_luhn_digit() {
        assert_eq!(luhn("49015420323751"), 8);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(Phone::short("1234567890123"), None);
        assert_eq!(Phone::short("12a"), None);
        assert_eq!(Phone::short(""), None);
        assert!(Phone::long("12345678901234567890").is_some());
    }
}
