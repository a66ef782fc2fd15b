//! Which media server is for a stream, from the View.
//!
//! Knows not who watches, nor what a media server does.

use model::StreamKey;

use crate::rendezvous::rendezvous;
use crate::{MediaServer, Member, Placement, Role, Sightings, SightingsSeen, View, Views};

/// Places streams by rendezvous over the media servers that can serve, so that every node names the same one.
#[derive(Clone, Debug)]
pub struct FromView {
    /// Who is there.
    pub views: Views,
    /// Who answers.
    pub sightings: SightingsSeen,
}

impl Placement for FromView {
    fn media_for(&self, stream: &StreamKey) -> Option<MediaServer> {
        let view = self.views.borrow().clone();
        let sightings = self.sightings.borrow().clone();
        place(&view, &sightings, stream)?.info.media.clone()
    }
}

/// One that answers and is not draining. Where there is none: one that is in the View, which may be right where this
/// node is not.
fn place<'a>(view: &'a View, sightings: &Sightings, stream: &StreamKey) -> Option<&'a Member> {
    let key = stream.to_string();
    let fit = |member: &&Member| member.info.speaks() && member.info.media.is_some();
    let answers = |member: &&Member| {
        let sighting = sightings.get(&member.info.node);
        sighting.is_some_and(|seen| seen.incarnation == member.info.incarnation && seen.is_in_sight())
    };
    let rank = |member: &&Member| rendezvous(key.as_bytes(), &member.info.node);
    let servers = || view.with_role(Role::Media).filter(fit);
    let best = servers().filter(answers).filter(|member| !member.is_draining).max_by_key(rank);
    best.or_else(|| servers().filter(answers).max_by_key(rank)).or_else(|| servers().max_by_key(rank))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::{Channel, Profile, TerminalId};

    use super::*;
    use crate::Advertise;
    use crate::testing::{member, node, sighting};

    fn stream(terminal: i64) -> StreamKey {
        StreamKey::live(TerminalId(terminal), Channel::new(1).expect("not 0"), Profile::Main)
    }

    /// Three media servers, all seen.
    fn scene() -> (View, Sightings) {
        let (mut view, mut sightings) = (View::default(), BTreeMap::new());
        for name in ["media1", "media2", "media3"] {
            let mut member = member(name, &[Role::Media]);
            let at = |port| Advertise { host: Some(name.to_owned()), port };
            member.info.media = Some(MediaServer { viewer: at(6604), tls: false, live: at(6602) });
            view.members.insert(node(name), member);
            sightings.insert(node(name), sighting(0));
        }
        (view, sightings)
    }

    fn placed(view: &View, sightings: &Sightings) -> BTreeMap<i64, String> {
        let at =
            |terminal| Some((terminal, place(view, sightings, &stream(terminal))?.info.node.to_string()));
        (0..300).filter_map(at).collect()
    }

    #[test]
    fn streams_are_spread_and_a_server_that_goes_moves_only_its_own() {
        let (view, mut sightings) = scene();
        let before = placed(&view, &sightings);
        for server in ["media1", "media2", "media3"] {
            let count = before.values().filter(|name| *name == server).count();
            assert!((70..=130).contains(&count), "{server} has {count}");
        }
        sightings.get_mut(&node("media2")).expect("there").missed = 3;
        let after = placed(&view, &sightings);
        assert!(after.values().all(|name| name != "media2"));
        assert!(before.iter().all(|(stream, name)| name == "media2" || after[stream] == *name));
    }

    #[test]
    fn a_draining_server_gets_nothing_unless_it_is_the_only_one_left() {
        let (mut view, mut sightings) = scene();
        view.members.get_mut(&node("media1")).expect("there").is_draining = true;
        assert!(placed(&view, &sightings).values().all(|name| name != "media1"));
        sightings.remove(&node("media2"));
        sightings.remove(&node("media3"));
        assert!(placed(&view, &sightings).values().all(|name| name == "media1"));
    }

    #[test]
    fn a_node_that_sees_nobody_names_one_all_the_same_and_without_servers_nobody() {
        let (view, _) = scene();
        assert_eq!(placed(&view, &BTreeMap::new()).len(), 300);
        assert_eq!(place(&View::default(), &BTreeMap::new(), &stream(1)), None);
    }
}
