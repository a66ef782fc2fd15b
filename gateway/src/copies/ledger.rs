//! Which part of the spool went to which peer under which numbers. Pure: it sends nothing.

use std::collections::BTreeMap;

use cluster::NodeId;

use crate::spool::Place;

/// What this life sent, and to whom.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The highest number that was used.
    last_number: u64,
    /// The end of what was ever sent, kept or not.
    furthest: Place,
    session: Option<Session>,
}

/// A copy that is being made at one peer.
#[derive(Debug)]
struct Session {
    peer: NodeId,
    /// What the peer has ends here; all that is not stored before it is there.
    cursor: Place,
    last_kept: Option<u64>,
    /// The lowest number of each segment that is not known to be stored. As many as there are segments.
    firsts: BTreeMap<u64, u64>,
    /// Whether the peer once had all that was not stored, so that what it has of an earlier session may go.
    is_complete: bool,
}

impl Ledger {
    /// The copy begins anew, at `peer`.
    pub(super) fn begin(&mut self, peer: NodeId) {
        self.session = Some(Session {
            peer,
            cursor: Place::default(),
            last_kept: None,
            firsts: BTreeMap::new(),
            is_complete: false,
        });
    }

    /// Nobody has the copy any more.
    pub(super) fn end(&mut self) {
        self.session = None;
    }

    /// Who has the copy.
    pub(super) fn peer(&self) -> Option<&NodeId> {
        self.session.as_ref().map(|session| &session.peer)
    }

    /// Where the copy ends.
    pub(super) fn cursor(&self) -> Place {
        self.session.as_ref().map_or(Place::default(), |session| session.cursor)
    }

    /// The records up to `end`, of one segment, are about to be sent: their number, and that of what they follow.
    pub(super) fn sending(&mut self, end: Place) -> (u64, Option<u64>) {
        self.last_number += 1;
        self.furthest = self.furthest.max(end);
        let Some(session) = &mut self.session else { return (self.last_number, None) };
        session.firsts.entry(end.segment).or_insert(self.last_number);
        (self.last_number, session.last_kept)
    }

    /// The peer has batch `number`, which ends at `end`.
    pub(super) fn kept(&mut self, number: u64, end: Place) {
        if let Some(session) = &mut self.session {
            session.last_kept = Some(number);
            session.cursor = session.cursor.max(end);
        }
    }

    /// There was nothing left to copy.
    pub(super) fn complete(&mut self) {
        if let Some(session) = &mut self.session {
            session.is_complete = true;
        }
    }

    /// Up to which number `peer` may forget everything, when what lies before `drained` is stored.
    pub(super) fn stored(&mut self, drained: Place, peer: &NodeId) -> Option<u64> {
        if self.is_all_stored(drained) {
            return (self.last_number > 0).then_some(self.last_number);
        }
        let session = self.session.as_mut().filter(|session| session.peer == *peer && session.is_complete)?;
        session.firsts.retain(|segment, _| *segment >= drained.segment);
        let upto = session.firsts.values().min().map_or(self.last_number, |first| first - 1);
        (upto > 0).then_some(upto)
    }

    /// Whether all that was ever sent lies before `drained`.
    pub(super) fn is_all_stored(&self, drained: Place) -> bool {
        drained >= self.furthest
    }

    /// The highest number that was used.
    pub(super) fn last_number(&self) -> u64 {
        self.last_number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        name.parse().expect("a name")
    }

    fn place(segment: u64, offset: u64) -> Place {
        Place { segment, offset }
    }

    /// Sends what ends at `end`, and it is kept.
    fn send(ledger: &mut Ledger, end: Place) -> (u64, Option<u64>) {
        let sent = ledger.sending(end);
        ledger.kept(sent.0, end);
        sent
    }

    #[test]
    fn numbers_are_never_used_twice_and_say_what_they_follow() {
        let mut ledger = Ledger::default();
        ledger.begin(node("a"));
        assert_eq!(send(&mut ledger, place(1, 10)), (1, None));
        assert_eq!(ledger.sending(place(1, 20)), (2, Some(1)));
        assert_eq!(ledger.cursor(), place(1, 10), "it was not kept");
        ledger.begin(node("b"));
        assert_eq!(ledger.cursor(), Place::default());
        assert_eq!(send(&mut ledger, place(1, 20)), (3, None));
        assert_eq!(send(&mut ledger, place(1, 30)), (4, Some(3)));
    }

    #[test]
    fn a_peer_forgets_whole_segments_as_they_are_stored_and_all_at_the_end() {
        let mut ledger = Ledger::default();
        let a = node("a");
        assert_eq!(ledger.stored(place(9, 0), &a), None, "nothing was ever sent");
        ledger.begin(a.clone());
        for end in [place(1, 10), place(1, 20), place(2, 10), place(3, 10)] {
            send(&mut ledger, end);
        }
        ledger.complete();
        assert_eq!(ledger.stored(place(1, 20), &a), None);
        assert_eq!(ledger.stored(place(2, 0), &a), Some(2));
        assert_eq!(ledger.stored(place(3, 9), &a), Some(3));
        ledger.sending(place(3, 20));
        assert_eq!(ledger.stored(place(3, 10), &a), Some(3), "one is on its way");
        assert_eq!(ledger.stored(place(3, 20), &a), Some(5));
        assert_eq!(ledger.stored(place(3, 20), &node("b")), Some(5), "whoever had some of it");
    }

    #[test]
    fn an_earlier_copy_goes_only_when_the_new_one_is_complete() {
        let mut ledger = Ledger::default();
        let (a, b) = (node("a"), node("b"));
        ledger.begin(a.clone());
        for end in [place(1, 10), place(2, 10)] {
            send(&mut ledger, end);
        }
        ledger.complete();
        ledger.begin(b.clone());
        assert_eq!(ledger.stored(place(2, 0), &a), None, "what b does not have yet");
        ledger.begin(a.clone());
        send(&mut ledger, place(1, 10));
        assert_eq!(ledger.stored(place(1, 0), &a), None);
        send(&mut ledger, place(2, 10));
        ledger.complete();
        assert_eq!(ledger.stored(place(1, 0), &a), Some(2), "and now its first two");
        assert_eq!(ledger.stored(place(1, 0), &b), None);
        assert_eq!(ledger.stored(place(2, 0), &a), Some(3));
    }
}
