//! What the dispatcher promises, in virtual time.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::testing::{member, node, sighting};
use crate::{Incarnation, Member, Sighting};

fn candidate(name: &str, limit: u32, terminals: u32) -> Candidate {
    Candidate {
        node: node(name),
        dial: Some(Advertise { host: Some(name.to_owned()), port: 6608 }),
        limit,
        terminals,
        measured_at_ms: 0,
        unfit: None,
    }
}

fn candidates<const N: usize>(gateways: [Candidate; N]) -> Candidates {
    Candidates { gateways: gateways.into(), dispatchers: 1 }
}

fn assigned(
    dispatcher: &mut Dispatcher,
    now: Instant,
    candidates: &Candidates,
    terminal: i64,
) -> Option<String> {
    let assignment = dispatcher.assign(now, candidates, TerminalId(terminal))?;
    Some(assignment.node.to_string())
}

#[test]
fn the_least_loaded_gateway_by_its_limit_gets_the_next_one() {
    let now = Instant::now();
    let mut dispatcher = Dispatcher::default();
    let unequal = candidates([candidate("a", 100, 11), candidate("b", 1_000, 100), candidate("c", 100, 12)]);
    assert_eq!(assigned(&mut dispatcher, now, &unequal, 1).as_deref(), Some("b"));
    let full = candidates([candidate("a", 10, 10), candidate("b", 0, 0)]);
    assert_eq!(assigned(&mut dispatcher, now, &full, 2), None);
}

#[test]
fn those_on_their_way_count_until_they_arrive_or_their_time_is_over() {
    let now = Instant::now();
    let mut dispatcher = Dispatcher::default();
    let two = candidates([candidate("a", 2, 0), candidate("b", 2, 0)]);
    let mut places: Vec<_> = (0..4).map(|terminal| assigned(&mut dispatcher, now, &two, terminal)).collect();
    places.sort();
    assert_eq!(places, ["a", "a", "b", "b"].map(|name| Some(name.to_owned())));
    assert_eq!(assigned(&mut dispatcher, now, &two, 4), None, "both are full of those on their way");
    assert_eq!(dispatcher.reservations(), 4);
    let later = now + RESERVED_FOR;
    assert!(assigned(&mut dispatcher, later, &two, 4).is_some());
    assert_eq!(dispatcher.reservations(), 1);
}

#[test]
fn who_is_asked_for_again_is_told_the_same_until_the_reservation_ends_or_the_gateway_is_unfit() {
    let now = Instant::now();
    let mut dispatcher = Dispatcher::default();
    let mut two = candidates([candidate("a", 100, 0), candidate("b", 100, 50)]);
    let mut ask = |now, candidates: &Candidates| {
        let (assignment, until) = dispatcher.ask(now, candidates, TerminalId(1)).expect("a gateway");
        (assignment.node.to_string(), until, dispatcher.reservations())
    };
    let until = now + RESERVED_FOR;
    assert_eq!(ask(now, &two), ("a".to_owned(), until, 1));
    let within = until - Duration::from_millis(1);
    assert_eq!(ask(within, &two), ("a".to_owned(), until, 1));
    two.gateways[0].unfit = Some(Unfit::Draining);
    assert_eq!(ask(within, &two), ("b".to_owned(), within + RESERVED_FOR, 1));
    two.gateways[0].unfit = None;
    let late = within + RESERVED_FOR;
    assert_eq!(ask(late, &two), ("a".to_owned(), late + RESERVED_FOR, 1), "b did not get it");
    for gateway in &mut two.gateways {
        gateway.unfit = Some(Unfit::Unseen);
    }
    assert_eq!(dispatcher.ask(late, &two, TerminalId(1)), None);
}

#[test]
fn an_arrival_counts_once_before_and_after_the_report_that_shows_it() {
    let now = Instant::now();
    let mut dispatcher = Dispatcher::default();
    let room_for_one = |terminals, measured_at_ms| {
        let gateway = Candidate { measured_at_ms, ..candidate("a", 2, terminals) };
        candidates([gateway])
    };
    assert!(assigned(&mut dispatcher, now, &room_for_one(0, 100), 1).is_some());
    dispatcher.arrived(now, TerminalId(1), &node("a"), 150);
    assert_eq!(dispatcher.reservations(), 0);
    assert!(
        assigned(&mut dispatcher, now, &room_for_one(1, 200), 2).is_some(),
        "one in the report, one more fits"
    );
    assert_eq!(assigned(&mut dispatcher, now, &room_for_one(1, 200), 3), None);
    dispatcher.arrived(now, TerminalId(2), &node("a"), 190);
    assert!(assigned(&mut dispatcher, now, &room_for_one(1, 200), 3).is_some(), "the report had shown it");
    dispatcher.arrived(now, TerminalId(3), &node("a"), 250);
    assert_eq!(assigned(&mut dispatcher, now, &room_for_one(1, 200), 4), None, "not in the report yet");
    let silent = now + ARRIVAL_COUNTED_FOR;
    assert!(assigned(&mut dispatcher, silent, &room_for_one(1, 200), 4).is_some());
}

#[test]
fn who_is_listed_by_its_old_gateway_is_still_on_its_way_to_the_new_one() {
    let now = Instant::now();
    let mut dispatcher = Dispatcher::default();
    let two = candidates([candidate("a", 100, 0), candidate("b", 100, 50)]);
    assert_eq!(assigned(&mut dispatcher, now, &two, 1).as_deref(), Some("a"));
    dispatcher.listed(TerminalId(1), &node("b"));
    dispatcher.listed(TerminalId(2), &node("a"));
    assert_eq!(dispatcher.reservations(), 1);
    dispatcher.listed(TerminalId(1), &node("a"));
    assert_eq!(dispatcher.reservations(), 0);
}

#[test]
fn no_gateway_that_is_not_fit_gets_any() {
    let now = Instant::now();
    let mut view = View::default();
    let mut sightings = Sightings::new();
    for name in ["drain", "told", "unseen", "missed", "clock", "dialect", "reborn", "nowhere", "fit"] {
        view.members.insert(node(name), member(name, &[Role::Gateway]));
        sightings.insert(node(name), sighting(50));
    }
    view.members.insert(node("login"), member("login", &[Role::Login]));
    view.members.insert(node("standby"), member("standby", &[Role::Login, Role::Api]));
    let mut member_of = |name: &str, change: fn(&mut Member)| {
        change(view.members.get_mut(&node(name)).expect("a member"));
    };
    member_of("drain", |member| member.is_draining = true);
    member_of("dialect", |member| member.info.dialect += 1);
    member_of("reborn", |member| member.info.incarnation = Incarnation(8));
    member_of("nowhere", |member| member.info.gateway = None);
    let mut sighting_of = |name: &str, change: fn(&mut Sighting)| {
        change(sightings.get_mut(&node(name)).expect("a sighting"));
    };
    sighting_of("told", |sighting| sighting.is_draining = true);
    sighting_of("missed", |sighting| sighting.missed = 3);
    sighting_of("clock", |sighting| sighting.clock_offset_ms = -10_001);
    sighting_of("fit", |sighting| {
        sighting.missed = 2;
        sighting.load.terminals = 900;
        sighting.clock_offset_ms = 10_000;
    });
    sightings.remove(&node("unseen"));
    let candidates = Candidates::of(&view, &sightings);
    assert_eq!(candidates.dispatchers, 2);
    let unfit: BTreeMap<_, _> =
        candidates.gateways.iter().map(|gateway| (gateway.node.as_str(), gateway.unfit)).collect();
    let expected = BTreeMap::from([
        ("drain", Some(Unfit::Draining)),
        ("told", Some(Unfit::Draining)),
        ("unseen", Some(Unfit::Unseen)),
        ("missed", Some(Unfit::Unseen)),
        ("clock", Some(Unfit::Clock)),
        ("dialect", Some(Unfit::Dialect)),
        ("reborn", Some(Unfit::Unseen)),
        ("nowhere", Some(Unfit::Address)),
        ("fit", None),
    ]);
    assert_eq!(unfit, expected);
    let mut dispatcher = Dispatcher::default();
    let places: BTreeSet<_> =
        (0..60).filter_map(|terminal| assigned(&mut dispatcher, now, &candidates, terminal)).collect();
    assert_eq!(places, BTreeSet::from(["fit".to_owned()]));
    assert_eq!(dispatcher.reservations(), 60);
}

#[test]
fn a_terminal_that_comes_back_goes_elsewhere_while_there_is_an_elsewhere() {
    let mut now = Instant::now();
    let mut dispatcher = Dispatcher::default();
    let three = candidates([candidate("a", 100, 0), candidate("b", 100, 50), candidate("c", 100, 60)]);
    let mut places = Vec::new();
    for _ in 0..7 {
        places.push(assigned(&mut dispatcher, now, &three, 1).expect("a gateway"));
        now += Duration::from_secs(40);
    }
    // Least loaded first; each of the others next; then all over again, but never the same one twice running.
    assert_eq!(places, ["a", "b", "c", "a", "b", "c", "a"]);
    let one = candidates([candidate("a", 100, 0)]);
    assert_eq!(assigned(&mut dispatcher, now, &one, 1).as_deref(), Some("a"), "there is no other");
    dispatcher.arrived(now, TerminalId(1), &node("a"), 1);
    assert_eq!(assigned(&mut dispatcher, now, &three, 1).as_deref(), Some("a"), "it had got in there");
    now += REMEMBERED_FOR;
    assert_eq!(assigned(&mut dispatcher, now, &three, 1).as_deref(), Some("a"), "forgotten");
    assert_eq!(dispatcher.reservations(), 1);
}

#[test]
fn what_is_remembered_is_bounded() {
    let now = Instant::now();
    let mut dispatcher = Dispatcher::default();
    let wide = candidates([candidate("a", u32::MAX, 0), candidate("b", u32::MAX, 0)]);
    for terminal in 0..TRIPS_MAX as i64 + 1_000 {
        assert!(assigned(&mut dispatcher, now, &wide, terminal).is_some());
    }
    // One that never gets in, and comes back at once.
    for _ in 0..TRIPS_MAX + 1_000 {
        assert!(assigned(&mut dispatcher, now, &wide, 1).is_some());
    }
    dispatcher.expire(now);
    assert!(dispatcher.trips.len() <= TRIPS_MAX, "{}", dispatcher.trips.len());
    assert!(dispatcher.reserved.len() <= TRIPS_MAX && dispatcher.remembered.len() <= TRIPS_MAX);
    assert!(dispatcher.trips.values().all(|trip| trip.failed.len() <= FAILED_MAX));
    for terminal in 0..ARRIVALS_MAX as i64 + 10 {
        dispatcher.arrived(now, TerminalId(terminal), &node("a"), terminal + 1);
    }
    assert!(dispatcher.places.values().all(|place| place.arrivals.len() <= ARRIVALS_MAX));
    dispatcher.expire(now + REMEMBERED_FOR);
    assert_eq!(dispatcher.reservations(), 0);
    assert!(dispatcher.trips.is_empty() && dispatcher.places.is_empty());
    assert!(dispatcher.reserved.is_empty() && dispatcher.remembered.is_empty());
}

/// Gateways as they are, and two login servers that learn of it late.
struct Cluster {
    limits: Vec<u32>,
    /// Since when each has its terminals, milliseconds.
    held: Vec<Vec<i64>>,
    dispatchers: Vec<(Dispatcher, Candidates)>,
    began: Instant,
    random: u64,
}

impl Cluster {
    const NAMES: [&'static str; 3] = ["a", "b", "c"];

    fn new(limits: [u32; 3], held: [usize; 3], seed: u64) -> Self {
        let gateway = |place: usize| Candidate {
            measured_at_ms: -1_000,
            ..candidate(Self::NAMES[place], limits[place], u32::try_from(held[place]).expect("few"))
        };
        let candidates = || Candidates { gateways: (0..3).map(gateway).collect(), dispatchers: 2 };
        Self {
            limits: limits.to_vec(),
            held: held.iter().map(|count| vec![i64::MIN; *count]).collect(),
            dispatchers: (0..2).map(|_| (Dispatcher::default(), candidates())).collect(),
            began: Instant::now(),
            random: seed,
        }
    }

    fn at(&self, ms: i64) -> Instant {
        self.began + Duration::from_millis(ms.unsigned_abs())
    }

    /// Below `bound`, by xorshift64*.
    fn random(&mut self, bound: u64) -> i64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound).cast_signed()
    }

    /// `count` terminals come within `within_ms`, half to each login server (all to the first: `alone`); they travel
    /// 50 to 800 ms, their links are heard of 30 ms later, and each gateway reports to each login server once a
    /// second, at some moment of its own; a report arrives as it was a second ago.
    fn run(&mut self, count: i64, within_ms: i64, alone: bool) {
        let phases: Vec<i64> = (0..6).map(|_| self.random(1_000)).collect();
        let mut coming: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for terminal in 0..count {
            let at = self.random(within_ms.unsigned_abs());
            coming.entry(at).or_default().push(terminal);
        }
        let mut travelling: BTreeMap<i64, Vec<(i64, usize)>> = BTreeMap::new();
        let mut heard: BTreeMap<i64, Vec<(i64, usize, i64)>> = BTreeMap::new();
        for ms in 0..within_ms + 1_000 {
            for (terminal, gateway) in travelling.remove(&ms).unwrap_or_default() {
                self.held[gateway].push(ms);
                heard.entry(ms + 30).or_default().push((terminal, gateway, ms));
            }
            let now = self.at(ms);
            for (terminal, gateway, since_ms) in heard.remove(&ms).unwrap_or_default() {
                for (dispatcher, _) in &mut self.dispatchers {
                    dispatcher.arrived(now, TerminalId(terminal), &node(Self::NAMES[gateway]), since_ms);
                }
            }
            for (place, phase) in phases.iter().enumerate() {
                if ms % 1_000 == *phase {
                    let (server, gateway) = (place / 3, place % 3);
                    let measured_at_ms = ms - 1_000;
                    let shown = self.held[gateway].iter().filter(|since| **since <= measured_at_ms).count();
                    let report = &mut self.dispatchers[server].1.gateways[gateway];
                    report.terminals = u32::try_from(shown).expect("few");
                    report.measured_at_ms = measured_at_ms;
                }
            }
            for terminal in coming.remove(&ms).unwrap_or_default() {
                let server = if alone { 0 } else { terminal as usize % 2 };
                let travel = 50 + self.random(750);
                let (dispatcher, candidates) = &mut self.dispatchers[server];
                let to = dispatcher.assign(now, candidates, TerminalId(terminal)).expect("there is room");
                let gateway = Self::NAMES.iter().position(|name| *name == to.node.as_str()).expect("known");
                travelling.entry(ms + travel).or_default().push((terminal, gateway));
            }
        }
        assert!(travelling.is_empty(), "all have arrived");
    }

    /// By how much the gateway furthest from its share is off, permille of that share.
    fn spread_permille(&self) -> u64 {
        let total: usize = self.held.iter().map(Vec::len).sum();
        let limits: u32 = self.limits.iter().sum();
        let off = self.held.iter().zip(&self.limits).map(|(held, limit)| {
            let share = total as f64 * f64::from(*limit) / f64::from(limits);
            ((held.len() as f64 - share).abs() * 1_000.0 / share).round() as u64
        });
        off.max().unwrap_or(0)
    }
}

#[test]
fn a_thousand_terminals_over_three_gateways_by_two_login_servers_are_within_five_percent() {
    for seed in 1..=20 {
        for (limits, within_ms) in
            [([16_000; 3], 1_000), ([16_000; 3], 20_000), ([4_000, 8_000, 12_000], 5_000)]
        {
            for alone in [false, true] {
                let mut cluster = Cluster::new(limits, [0; 3], seed);
                cluster.run(1_000, within_ms, alone);
                let spread = cluster.spread_permille();
                let held: Vec<_> = cluster.held.iter().map(Vec::len).collect();
                assert!(spread <= 50, "seed {seed}, {within_ms} ms, alone {alone}: {held:?}");
            }
        }
    }
}

#[test]
fn a_gap_that_all_login_servers_see_is_filled_up_once() {
    for seed in 1..=20 {
        for alone in [false, true] {
            let mut cluster = Cluster::new([16_000; 3], [500, 500, 0], seed);
            cluster.run(1_000, 4_000, alone);
            let held: Vec<_> = cluster.held.iter().map(Vec::len).collect();
            assert!(cluster.spread_permille() <= 50, "seed {seed}, alone {alone}: {held:?}");
        }
    }
}
