//! Emptying the spool into the database when it is back. Also the one task that finds out that it is: while
//! it is away nobody else tries.

use std::sync::Arc;
use std::time::Duration;

use db::DbError;
use model::TerminalId;
use tokio_util::sync::CancellationToken;

use crate::gate::Gate;
use crate::normalise::{self, ReportError};
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
    let chunk = match gate.spool.oldest(REPORTS_MAX).await {
        Ok(Some(chunk)) => chunk,
        Ok(None) => return probe(gate).await,
        Err(error) => {
            tracing::error!(%error, "the spool cannot be read");
            // what comes fresh is not to wait for it
            return probe(gate).await;
        }
    };
    let (mut reports, mut strange) = (Vec::new(), Vec::new());
    for record in &chunk.records {
        match normalise::report(record.terminal, &record.body, record.received_at) {
            Ok(report) => reports.push(report),
            Err(error) => strange.push((record.terminal, error)),
        }
    }
    let count = reports.len();
    let stored = match count {
        0 => Ok(()),
        _ => writer::store(gate, reports, Before::Perhaps).await,
    };
    match stored {
        Ok(()) => {
            gate.spool.stored(&chunk).await;
            gate.counts.drained.add(count);
            give_up(gate, &strange);
            Step::Drained
        }
        Err(error) => {
            if !matches!(error, DbError::Unavailable(_) | DbError::Busy(_) | DbError::OutcomeUnknown) {
                tracing::error!(error = &error as &dyn std::error::Error, "spooled reports not stored");
                gate.troubles.count_by(Trouble::StoreFailed, count);
            }
            Step::Failed
        }
    }
}

/// Says what was no report. Each was one when it was acknowledged: another program than this one wrote it.
fn give_up(gate: &Gate, strange: &[(TerminalId, ReportError)]) {
    if let Some((terminal, error)) = strange.first() {
        tracing::error!(%error, terminal = terminal.0, "{} spooled reports are none any more: lost", strange.len());
        gate.troubles.count_by(Trouble::SpooledInvalid, strange.len());
    }
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
