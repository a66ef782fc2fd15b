//! The reports that a terminal keeps until they are acknowledged. Knows nothing of frames and serial numbers.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

/// Reports by key, oldest first, with a bound.
#[derive(Debug)]
pub(super) struct Kept {
    reports: BTreeMap<u64, Report>,
    /// Keys of the reports that are not under way.
    backlog: BTreeSet<u64>,
    max: usize,
}

#[derive(Debug)]
struct Report {
    body: Bytes,
    sent: bool,
}

/// A report taken for sending.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) key: u64,
    pub(super) body: Bytes,
    pub(super) sent_before: bool,
}

impl Kept {
    pub(super) fn new(max: usize) -> Self {
        Self { reports: BTreeMap::new(), backlog: BTreeSet::new(), max }
    }

    pub(super) fn len(&self) -> usize {
        self.reports.len()
    }

    pub(super) fn body(&self, key: u64) -> Option<Bytes> {
        self.reports.get(&key).map(|report| report.body.clone())
    }

    /// Keeps a report; the key of the one that had to go for it, if any.
    pub(super) fn insert(&mut self, key: u64, body: Bytes) -> Option<u64> {
        self.reports.insert(key, Report { body, sent: false });
        self.backlog.insert(key);
        if self.reports.len() <= self.max {
            return None;
        }
        let (dropped, _) = self.reports.pop_first()?;
        self.backlog.remove(&dropped);
        Some(dropped)
    }

    /// True if it was still kept.
    pub(super) fn remove(&mut self, key: u64) -> bool {
        self.backlog.remove(&key);
        self.reports.remove(&key).is_some()
    }

    /// Marks one report as under way.
    pub(super) fn take(&mut self, key: u64) {
        self.backlog.remove(&key);
        if let Some(report) = self.reports.get_mut(&key) {
            report.sent = true;
        }
    }

    /// Takes up to `count` reports that are not under way, oldest first.
    pub(super) fn take_oldest(&mut self, count: usize) -> Vec<Taken> {
        let mut taken = Vec::new();
        while taken.len() < count
            && let Some(key) = self.backlog.pop_first()
        {
            if let Some(report) = self.reports.get_mut(&key) {
                taken.push(Taken { key, body: report.body.clone(), sent_before: report.sent });
                report.sent = true;
            }
        }
        taken
    }

    /// Nothing is under way any more: the link is gone.
    pub(super) fn return_all(&mut self) {
        self.backlog.extend(self.reports.keys());
    }
}
