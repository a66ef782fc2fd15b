//! What a fleet did, for whoever must check what the platform made of it.

use std::path::Path;

use protocol::jt808::terminal::Resend;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::vehicle::{ALARM_BITS, Made};

/// The books of a whole fleet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Sums over all terminals.
    pub summary: Summary,
    /// One account per terminal, by index.
    pub terminals: Vec<Account>,
}

/// Sums over all terminals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Reports made.
    pub made: u64,
    /// Reports that a terminal saw acknowledged.
    pub acknowledged: u64,
    /// Reports that the platform refused for good.
    pub refused: u64,
    /// Resends under the old serial number.
    pub resent_same_serial: u64,
    /// Resends under a new serial number.
    pub resent_new_serial: u64,
    /// Resends inside a 0x0704.
    pub resent_batch: u64,
    /// Reports with an impossible time.
    pub poison: u64,
    /// Of these, acknowledged.
    pub poison_acknowledged: u64,
    /// Alarm conditions that began or ended.
    pub edges: u64,
    /// Of these, in a report that was acknowledged.
    pub edges_acknowledged: u64,
    /// How often a terminal authenticated.
    pub log_ins: u64,
    /// What became of being sent to other servers.
    pub redirects: Redirects,
}

/// What became of being sent to other servers (0x8105 commands 2 and 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirects {
    /// Went to the given server.
    pub obeyed: u64,
    /// Was on a link to the given server already: only the time limit is new.
    pub renewed: u64,
    /// Answered that it does not do that.
    pub refused: u64,
    /// Answered nothing.
    pub ignored: u64,
    /// The time limit ended.
    pub expired: u64,
    /// Called back to its own server (connection control 1).
    pub returned: u64,
    /// Went home because the given server could not be reached, without a time limit.
    pub given_up: u64,
    /// Reset (command 4).
    pub resets: u64,
}

/// The books of one terminal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// Its index, as the item of its reports says.
    pub terminal: u32,
    /// Its SIM, without leading zeros.
    pub sim: String,
    /// How many reports were made, numbered from 0.
    pub made: u32,
    /// The numbers of the acknowledged ones, as ranges with both ends.
    pub acknowledged: Vec<(u32, u32)>,
    /// The numbers of the ones that were refused for good.
    pub refused: Vec<u32>,
    /// Resends: old serial, new serial, inside a 0x0704.
    pub resent: [u64; 3],
    /// The numbers of the reports with an impossible time.
    pub poison: Vec<u32>,
    /// Alarm edges, in order.
    pub edges: Vec<Edge>,
    /// How often it authenticated.
    pub log_ins: u64,
    /// What became of being sent to other servers.
    pub redirects: Redirects,
}

/// An alarm condition that began or ended with a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// The report's number.
    pub sequence: u32,
    /// The alarm bit, 0 to 31.
    pub bit: u8,
    /// Whether it began.
    pub on: bool,
    /// The report's device time, Unix seconds.
    pub time_s: i64,
}

impl Ledger {
    pub(crate) fn of(terminals: Vec<Account>) -> Self {
        let mut summary = Summary::default();
        for account in &terminals {
            summary.made += u64::from(account.made);
            summary.acknowledged += account.acknowledged_count();
            summary.refused += account.refused.len() as u64;
            summary.resent_same_serial += account.resent[0];
            summary.resent_new_serial += account.resent[1];
            summary.resent_batch += account.resent[2];
            summary.poison += account.poison.len() as u64;
            let acknowledged = |sequence: &&u32| account.is_acknowledged(**sequence);
            summary.poison_acknowledged += account.poison.iter().filter(acknowledged).count() as u64;
            summary.edges += account.edges.len() as u64;
            let acknowledged = |edge: &&Edge| account.is_acknowledged(edge.sequence);
            summary.edges_acknowledged += account.edges.iter().filter(acknowledged).count() as u64;
            summary.log_ins += account.log_ins;
            summary.redirects.add(account.redirects);
        }
        Self { summary, terminals }
    }

    /// Writes it as JSON; a reader sees the old file or the whole new one.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let failed = |source| Error::Ledger { path: path.to_owned(), source };
        let json = serde_json::to_vec(self).map_err(|error| failed(error.into()))?;
        let partial = path.with_extension("partial");
        std::fs::write(&partial, json).map_err(failed)?;
        std::fs::rename(&partial, path).map_err(failed)
    }

    /// Reads what [`write`](Self::write) wrote.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Ledger { path: path.to_owned(), source };
        let json = std::fs::read(path).map_err(failed)?;
        serde_json::from_slice(&json).map_err(|error| failed(error.into()))
    }
}

impl Redirects {
    fn add(&mut self, other: Self) {
        let Self { obeyed, renewed, refused, ignored, expired, returned, given_up, resets } = other;
        self.obeyed += obeyed;
        self.renewed += renewed;
        self.refused += refused;
        self.ignored += ignored;
        self.expired += expired;
        self.returned += returned;
        self.given_up += given_up;
        self.resets += resets;
    }
}

impl Account {
    /// Whether the terminal saw the report acknowledged.
    pub fn is_acknowledged(&self, sequence: u32) -> bool {
        let after = self.acknowledged.partition_point(|(first, _)| *first <= sequence);
        after.checked_sub(1).is_some_and(|place| self.acknowledged[place].1 >= sequence)
    }

    /// How many reports it saw acknowledged.
    pub fn acknowledged_count(&self) -> u64 {
        self.acknowledged.iter().map(|(first, last)| u64::from(last - first) + 1).sum()
    }

    pub(crate) fn made(&mut self, made: &Made) {
        self.made = made.sequence + 1;
        if made.poison {
            self.poison.push(made.sequence);
        }
        for bit in ALARM_BITS.into_iter().filter(|bit| made.changed >> bit & 1 == 1) {
            self.edges.push(Edge {
                sequence: made.sequence,
                bit,
                on: made.location.alarm >> bit & 1 == 1,
                time_s: made.time.timestamp(),
            });
        }
    }

    pub(crate) fn resent(&mut self, kind: Resend) {
        let place = match kind {
            Resend::SameSerial => 0,
            Resend::NewSerial => 1,
            Resend::Batch => 2,
        };
        self.resent[place] += 1;
    }

    pub(crate) fn acknowledged(&mut self, sequence: u32) {
        let ranges = &mut self.acknowledged;
        let after = ranges.partition_point(|(first, _)| *first <= sequence);
        if after > 0 && ranges[after - 1].1 >= sequence {
            return;
        }
        let joins_before = after > 0 && ranges[after - 1].1 + 1 == sequence;
        let joins_after = ranges.get(after).is_some_and(|(first, _)| *first == sequence + 1);
        match (joins_before, joins_after) {
            (true, true) => ranges[after - 1].1 = ranges.remove(after).1,
            (true, false) => ranges[after - 1].1 = sequence,
            (false, true) => ranges[after].0 = sequence,
            (false, false) => ranges.insert(after, (sequence, sequence)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join_whatever_the_order() {
        let mut account = Account::default();
        for sequence in [5, 1, 2, 9, 3, 4, 2, 7, 0, 8] {
            account.acknowledged(sequence);
        }
        assert_eq!(account.acknowledged, [(0, 5), (7, 9)]);
        assert_eq!(account.acknowledged_count(), 9);
        assert!(account.is_acknowledged(5) && !account.is_acknowledged(6) && !account.is_acknowledged(10));
    }

    #[test]
    fn comes_back_from_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.json");
        let redirects = Redirects { obeyed: 1, expired: 1, ..Redirects::default() };
        let account = Account { sim: "1".into(), made: 3, poison: vec![2], redirects, ..Account::default() };
        let ledger = Ledger::of(vec![account.clone(), Account { terminal: 1, ..account }]);
        assert_eq!(ledger.summary.redirects, Redirects { obeyed: 2, expired: 2, ..Redirects::default() });
        ledger.write(&path).unwrap();
        assert_eq!(Ledger::read(&path).unwrap(), ledger);
    }
}
