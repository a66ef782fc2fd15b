//! A record as bytes: framed so that damage is found and passed over, and so that nothing inside a body passes
//! for a record.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use model::TerminalId;

use crate::normalise::BODY_BYTES_MAX;

/// Before each record's content: its length, a CRC-32 of the length, a CRC-32 of length and content.
const PREFIX_BYTES: usize = 12;
/// Terminal and arrival, before the body.
const FIXED_BYTES: usize = 16;
/// The longest record.
pub(crate) const RECORD_BYTES_MAX: usize = PREFIX_BYTES + FIXED_BYTES + BODY_BYTES_MAX;
/// On the way to another gateway nothing is searched for, so one salt does for all.
const ON_THE_WAY: Salt = Salt(0);
/// Whose the marks are: no terminal's, as the database counts these from 1.
const OF_MARKS: TerminalId = TerminalId(0);

/// A report as it is kept: enough to normalise it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) terminal: TerminalId,
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) body: Arc<[u8]>,
}

/// What a segment's checksums begin with. Bodies come from terminals: without it one of them could hold bytes that a
/// search behind damage takes for a record of another terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Salt(pub(super) u64);

impl Salt {
    pub(super) fn random() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }

    fn checksum(self, length: &[u8], content: &[u8]) -> [u8; 4] {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&self.0.to_le_bytes());
        crc.update(length);
        crc.update(content);
        crc.finalize().to_le_bytes()
    }
}

impl Record {
    /// The record behind those of batch `number` in a copy: what stands before it came whole.
    pub(crate) fn mark(number: u64) -> Self {
        let body = number.to_le_bytes()[..].into();
        Self { terminal: OF_MARKS, received_at: DateTime::UNIX_EPOCH, body }
    }

    /// The number of the batch that it marks, if it is a mark.
    pub(crate) fn marked(&self) -> Option<u64> {
        let number = <[u8; 8]>::try_from(&*self.body).ok()?;
        (self.terminal == OF_MARKS).then(|| u64::from_le_bytes(number))
    }

    /// Records as they go to another gateway.
    pub(crate) fn batch(records: &[Self]) -> Bytes {
        let mut bytes = Vec::with_capacity(records.iter().map(Self::bytes).sum());
        for record in records {
            record.encode(ON_THE_WAY, &mut bytes);
        }
        bytes.into()
    }

    /// The records of a batch; None unless it holds some, whole and nothing else, and no marks.
    pub(crate) fn of_batch(mut bytes: &[u8]) -> Option<Vec<Self>> {
        let mut records = Vec::new();
        while !bytes.is_empty() {
            let (record, length) = Self::decode(ON_THE_WAY, bytes)?;
            if record.terminal == OF_MARKS {
                return None;
            }
            records.push(record);
            bytes = bytes.get(length..)?;
        }
        (!records.is_empty()).then_some(records)
    }

    /// Its length on disk.
    pub(crate) fn bytes(&self) -> usize {
        PREFIX_BYTES + FIXED_BYTES + self.body.len()
    }

    pub(super) fn encode(&self, salt: Salt, out: &mut Vec<u8>) {
        let length = u32::try_from(FIXED_BYTES + self.body.len()).unwrap_or(u32::MAX).to_le_bytes();
        let start = out.len();
        out.extend_from_slice(&length);
        out.extend_from_slice(&salt.checksum(&length, &[]));
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.terminal.0.to_le_bytes());
        out.extend_from_slice(&self.received_at.timestamp_micros().to_le_bytes());
        out.extend_from_slice(&self.body);
        let crc = salt.checksum(&length, &out[start + PREFIX_BYTES..]);
        out[start + 8..start + PREFIX_BYTES].copy_from_slice(&crc);
    }

    /// The record at the start of `bytes` and its length there; None where there is no whole and undamaged one.
    fn decode(salt: Salt, bytes: &[u8]) -> Option<(Self, usize)> {
        let (length_bytes, rest) = bytes.split_first_chunk::<4>()?;
        let (length_crc, rest) = rest.split_first_chunk::<4>()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length_bytes)).ok()?;
        // The length vouches for itself, so that a search behind damage reads each byte about once.
        if !(FIXED_BYTES..=FIXED_BYTES + BODY_BYTES_MAX).contains(&length)
            || salt.checksum(length_bytes, &[]) != *length_crc
        {
            return None;
        }
        let content = rest.get(..length)?;
        if salt.checksum(length_bytes, content) != *crc {
            return None;
        }
        let (terminal, content) = content.split_first_chunk::<8>()?;
        let (received_at, body) = content.split_first_chunk::<8>()?;
        let record = Self {
            terminal: TerminalId(i64::from_le_bytes(*terminal)),
            received_at: DateTime::from_timestamp_micros(i64::from_le_bytes(*received_at))?,
            body: body.into(),
        };
        Some((record, PREFIX_BYTES + length))
    }

    /// The first whole record in `bytes`: how many bytes before it had to be passed over, it, and where it ends.
    pub(super) fn find(salt: Salt, bytes: &[u8]) -> Option<(usize, Self, usize)> {
        (0..bytes.len()).find_map(|passed| {
            let (record, length) = Self::decode(salt, bytes.get(passed..)?)?;
            Some((passed, record, passed + length))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(body: &[u8]) -> Record {
        let received_at = DateTime::from_timestamp_micros(1_700_000_000_000_001).expect("a time");
        Record { terminal: TerminalId(7), received_at, body: body.into() }
    }

    #[test]
    fn a_record_reads_back_behind_whatever_is_no_record() {
        let (salt, record) = (Salt::random(), record(b"body"));
        let mut bytes = vec![0xff; 100];
        record.encode(salt, &mut bytes);
        assert_eq!(bytes.len(), 100 + record.bytes());
        bytes.extend_from_slice(&[1; 50]);
        assert_eq!(Record::find(salt, &bytes), Some((100, record.clone(), 100 + record.bytes())));
        assert_eq!(Record::find(salt, &bytes[..120]), None);
    }

    #[test]
    fn a_body_that_holds_a_record_is_not_taken_for_one() {
        let (mut inner, mut outer) = (Vec::new(), Vec::new());
        record(b"forged").encode(Salt(0), &mut inner);
        let salt = Salt(0x1234_5678_9abc_def0);
        record(&inner).encode(salt, &mut outer);
        outer[0] ^= 1;
        assert_eq!(Record::find(salt, &outer), None);
    }

    #[test]
    fn a_batch_is_whole_records_and_nothing_else() {
        let records = [record(b"one"), record(b""), record(&[7; 300])];
        let bytes = Record::batch(&records);
        assert_eq!(Record::of_batch(&bytes).as_deref(), Some(&records[..]));
        for length in 0..bytes.len() {
            let cut = Record::of_batch(&bytes[..length]);
            assert!(cut.is_none_or(|cut| cut.len() < 3 && cut[..] == records[..cut.len()]), "{length}");
        }
        for place in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[place] ^= 0x20;
            assert_eq!(Record::of_batch(&damaged), None, "{place}");
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert_eq!(Record::of_batch(&longer), None);
        assert_eq!(Record::of_batch(&[]), None);
    }

    #[test]
    fn a_mark_is_told_from_a_report_and_comes_in_no_batch() {
        assert_eq!(Record::mark(u64::MAX).marked(), Some(u64::MAX));
        assert_eq!(record(&[0; 8]).marked(), None);
        assert_eq!(Record::of_batch(&Record::batch(&[record(b"x"), Record::mark(3)])), None);
    }

    #[test]
    fn segments_do_not_share_their_salt() {
        assert_ne!(Salt::random(), Salt::random());
    }
}
