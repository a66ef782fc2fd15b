//! 0x8105: terminals that are sent to another server go there and come back, or don't. Main and backup server.

use std::path::Path;

use protocol::jt808::server::{Answer, Downlink};
use sim::{Fleet, Ledger, LogEntry, LogLine, Redirects, Settings};

use crate::platform::{LENT, Platform};

/// One terminal that speaks `edition` and reports ten times a second to `home`. A minute lasts 3 s.
fn settings(home: &Platform, edition: u16) -> Settings {
    Settings {
        gateway: home.address.clone(),
        terminals: 1,
        editions: vec![edition],
        interval_ms: 100,
        minute_ms: 3_000,
        reconnect_max_ms: 100,
        ..Settings::default()
    }
}

fn control(parameters: &[u8]) -> Downlink {
    Downlink { id: 0x8105, body: [&[2], parameters].concat().into() }
}

fn to(platform: &Platform, code: &str, limit_min: u16) -> Downlink {
    control(format!("0;{code};;;;127.0.0.1;{};0;{limit_min}", platform.port()).as_bytes())
}

/// The same with a raw control byte and raw words.
fn to_raw(platform: &Platform, limit_min: u16) -> Downlink {
    let (port, limit) = (platform.port().to_be_bytes(), limit_min.to_be_bytes());
    control(&[b"\x00;lent;;;;127.0.0.1;", &port[..], b";\0\0;", &limit[..]].concat())
}

/// A command that changes nothing; its answer shows that the terminal is there.
fn text() -> Downlink {
    Downlink { id: 0x8300, body: (&b"\x04x"[..]).into() }
}

fn redirects(ledger: &Ledger) -> Redirects {
    ledger.summary.redirects
}

#[tokio::test]
async fn a_terminal_that_is_sent_elsewhere_goes_there_with_the_code_and_comes_home_after_its_time() {
    for (edition, is_raw) in [(2013, false), (2019, true)] {
        let (mut home, gateway) = (Platform::start(None).await, Platform::start(None).await);
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.jsonl");
        let settings = Settings { log: Some(log.clone()), ..settings(&home, edition) };
        let fleet = Fleet::start(settings).unwrap();
        let command = if is_raw { to_raw(&gateway, 1) } else { to(&gateway, "lent", 1) };
        assert_eq!(home.order(command).await, Answer::General(0));
        gateway.until(|books| books.log_ins == 1).await;
        home.until(|books| books.log_ins == 2).await;
        assert_eq!(home.order(text()).await, Answer::General(0));
        let ledger = fleet.stop().await.unwrap();
        assert_eq!(redirects(&ledger), Redirects { obeyed: 1, expired: 1, ..Redirects::default() });
        let (home_books, gateway_books) = (home.books.lock().unwrap(), gateway.books.lock().unwrap());
        assert_eq!(gateway_books.codes, [LENT], "the code of the command, for that link");
        assert_eq!(home_books.codes, [&b"code"[..], b"code"], "its own at home, without a registration");
        assert!(!gateway_books.stored.is_empty(), "it reported there");
        told(&log, &home.address, &gateway.address);
    }
}

/// What the log says of one terminal that went and came back.
fn told(log: &Path, home: &str, gateway: &str) {
    let lines = LogLine::read_all(log).unwrap();
    assert!(lines.iter().all(|line| line.sim == "13800000001"));
    for (link, address) in [(1, home), (2, gateway), (3, home)] {
        let entries: Vec<&LogEntry> =
            lines.iter().filter(|line| line.link == link).map(|line| &line.entry).collect();
        assert_eq!(entries[0], &LogEntry::Dialled { address: address.into() });
        assert!(matches!(entries[1], LogEntry::Connected { to, .. } if to == address));
        assert!(entries.contains(&&LogEntry::Authenticated), "{entries:?}");
        assert!(matches!(entries.last(), Some(LogEntry::Ended { .. })), "{entries:?}");
    }
    // The command, and its answer, which names its serial number.
    let on = |link: u32| lines.iter().filter(move |line| line.link == link).map(|line| &line.entry);
    let received: Vec<_> =
        on(1).filter(|e| matches!(e, LogEntry::Received { id, .. } if id == "0x8105")).collect();
    assert_eq!(received.len(), 1);
    assert!(on(1).any(|e| matches!(e, LogEntry::Sent { id, .. } if id == "0x0001")));
    assert!(on(1).any(|e| matches!(e, LogEntry::Sent { id, .. } if id == "0x0100")));
    assert!(on(2).all(|e| !matches!(e, LogEntry::Sent { id, .. } if id == "0x0100" || id == "0x0200")));
}

#[tokio::test]
async fn a_terminal_that_is_where_it_is_sent_stays_on_its_link() {
    let (mut home, mut gateway) = (Platform::start(None).await, Platform::start(None).await);
    let fleet = Fleet::start(settings(&home, 2013)).unwrap();
    let (first, again, for_good) =
        (to(&gateway, "lent", 60_000), to(&gateway, "lent", 60_000), to(&gateway, "", 0));
    assert_eq!(home.order(first).await, Answer::General(0));
    assert_eq!(gateway.order(again).await, Answer::General(0));
    assert_eq!(gateway.order(for_good).await, Answer::General(0));
    gateway.cut();
    gateway.until(|books| books.log_ins == 2).await;
    // Called back, by control 1.
    assert_eq!(gateway.order(control(b"1")).await, Answer::General(0));
    home.until(|books| books.log_ins == 2).await;
    let ledger = fleet.stop().await.unwrap();
    assert_eq!(redirects(&ledger), Redirects { obeyed: 1, renewed: 2, returned: 1, ..Redirects::default() });
    let books = gateway.books.lock().unwrap();
    assert_eq!(books.links, 2, "one before the cut, one after it: none for a command");
    assert_eq!(books.codes, [LENT, b"code"], "an empty code is its own");
}

#[tokio::test]
async fn it_keeps_trying_the_given_server_until_its_time_is_over() {
    let (mut home, gateway) = (Platform::start(None).await, Platform::start(None).await);
    let fleet = Fleet::start(settings(&home, 2019)).unwrap();
    assert_eq!(home.order(to(&gateway, "lent", 1)).await, Answer::General(0));
    gateway.until(|books| books.log_ins == 1).await;
    drop(gateway);
    home.until(|books| books.log_ins == 2).await;
    let ledger = fleet.stop().await.unwrap();
    assert_eq!(redirects(&ledger), Redirects { obeyed: 1, expired: 1, ..Redirects::default() });
}

#[tokio::test]
async fn some_refuse_and_some_ignore() {
    let (mut home, gateway) = (Platform::start(None).await, Platform::start(None).await);
    let refuses = Settings { redirect_refuse_permille: 1_000, ..settings(&home, 2013) };
    let fleet = Fleet::start(refuses).unwrap();
    assert_eq!(home.order(to(&gateway, "lent", 1)).await, Answer::General(3));
    let ledger = fleet.stop().await.unwrap();
    assert_eq!(redirects(&ledger), Redirects { refused: 1, ..Redirects::default() });

    let mut home = Platform::start(None).await;
    let ignores = Settings { redirect_ignore_permille: 1_000, ..settings(&home, 2013) };
    let fleet = Fleet::start(ignores).unwrap();
    home.commands.send(to(&gateway, "lent", 1)).unwrap();
    assert_eq!(home.order(text()).await, Answer::General(0), "the only answer that comes");
    let ledger = fleet.stop().await.unwrap();
    assert_eq!(redirects(&ledger), Redirects { ignored: 1, ..Redirects::default() });
    assert_eq!(home.books.lock().unwrap().links, 1);
    assert_eq!(gateway.books.lock().unwrap().links, 0);
}

#[tokio::test]
async fn one_that_does_not_keep_to_the_limit_stays_while_it_works() {
    let (mut home, mut gateway) = (Platform::start(None).await, Platform::start(None).await);
    let stays = Settings { redirect_limit_ignore_permille: 1_000, minute_ms: 1, ..settings(&home, 2013) };
    let fleet = Fleet::start(stays).unwrap();
    assert_eq!(home.order(to(&gateway, "lent", 1)).await, Answer::General(0));
    // Its time is long over when it comes back to the same server after a cut, and again.
    for log_ins in 2..4 {
        gateway.until(|books| books.log_ins == log_ins - 1).await;
        gateway.cut();
        gateway.until(|books| books.log_ins == log_ins).await;
    }
    let again = to(&gateway, "lent", 1);
    assert_eq!(gateway.order(again).await, Answer::General(0));
    drop(gateway);
    home.until(|books| books.log_ins == 2).await;
    let ledger = fleet.stop().await.unwrap();
    assert_eq!(redirects(&ledger), Redirects { obeyed: 1, renewed: 1, given_up: 1, ..Redirects::default() });
}

#[tokio::test]
async fn what_names_no_server_is_answered_as_wrong() {
    let mut home = Platform::start(None).await;
    let fleet = Fleet::start(settings(&home, 2013)).unwrap();
    for parameters in [&b"0;;;;;;6608;0;1"[..], b"0;;;;;127.0.0.1;0;0;1", b"2;;;;;127.0.0.1;1;0;1", b""] {
        assert_eq!(home.order(control(parameters)).await, Answer::General(2));
    }
    let other = Downlink { id: 0x8105, body: (&[3][..]).into() };
    assert_eq!(home.order(other).await, Answer::General(3), "it does not power off");
    let ledger = fleet.stop().await.unwrap();
    assert_eq!(redirects(&ledger), Redirects::default());
}

#[tokio::test]
async fn the_backup_server_is_dialled_when_the_main_one_is_gone() {
    let (mut backup, third) = (Platform::start(None).await, Platform::start(None).await);
    let settings = Settings {
        // nobody listens there
        gateway: "127.0.0.1:1".into(),
        backups: vec![backup.address.clone(), third.address.clone()],
        ..settings(&backup, 2013)
    };
    let fleet = Fleet::start(settings).unwrap();
    assert_eq!(backup.order(text()).await, Answer::General(0));
    backup.cut();
    backup.until(|books| books.log_ins == 2).await;
    assert_eq!(backup.order(text()).await, Answer::General(0), "it stays with the one that works");
    assert_eq!(backup.books.lock().unwrap().links, 2);
    drop(backup);
    third.until(|books| books.log_ins == 1).await;
    fleet.stop().await.unwrap();
}
