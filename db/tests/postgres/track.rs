//! A track by the number of a page: counted, cut and thinned in the database.

use chrono::{DateTime, TimeDelta, Utc};
use db::testing::TestDb;
use db::{DbError, Limit, TrackPart};
use model::{Companies, Position, Report, Scope, StatusSet, TerminalId};

use crate::support::{at, report, terminal};

/// The report of a position `seconds` into the trip, `metres` north of its start.
fn here(terminal: TerminalId, seconds: i64, metres: f64, speed_kmh: f64) -> Report {
    let report = report(terminal, Some(at(seconds)), 0, u32::try_from(seconds).expect("not before the trip"));
    let position = Position { latitude: 31.0 + metres / 111_195.0, speed_kmh, ..report.position };
    Report { position, ..report }
}

fn part(from: DateTime<Utc>, to: DateTime<Utc>) -> TrackPart {
    TrackPart { from, to, every_km: None, parked_s: None, offset: 0, limit: Limit::AllOrNone(1_000) }
}

/// Seconds into the trip of the positions that `part` brings, and how many fit.
async fn seconds(test: &TestDb, terminal: TerminalId, part: TrackPart) -> (Vec<i64>, u64) {
    let track = test.db().track_part(&Scope::platform(), terminal, part).await.expect("a track");
    let of = |position: &Position| (position.at() - at(0)).num_seconds();
    (track.positions.iter().map(|row| of(&row.position)).collect(), track.total)
}

#[tokio::test]
async fn a_track_is_cut_by_number_with_both_ends_included() {
    let test = TestDb::new().await;
    let (ours, other) = (terminal(&test, "13800000001").await, terminal(&test, "13800000002").await);
    let mut reports: Vec<Report> = (0..10).map(|n| here(ours, n * 10, 0.0, 50.0)).collect();
    reports.push(here(other, 5, 0.0, 50.0));
    reports.push(report(ours, None, 0, 99));
    test.db().store_reports(reports).await.expect("stored");
    let all: Vec<i64> = (0..10).map(|n| n * 10).collect();
    assert_eq!(seconds(&test, ours, part(at(0), at(90))).await, (all.clone(), 10));
    assert_eq!(seconds(&test, ours, part(at(20), at(30))).await, (vec![20, 30], 2));
    assert_eq!(seconds(&test, ours, part(at(1), at(9))).await, (vec![], 0));
    let page = |offset, size| TrackPart { offset, limit: Limit::Page(size), ..part(at(0), at(90)) };
    assert_eq!(seconds(&test, ours, page(4, 3)).await, (vec![40, 50, 60], 10));
    assert_eq!(seconds(&test, ours, page(9, 3)).await, (vec![90], 10));
    assert_eq!(seconds(&test, ours, page(u32::MAX, u32::MAX)).await, (vec![], 10));
    let few = TrackPart { limit: Limit::AllOrNone(9), ..part(at(0), at(90)) };
    assert_eq!(seconds(&test, ours, few).await, (vec![], 10), "all or none");
}

#[tokio::test]
async fn a_track_is_thinned_by_way_and_by_standing() {
    let test = TestDb::new().await;
    let ours = terminal(&test, "13800000001").await;
    // A kilometre in ten steps, then a stop of 50 s, then 200 m more.
    let mut reports: Vec<Report> = (0..=10).map(|n| here(ours, n * 10, n as f64 * 100.0, 36.0)).collect();
    reports.extend((11..=16).map(|n| here(ours, n * 10, 1_000.0, 0.0)));
    reports.extend([here(ours, 170, 1_100.0, 36.0), here(ours, 180, 1_200.0, 36.0)]);
    // Without a fix a terminal is nowhere: no way leads there.
    let mut lost = here(ours, 45, 9_000_000.0, 0.0);
    lost.position.status = StatusSet(1);
    lost.position.latitude = 0.0;
    reports.push(lost);
    test.db().store_reports(reports).await.expect("stored");

    let every = |km| TrackPart { every_km: Some(km), ..part(at(0), at(200)) };
    // 1 m more than 300 m, so that rounding cannot move a milestone.
    assert_eq!(seconds(&test, ours, every(0.301)).await, (vec![0, 40, 70, 100], 4));
    assert_eq!(seconds(&test, ours, every(100.0)).await, (vec![0], 1));
    let parked = |s| TrackPart { parked_s: Some(s), ..part(at(100), at(200)) };
    assert_eq!(seconds(&test, ours, parked(30.0)).await, (vec![140, 150, 160], 3));
    assert_eq!(seconds(&test, ours, parked(51.0)).await, (vec![], 0));
    let page = TrackPart { offset: 1, limit: Limit::Page(2), ..every(0.301) };
    assert_eq!(seconds(&test, ours, page).await, (vec![40, 70], 4));
    let none = TrackPart { every_km: Some(0.0), parked_s: Some(0.0), ..part(at(100), at(200)) };
    assert_eq!(seconds(&test, ours, none).await.1, 9);
    let track = test.db().track_part(&Scope::platform(), ours, parked(50.0)).await.expect("a track");
    assert_eq!(track.positions.iter().map(|row| row.parked_s).collect::<Vec<_>>(), [50.0]);
}

#[tokio::test]
async fn a_track_has_bounds_and_an_owner() {
    let test = TestDb::new().await;
    let ours = terminal(&test, "13800000001").await;
    let days = TimeDelta::days(db::Db::TRACK_DAYS_MAX);
    let ask = async |scope: &Scope, part| test.db().track_part(scope, ours, part).await;
    let all = Scope::platform();
    assert!(ask(&all, part(at(0), at(0) + days)).await.is_ok(), "exactly 31 days");
    let long = part(at(0), at(0) + days + TimeDelta::microseconds(1));
    let backwards = part(at(1), at(0));
    let nan = TrackPart { every_km: Some(f64::NAN), ..part(at(0), at(1)) };
    let below = TrackPart { parked_s: Some(-1.0), ..part(at(0), at(1)) };
    let beyond = "-4800-01-01T00:00:00Z".parse().expect("chrono reads it");
    let unknown = part(beyond, beyond + TimeDelta::days(1));
    let mut wrongs = vec![long, backwards, nan, below, unknown];
    let ways = [f64::from_bits(1), f64::MIN_POSITIVE, 0.000_999, 10_000.1, 1e300, f64::INFINITY, -0.001];
    wrongs.extend(ways.map(|km| TrackPart { every_km: Some(km), ..part(at(0), at(1)) }));
    for km in [0.0, -0.0, 0.001, 10_000.0] {
        assert!(ask(&all, TrackPart { every_km: Some(km), ..part(at(0), at(1)) }).await.is_ok(), "{km}");
    }
    for wrong in wrongs {
        assert!(matches!(ask(&all, wrong).await, Err(DbError::Invalid(_))), "{wrong:?}");
    }
    let nobody = Scope { account: None, companies: Companies::Of(Default::default()) };
    assert!(matches!(ask(&nobody, part(at(0), at(1))).await, Err(DbError::NotFound)));
}
