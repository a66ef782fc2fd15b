//! What a simulated terminal does at a command, and what it answers.

use std::time::{Duration, Instant};

use protocol::jt808::terminal::{Connect, Control, Parameter};
use tracing::{debug, info};

use super::Terminal;
use crate::command::{LiveControl, StartLive, live_control};
use crate::manner::Manner;
use crate::parameters::NotSet;
use crate::servers::{Address, Sent, Stay, stay};
use crate::stream::Target;

/// Results of 0x0001.
const DONE: u8 = 0;
const FAILED: u8 = 1;
const WRONG: u8 = 2;
const UNSUPPORTED: u8 = 3;

impl Terminal {
    pub(super) fn on_command(&mut self, id: u16, serial: u16, body: &[u8]) {
        let now = Instant::now();
        let result = match id {
            0x8201 => {
                let mut answer = serial.to_be_bytes().to_vec();
                answer.extend(self.here().encode());
                return self.session.answer_with(now, id, serial, 0x0201, &answer);
            }
            0x9003 => return self.session.answer_with(now, id, serial, 0x1003, &self.camera.attributes()),
            0x9101 => StartLive::decode(body).map_or(WRONG, |command| self.start_live(command)),
            0x9102 => live_control(body).map_or(WRONG, |(channel, control)| {
                if control == LiveControl::Close {
                    self.streams.remove(&channel);
                }
                DONE
            }),
            0x8103 => self.set_parameters(body),
            0x8104 => return self.tell_parameters(id, serial, &self.parameters.all()),
            0x8106 => match Parameter::decode_asked(body) {
                Some(ids) => return self.tell_parameters(id, serial, &self.parameters.asked(&ids)),
                None => WRONG,
            },
            0x8105 => match self.control(body) {
                Some(result) => result,
                None => return,
            },
            // Text, tracking, alarm confirmation, stream status: nothing to see in a simulation, but taken.
            0x8300 | 0x8202 | 0x8203 | 0x9105 => DONE,
            _ => UNSUPPORTED,
        };
        self.session.answer(now, id, serial, result);
    }

    fn start_live(&mut self, command: StartLive) -> u8 {
        let StartLive { host, tcp_port, channel, kind } = command;
        if !self.camera.has(channel) || kind > 1 || tcp_port == 0 {
            return UNSUPPORTED;
        }
        if !self.camera.admits() {
            return FAILED;
        }
        let stop = self.stop.child_token();
        // A stream of the same channel that still runs ends with the guard that this replaces.
        self.streams.insert(channel, stop.clone().drop_guard());
        let target = Target { host, tcp_port, sim: self.sim.clone(), channel, sound: kind == 0 };
        let (camera, sim) = (self.camera.clone(), self.account.sim.clone());
        tokio::spawn(async move {
            tokio::select! {
                ended = camera.send(target) => match ended {
                    Ok(()) => debug!(terminal.sim = %sim, channel, "terminal {sim} sent channel {channel} to its end"),
                    Err(error) => info!(terminal.sim = %sim, channel, "terminal {sim} stopped sending channel {channel}: {error}"),
                },
                () = stop.cancelled() => debug!(terminal.sim = %sim, channel, "terminal {sim} was told to stop channel {channel}"),
            }
        });
        DONE
    }

    /// 0x8105. None = no answer at all.
    fn control(&mut self, body: &[u8]) -> Option<u8> {
        let control = match Control::decode(body) {
            Some(control @ (Control::Connect(_) | Control::Home)) => control,
            Some(Control::Reset) => {
                self.account.redirects.resets += 1;
                self.servers.reset();
                self.leaves = true;
                return Some(DONE);
            }
            Some(Control::Other(_)) => return Some(UNSUPPORTED),
            None => return Some(WRONG),
        };
        match self.manner {
            Manner::Obeys | Manner::ObeysWithoutLimit => {}
            Manner::Refuses => {
                self.account.redirects.refused += 1;
                return Some(UNSUPPORTED);
            }
            Manner::Ignores => {
                self.account.redirects.ignored += 1;
                return None;
            }
        }
        match control {
            Control::Connect(connect) => Some(self.go_to(connect)),
            _ => {
                self.account.redirects.returned += 1;
                self.servers.go_home();
                self.leaves = self.servers.is_elsewhere();
                Some(DONE)
            }
        }
    }

    fn go_to(&mut self, connect: Connect) -> u8 {
        let Connect { code, host, tcp_port, limit_min } = connect;
        let Ok(address) = Address::new(&host, tcp_port) else { return WRONG };
        let stay = match self.manner {
            Manner::ObeysWithoutLimit => Stay::WhileItWorks,
            _ => stay(Instant::now(), limit_min, Duration::from_millis(self.settings.minute_ms)),
        };
        let sim = &self.account.sim;
        debug!(terminal.sim = %sim, "terminal {sim} was sent to {address} for {limit_min} min");
        match self.servers.send_to(address, code, stay) {
            Sent::Renewed => self.account.redirects.renewed += 1,
            Sent::Elsewhere => self.account.redirects.obeyed += 1,
        }
        self.leaves = self.servers.is_elsewhere();
        DONE
    }

    fn set_parameters(&mut self, body: &[u8]) -> u8 {
        let Some(parameters) = Parameter::decode_set(body) else { return WRONG };
        match self.parameters.set(parameters, &mut self.servers) {
            Ok(()) => DONE,
            Err(NotSet::NoServer) => WRONG,
            Err(NotSet::TooMany) => FAILED,
        }
    }

    fn tell_parameters(&mut self, id: u16, serial: u16, parameters: &[Parameter]) {
        let body = Parameter::encode_answer(serial, parameters);
        self.session.answer_with(Instant::now(), id, serial, 0x0104, &body);
    }
}
