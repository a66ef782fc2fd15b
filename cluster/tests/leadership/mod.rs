//! A simulated cluster of candidates, with what goes wrong in it, and what must hold at every instant.

mod faults;
mod process;

use std::time::{Duration, Instant};

use chrono::DateTime;
use cluster::{
    Advertise, Answer, Call, Candidate, DIALECT, Ended, Epoch, Incarnation, Limits, NodeInfo, Role,
};

use crate::simulation::etcd::{Etcd, Look, Who};
use crate::simulation::schedules::Broken;
use crate::simulation::{Clock, MS, Micros, Queue, Random, S};

use faults::Fault;
use process::{Process, State, Watched};

const TTL: Duration = Duration::from_secs(5);
/// How far a clock is off at most.
pub(crate) const OFF_PPM: u64 = 10_000;
/// When the last fault ends.
const CALM_AT: Micros = 16 * S;
/// The longest that a message takes.
const LATE_MAX: Micros = 3 * S;
/// How often a node looks at etcd beside following changes.
const LOOK_EVERY: Micros = 3 * S;
/// How long a process that has ended is left alone before it is started again.
const RESTART_AFTER: Micros = S;
/// By when there is a leader again: the last late message may be a dead leader's keep-alive, whose lease then runs out
/// by a slow clock and is noticed late; the next one may have missed the change, have a call under way that was lost,
/// and have just been started again.
const LEADER_WITHIN: Micros = LATE_MAX + 5_050 * MS + 500 * MS + LOOK_EVERY + 2 * 1_700 * MS + RESTART_AFTER;

/// What happened in schedules, so that a run shows that it has tried something.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    pub(crate) events: u64,
    pub(crate) elections: u64,
    pub(crate) refused: u64,
    pub(crate) refused_after_thaw: u64,
    pub(crate) replaced: u64,
    pub(crate) left: u64,
}

pub(crate) fn add(sums: &mut Sums, more: Sums) {
    let Sums { events, elections, refused, refused_after_thaw, replaced, left } = more;
    sums.events += events;
    sums.elections += elections;
    sums.refused += refused;
    sums.refused_after_thaw += refused_after_thaw;
    sums.replaced += replaced;
    sums.left += left;
}

#[derive(Debug)]
enum Event {
    /// A candidate's deadline.
    Wake(usize),
    /// A call arrives at etcd.
    Arrive(usize, Call),
    /// Its answer arrives.
    Return(usize, Call, Answer),
    /// It has taken too long.
    GiveUp(usize, Call),
    /// A process wants to look; its request arrives at etcd; what etcd showed arrives.
    Look(usize),
    ArriveLook(usize),
    Show(usize, Look),
    /// etcd may have leases to end.
    Expire,
    /// A leader's order arrives.
    Order(Epoch, Target),
    /// A process starts under a name, if that has none.
    Start(usize),
    Fault(Fault, Micros),
    End(Fault),
    Calm,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Database { is_late: bool },
    Process(usize),
}

#[derive(Clone, Copy, Debug)]
struct Link {
    to_etcd: bool,
    from_etcd: bool,
}

const OPEN: Link = Link { to_etcd: true, from_etcd: true };

pub(crate) struct World {
    now: Micros,
    zero: Instant,
    off_ppm: u64,
    random: Random,
    queue: Queue<Event>,
    etcd: Etcd,
    is_etcd_away: bool,
    expires_at: Option<Micros>,
    infos: Vec<NodeInfo>,
    links: Vec<Link>,
    loss_permille: u64,
    is_calm: bool,
    processes: Vec<Process>,
    database: Watched,
    sums: Sums,
}

impl World {
    pub(crate) fn run(seed: u64, off_ppm: u64, is_told: bool) -> Result<Sums, Broken> {
        let mut world = Self::new(seed, off_ppm);
        while let Some((at, event)) = world.queue.next() {
            if is_told {
                println!("{:>9} {event:?}", at);
            }
            if at > CALM_AT + LEADER_WITHIN {
                break;
            }
            world.now = at;
            world.sums.events += 1;
            world
                .happens(event)
                .and_then(|()| world.check())
                .map_err(|broken| format!("at {at} us: {broken}"))?;
            // What was on its way when the faults ended has arrived: what has settled stays so.
            if world.is_calm && at > CALM_AT + LATE_MAX && world.unsettled().is_none() {
                return Ok(world.sums);
            }
        }
        match world.unsettled() {
            None => Ok(world.sums),
            Some(what) => Err(format!("{LEADER_WITHIN} us after the last fault: {what}")),
        }
    }

    fn new(seed: u64, off_ppm: u64) -> Self {
        let mut random = Random::of(seed);
        let zero = Instant::now();
        let nodes = usize::try_from(random.within(2..=4)).expect("a few");
        let infos: Vec<NodeInfo> =
            (0..nodes).map(|name| info(name, name == 0 || random.permille(750))).collect();
        let etcd = Etcd::new(Clock::random(&mut random, zero, off_ppm), TTL, infos.clone());
        let mut world = Self {
            now: 0,
            zero,
            off_ppm,
            random,
            queue: Queue::default(),
            etcd,
            is_etcd_away: false,
            expires_at: None,
            links: vec![OPEN; nodes],
            infos,
            loss_permille: 5,
            is_calm: false,
            processes: Vec::new(),
            database: Watched::default(),
            sums: Sums::default(),
        };
        for name in 0..nodes {
            let at = world.random.within(0..=500 * MS);
            world.queue.put(at, Event::Start(name));
        }
        world.draw_faults();
        world.queue.put(CALM_AT, Event::Calm);
        world
    }

    fn happens(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Wake(p) | Event::Return(p, ..) | Event::GiveUp(p, _) | Event::Show(p, _) => {
                match self.processes[p].state {
                    State::Runs => self.input(p, event),
                    State::Frozen => self.processes[p].mailbox.push(event),
                    State::Gone => {}
                }
            }
            Event::Arrive(p, call) => self.arrive(p, call),
            Event::Look(p) => {
                let Process { who, state, .. } = self.processes[p];
                if state != State::Gone {
                    self.queue.put(self.now + LOOK_EVERY, Event::Look(p));
                }
                if state == State::Runs && self.links[who.name].to_etcd {
                    self.sent(Event::ArriveLook(p));
                }
            }
            Event::ArriveLook(p) => {
                if !self.is_etcd_away {
                    self.show(p);
                }
            }
            Event::Expire => {
                self.expires_at = None;
                if !self.is_etcd_away {
                    self.change(|etcd, now, _| etcd.expire(now));
                }
            }
            Event::Order(epoch, target) => return self.order(epoch, target),
            Event::Start(name) => {
                let mut lives = self.processes.iter().filter(|process| process.state != State::Gone);
                if !lives.any(|process| process.who.name == name) {
                    self.start(name);
                }
            }
            Event::Fault(fault, until) => self.fault(fault, until),
            Event::End(fault) => self.end(fault),
            Event::Calm => self.calm(),
        }
        Ok(())
    }

    /// What a running process hears.
    fn input(&mut self, p: usize, event: Event) {
        let process = &mut self.processes[p];
        let now = process.clock.at(self.now);
        let mut is_under_way = |call: &Call| {
            let place = process.under_way.iter().position(|held| held == call);
            place.map(|place| process.under_way.swap_remove(place)).is_some()
        };
        match event {
            Event::Return(_, call, answer) => {
                if is_under_way(&call) {
                    process.candidate.answered(now, &call, answer);
                }
            }
            Event::GiveUp(_, call) => {
                if is_under_way(&call) {
                    process.candidate.answered(now, &call, Answer::Failed);
                }
            }
            Event::Show(_, look) => {
                if let Some(leader) = &look.view.leader {
                    process.fence.fence.heed(leader.epoch);
                }
                process.candidate.sight(now, &look.sight());
            }
            _ => {
                process.wakes_at = None;
                process.candidate.tick(now);
            }
        }
        self.drive(p);
    }

    /// What a process does after it has heard something.
    fn drive(&mut self, p: usize) {
        while let Some(call) = self.processes[p].candidate.poll() {
            let process = &mut self.processes[p];
            process.under_way.push(call);
            let limit = process.clock.span(process.candidate.call_limit());
            let is_open = self.links[process.who.name].to_etcd;
            self.queue.put(self.now + limit, Event::GiveUp(p, call));
            if is_open {
                self.sent(Event::Arrive(p, call));
            }
        }
        let process = &mut self.processes[p];
        let leads = process.candidate.leads(process.clock.at(self.now));
        let is_new = leads != process.led;
        process.led = leads;
        if let Some(epoch) = leads {
            self.sums.elections += u64::from(is_new);
            if is_new || self.random.permille(150) {
                self.give_order(epoch);
            }
        }
        let process = &mut self.processes[p];
        if process.candidate.is_over() {
            process.state = State::Gone;
            self.sums.replaced +=
                u64::from(matches!(process.candidate.ended(), Some(Ended::Replaced { .. })));
            self.sums.left += u64::from(self.etcd.left().any(|who| who == process.who));
            let name = process.who.name;
            self.queue.put(self.now + RESTART_AFTER, Event::Start(name));
        } else if let Some(deadline) = process.candidate.deadline() {
            let at = process.clock.when(deadline).max(self.now);
            if process.wakes_at.is_none_or(|wakes_at| at < wakes_at) {
                process.wakes_at = Some(at);
                self.queue.put(at, Event::Wake(p));
            }
        }
    }

    fn give_order(&mut self, epoch: Epoch) {
        let at = self.now + self.delay();
        self.queue.put(at, Event::Order(epoch, Target::Database { is_late: false }));
        let follower = usize::try_from(self.random.next()).expect("64 bits") % self.processes.len();
        let at = self.now + self.delay();
        self.queue.put(at, Event::Order(epoch, Target::Process(follower)));
    }

    fn order(&mut self, epoch: Epoch, target: Target) -> Result<(), Broken> {
        match target {
            Target::Database { is_late } => {
                let is_refused = !self.database.order(epoch)?;
                self.sums.refused += u64::from(is_refused);
                self.sums.refused_after_thaw += u64::from(is_refused && is_late);
            }
            Target::Process(p) => {
                let process = &mut self.processes[p];
                if process.state == State::Runs {
                    self.sums.refused += u64::from(!process.fence.order(epoch)?);
                }
            }
        }
        Ok(())
    }

    fn arrive(&mut self, p: usize, call: Call) {
        if self.is_etcd_away {
            return;
        }
        let who = self.processes[p].who;
        let answer = self.change(|etcd, now, random| etcd.execute(now, random, who, call.request));
        if self.links[who.name].from_etcd {
            self.sent(Event::Return(p, call, answer));
        }
    }

    /// Does something in etcd, tells those who watch, and sets the alarm for the next lease to end.
    fn change<T>(&mut self, change: impl FnOnce(&mut Etcd, Micros, &mut Random) -> T) -> T {
        let before = self.etcd.revision();
        let result = change(&mut self.etcd, self.now, &mut self.random);
        if self.etcd.revision() > before {
            for p in 0..self.processes.len() {
                self.show(p);
            }
        }
        if let Some(at) = self.etcd.next_expiry()
            && self.expires_at.is_none_or(|expires_at| at < expires_at)
        {
            self.expires_at = Some(at);
            self.queue.put(at.max(self.now), Event::Expire);
        }
        result
    }

    /// Sends what etcd has to a process.
    fn show(&mut self, p: usize) {
        let Process { who, state, .. } = self.processes[p];
        if state != State::Gone && self.links[who.name].from_etcd {
            let look = self.etcd.look(who);
            self.sent(Event::Show(p, look));
        }
    }

    /// Puts a message on its way; it may get lost there.
    fn sent(&mut self, message: Event) {
        if !self.random.permille(self.loss_permille) {
            let at = self.now + self.delay();
            self.queue.put(at, message);
        }
    }

    fn delay(&mut self) -> Micros {
        let range = match self.random.within(0..=99) {
            0..=1 if !self.is_calm => 500 * MS..=LATE_MAX,
            2..=11 if !self.is_calm => 5 * MS..=500 * MS,
            _ => MS..=5 * MS,
        };
        self.random.within(range)
    }

    fn start(&mut self, name: usize) {
        let clock = Clock::random(&mut self.random, self.zero, self.off_ppm);
        let incarnation = Incarnation(self.random.next());
        let info = NodeInfo { incarnation, ..self.infos[name].clone() };
        self.processes.push(Process {
            who: Who { name, incarnation },
            clock,
            candidate: Candidate::new(clock.at(self.now), &info, TTL),
            state: State::Runs,
            mailbox: Vec::new(),
            under_way: Vec::new(),
            wakes_at: None,
            led: None,
            in_hand: None,
            fence: Watched::default(),
        });
        self.queue.put(self.now, Event::Look(self.processes.len() - 1));
    }

    fn mark(&mut self, name: usize, is_draining: bool) {
        self.change(|etcd, _, _| etcd.mark(name, is_draining));
    }

    fn newest(&self, name: usize) -> Option<usize> {
        self.processes.iter().rposition(|process| process.who.name == name && process.state != State::Gone)
    }

    /// Who believes to lead has etcd's word for it, under that very epoch. Who is marked as having left was told to.
    fn check(&self) -> Result<(), Broken> {
        for process in self.processes.iter().filter(|process| process.state != State::Gone) {
            let Some(epoch) = process.candidate.leads(process.clock.at(self.now)) else { continue };
            let leader = self.etcd.leader();
            if leader.is_none_or(|leader| leader.who != process.who || leader.epoch != epoch) {
                return Err(format!("{:?} believes to lead under {epoch}; etcd has {leader:?}", process.who));
            }
        }
        for left in self.etcd.left() {
            let process = self.processes.iter().find(|process| process.who == left);
            let ended = process.and_then(|process| process.candidate.ended());
            if !matches!(ended, Some(Ended::Left(_))) {
                return Err(format!("{left:?} is marked as having left; it has ended as {ended:?}"));
            }
        }
        Ok(())
    }

    /// What is not as it should be while nothing disturbs.
    fn unsettled(&self) -> Option<String> {
        let lives = || self.processes.iter().filter(|process| process.state == State::Runs);
        for name in 0..self.infos.len() {
            let mut own = lives().filter(|process| process.who.name == name);
            let is_settled =
                own.next().is_some_and(|process| process.candidate.is_member()) && own.next().is_none();
            if !is_settled {
                return Some(format!("node {name} is not one member"));
            }
        }
        let leads = lives().any(|process| process.candidate.leads(process.clock.at(self.now)).is_some());
        (!leads).then(|| "nobody leads".to_owned())
    }
}

fn info(name: usize, may_lead: bool) -> NodeInfo {
    NodeInfo {
        node: format!("n{name}").parse().expect("a name"),
        incarnation: Incarnation(0),
        dialect: DIALECT,
        version: String::new(),
        roles: vec![if may_lead { Role::Login } else { Role::Gateway }],
        seams: Advertise { host: None, port: 1 },
        gateway: None,
        media: None,
        web: None,
        limits: Limits::default(),
        started_at: DateTime::default(),
    }
}
