//! Emptying the spool, and adopted copies of others, into the database when it is back. Also the one task that finds
//! out that it is: while it is away nobody else tries.

use std::sync::Arc;
use std::time::Duration;

use db::{DbError, UnreadableBody};
use model::Report;
use tokio_util::sync::CancellationToken;

use crate::gate::{Count, Gate};
use crate::normalise;
use crate::spool::Record;
use crate::trouble::Trouble;
use crate::writer::{self, Before};

/// Rest after an attempt that failed.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// How often the spool is looked at although nobody said so.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Most reports drained in one transaction: all that is in memory of the spool, and how long fresh reports
/// may have to wait for theirs.
const REPORTS_MAX: usize = 1_000;

/// Drains until `stop`. What is left lies on disk for the next start.
pub(crate) async fn run(gate: Arc<Gate>, stop: CancellationToken) {
    loop {
        let again = match step(&gate).await {
            Step::Idle => LOOK_EVERY,
            Step::Drained => Duration::ZERO,
            Step::Failed => RETRY_AFTER,
        };
        let look = async {
            match again {
                Duration::ZERO => (),
                LOOK_EVERY => {
                    let _ = tokio::time::timeout(LOOK_EVERY, gate.database.look.notified()).await;
                }
                rest => tokio::time::sleep(rest).await,
            }
        };
        if stop.run_until_cancelled(look).await.is_none() || stop.is_cancelled() {
            return;
        }
    }
}

enum Step {
    /// Nothing to drain, and the database is there.
    Idle,
    /// Something was drained; there may be more.
    Drained,
    Failed,
}

async fn step(gate: &Gate) -> Step {
    match own(gate).await {
        Step::Idle => adopted(gate).await,
        step => step,
    }
}

/// The own spool.
async fn own(gate: &Gate) -> Step {
    let chunk = match gate.spool.oldest(REPORTS_MAX).await {
        Ok(Some(chunk)) => chunk,
        Ok(None) => return probe(gate).await,
        Err(error) => {
            tracing::error!(%error, "the spool cannot be read");
            // what comes fresh is not to wait for it
            return probe(gate).await;
        }
    };
    let step = store(gate, &chunk.records, &gate.counts.drained).await;
    if matches!(step, Step::Drained) {
        gate.spool.stored(&chunk).await;
    }
    step
}

/// Copies of spools whose gateways are not expected back, or lost some of theirs.
async fn adopted(gate: &Gate) -> Step {
    let Some(kept) = &gate.kept else { return Step::Idle };
    let (of, chunk) = match kept.oldest(REPORTS_MAX).await {
        Ok(Some(oldest)) => oldest,
        Ok(None) => return Step::Idle,
        Err(error) => {
            tracing::error!(%error, "a copy cannot be read");
            return Step::Idle;
        }
    };
    let step = store(gate, &chunk.records, &gate.counts.adopted).await;
    if matches!(step, Step::Drained) {
        kept.drained(&of, &chunk).await;
    }
    step
}

/// Stores records as reports, and counts these; those that are none any more go to quarantine first.
async fn store(gate: &Gate, records: &[Record], count: &Count) -> Step {
    let (mut reports, mut strange) = (Vec::new(), Vec::new());
    for record in records.iter().filter(|record| record.marked().is_none()) {
        match normalise::report(record.terminal, &record.body, record.received_at) {
            Ok(report) => reports.push(report),
            Err(error) => strange.push(UnreadableBody {
                terminal: record.terminal,
                body: Arc::clone(&record.body),
                hash: normalise::hash(&record.body),
                received_at: record.received_at,
                reason: format!("spooled, and no report: {error}"),
            }),
        }
    }
    let stored = reports.len();
    match try_to_store(gate, reports, strange).await {
        Ok(()) => {
            count.add(stored);
            Step::Drained
        }
        Err(error) => {
            if !matches!(error, DbError::Unavailable(_) | DbError::Busy(_) | DbError::OutcomeUnknown) {
                tracing::error!(error = &error as &dyn std::error::Error, "spooled reports not stored");
                gate.troubles.count_by(Trouble::StoreFailed, records.len());
            }
            Step::Failed
        }
    }
}

async fn try_to_store(
    gate: &Gate,
    reports: Vec<Report>,
    strange: Vec<UnreadableBody>,
) -> Result<(), DbError> {
    if let Some(first) = strange.first() {
        // Each was a report when it was acknowledged: another program than this one wrote it.
        let (terminal, reason, count) = (first.terminal, first.reason.clone(), strange.len());
        let new = gate.db.quarantine_bodies(strange).await?;
        gate.counts.quarantined.add(new);
        gate.troubles.count_by(Trouble::SpooledInvalid, count);
        tracing::error!(terminal.id = %terminal, reason, "{count} spooled reports are none any more: in quarantine");
    }
    if reports.is_empty() {
        return Ok(());
    }
    writer::store(gate, reports, Before::Perhaps).await
}

/// With nothing to store: whether the database is back.
async fn probe(gate: &Gate) -> Step {
    if !gate.database.is_away() {
        return Step::Idle;
    }
    if gate.db.healthy().await {
        gate.database.back();
        return Step::Idle;
    }
    Step::Failed
}
