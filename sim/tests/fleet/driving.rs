//! Reports, resends, poison times, alarm edges, lost links: the ledger agrees with what the platform has.

use sim::{ALARM_BITS, Fleet, Ledger, Settings};

use crate::platform::Platform;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_agrees_with_what_arrived() {
    let platform = Platform::start(Some(60)).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.json");
    let settings = Settings {
        gateway: platform.address.clone(),
        terminals: 6,
        interval_ms: 20,
        duration_s: Some(5),
        drain_s: 60,
        resend_same_serial_permille: 50,
        resend_new_serial_permille: 50,
        resend_batch_permille: 50,
        poison_permille: 50,
        alarm_period_s: 2,
        ledger: Some(path.clone()),
        ..Settings::default()
    };
    let ledger = Fleet::start(settings).unwrap().finished().await.unwrap();
    assert_eq!(Ledger::read(&path).unwrap(), ledger);

    let summary = ledger.summary;
    println!("{summary:?}");
    assert!(summary.made > 1_000, "{summary:?}");
    assert_eq!((summary.acknowledged, summary.refused), (summary.made, 0), "all of them in the end");
    assert!(summary.resent_same_serial > 10 && summary.resent_new_serial > 10 && summary.resent_batch > 10);
    assert!(summary.poison > 10 && summary.edges > 20 && summary.log_ins > 12);

    let books = platform.books.lock().unwrap();
    assert_eq!(books.troubles, []);
    assert_eq!(books.stored.len() as u64, summary.made);
    assert!(books.refused_once && books.backfills > 0);
    assert!(books.stored.values().any(|(_, times)| *times > 1), "resends arrived");
    for account in &ledger.terminals {
        let said = |sequence: u32| books.stored[&(account.terminal, sequence)].0;
        let mut edges = Vec::new();
        let mut before = 0;
        for sequence in 0..account.made {
            let (alarm, _) = said(sequence);
            for bit in ALARM_BITS.into_iter().filter(|bit| (alarm ^ before) >> bit & 1 == 1) {
                edges.push((sequence, bit, alarm >> bit & 1 == 1));
            }
            before = alarm;
        }
        assert_eq!(account.edges.iter().map(|e| (e.sequence, e.bit, e.on)).collect::<Vec<_>>(), edges);
        for edge in &account.edges {
            let reports = said(edge.sequence).1;
            assert!(
                (0..edge.sequence).rev().take(60).all(|n| said(n).1 != reports),
                "an edge begins a second"
            );
        }
    }
}

#[tokio::test]
async fn a_stopped_fleet_gives_its_books_as_they_are() {
    let platform = Platform::start(None).await;
    let settings =
        Settings { gateway: platform.address.clone(), terminals: 2, interval_ms: 10, ..Settings::default() };
    let fleet = Fleet::start(settings).unwrap();
    while platform.books.lock().unwrap().stored.len() < 50 {
        tokio::task::yield_now().await;
    }
    let ledger = fleet.stop().await.unwrap();
    assert!(ledger.summary.made >= 50);
    let books = platform.books.lock().unwrap();
    for account in &ledger.terminals {
        for (first, last) in &account.acknowledged {
            assert!(
                (*first..=*last).all(|sequence| books.stored.contains_key(&(account.terminal, sequence)))
            );
        }
    }
}

#[tokio::test]
async fn settings_out_of_range_are_refused() {
    for settings in [
        Settings { interval_ms: 9, ..Settings::default() },
        Settings { editions: vec![2016], ..Settings::default() },
        Settings { editions: Vec::new(), ..Settings::default() },
        Settings { first_sim: 99_999_999_999, ..Settings::default() },
        Settings { resend_batch_permille: 1_001, ..Settings::default() },
        Settings { poison_permille: 1_001, ..Settings::default() },
        Settings {
            redirect_refuse_permille: 500,
            redirect_ignore_permille: 500,
            redirect_limit_ignore_permille: 1,
            ..Settings::default()
        },
        Settings { redirect_refuse_permille: u32::MAX, redirect_ignore_permille: 2, ..Settings::default() },
        Settings { gateway: "127.0.0.1".into(), ..Settings::default() },
        Settings { backups: vec!["127.0.0.1:1".into(), "127.0.0.1:0".into()], ..Settings::default() },
    ] {
        assert!(Fleet::start(settings).is_err());
    }
}
