//! What a batch did to alarms, told again: for whoever could not learn the outcome of its commit.

use std::collections::BTreeSet;

use model::{Alarm, AlarmChange, Report};

use super::batch::Row;
use super::history;
use crate::{Db, DbError};

impl Db {
    /// The alarms that start or end with one of the reports, as they are stored now, in the form in which
    /// [`store_reports`](Self::store_reports) tells them: when its outcome stayed unknown, sending the reports
    /// again finds only duplicates and tells nothing. What a late report replaced is not known any more.
    ///
    /// # Errors
    /// As any query.
    pub async fn alarm_changes_at(&self, reports: &[Report]) -> Result<Vec<(AlarmChange, Alarm)>, DbError> {
        let instants: BTreeSet<_> = reports
            .iter()
            .map(|report| Row::new(0, report.clone()))
            .map(|row| (row.terminal, row.is_dated(), row.at()))
            .collect();
        if instants.is_empty() {
            return Ok(Vec::new());
        }
        let instants: Vec<_> = instants.into_iter().collect();
        let (started, ended) = self.write(move |conn| history::alarms_at(conn, &instants)).await?;
        let mut changes: Vec<_> = started
            .into_iter()
            .map(|alarm| (AlarmChange::Started, alarm))
            .chain(ended.into_iter().map(|alarm| (AlarmChange::Ended, alarm)))
            .collect();
        changes.sort_by_key(|(change, alarm)| (alarm.start, *change == AlarmChange::Ended));
        Ok(changes)
    }
}
