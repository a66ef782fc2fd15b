//! Batches of reports on their way to the database or, while it is away, to the spool. Only what came to
//! rest in one of them is acknowledged.

use std::sync::Arc;
use std::time::Duration;

use db::{Db, DbError, Outcome as RowOutcome, Stored};
use model::{Event, Report, TerminalId};
use protocol::jt808::server::{Outcome, Ticket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::copies::Copying;
use crate::gate::Gate;
use crate::spool::{AppendError, Record};
use crate::trouble::Trouble;

/// How often a batch whose outcome is unknown is sent again before it goes to the spool, which asks the
/// same question later.
const REPEATS_MAX: u32 = 1;
/// What became of a message's reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) ticket: Ticket,
    pub(crate) outcome: Outcome,
}

/// The reports of one message.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) terminal: TerminalId,
    pub(crate) reports: Vec<Report>,
    pub(crate) ticket: Ticket,
    /// To the terminal's task, which may be gone.
    pub(crate) verdicts: mpsc::UnboundedSender<Verdict>,
}

impl Submission {
    fn answer(&self, outcome: Outcome) {
        let _ = self.verdicts.send(Verdict { ticket: self.ticket, outcome });
    }
}

/// A submission with its room in the queue, given back when it is answered.
#[derive(Debug)]
pub(crate) struct Queued {
    submission: Submission,
    _room: OwnedSemaphorePermit,
}

/// Where terminals' tasks hand reports in. The queues themselves need no bound: nothing enters without room.
#[derive(Debug)]
pub(crate) struct Intake {
    room: Arc<Semaphore>,
    room_max: usize,
    queues: Vec<mpsc::UnboundedSender<Queued>>,
}

impl Intake {
    /// With room for `reports_max` reports, and a queue for each of `writers`.
    pub(crate) fn new(reports_max: usize, writers: usize) -> (Self, Vec<mpsc::UnboundedReceiver<Queued>>) {
        let (queues, ends) = (0..writers.max(1)).map(|_| mpsc::unbounded_channel()).unzip();
        // A permit counts reports in 32 bits, and Tokio's semaphore has its own, far larger, limit.
        let room_max = reports_max.clamp(1, u32::MAX as usize);
        (Self { room: Arc::new(Semaphore::new(room_max)), room_max, queues }, ends)
    }

    /// Room for `reports` if there is some now.
    pub(crate) fn try_room(&self, reports: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).try_acquire_many_owned(self.permits(reports)).ok()
    }

    /// Room for `reports` when there is some, in the order of asking.
    pub(crate) fn room(&self, reports: usize) -> impl Future<Output = OwnedSemaphorePermit> + Send + 'static {
        let (room, permits) = (Arc::clone(&self.room), self.permits(reports));
        async move { room.acquire_many_owned(permits).await.expect("the semaphore is never closed") }
    }

    /// To the writer of its terminal: always the same, so that one terminal's reports are stored in order.
    pub(crate) fn submit(&self, submission: Submission, room: OwnedSemaphorePermit) {
        let writer = submission.terminal.0.unsigned_abs() as usize % self.queues.len();
        // A writer that is gone has stopped acknowledging; the terminal keeps its copy.
        let _ = self.queues[writer].send(Queued { submission, _room: room });
    }

    /// A message without a report takes room too; one larger than the whole room takes all of it.
    fn permits(&self, reports: usize) -> u32 {
        u32::try_from(reports.clamp(1, self.room_max)).unwrap_or(u32::MAX)
    }
}

/// Stores what comes in batches until `stop`, and then what still waits.
pub(crate) async fn write(
    gate: Arc<Gate>,
    mut queue: mpsc::UnboundedReceiver<Queued>,
    stop: CancellationToken,
) {
    let reports_max = gate.settings.batch_reports_max.clamp(1, Db::REPORTS_PER_BATCH_MAX);
    let wait = Duration::from_millis(gate.settings.batch_wait_ms);
    let mut held = None;
    loop {
        let first = match held.take().or_else(|| queue.try_recv().ok()) {
            Some(first) => first,
            None => match stop.run_until_cancelled(queue.recv()).await.flatten() {
                Some(first) => first,
                None => return,
            },
        };
        let until = Instant::now() + wait;
        let mut count = first.submission.reports.len();
        let mut batch = vec![first];
        while count < reports_max {
            match timeout_at(until, queue.recv()).await {
                Ok(Some(next)) if count + next.submission.reports.len() > reports_max => {
                    held = Some(next);
                    break;
                }
                Ok(Some(next)) => {
                    count += next.submission.reports.len();
                    batch.push(next);
                }
                Ok(None) | Err(_) => break,
            }
        }
        rest(&gate, &batch, count).await;
    }
}

/// Brings a batch to rest and answers it.
async fn rest(gate: &Gate, batch: &[Queued], count: usize) {
    let reports = || batch.iter().flat_map(|queued| &queued.submission.reports);
    let outcome = if gate.database.is_away() {
        spool(gate, reports()).await
    } else {
        match store(gate, reports().cloned().collect(), Before::No).await {
            Ok(()) => Outcome::Stored,
            Err(DbError::Unavailable(_) | DbError::Busy(_) | DbError::OutcomeUnknown) => {
                spool(gate, reports()).await
            }
            Err(error) => {
                // A bug or a broken server: spooling would only repeat it for ever.
                tracing::error!(error = &error as &dyn std::error::Error, "{count} reports not stored");
                gate.troubles.count_by(Trouble::StoreFailed, count);
                Outcome::Failed
            }
        }
    };
    if outcome == Outcome::Stored {
        gate.counts.acknowledged.add(count);
    }
    for queued in batch {
        queued.submission.answer(outcome);
    }
}

/// Whether reports may have been stored before by somebody who could not tell of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    No,
    /// Their commit's outcome was unknown, or a crash came between it and the telling.
    Perhaps,
}

/// Stores reports and tells of what was new. Sends them again while the outcome is unknown.
pub(crate) async fn store(gate: &Gate, reports: Vec<Report>, mut before: Before) -> Result<(), DbError> {
    let mut repeats = 0;
    let stored = loop {
        match gate.db.store_reports(reports.clone()).await {
            Ok(stored) => break stored,
            Err(DbError::OutcomeUnknown) if repeats < REPEATS_MAX => {
                repeats += 1;
                before = Before::Perhaps;
                gate.troubles.count(Trouble::StoreRepeated);
            }
            Err(error) => {
                if matches!(error, DbError::Unavailable(_) | DbError::Busy(_) | DbError::OutcomeUnknown) {
                    gate.database.lost(&error);
                }
                return Err(error);
            }
        }
    };
    gate.database.back();
    if before == Before::Perhaps {
        tell_again(gate, &reports, &stored).await;
    }
    tell(gate, reports, stored);
    Ok(())
}

/// Tells of what was stored before. It may have been told already: listeners know a position by its time and
/// an alarm by its id.
async fn tell_again(gate: &Gate, reports: &[Report], stored: &Stored) {
    let before: Vec<Report> = reports
        .iter()
        .zip(&stored.outcomes)
        .filter(|(_, outcome)| **outcome == RowOutcome::Duplicate)
        .map(|(report, _)| report.clone())
        .collect();
    if before.is_empty() {
        return;
    }
    match gate.db.alarm_changes_at(&before).await {
        Ok(changes) => {
            for (change, alarm) in changes {
                gate.events.publish(Event::Alarm { change, alarm });
            }
        }
        Err(error) => tracing::debug!(%error, "alarms of reports stored before are not told again"),
    }
    for report in before {
        gate.events.publish(Event::Position(report.position));
    }
}

fn tell(gate: &Gate, reports: Vec<Report>, stored: Stored) {
    for (report, outcome) in reports.into_iter().zip(stored.outcomes) {
        match outcome {
            RowOutcome::Inserted => {
                gate.counts.inserted.add(1);
                gate.events.publish(Event::Position(report.position));
            }
            RowOutcome::Duplicate => gate.counts.repeated.add(1),
            RowOutcome::Quarantined => gate.counts.quarantined.add(1),
        }
    }
    for (change, alarm) in stored.alarms {
        gate.events.publish(Event::Alarm { change, alarm });
    }
}

/// To the own disk and, in a cluster, to that of a peer, both at once.
async fn spool<'a>(gate: &Gate, reports: impl Iterator<Item = &'a Report>) -> Outcome {
    let records: Vec<Record> = reports
        .map(|report| Record {
            terminal: report.position.terminal,
            received_at: report.position.received_at,
            body: Arc::clone(&report.body),
        })
        .collect();
    // There is something to drain soon, or at least a database to look after.
    gate.database.look.notify_one();
    let copying = gate.copying.as_ref();
    if copying.is_some_and(Copying::has_nobody) {
        // What cannot be acknowledged comes again: it is not to fill the spool.
        gate.troubles.count_by(Trouble::NotCopied, records.len());
        return Outcome::Failed;
    }
    let result = gate.spool.append(&records).await;
    gate.database.look.notify_one();
    match result {
        Ok(end) => {
            gate.counts.spooled.add(records.len());
            let is_safe = match copying {
                Some(copying) => copying.safe(&gate.spool, end).await,
                None => true,
            };
            if !is_safe {
                gate.troubles.count_by(Trouble::NotCopied, records.len());
                return Outcome::Failed;
            }
            Outcome::Stored
        }
        Err(AppendError::Full) => {
            gate.troubles.count_by(Trouble::SpoolFull, records.len());
            Outcome::Failed
        }
        Err(AppendError::Failed) => {
            gate.troubles.count_by(Trouble::SpoolFailed, records.len());
            Outcome::Failed
        }
    }
}
