//! What goes wrong in a schedule, and how it ends.

use super::process::State;
use super::{CALM_AT, Event, Link, OPEN, Target, World};
use crate::simulation::{MS, Micros, S};

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Freeze(usize),
    Crash(usize),
    Leave(usize),
    Second(usize),
    Cut { name: usize, to_etcd: bool, from_etcd: bool },
    Lossy,
    EtcdAway,
    Drain(usize),
}

impl World {
    /// Some faults at random times.
    pub(super) fn draw_faults(&mut self) {
        for _ in 0..self.random.within(1..=6) {
            let name = usize::try_from(self.random.next()).expect("64 bits") % self.infos.len();
            let at = self.random.within(S..=CALM_AT - 2 * S);
            let lasts = self.random.within(100 * MS..=9 * S);
            let fault = match self.random.within(0..=9) {
                0..=2 => Fault::Freeze(name),
                3 => Fault::Crash(name),
                4 => Fault::Leave(name),
                5 => Fault::Second(name),
                6 => match self.random.within(0..=2) {
                    0 => Fault::Cut { name, to_etcd: true, from_etcd: true },
                    1 => Fault::Cut { name, to_etcd: true, from_etcd: false },
                    _ => Fault::Cut { name, to_etcd: false, from_etcd: true },
                },
                7 => Fault::Lossy,
                8 => Fault::EtcdAway,
                _ => Fault::Drain(name),
            };
            self.queue.put(at, Event::Fault(fault, (at + lasts).min(CALM_AT)));
        }
    }

    pub(super) fn fault(&mut self, fault: Fault, until: Micros) {
        let mut fault = fault;
        match &mut fault {
            Fault::Freeze(p) => {
                // More often than not the leader.
                let leader = self.etcd.leader().filter(|_| self.random.permille(700));
                let place = match leader {
                    Some(leader) => self.processes.iter().position(|process| process.who == leader.who),
                    None => self.newest(*p),
                };
                let Some(place) = place else { return };
                *p = place;
                let process = &mut self.processes[place];
                if process.state != State::Runs {
                    return;
                }
                process.state = State::Frozen;
                process.in_hand = process.candidate.leads(process.clock.at(self.now));
            }
            Fault::Crash(name) => {
                if let Some(p) = self.newest(*name) {
                    self.processes[p].state = State::Gone;
                }
            }
            Fault::Leave(name) => {
                if let Some(p) = self.newest(*name).filter(|p| self.processes[*p].state == State::Runs) {
                    let process = &mut self.processes[p];
                    process.candidate.leave(process.clock.at(self.now));
                    self.drive(p);
                }
            }
            Fault::Second(name) => self.start(*name),
            Fault::Cut { name, to_etcd, from_etcd } => {
                self.links[*name] = Link { to_etcd: !*to_etcd, from_etcd: !*from_etcd };
            }
            Fault::Lossy => self.loss_permille = 300,
            Fault::EtcdAway => self.is_etcd_away = true,
            Fault::Drain(name) => self.mark(*name, true),
        }
        self.queue.put(until, Event::End(fault));
    }

    pub(super) fn end(&mut self, fault: Fault) {
        match fault {
            Fault::Freeze(p) => self.thaw(p),
            Fault::Crash(name) => self.queue.put(self.now, Event::Start(name)),
            Fault::Leave(_) | Fault::Second(_) => {}
            Fault::Cut { name, .. } => self.links[name] = OPEN,
            Fault::Lossy => self.loss_permille = 5,
            Fault::EtcdAway => {
                if self.is_etcd_away {
                    self.is_etcd_away = false;
                    self.change(|etcd, now, _| etcd.restart(now));
                }
            }
            Fault::Drain(name) => self.mark(name, false),
        }
    }

    /// Sends the order that it had in hand, then hears what it has missed.
    fn thaw(&mut self, p: usize) {
        let process = &mut self.processes[p];
        if process.state != State::Frozen {
            return;
        }
        process.state = State::Runs;
        let missed = std::mem::take(&mut process.mailbox);
        if let Some(epoch) = process.in_hand.take() {
            self.queue.put(self.now, Event::Order(epoch, Target::Database { is_late: true }));
        }
        for event in missed {
            if self.processes[p].state == State::Runs {
                self.input(p, event);
            }
        }
        if self.processes[p].state == State::Runs {
            self.input(p, Event::Wake(p));
        }
    }

    pub(super) fn calm(&mut self) {
        self.is_calm = true;
        self.loss_permille = 0;
        self.links.fill(OPEN);
        self.end(Fault::EtcdAway);
        for name in 0..self.infos.len() {
            self.mark(name, false);
            self.queue.put(self.now, Event::Start(name));
        }
        for p in 0..self.processes.len() {
            self.thaw(p);
        }
    }
}
