//! Bits and Exp-Golomb numbers of a raw byte sequence payload (H.264 clauses 7.4.1 and 9.1; H.265 the same).

/// Why a parameter set cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BitError {
    /// The bits end inside a field.
    #[error("the bits end early")]
    End,
    /// A value outside what the standard allows, or outside what this platform takes.
    #[error("{0} is out of range")]
    Range(&'static str),
}

/// Reads a NAL unit bit by bit, leaving out emulation prevention bytes.
#[derive(Clone, Debug)]
pub(super) struct BitReader<'a> {
    bytes: std::slice::Iter<'a, u8>,
    zeros: u8,
    current: u8,
    bits_left: u8,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: bytes.iter(), zeros: 0, current: 0, bits_left: 0 }
    }

    fn next_byte(&mut self) -> Result<u8, BitError> {
        let mut byte = *self.bytes.next().ok_or(BitError::End)?;
        if self.zeros >= 2 && byte == 3 {
            self.zeros = 0;
            byte = *self.bytes.next().ok_or(BitError::End)?;
        }
        self.zeros = if byte == 0 { self.zeros.saturating_add(1) } else { 0 };
        Ok(byte)
    }

    pub(super) fn flag(&mut self) -> Result<bool, BitError> {
        if self.bits_left == 0 {
            self.current = self.next_byte()?;
            self.bits_left = 8;
        }
        self.bits_left -= 1;
        Ok(self.current >> self.bits_left & 1 == 1)
    }

    /// The next `count` bits as a number; at most 64.
    pub(super) fn bits(&mut self, count: u32) -> Result<u64, BitError> {
        let mut value = 0;
        for _ in 0..count.min(64) {
            value = value << 1 | u64::from(self.flag()?);
        }
        Ok(value)
    }

    pub(super) fn byte(&mut self) -> Result<u8, BitError> {
        Ok(self.bits(8)? as u8)
    }

    pub(super) fn skip(&mut self, count: u32) -> Result<(), BitError> {
        for _ in 0..count {
            self.flag()?;
        }
        Ok(())
    }

    /// ue(v), refused above `max`.
    pub(super) fn unsigned(&mut self, name: &'static str, max: u32) -> Result<u32, BitError> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 32 {
                return Err(BitError::Range(name));
            }
        }
        let value = (1_u64 << zeros) - 1 + self.bits(zeros)?;
        match u32::try_from(value) {
            Ok(value) if value <= max => Ok(value),
            _ => Err(BitError::Range(name)),
        }
    }

    /// se(v).
    pub(super) fn signed(&mut self, name: &'static str) -> Result<i64, BitError> {
        let code = i64::from(self.unsigned(name, u32::MAX)?);
        Ok(if code % 2 == 0 { -(code / 2) } else { code / 2 + 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_as_in_clause_9_1() {
        // 1 010 011 00100 00101 → 0 1 2 3 4, then 1 → 0
        let mut reader = BitReader::new(&[0b1010_0110, 0b0100_0010, 0b1100_0000]);
        let values: Vec<u32> = (0..6).map(|_| reader.unsigned("x", 9).unwrap()).collect();
        assert_eq!(values, [0, 1, 2, 3, 4, 0]);
        let mut reader = BitReader::new(&[0b1010_0110, 0b0100_0010, 0b1100_0000]);
        let values: Vec<i64> = (0..5).map(|_| reader.signed("x").unwrap()).collect();
        assert_eq!(values, [0, 1, -1, 2, -2]);
    }

    #[test]
    fn emulation_prevention_is_left_out() {
        let mut reader = BitReader::new(&[0, 0, 3, 1, 0, 0, 3, 3, 3]);
        let bytes: Vec<u8> = std::iter::from_fn(|| reader.byte().ok()).collect();
        assert_eq!(bytes, [0, 0, 1, 0, 0, 3, 3]);
    }

    #[test]
    fn hostile_numbers_are_errors() {
        assert_eq!(BitReader::new(&[0; 16]).unsigned("x", u32::MAX), Err(BitError::Range("x")));
        assert_eq!(BitReader::new(&[0; 3]).unsigned("x", u32::MAX), Err(BitError::End));
        assert_eq!(BitReader::new(&[0, 0x80, 0]).unsigned("x", 254), Err(BitError::Range("x")));
        assert_eq!(BitReader::new(&[]).flag(), Err(BitError::End));
    }
}
