//! The checked reader: the only place that cuts device bytes.

/// Fewer bytes were left than a field needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} bytes wanted at offset {offset}, {left} left")]
pub struct Truncated {
    /// Offset of the field from the start of what the reader was given.
    pub offset: usize,
    /// Bytes that the field needs.
    pub wanted: usize,
    /// Bytes that were left.
    pub left: usize,
}

/// Reads big-endian fields off a byte slice, front to back.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their first.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes not read yet, without reading them.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.offset..).unwrap_or_default()
    }

    /// How many bytes are not read yet.
    pub fn left(&self) -> usize {
        self.rest().len()
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.left() == 0
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Truncated> {
        match self.rest().get(..count) {
            Some(bytes) => {
                self.offset += count;
                Ok(bytes)
            }
            None => Err(Truncated { offset: self.offset, wanted: count, left: self.left() }),
        }
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let (offset, left) = (self.offset, self.left());
        match self.rest().first_chunk::<N>() {
            Some(bytes) => {
                self.offset += N;
                Ok(*bytes)
            }
            None => Err(Truncated { offset, wanted: N, left }),
        }
    }

    /// BYTE.
    pub fn u8(&mut self) -> Result<u8, Truncated> {
        self.array().map(u8::from_be_bytes)
    }

    /// WORD.
    pub fn u16(&mut self) -> Result<u16, Truncated> {
        self.array().map(u16::from_be_bytes)
    }

    /// DWORD.
    pub fn u32(&mut self) -> Result<u32, Truncated> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64, Truncated> {
        self.array().map(u64::from_be_bytes)
    }

    /// Everything that is left.
    pub fn take_rest(&mut self) -> &'a [u8] {
        let rest = self.rest();
        self.offset = self.bytes.len();
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_in_order_and_says_where_it_ran_out() {
        let mut reader = Reader::new(&[1, 0, 2, 0, 0, 0, 3, 9, 8]);
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.u16(), Ok(2));
        assert_eq!(reader.u32(), Ok(3));
        assert_eq!(reader.u32(), Err(Truncated { offset: 7, wanted: 4, left: 2 }));
        assert_eq!(reader.bytes(1), Ok(&[9][..]));
        assert_eq!(reader.take_rest(), &[8]);
        assert!(reader.is_empty());
        assert_eq!(reader.bytes(usize::MAX).map_err(|e| e.left), Err(0));
    }
}
