//! Storing: once, whatever comes again; nothing blocks a batch; alarm edges in any order.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use db::testing::TestDb;
use db::{AlarmQuery, Db, DbError, Outcome, Page, Track};
use diesel::connection::SimpleConnection;
use model::{AlarmChange, AlarmId, AlarmKind, AlarmSet, Report, Scope, TerminalId};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::support::{at, count, report, terminal};

#[tokio::test]
async fn stored_twice() {
    let test = TestDb::new().await;
    let t = terminal(&test, "100").await;
    let first = report(t, Some(at(0)), 0, 1);
    let stored = test.db().store_reports(vec![first.clone(), first.clone()]).await.expect("stored");
    assert_eq!(stored.outcomes, [Outcome::Inserted, Outcome::Duplicate], "twice in one batch");
    let mut again = first.clone();
    again.position.received_at += TimeDelta::hours(5);
    let stored = test.db().store_reports(vec![again, report(t, Some(at(0)), 0, 2)]).await.expect("stored");
    assert_eq!(
        stored.outcomes,
        [Outcome::Duplicate, Outcome::Inserted],
        "another body at the same time is another"
    );
    assert_eq!(count(&test, "position"), 2);
    let track = test
        .db()
        .track_between(&Scope::platform(), Track::Terminal(t), at(0), at(1), &Page::default())
        .await
        .expect("a track");
    assert_eq!(track.items.len(), 2);
    assert!(track.items.contains(&first.position), "stored as it came");
}

#[tokio::test]
async fn poison_row_that_blocks_its_batch() {
    let test = TestDb::new().await;
    let t = terminal(&test, "101").await;
    // impossible times stand under one time, with a flag, and meet the same key again
    let mut undated = report(t, None, 0, 1);
    let mut ahead = report(t, Some(at(0) + TimeDelta::days(40)), 0, 2);
    let stored = test.db().store_reports(vec![undated.clone(), ahead.clone()]).await.expect("stored");
    assert_eq!(stored.outcomes, [Outcome::Inserted, Outcome::Inserted]);
    assert_eq!(count(&test, "position_undated WHERE NOT dated AND device_time = 'epoch'"), 2);
    undated.position.received_at += TimeDelta::hours(1);
    // the same report, sent again when its time has become possible
    ahead.position.received_at += TimeDelta::days(60);
    let stored = test.db().store_reports(vec![undated, ahead]).await.expect("stored");
    assert_eq!(stored.outcomes, [Outcome::Duplicate, Outcome::Duplicate]);

    // what the table refuses, foreseen or not, is put aside in the same commit, once
    test.connection()
        .batch_execute("ALTER TABLE position ADD CONSTRAINT unforeseen CHECK (altitude_m <> 666)")
        .expect("altered");
    let mut batch: Vec<Report> = (0..20).map(|n| report(t, Some(at(i64::from(n))), 0, 100 + n)).collect();
    batch[3].position.altitude_m = 666;
    batch[11].position.altitude_m = 666;
    batch[5].position.latitude = f64::NAN;
    batch[7].position.direction_deg = 40_000;
    batch[9].position.terminal = TerminalId(999_999);
    let stored = test.db().store_reports(batch.clone()).await.expect("stored");
    for (place, outcome) in stored.outcomes.iter().enumerate() {
        let poison = [3, 11, 5, 7, 9].contains(&place);
        assert_eq!(*outcome, if poison { Outcome::Quarantined } else { Outcome::Inserted }, "report {place}");
    }
    assert_eq!(count(&test, "quarantine"), 5);
    test.db().store_reports(batch).await.expect("stored");
    assert_eq!(count(&test, "quarantine"), 5);
    assert_eq!(count(&test, "position WHERE dated"), 15);
}

#[tokio::test]
async fn bodies_that_are_no_reports_are_quarantined_once() {
    let test = TestDb::new().await;
    let body = |number: u8| db::UnreadableBody {
        terminal: TerminalId(i64::from(number % 2) + 1),
        body: vec![0, number, 0xff].into(),
        hash: i64::from(number),
        received_at: at(0),
        reason: format!("reason {number}"),
    };
    let both = vec![body(1), body(2), body(1)];
    assert_eq!(test.db().quarantine_bodies(both.clone()).await.expect("put aside"), 2);
    assert_eq!(test.db().quarantine_bodies(both).await.expect("put aside"), 0);
    let kept = r"quarantine WHERE terminal_id = 2 AND body = '\x0001ff' AND reason = 'reason 1'";
    assert_eq!((count(&test, kept), count(&test, "quarantine")), (1, 2));
    assert_eq!(test.db().quarantine_bodies(Vec::new()).await.expect("nothing to do"), 0);
    let many = vec![body(1); Db::REPORTS_PER_BATCH_MAX + 1];
    assert!(matches!(test.db().quarantine_bodies(many).await, Err(DbError::Invalid(_))));
}

#[tokio::test]
async fn rows_outside_the_prepared_days_are_stored_and_move_when_their_day_is_made() {
    let test = TestDb::new().await;
    let t = terminal(&test, "102").await;
    let old = report(t, Some(at(0) - TimeDelta::days(2_000)), 0, 1);
    test.db().store_reports(vec![old, report(t, Some(at(0)), 0, 2)]).await.expect("stored");
    assert_eq!(count(&test, "position_default WHERE dated"), 1);
    assert_eq!(count(&test, "position_20260301"), 1);
    let done = test.db().maintain(at(0) - TimeDelta::days(2_000)).await.expect("maintained");
    assert_eq!(done.days_made, 4);
    assert_eq!(count(&test, "position_default"), 0);
    assert_eq!(count(&test, "position"), 2);
}

#[tokio::test]
async fn alarm_edges_lost_or_doubled() {
    for seed in 0..25 {
        shuffled(seed).await;
    }
}

/// Reports of two terminals in random order, batches and repetitions: the alarm table comes out as the
/// runs of the stored reports, and what was told adds up to it.
async fn shuffled(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let test = TestDb::new().await;
    let terminals = [terminal(&test, "103").await, terminal(&test, "104").await];
    let mut reports: Vec<Report> = Vec::new();
    for salt in 0..60_u32 {
        let bits = u64::from(random.random::<u8>() & 0b11) | u64::from(random.random::<bool>()) << 40;
        let time = random.random_bool(0.85).then(|| at(i64::from(random.random_range(0..40_u8)) * 4_000));
        reports.push(report(terminals[usize::from(random.random::<bool>())], time, bits, salt));
    }
    let mut arrivals = reports.clone();
    for _ in 0..20 {
        arrivals.push(reports[random.random_range(0..reports.len())].clone());
    }
    arrivals.shuffle(&mut random);
    let mut told: BTreeMap<AlarmId, Option<DateTime<Utc>>> = BTreeMap::new();
    while !arrivals.is_empty() {
        let size = random.random_range(1..=arrivals.len().min(12));
        let batch: Vec<Report> = arrivals.drain(..size).collect();
        for (change, alarm) in test.db().store_reports(batch).await.expect("stored").alarms {
            match change {
                AlarmChange::Superseded => drop(told.remove(&alarm.id)),
                AlarmChange::Started | AlarmChange::Ended => drop(told.insert(alarm.id, alarm.end)),
            }
        }
    }
    let expected = runs(&reports);
    let query = AlarmQuery::default();
    let stored = test.db().alarms(&Scope::platform(), &query, &Page::largest()).await.expect("listed").items;
    let stored: BTreeMap<AlarmId, Option<DateTime<Utc>>> =
        stored.into_iter().map(|record| (record.alarm.id, record.alarm.end)).collect();
    assert_eq!(stored, expected, "seed {seed}");
    assert_eq!(told, expected, "told, seed {seed}");
}

/// The alarms by the plain definition: runs of the bit over a track's times.
fn runs(reports: &[Report]) -> BTreeMap<AlarmId, Option<DateTime<Utc>>> {
    let mut tracks: BTreeMap<(TerminalId, bool), BTreeMap<DateTime<Utc>, u64>> = BTreeMap::new();
    for Report { position, .. } in reports {
        let time = position.device_time.unwrap_or(position.received_at + TimeDelta::microseconds(1));
        *tracks
            .entry((position.terminal, position.device_time.is_some()))
            .or_default()
            .entry(time)
            .or_default() |= position.alarms.0;
    }
    let mut alarms = BTreeMap::new();
    for ((terminal, _), instants) in tracks {
        let kinds: BTreeSet<AlarmKind> = instants.values().flat_map(|bits| AlarmSet(*bits).kinds()).collect();
        for kind in kinds {
            let mut open = None;
            for (time, bits) in &instants {
                match (open, AlarmSet(*bits).contains(kind)) {
                    (None, true) => open = Some(*time),
                    (Some(start), false) => {
                        alarms.insert(AlarmId::derive(terminal, kind, start), Some(*time));
                        open = None;
                    }
                    _ => {}
                }
            }
            if let Some(start) = open {
                alarms.insert(AlarmId::derive(terminal, kind, start), None);
            }
        }
    }
    alarms
}

#[tokio::test]
async fn a_late_farewell_of_an_old_link_changes_nothing() {
    let test = TestDb::new().await;
    let t = terminal(&test, "105").await;
    test.db().store_reports(vec![report(t, Some(at(0)), 0b1, 1)]).await.expect("stored");
    let gone = TerminalId(999_999);
    let open = async |node: &str| {
        let links = [(t, "192.0.2.1:1".to_owned()), (gone, "192.0.2.1:2".to_owned())];
        let opened = test.db().sessions_opened(node, &links).await.expect("opened");
        assert!(!opened.contains_key(&gone), "a terminal that was deleted");
        opened[&t]
    };
    let old = open("node-a").await;
    assert_eq!((old.newest.at, old.newest.alarms), (Some(at(0)), AlarmSet(1)));
    let newest = test.db().newest_alarms(&[t, gone]).await.expect("read");
    assert_eq!(newest.into_iter().collect::<Vec<_>>(), [(t, old.newest)]);
    let new = open("node-b").await;
    let closed = async |epoch| test.db().sessions_closed(&[(t, epoch), (gone, 1)]).await.expect("answered");
    assert_eq!(closed(old.epoch).await, []);
    assert!(test.db().terminal(&Scope::platform(), t).await.expect("known").online);
    assert_eq!(test.db().sessions_lost("node-a").await.expect("answered"), []);
    assert_eq!(closed(new.epoch).await, [t]);
    assert!(!test.db().terminal(&Scope::platform(), t).await.expect("known").online);
}

#[tokio::test]
async fn a_session_whose_epoch_nobody_knows_is_given_up_by_its_own_node() {
    let test = TestDb::new().await;
    let (t, other) = (terminal(&test, "111").await, terminal(&test, "112").await);
    for (terminal, node) in [(t, "node-a"), (t, "node-a"), (other, "node-b")] {
        test.db().sessions_opened(node, &[(terminal, "192.0.2.1:1".to_owned())]).await.expect("opened");
    }
    let given_up = async || {
        let terminals = [t, other, TerminalId(999_999)];
        test.db().sessions_given_up("node-a", &terminals).await.expect("answered")
    };
    assert_eq!(given_up().await, [t]);
    assert_eq!(given_up().await, [], "once");
    let online = async |id| test.db().terminal(&Scope::platform(), id).await.expect("known").online;
    assert!(!online(t).await);
    assert!(online(other).await, "it moved to another node");
}

#[tokio::test]
async fn a_report_from_the_future_does_not_hold_the_latest_position() {
    let test = TestDb::new().await;
    let t = terminal(&test, "106").await;
    // arrival and device time in seconds; the latest afterwards, by arrival
    let steps = [
        (0, Some(0), 0),
        (10, Some(80_000), 10), // ahead of its arrival, but within what a clock may be
        (20, Some(20), 20),
        (30, Some(5), 20), // waited in the terminal
        (40, None, 40),
        (50, Some(50), 50),
    ];
    for (salt, (arrival, device, latest)) in (0..).zip(steps) {
        let mut report = report(t, device.map(at), 0, salt);
        report.position.received_at = at(arrival);
        test.db().store_reports(vec![report]).await.expect("stored");
        let stored = test.db().latest_position(&Scope::platform(), t).await.expect("known").position;
        let received = stored.expect("one").received_at;
        assert_eq!((received - at(0)).num_seconds(), latest, "after the report of second {arrival}");
    }
}

#[tokio::test]
async fn what_a_batch_did_to_alarms_is_told_again() {
    let test = TestDb::new().await;
    let t = terminal(&test, "107").await;
    let batch =
        vec![report(t, Some(at(0)), 0b1, 1), report(t, Some(at(9)), 0b10, 2), report(t, None, 0b100, 3)];
    let told = test.db().store_reports(batch.clone()).await.expect("stored").alarms;
    assert_eq!(told.len(), 4, "three starts and an end");
    let again = test.db().store_reports(batch.clone()).await.expect("stored");
    assert_eq!(again.alarms, [], "duplicates do nothing");
    let mut again = test.db().alarm_changes_at(&batch).await.expect("asked");
    // a start tells the state of now, hence the end too
    for (change, alarm) in &told {
        let found = again.iter().position(|(c, a)| c == change && a.id == alarm.id);
        again.remove(found.unwrap_or_else(|| panic!("{change:?} of {} is missing", alarm.kind)));
    }
    assert_eq!(again, []);
    let other = report(t, Some(at(4)), 0, 4);
    assert_eq!(
        test.db().alarm_changes_at(&[other]).await.expect("asked"),
        [],
        "nothing starts or ends there"
    );
}

#[tokio::test]
async fn concurrent_batches_over_the_same_terminals_do_not_wait_for_each_other_both_ways() {
    let test = TestDb::new().await;
    let mut terminals = Vec::new();
    for n in 0..8 {
        terminals.push(terminal(&test, &format!("20{n}")).await);
    }
    let batches = (0..12_u32).map(|batch| {
        let mut reports: Vec<Report> = (0..160_u32)
            .map(|n| {
                report(
                    terminals[n as usize % 8],
                    Some(at(i64::from(n / 8))),
                    u64::from(n & 1),
                    batch * 1_000 + n,
                )
            })
            .collect();
        reports.shuffle(&mut StdRng::seed_from_u64(u64::from(batch)));
        let db = test.db().clone();
        tokio::spawn(async move { db.store_reports(reports).await })
    });
    for batch in batches.collect::<Vec<_>>() {
        let stored = batch.await.expect("no panic").expect("stored");
        assert!(stored.outcomes.iter().all(|outcome| *outcome == Outcome::Inserted));
    }
    assert_eq!(count(&test, "position"), 12 * 160);
}
