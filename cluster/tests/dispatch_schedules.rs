//! Dispatch over random schedules: terminals come to two login servers, each with a dispatcher and a view of its own,
//! and travel to gateways that die, return, drain and report late; a leader plans releases.
//!
//! At every simulated instant:
//! - a terminal is sent to no gateway that its login server knows for unfit;
//! - it is turned away only where its login server knows no fit gateway;
//! - one that comes back to the same login server without having arrived is sent to another gateway, where there is one.
//!
//! Within a bound after the last fault every terminal is at a gateway that is to have it, none is further from its
//! share than 5 % and one terminal, and nothing counts as on its way.
//!
//! `MOTORCADE_SEED=<seed>` runs one schedule again and prints what happens in it.

mod simulation;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::DateTime;
use cluster::dispatch::{Candidates, Dispatcher};
use cluster::plan::{Policy, Roll, Scene, Step, plan};
use cluster::{
    Advertise, DIALECT, Incarnation, Limits, Load, Member, NodeId, NodeInfo, Role, Sighting, Sightings, View,
};
use model::TerminalId;

use simulation::schedules::{Broken, try_schedules};
use simulation::{MS, Micros, Queue, Random, S};

const SCHEDULES: u64 = 100_000;
/// When the last fault ends.
const CALM_AT: Micros = 8 * S;
/// By when all is well again: a lease lapses, the cluster settles, and then some rounds of releases.
const WELL_BY: Micros = CALM_AT + 60 * S;
/// How long the lease of a dead gateway holds.
const LEASE: Micros = 5 * S;
/// How late a login server hears of anything.
const LATE_MAX: u64 = 500;
/// There is room for all of them at each gateway.
const TERMINALS_MAX: u64 = 48;

#[derive(Debug, Default)]
struct Sums {
    assigned: u64,
    turned_away: u64,
    lost: u64,
    released: u64,
}

fn add(sums: &mut Sums, more: Sums) {
    let Sums { assigned, turned_away, lost, released } = more;
    sums.assigned += assigned;
    sums.turned_away += turned_away;
    sums.lost += lost;
    sums.released += released;
}

#[derive(Clone, Copy, Debug)]
enum Happens {
    /// A terminal authenticates at a login server.
    Comes(usize),
    /// It dials the gateway that it was sent to.
    Dials(usize, usize),
    /// A login server hears that a gateway has a terminal since then.
    Heard {
        login: usize,
        terminal: usize,
        gateway: usize,
        since_ms: i64,
    },
    /// A gateway is asked how it is.
    Asked {
        login: usize,
        gateway: usize,
    },
    /// What it answered arrives; None: nothing did.
    Answered {
        login: usize,
        gateway: usize,
        answer: Option<Answer>,
    },
    /// A login server learns what etcd says of a gateway.
    Learns {
        login: usize,
        gateway: usize,
    },
    Dies(usize),
    Returns(usize),
    /// An operator marks it, or takes the mark away.
    Drains(usize, bool),
    /// The leader looks.
    Plans,
    Releases(usize, u32),
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    incarnation: Incarnation,
    terminals: u32,
    measured_at_ms: i64,
}

#[derive(Debug)]
struct Gateway {
    node: NodeId,
    limit: u32,
    life: u64,
    is_alive: bool,
    died_at: Micros,
    is_draining: bool,
    /// Whose.
    held: Vec<usize>,
}

/// A login server: what it knows, and whom it sent where.
struct Login {
    dispatcher: Dispatcher,
    view: View,
    sightings: Sightings,
    /// Where it sent terminals that have not arrived as far as it has heard.
    sent: BTreeMap<usize, usize>,
}

struct World {
    random: Random,
    queue: Queue<Happens>,
    zero: Instant,
    now: Micros,
    gateways: Vec<Gateway>,
    logins: Vec<Login>,
    terminals: usize,
    roll: Roll,
    policy: Policy,
    sums: Sums,
    is_told: bool,
}

fn at_ms(now: Micros) -> i64 {
    (now / MS).cast_signed()
}

impl World {
    fn new(seed: u64, is_told: bool) -> Self {
        let mut random = Random::of(seed);
        let weighted = random.permille(300);
        let gateways: Vec<Gateway> = (0..random.within(1..=4))
            .map(|number| Gateway {
                node: format!("gw{number}").parse().expect("a name"),
                limit: if weighted { 1_000 * (1 + random.next() as u32 % 3) } else { 1_000 },
                life: 1,
                is_alive: true,
                died_at: 0,
                is_draining: false,
                held: Vec::new(),
            })
            .collect();
        let login = || Login {
            dispatcher: Dispatcher::default(),
            view: View::default(),
            sightings: Sightings::new(),
            sent: BTreeMap::new(),
        };
        let policy = Policy {
            slack: 0,
            release_every: Duration::from_secs(2),
            settle: Duration::from_secs(3),
            believe_after: Duration::from_secs(10),
            ..Policy::default()
        };
        let mut world = Self {
            terminals: random.within(1..=TERMINALS_MAX) as usize,
            random,
            queue: Queue::default(),
            zero: Instant::now(),
            now: 0,
            gateways,
            logins: vec![login(), login()],
            roll: Roll::default(),
            policy,
            sums: Sums::default(),
            is_told,
        };
        world.begin();
        world
    }

    /// Everybody is there and knows of each other; terminals come, and faults are drawn.
    fn begin(&mut self) {
        for login in 0..self.logins.len() {
            for name in ["login", "standby"] {
                let member = member(&name.parse().expect("a name"), Role::Login, 0, Incarnation(1), false);
                let view = &mut self.logins[login].view;
                view.members.insert(member.info.node.clone(), member);
            }
            for gateway in 0..self.gateways.len() {
                self.learn(login, gateway);
                let phase = self.random.within(0..=1_000) * MS;
                self.queue.put(phase, Happens::Asked { login, gateway });
            }
        }
        // All at once, or as the schedule goes.
        let spread = if self.random.permille(300) { 500 } else { CALM_AT / MS };
        for terminal in 0..self.terminals {
            let at = S + self.random.within(0..=spread) * MS;
            self.queue.put(at, Happens::Comes(terminal));
        }
        for _ in 0..self.random.within(0..=6) {
            let gateway = self.random.within(0..=self.gateways.len() as u64 - 1) as usize;
            let at = self.random.within(0..=CALM_AT / MS) * MS;
            let until = (at + self.random.within(100..=8_000) * MS).min(CALM_AT);
            if self.random.permille(600) {
                self.queue.put(at, Happens::Dies(gateway));
                self.queue.put(until, Happens::Returns(gateway));
            } else {
                self.queue.put(at, Happens::Drains(gateway, true));
                self.queue.put(until, Happens::Drains(gateway, false));
            }
        }
        // The first one stays, so that somebody can have them.
        for gateway in 1..self.gateways.len() {
            if self.random.permille(150) {
                self.queue.put(CALM_AT, Happens::Dies(gateway));
            } else if self.random.permille(150) {
                self.queue.put(CALM_AT, Happens::Drains(gateway, true));
            }
        }
        self.queue.put(S, Happens::Plans);
    }

    fn late(&mut self) -> Micros {
        self.now + self.random.within(1..=LATE_MAX) * MS
    }

    fn instant(&self) -> Instant {
        self.zero + Duration::from_micros(self.now)
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.is_told {
            println!("{:>9.3} {}", self.now as f64 / S as f64, what());
        }
    }

    fn run(mut self) -> Result<Sums, Broken> {
        while let Some((at, what)) = self.queue.next() {
            self.now = at;
            if at > WELL_BY {
                return Err(format!("all is not well by {} s: {}", WELL_BY / S, self.shown()));
            }
            if let Happens::Plans = what
                && at > CALM_AT
                && self.is_well()
            {
                return Ok(self.sums);
            }
            self.happen(what)?;
        }
        Err("the leader never ceases to look".to_owned())
    }

    fn happen(&mut self, what: Happens) -> Result<(), Broken> {
        match what {
            Happens::Comes(terminal) => self.come(terminal)?,
            Happens::Dials(terminal, gateway) => self.dial(terminal, gateway),
            Happens::Heard { login, terminal, gateway, since_ms } => {
                let now = self.instant();
                let (login, node) = (&mut self.logins[login], &self.gateways[gateway].node);
                login.dispatcher.arrived(now, TerminalId(terminal as i64), node, since_ms);
                login.sent.remove(&terminal);
            }
            Happens::Asked { login, gateway } => self.ask(login, gateway),
            Happens::Answered { login, gateway, answer } => self.answered(login, gateway, answer),
            Happens::Learns { login, gateway } => self.learn(login, gateway),
            Happens::Dies(gateway) => self.die(gateway),
            Happens::Returns(gateway) => self.come_back(gateway),
            Happens::Drains(gateway, is_draining) => {
                self.tell(|| format!("gw{gateway} drains: {is_draining}"));
                self.gateways[gateway].is_draining = is_draining;
                self.announce(gateway, 0);
            }
            Happens::Plans => self.plan(),
            Happens::Releases(gateway, count) => self.release(gateway, count),
        }
        Ok(())
    }

    fn come(&mut self, terminal: usize) -> Result<(), Broken> {
        let (now, number) = (self.instant(), self.random.within(0..=1) as usize);
        let login = &mut self.logins[number];
        let candidates = Candidates::of(&login.view, &login.sightings);
        let earlier = login.sent.remove(&terminal);
        let assignment = login.dispatcher.assign(now, &candidates, TerminalId(terminal as i64));
        let fit = candidates.gateways.iter().filter(|gateway| gateway.unfit.is_none()).count();
        let Some(assignment) = assignment else {
            if fit > 0 {
                return Err(format!("terminal {terminal} is turned away by login {number}"));
            }
            self.sums.turned_away += 1;
            let again = self.now + self.random.within(500..=1_500) * MS;
            self.queue.put(again, Happens::Comes(terminal));
            return Ok(());
        };
        let chosen = candidates.gateways.iter().find(|gateway| gateway.node == assignment.node);
        if chosen.is_none_or(|gateway| gateway.unfit.is_some()) {
            return Err(format!("terminal {terminal} is sent to {}, which is unfit", assignment.node));
        }
        let gateway = self.gateways.iter().position(|gateway| gateway.node == assignment.node);
        let gateway = gateway.expect("no other node is a candidate");
        if earlier == Some(gateway) && fit > 1 {
            return Err(format!("terminal {terminal} is sent again to gw{gateway}, which it did not reach"));
        }
        login.sent.insert(terminal, gateway);
        self.sums.assigned += 1;
        self.tell(|| format!("login {number} sends {terminal} to gw{gateway}"));
        let dials = self.now + self.random.within(20..=1_500) * MS;
        self.queue.put(dials, Happens::Dials(terminal, gateway));
        Ok(())
    }

    fn dial(&mut self, terminal: usize, gateway: usize) {
        if !self.gateways[gateway].is_alive {
            self.sums.lost += 1;
            let again = self.now + self.random.within(10..=1_000) * MS;
            self.queue.put(again, Happens::Comes(terminal));
            return;
        }
        self.gateways[gateway].held.push(terminal);
        for login in 0..self.logins.len() {
            let at = self.late();
            let since_ms = at_ms(self.now);
            self.queue.put(at, Happens::Heard { login, terminal, gateway, since_ms });
        }
    }

    fn ask(&mut self, login: usize, gateway: usize) {
        self.queue.put(self.now + S, Happens::Asked { login, gateway });
        let Gateway { is_alive, life, held, .. } = &self.gateways[gateway];
        let answer = is_alive.then(|| Answer {
            incarnation: Incarnation(*life),
            terminals: held.len() as u32,
            measured_at_ms: at_ms(self.now),
        });
        let at = self.late();
        self.queue.put(at, Happens::Answered { login, gateway, answer });
    }

    fn answered(&mut self, login: usize, gateway: usize, answer: Option<Answer>) {
        let node = &self.gateways[gateway].node;
        let sightings = &mut self.logins[login].sightings;
        match answer {
            Some(Answer { incarnation, terminals, measured_at_ms }) => {
                let load = Load { terminals, ..Load::default() };
                let sighting = Sighting {
                    incarnation,
                    missed: 0,
                    load,
                    measured_at_ms,
                    clock_offset_ms: 0,
                    is_draining: false,
                    copies: Vec::new(),
                };
                sightings.insert(node.clone(), sighting);
            }
            None => {
                if let Some(sighting) = sightings.get_mut(node) {
                    sighting.missed += 1;
                }
            }
        }
    }

    /// Both login servers hear of a gateway's state, one after the other, `after` its change.
    fn announce(&mut self, gateway: usize, after: Micros) {
        for login in 0..self.logins.len() {
            let at = self.late() + after;
            self.queue.put(at, Happens::Learns { login, gateway });
        }
    }

    /// What is said of a dead gateway stands until its lease lapses.
    fn learn(&mut self, login: usize, gateway: usize) {
        let Gateway { node, limit, life, is_alive, died_at, is_draining, .. } = &self.gateways[gateway];
        let members = &mut self.logins[login].view.members;
        if *is_alive {
            members
                .insert(node.clone(), member(node, Role::Gateway, *limit, Incarnation(*life), *is_draining));
        } else if self.now >= died_at + LEASE {
            members.remove(node);
        } else if let Some(member) = members.get_mut(node) {
            member.is_draining = *is_draining;
        }
    }

    fn die(&mut self, gateway: usize) {
        if !std::mem::take(&mut self.gateways[gateway].is_alive) {
            return;
        }
        self.tell(|| format!("gw{gateway} dies"));
        self.gateways[gateway].died_at = self.now;
        for terminal in std::mem::take(&mut self.gateways[gateway].held) {
            let at = self.now + self.random.within(1..=3_000) * MS;
            self.queue.put(at, Happens::Comes(terminal));
        }
        self.announce(gateway, LEASE);
    }

    fn come_back(&mut self, gateway: usize) {
        if self.gateways[gateway].is_alive {
            return;
        }
        self.tell(|| format!("gw{gateway} returns"));
        self.gateways[gateway].is_alive = true;
        self.gateways[gateway].life += 1;
        self.announce(gateway, 0);
    }

    /// The leader is the first login server.
    fn plan(&mut self) {
        self.queue.put(self.now + S, Happens::Plans);
        let (now, me) = (self.instant(), "login".parse().expect("a name"));
        let login = &mut self.logins[0];
        // The login servers themselves are always there.
        for name in ["login", "standby"] {
            let node: NodeId = name.parse().expect("a name");
            login.sightings.entry(node).or_insert(Sighting {
                incarnation: Incarnation(1),
                missed: 0,
                load: Load::default(),
                measured_at_ms: 0,
                clock_offset_ms: 0,
                is_draining: false,
                copies: Vec::new(),
            });
        }
        self.roll.observe(now, &login.view, &login.sightings);
        let scene = Scene { me: &me, view: &login.view, sightings: &login.sightings, copies: &[] };
        for step in plan(now, &scene, &self.roll, &self.policy) {
            self.roll.ordered(now, &step);
            self.tell(|| step.to_string());
            if let Step::Release { gateway, terminals } = step {
                let gateway = self.gateways.iter().position(|known| known.node == gateway);
                let at = self.late();
                self.queue.put(at, Happens::Releases(gateway.expect("known"), terminals));
            }
        }
    }

    fn release(&mut self, gateway: usize, count: u32) {
        for _ in 0..count {
            let Some(terminal) = self.gateways[gateway].held.pop() else { return };
            self.sums.released += 1;
            let at = self.now + self.random.within(10..=1_000) * MS;
            self.queue.put(at, Happens::Comes(terminal));
        }
    }

    fn is_well(&self) -> bool {
        let takers = || self.gateways.iter().filter(|gateway| gateway.is_alive && !gateway.is_draining);
        let held: usize = takers().map(|gateway| gateway.held.len()).sum();
        let limits: u32 = takers().map(|gateway| gateway.limit).sum();
        let is_even = takers().all(|gateway| {
            let share = held as f64 * f64::from(gateway.limit) / f64::from(limits);
            (gateway.held.len() as f64 - share).abs() <= share * 0.05 + 1.0
        });
        let nothing_leaks = self.logins.iter().all(|login| login.dispatcher.reservations() == 0);
        held == self.terminals && is_even && nothing_leaks
    }

    fn shown(&self) -> String {
        let gateways = self.gateways.iter().map(|gateway| {
            let Gateway { node, limit, is_alive, is_draining, held, .. } = gateway;
            format!("{node} alive {is_alive} draining {is_draining} {} of {limit}", held.len())
        });
        let awaited = self.logins.iter().map(|login| format!("{} awaited", login.dispatcher.reservations()));
        gateways.chain(awaited).collect::<Vec<_>>().join(", ")
    }
}

fn member(node: &NodeId, role: Role, terminals: u32, incarnation: Incarnation, is_draining: bool) -> Member {
    let at = |port| Advertise { host: None, port };
    Member {
        info: NodeInfo {
            node: node.clone(),
            incarnation,
            dialect: DIALECT,
            version: String::new(),
            roles: vec![role],
            seams: at(6700),
            gateway: (role == Role::Gateway).then(|| at(6608)),
            media: None,
            web: None,
            limits: Limits { terminals },
            started_at: DateTime::UNIX_EPOCH,
        },
        is_draining,
    }
}

#[test]
fn terminals_find_gateways_over_random_schedules() {
    let sums = try_schedules(SCHEDULES, |seed, is_told| World::new(seed, is_told).run(), add);
    println!("{sums:?}");
    assert!(sums.assigned > 0);
}
