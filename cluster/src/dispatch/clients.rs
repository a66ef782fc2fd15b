//! Which media or API server a client is sent to: the one that carries least, counting those that were sent there
//! lately.
//!
//! Pure: what is known of nodes and the time come from the caller. A server that serves one stream is another matter:
//! [`Placement`](crate::Placement).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::{ClusterReport, NodeId, NodeReport, Role};

/// How long a client counts that was sent to a server, beside what the server tells of itself.
pub const COUNTED_FOR: Duration = Duration::from_secs(30);

/// Most clients that are counted; beyond, the oldest are forgotten. About 40 bytes each.
const SENT_MAX: usize = 16_384;

/// What a client is looking for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A media server: the one with the fewest viewers.
    Media,
    /// An API server: the one whose machine has least to do.
    Api,
}

/// Sends clients to servers, and remembers for a while whom it sent where.
#[derive(Debug, Default)]
pub struct ClientDispatcher {
    sent: VecDeque<(Instant, Wanted, NodeId)>,
}

impl ClientDispatcher {
    /// The server for one more client. None while none is fit: those that answer, have the right clock, speak as this
    /// program does, do not drain and say where they are dialled (the node that is asked is reached already).
    ///
    /// The least of what it carries: viewers at media servers, thousandths of all processors at API servers, and in
    /// both cases one for each client sent there within [`COUNTED_FOR`].
    pub fn choose<'a>(
        &mut self,
        now: Instant,
        report: &'a ClusterReport,
        wanted: Wanted,
    ) -> Option<&'a NodeReport> {
        while self.sent.len() > SENT_MAX || self.sent.front().is_some_and(|(at, ..)| *at + COUNTED_FOR <= now)
        {
            self.sent.pop_front();
        }
        let sent_to = |node: &NodeId| {
            self.sent.iter().filter(|(_, what, to)| *what == wanted && to == node).count() as u64
        };
        let fit = report.nodes.iter().filter(|server| is_fit(report, server, wanted));
        let carries = |server: &&NodeReport| {
            let load = server.sighting.as_ref().map(|sighting| sighting.load).unwrap_or_default();
            let own = match wanted {
                Wanted::Media => u64::from(load.viewers),
                Wanted::Api => u64::from(load.cpu_permille),
            };
            own + sent_to(&server.info.node)
        };
        let chosen = fit.min_by_key(carries)?;
        self.sent.push_back((now, wanted, chosen.info.node.clone()));
        Some(chosen)
    }
}

fn is_fit(report: &ClusterReport, server: &NodeReport, wanted: Wanted) -> bool {
    let NodeReport { info, is_draining, sighting, .. } = server;
    let can_be_dialled = match wanted {
        Wanted::Media => info.runs(Role::Media) && info.media.is_some(),
        Wanted::Api => info.runs(Role::Api) && (info.web.is_some() || info.node == report.node),
    };
    let has_right_clock = sighting.as_ref().is_some_and(|sighting| {
        sighting.is_in_sight() && sighting.has_right_clock() && !sighting.is_draining
    });
    can_be_dialled && has_right_clock && info.speaks() && !is_draining
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{member, node, sighting};
    use crate::{Advertise, MISSED_MAX, MediaServer, Sightings, View, WebServer};

    /// Three nodes with both roles, of which `a` is asked.
    fn scene() -> (View, Sightings) {
        let (mut view, mut sightings) = (View::default(), Sightings::new());
        for name in ["a", "b", "c"] {
            let mut member = member(name, &[Role::Media, Role::Api]);
            let at = |port| Advertise { host: Some(name.to_owned()), port };
            member.info.media = Some(MediaServer { viewer: at(6604), tls: false, live: at(6602) });
            member.info.web = Some(WebServer { dial: at(8080), tls: false });
            view.members.insert(node(name), member);
            sightings.insert(node(name), sighting(0));
        }
        (view, sightings)
    }

    fn chosen(
        clients: &mut ClientDispatcher,
        now: Instant,
        (view, sightings): &(View, Sightings),
        wanted: Wanted,
    ) -> Option<String> {
        let report = ClusterReport::of(node("a"), view, sightings, None);
        clients.choose(now, &report, wanted).map(|server| server.info.node.to_string())
    }

    #[test]
    fn clients_are_spread_over_what_servers_carry_already() {
        let mut scene = scene();
        for (name, viewers, cpu_permille) in [("a", 10, 300), ("b", 4, 100), ("c", 7, 102)] {
            let load = &mut scene.1.get_mut(&node(name)).expect("there").load;
            (load.viewers, load.cpu_permille) = (viewers, cpu_permille);
        }
        let (mut clients, now) = (ClientDispatcher::default(), Instant::now());
        let mut many = |wanted, count: usize| {
            let sent: Vec<_> = (0..count).filter_map(|_| chosen(&mut clients, now, &scene, wanted)).collect();
            ["a", "b", "c"].map(|name| sent.iter().filter(|sent| *sent == name).count())
        };
        assert_eq!(many(Wanted::Media, 9), [0, 6, 3], "ten viewers each");
        assert_eq!(many(Wanted::Api, 4), [0, 3, 1], "whoever was sent to watch does not count");
        let later = now + COUNTED_FOR;
        assert_eq!(chosen(&mut clients, later, &scene, Wanted::Media).as_deref(), Some("b"), "seen by now");
        assert_eq!(clients.sent.len(), 1);
    }

    #[test]
    fn who_cannot_serve_is_passed_over() {
        let (mut clients, now) = (ClientDispatcher::default(), Instant::now());
        let mut scene = scene();
        scene.0.members.get_mut(&node("a")).expect("there").is_draining = true;
        scene.1.get_mut(&node("b")).expect("there").missed = MISSED_MAX;
        for wanted in [Wanted::Media, Wanted::Api] {
            assert_eq!(chosen(&mut clients, now, &scene, wanted).as_deref(), Some("c"));
        }
        scene.1.get_mut(&node("c")).expect("there").clock_offset_ms = 60_000;
        for wanted in [Wanted::Media, Wanted::Api] {
            assert_eq!(chosen(&mut clients, now, &scene, wanted), None);
        }
    }

    #[test]
    fn a_server_without_an_address_is_chosen_only_where_it_is_the_one_that_is_asked() {
        let (mut clients, now) = (ClientDispatcher::default(), Instant::now());
        let mut scene = scene();
        for member in scene.0.members.values_mut() {
            (member.info.media, member.info.web) = (None, None);
        }
        assert_eq!(chosen(&mut clients, now, &scene, Wanted::Media), None);
        assert_eq!(chosen(&mut clients, now, &scene, Wanted::Api).as_deref(), Some("a"));
    }

    #[test]
    fn what_is_counted_is_bounded() {
        let (mut clients, now, scene) = (ClientDispatcher::default(), Instant::now(), scene());
        let report = ClusterReport::of(node("a"), &scene.0, &scene.1, None);
        clients.sent = (0..SENT_MAX + 5).map(|_| (now, Wanted::Api, node("a"))).collect();
        assert!(clients.choose(now, &report, Wanted::Media).is_some());
        assert_eq!(clients.sent.len(), SENT_MAX + 1);
    }
}
