//! 0x0704: several location bodies in one message, as terminals send them after a blind area.

use crate::jt808::Edition;
use crate::reader::{Reader, Truncated};

/// 0x0704: a batch of location bodies.
///
/// The count is often wrong and the last item sometimes cut off, so the items are walked by the bytes left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocationBatch<'a> {
    /// How many items the terminal says there are.
    pub count: u16,
    /// 0 normal, 1 backfill after a blind area.
    pub kind: u8,
    /// The items.
    pub items: BatchItems<'a>,
}

impl<'a> LocationBatch<'a> {
    /// Type of a normal batch.
    pub const NORMAL: u8 = 0;
    /// Type of a backfill after a blind area.
    pub const BLIND_AREA: u8 = 1;

    /// Reads the body.
    pub fn decode(body: &'a [u8], _edition: Edition) -> Result<Self, Truncated> {
        let mut reader = Reader::new(body);
        Ok(Self { count: reader.u16()?, kind: reader.u8()?, items: BatchItems(reader.rest()) })
    }

    /// Appends the body, the same bytes as were decoded. [`encode_batch`] writes one from its items.
    pub fn encode(&self, out: &mut Vec<u8>, _edition: Edition) {
        out.extend_from_slice(&self.count.to_be_bytes());
        out.push(self.kind);
        out.extend_from_slice(self.items.0);
    }
}

/// Appends the body of a batch of `items`, of which at most 65,535 are written, each cut to as many bytes.
pub fn encode_batch<'a, I>(kind: u8, items: I, out: &mut Vec<u8>)
where
    I: IntoIterator<Item = &'a [u8], IntoIter: ExactSizeIterator>,
{
    let items = items.into_iter().take(usize::from(u16::MAX));
    out.extend_from_slice(&(items.len() as u16).to_be_bytes());
    out.push(kind);
    for item in items {
        let item = item.get(..usize::from(u16::MAX)).unwrap_or(item);
        out.extend_from_slice(&(item.len() as u16).to_be_bytes());
        out.extend_from_slice(item);
    }
}

/// The items of a batch, as sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchItems<'a>(pub &'a [u8]);

impl<'a> BatchItems<'a> {
    /// Walks the items to the end of the body, whatever the count says.
    pub fn iter(&self) -> BatchIter<'a> {
        BatchIter { rest: self.0 }
    }
}

impl<'a> IntoIterator for BatchItems<'a> {
    type Item = BatchItem<'a>;
    type IntoIter = BatchIter<'a>;

    fn into_iter(self) -> BatchIter<'a> {
        self.iter()
    }
}

/// One item of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchItem<'a> {
    /// The location body; of the last item, what is there of it.
    pub body: &'a [u8],
    /// Whether the batch ended before the item did.
    pub cut: bool,
}

/// Iterator over [`BatchItems`].
#[derive(Clone, Debug)]
pub struct BatchIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for BatchIter<'a> {
    type Item = BatchItem<'a>;

    fn next(&mut self) -> Option<BatchItem<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let mut reader = Reader::new(self.rest);
        let item = match reader.u16().map(usize::from).and_then(|len| reader.bytes(len)) {
            Ok(body) => BatchItem { body, cut: false },
            Err(_) => BatchItem { body: reader.take_rest(), cut: true },
        };
        self.rest = reader.rest();
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_count_that_disagrees_with_the_items() {
        for count in [0u8, 1, 9] {
            let body = [0, count, 1, 0, 2, 0xaa, 0xbb, 0, 1, 0xcc];
            let batch = LocationBatch::decode(&body, Edition::V2013).unwrap();
            let items: Vec<_> = batch.items.iter().map(|item| item.body).collect();
            assert_eq!(items, [&[0xaa, 0xbb][..], &[0xcc]]);
        }
    }

    #[test]
    fn the_last_item_is_cut_off() {
        let batch = LocationBatch::decode(&[0, 2, 0, 0, 1, 0xaa, 0, 9, 0xbb], Edition::V2013).unwrap();
        let items: Vec<_> = batch.items.into_iter().collect();
        let wanted = [BatchItem { body: &[0xaa], cut: false }, BatchItem { body: &[0xbb], cut: true }];
        assert_eq!(items, wanted);
        let batch = LocationBatch::decode(&[0, 1, 0, 7], Edition::V2013).unwrap();
        assert_eq!(batch.items.iter().next(), Some(BatchItem { body: &[7], cut: true }));
    }

    proptest! {
        #[test]
        fn any_body_is_written_back_and_its_items_end(body in proptest::collection::vec(any::<u8>(), 3..300)) {
            let batch = LocationBatch::decode(&body, Edition::V2013).unwrap();
            prop_assert!(batch.items.iter().count() <= body.len());
            let mut again = Vec::new();
            batch.encode(&mut again, Edition::V2013);
            prop_assert_eq!(again, body);
        }

        #[test]
        fn items_come_back(items in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..20)) {
            let mut body = Vec::new();
            encode_batch(LocationBatch::BLIND_AREA, items.iter().map(Vec::as_slice), &mut body);
            let batch = LocationBatch::decode(&body, Edition::V2013).unwrap();
            prop_assert_eq!(usize::from(batch.count), items.len());
            prop_assert!(batch.items.iter().all(|item| !item.cut));
            let again: Vec<_> = batch.items.iter().map(|item| item.body.to_vec()).collect();
            prop_assert_eq!(again, items);
        }
    }
}
