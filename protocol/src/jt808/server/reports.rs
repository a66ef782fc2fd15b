//! Messages of positions whose acknowledgement waits until they are stored.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::output::{ReportSource, Ticket};
use crate::jt808::location::LOCATION_BYTES;
use crate::jt808::message::LocationBatch;
use crate::jt808::{Edition, Header, id};

/// The acknowledgements that wait, by ticket.
#[derive(Debug, Default)]
pub(super) struct Reports {
    held: BTreeMap<Ticket, Held>,
    issued: u64,
}

/// Which packages the acknowledgement of one message names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// The package that made the message whole.
    pub(super) completing: Header,
    /// The package with the highest index, where that is another one: a terminal may take its acknowledgement for
    /// that of the whole message, so it waits with the other.
    pub(super) last: Option<Header>,
}

impl Reports {
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn hold(&mut self, held: Held) -> Ticket {
        let ticket = Ticket(self.issued);
        self.issued += 1;
        self.held.insert(ticket, held);
        ticket
    }

    pub(super) fn release(&mut self, ticket: Ticket) -> Option<Held> {
        self.held.remove(&ticket)
    }
}

/// The location bodies of one message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bodies {
    pub(super) source: ReportSource,
    pub(super) bodies: Vec<Bytes>,
    /// Whether count and items agree, and no item is cut off.
    pub(super) exact: bool,
}

impl Bodies {
    /// Cuts the body of `id` (0x0200 or 0x0704) into location bodies. None where it holds none that is whole.
    ///
    /// Devices count wrong in 0x0704 and cut its last item off: what holds the fixed part
    /// of a location is taken, whatever the count says.
    pub(super) fn cut(id: u16, edition: Edition, body: Bytes) -> Option<Self> {
        if id == id::LOCATION_REPORT {
            let whole = body.len() >= LOCATION_BYTES;
            return whole.then(|| Self { source: ReportSource::Report, bodies: vec![body], exact: true });
        }
        let batch = LocationBatch::decode(&body, edition).ok()?;
        let source = match batch.kind {
            LocationBatch::BLIND_AREA => ReportSource::Backfill,
            _ => ReportSource::Batch,
        };
        let mut exact = true;
        let mut bodies = Vec::with_capacity(usize::from(batch.count).min(body.len() / (LOCATION_BYTES + 2)));
        let mut items = 0;
        for item in batch.items {
            items += 1;
            let whole = item.body.len() >= LOCATION_BYTES;
            exact &= whole && !item.cut;
            if whole {
                bodies.push(body.slice_ref(item.body));
            }
        }
        exact &= items == usize::from(batch.count);
        (!bodies.is_empty()).then_some(Self { source, bodies, exact })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(count: u16, lens: &[usize], tail: &[u8]) -> Bytes {
        let mut body = count.to_be_bytes().to_vec();
        body.push(1);
        for len in lens {
            body.extend((*len as u16).to_be_bytes());
            body.extend(vec![7; *len]);
        }
        body.extend(tail);
        body.into()
    }

    #[test]
    fn takes_every_whole_item_whatever_the_count_says() {
        let cut =
            |body| Bodies::cut(id::LOCATION_BATCH, Edition::V2013, body).map(|b| (b.bodies.len(), b.exact));
        assert_eq!(cut(batch(2, &[28, 30], &[])), Some((2, true)));
        assert_eq!(cut(batch(9, &[28, 30], &[])), Some((2, false)));
        assert_eq!(cut(batch(1, &[28, 30], &[])), Some((2, false)));
        assert_eq!(cut(batch(2, &[28], &[0, 28, 1, 2])), Some((1, false)), "the last item is cut off");
        assert_eq!(cut(batch(2, &[28, 3], &[])), Some((1, false)), "an item too short for a location");
        assert_eq!(cut(batch(0, &[], &[])), None);
        assert_eq!(cut(Bytes::from_static(&[0])), None);
        assert_eq!(Bodies::cut(id::LOCATION_REPORT, Edition::V2013, Bytes::from_static(&[0; 27])), None);
    }
}
