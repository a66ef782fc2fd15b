//! Storing reports: a batch in one transaction, with the alarm edges that it brings.
//!
//! A batch locks its terminals' `latest_position` rows in the order of their keys; what else it reads and writes
//! belongs to these terminals, so batches do not wait for each other both ways. (Those that bring the same reports
//! of terminals that are gone may, in quarantine: the server ends one, which is sent again.) Of the table of
//! positions it touches the parent before the days, as whoever drops a day does; only the partition of undated
//! reports, which is never made or dropped, comes before. Reports newer than the newest stored are taken against
//! what the locked row says; late ones against their neighbours in the track, read by one statement for all of the
//! batch.

mod batch;
mod edges;
mod history;
mod neighbours;
mod retelling;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::NaiveDate;
use diesel::result::{DatabaseErrorKind, Error as Diesel};
use diesel::{Connection, PgConnection};
use model::{Alarm, AlarmChange, Report, TerminalId};
use tracing::warn;

use batch::Row;
use edges::{Changes, Runs, Sighting};
use history::Newest;
use neighbours::{Around, Late};

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
    /// What happened to alarms, to be published. An alarm that turned out to begin earlier is first
    /// `Superseded` under its old id, then `Started` under its new one.
    pub alarms: Vec<(AlarmChange, Alarm)>,
}

impl Db {
    /// Most reports in one call: a bound on the transaction's time and memory.
    pub const REPORTS_PER_BATCH_MAX: usize = 10_000;

    /// Stores reports in one transaction: the positions, the edges of their alarms and the terminals'
    /// latest positions. May be called again with the same reports, in any order and together with others:
    /// each is stored once, and the alarms come out the same.
    ///
    /// A device time that is missing, before 2010 or more than 24 h ahead of `received_at` counts as
    /// impossible. What can never be stored goes to quarantine in the same commit.
    ///
    /// # Errors
    /// On any error nothing may be acknowledged: [`DbError::Unavailable`] and [`DbError::Busy`] when nothing
    /// was stored, [`DbError::OutcomeUnknown`] when that is not known. [`DbError::Invalid`] for more than
    /// [`Self::REPORTS_PER_BATCH_MAX`] reports.
    pub async fn store_reports(&self, reports: Vec<Report>) -> Result<Stored, DbError> {
        let rows = self.prepare(reports).await?;
        if rows.is_empty() {
            return Ok(Stored::default());
        }
        let rows = std::sync::Arc::new(rows);
        let whole = rows.clone();
        let attempted = self.write(move |conn| finish(whole.len(), attempt(conn, &whole)?)).await;
        match attempted {
            Err(error) if is_about_the_data(&error) => {
                warn!(%error, "a batch of {} reports is bisected", rows.len());
                self.write(move |conn| finish(rows.len(), bisect(conn, &rows)?)).await
            }
            attempted => attempted,
        }
    }

    /// Inserts the reports' rows into the positions table with its partitions and indexes, and nothing
    /// else: the rate to measure [`store_reports`](Self::store_reports) by. Not for real reports.
    ///
    /// # Errors
    /// As [`store_reports`](Self::store_reports).
    pub async fn insert_positions_only(&self, reports: Vec<Report>) -> Result<usize, DbError> {
        let rows = self.prepare(reports).await?;
        self.write(move |conn| history::insert_only(conn, &rows)).await
    }

    /// Normalises the reports and makes the days that they fall on.
    async fn prepare(&self, reports: Vec<Report>) -> Result<Vec<Row>, DbError> {
        if reports.len() > Self::REPORTS_PER_BATCH_MAX {
            return Err(DbError::Invalid(format!(
                "more than {} reports in a batch",
                Self::REPORTS_PER_BATCH_MAX
            )));
        }
        let rows: Vec<Row> =
            reports.into_iter().enumerate().map(|(place, report)| Row::new(place, report)).collect();
        let days: BTreeSet<NaiveDate> =
            rows.iter().filter(|row| row.is_dated()).map(|row| row.device_time.date_naive()).collect();
        if let Some(now) = rows.iter().map(|row| row.received_at).max() {
            self.make_days_of(&days, now).await;
        }
        Ok(rows)
    }
}

/// What one attempt brought: outcomes by place in the batch, alarms to tell.
#[derive(Default)]
struct Attempt {
    outcomes: Vec<(usize, Outcome)>,
    alarms: Vec<(AlarmChange, Alarm)>,
}

fn finish(reports: usize, attempt: Attempt) -> Result<Stored, DbError> {
    let mut outcomes = vec![Outcome::Duplicate; reports];
    for (place, outcome) in attempt.outcomes {
        outcomes[place] = outcome;
    }
    Ok(Stored { outcomes, alarms: attempt.alarms })
}

/// Stores what can be stored of `rows` and puts the rest aside, halving on each refusal. Each half sees
/// what the one before it stored.
fn bisect(conn: &mut PgConnection, rows: &[Row]) -> Result<Attempt, DbError> {
    let refused = match conn.transaction(|conn| attempt(conn, rows)) {
        Err(error) if is_about_the_data(&error) => error,
        attempted => return attempted,
    };
    if let [row] = rows {
        history::quarantine(conn, row, &reason(&refused))?;
        return Ok(Attempt {
            outcomes: vec![(row.place_in_batch, Outcome::Quarantined)],
            alarms: Vec::new(),
        });
    }
    let (first, second) = rows.split_at(rows.len() / 2);
    let mut whole = bisect(conn, first)?;
    let rest = bisect(conn, second)?;
    whole.outcomes.extend(rest.outcomes);
    whole.alarms.extend(rest.alarms);
    Ok(whole)
}

/// Whether the same rows would be refused again: their values are at fault, not the server's state.
fn is_about_the_data(error: &DbError) -> bool {
    // SQLSTATE class 22, which diesel does not pass on
    const VALUES: [&str; 4] =
        ["out of range", "invalid byte sequence", "invalid input syntax", "value too long"];
    match error {
        DbError::Conflict(_) | DbError::Invalid(_) => true,
        DbError::Query(Diesel::SerializationError(_)) => true,
        DbError::Query(Diesel::DatabaseError(kind, info)) => match kind {
            DatabaseErrorKind::CheckViolation
            | DatabaseErrorKind::NotNullViolation
            | DatabaseErrorKind::ExclusionViolation => true,
            _ => VALUES.iter().any(|value| info.message().contains(value)),
        },
        _ => false,
    }
}

fn reason(error: &DbError) -> String {
    match error {
        DbError::Query(source) => source.to_string(),
        other => other.to_string(),
    }
}

/// Stores `rows` or fails as a whole.
fn attempt(conn: &mut PgConnection, rows: &[Row]) -> Result<Attempt, DbError> {
    let mut done = Attempt { outcomes: Vec::with_capacity(rows.len()), alarms: Vec::new() };
    let terminals: BTreeSet<i64> = rows.iter().map(|row| row.terminal).collect();
    let terminals: Vec<i64> = terminals.into_iter().collect();
    let mut newest = history::lock(conn, &terminals)?;

    let mut fit = Vec::with_capacity(rows.len());
    for row in rows {
        let unfit =
            row.unfit().or_else(|| (!newest.contains_key(&row.terminal)).then_some("no such terminal"));
        match unfit {
            None => fit.push(row),
            Some(reason) => {
                history::quarantine(conn, row, reason)?;
                done.outcomes.push((row.place_in_batch, Outcome::Quarantined));
            }
        }
    }
    let fresh = without_resends(conn, fit, &newest)?;
    let around = neighbours(conn, &fresh, &newest)?;
    let inserted = history::insert(conn, &fresh)?;
    let mut tracks: BTreeMap<(i64, bool), Vec<&Row>> = BTreeMap::new();
    for row in fresh.iter().filter(|row| inserted.contains(&row.key())) {
        done.outcomes.push((row.place_in_batch, Outcome::Inserted));
        tracks.entry((row.terminal, row.is_dated())).or_default().push(row);
    }

    let before = newest.clone();
    let mut edges = Vec::new();
    for ((terminal, dated), rows) in &mut tracks {
        rows.sort_by_key(|row| (row.at(), row.report.hash));
        let Some(known) = newest.get_mut(terminal) else { continue };
        let sightings: Vec<Sighting> = rows
            .iter()
            .map(|row| Sighting { at: row.at(), alarms: row.report.position.alarms, place: row.place() })
            .collect();
        let none = HashMap::new();
        let around = around.get(&(*terminal, *dated)).unwrap_or(&none);
        let (found, last) = edges::edges(&sightings, known.track(*dated), around);
        *(if *dated { &mut known.dated } else { &mut known.undated }) = last;
        edges.extend(found.into_iter().map(|edge| (TerminalId(*terminal), *dated, edge)));
    }
    done.alarms = change_alarms(conn, &edges)?;
    change_newest(conn, &tracks, &before, &mut newest)?;
    Ok(done)
}

/// The rows that are neither twice in the batch nor already stored without a date, in the order of the key.
fn without_resends(
    conn: &mut PgConnection,
    rows: Vec<&Row>,
    newest: &HashMap<i64, Newest>,
) -> Result<Vec<Row>, DbError> {
    let has_undated = |row: &&Row| newest.get(&row.terminal).is_some_and(|newest| newest.undated.is_some());
    let (terminals, hashes): (Vec<i64>, Vec<i64>) =
        rows.iter().copied().filter(has_undated).map(|row| (row.terminal, row.report.hash)).unzip();
    let undated = if terminals.is_empty() {
        HashSet::new()
    } else {
        history::undated_among(conn, &terminals, &hashes)?
    };
    let mut seen = undated;
    let mut fresh: Vec<Row> =
        rows.into_iter().filter(|row| seen.insert((row.terminal, row.report.hash))).cloned().collect();
    fresh.sort_unstable_by_key(Row::key);
    Ok(fresh)
}

/// What is stored around the rows that are not newer than their track's newest.
fn neighbours(
    conn: &mut PgConnection,
    rows: &[Row],
    newest: &HashMap<i64, Newest>,
) -> Result<Around, DbError> {
    let mut around = Around::new();
    for dated in [true, false] {
        let late: BTreeSet<Late> = rows
            .iter()
            .filter(|row| row.is_dated() == dated)
            .filter_map(|row| {
                let track = newest.get(&row.terminal).and_then(|newest| newest.track(dated))?;
                let late = Late { at: row.at(), terminal: row.terminal, newest: track.at };
                (late.at <= late.newest).then_some(late)
            })
            .collect();
        neighbours::read(conn, dated, late.into_iter().collect(), &mut around)?;
    }
    Ok(around)
}

/// Carries the edges out; gives what to tell.
fn change_alarms(
    conn: &mut PgConnection,
    edges: &[(TerminalId, bool, edges::Edge)],
) -> Result<Vec<(AlarmChange, Alarm)>, DbError> {
    if edges.is_empty() {
        return Ok(Vec::new());
    }
    let mut runs: BTreeMap<(bool, i64, u8), Runs> = BTreeMap::new();
    for (dated, alarm) in history::alarms(conn, edges)? {
        runs.entry((dated, alarm.terminal.0, alarm.kind.code())).or_default().know(alarm);
    }
    for (terminal, dated, edge) in edges {
        runs.entry((*dated, terminal.0, edge.kind.code())).or_default().apply(*terminal, *edge);
    }
    let mut told = Vec::new();
    let mut runs: Vec<_> = runs.into_iter().collect();
    for dated in [true, false] {
        let mut changes = Changes::default();
        for (_, run) in runs.extract_if(.., |((of, _, _), _)| *of == dated) {
            run.into_changes(&mut changes);
        }
        if !changes.is_empty() {
            history::change_alarms(conn, &changes, dated)?;
        }
        changes.sort_told();
        told.append(&mut changes.told);
    }
    Ok(told)
}

/// Writes what is now the newest of each terminal.
fn change_newest(
    conn: &mut PgConnection,
    tracks: &BTreeMap<(i64, bool), Vec<&Row>>,
    before: &HashMap<i64, Newest>,
    newest: &mut HashMap<i64, Newest>,
) -> Result<(), DbError> {
    let mut latest: BTreeMap<i64, &Row> = BTreeMap::new();
    for ((terminal, _), rows) in tracks {
        let Some(known) = newest.get_mut(terminal) else { continue };
        let Some(last) = rows.iter().max_by_key(|row| row.recency()) else { continue };
        if known.latest.is_none_or(|known| last.recency() > known) {
            known.latest = Some(last.recency());
            latest.insert(*terminal, last);
        }
    }
    let rest: Vec<(i64, Newest)> = newest
        .iter()
        .filter(|(terminal, now)| {
            let was = before.get(terminal);
            !latest.contains_key(terminal)
                && was.is_some_and(|was| (was.dated, was.undated) != (now.dated, now.undated))
        })
        .map(|(terminal, now)| (*terminal, *now))
        .collect();
    history::change_newest(conn, &rest)?;
    history::change_latest(conn, &latest.into_values().collect::<Vec<_>>(), newest)
}
