//! Storing reports, all of a batch in one transaction.

use model::{Alarm, AlarmChange, Report};

use crate::{Db, DbError};

/// What became of one report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is stored.
    Inserted,
    /// It was there already (or earlier in the same batch).
    Duplicate,
    /// It can never be stored; its bytes are kept in quarantine.
    Quarantined,
}

/// What became of a batch. Everything in it is committed and may be acknowledged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    /// One for each report, in the order given.
    pub outcomes: Vec<Outcome>,
    /// What happened to alarms, to be published.
    pub alarms: Vec<(AlarmChange, Alarm)>,
}

impl Db {
    /// Most reports in one call: a bound on the transaction's time and memory.
    pub const REPORTS_PER_BATCH_MAX: usize = 10_000;

    /// Stores reports in one transaction.
    pub async fn store_reports(&self, reports: Vec<Report>) -> Result<Stored, DbError> {
        todo!()
    }

    /// Inserts the reports' rows into the positions table and nothing else.
    pub async fn raw_insert(&self, reports: Vec<Report>) -> Result<usize, DbError> {
        todo!()
    }
}
