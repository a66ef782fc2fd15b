//! The spool on a disk that is full, damaged, or fails.

use std::path::PathBuf;

use chrono::DateTime;
use model::TerminalId;

use super::*;
use crate::disk::LocalDisk;
use crate::disk::faulty::FaultyDisk;

fn record(number: i64) -> Record {
    Record {
        terminal: TerminalId(number),
        received_at: DateTime::from_timestamp_micros(1_700_000_000_000_000 + number).expect("a time"),
        body: vec![number as u8; 40].into(),
    }
}

fn open(dir: &Path, bytes_max: u64) -> Spool {
    Spool::open(dir, bytes_max, Arc::new(LocalDisk)).expect("opens")
}

/// Takes everything out, in order.
async fn drain(spool: &Spool) -> Vec<i64> {
    let mut numbers = Vec::new();
    while let Some(chunk) = spool.oldest(3).await.expect("reads") {
        numbers.extend(chunk.records.iter().map(|record| record.terminal.0));
        spool.stored(&chunk).await;
    }
    numbers
}

/// The files of the spool with this ending.
fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        std::fs::read_dir(dir).expect("lists").map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == ending));
    paths.sort();
    paths
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    files(dir, "spool")
}

#[tokio::test]
async fn what_was_appended_is_there_after_a_restart_until_it_is_stored() {
    let dir = tempfile::tempdir().expect("a folder");
    let spool = open(dir.path(), 1 << 20);
    spool.append(&[record(1), record(2), record(3), record(4)]).await.expect("appended");
    let chunk = spool.oldest(2).await.expect("reads").expect("not empty");
    assert_eq!(chunk.records, [record(1), record(2)]);
    drop(spool);
    let spool = open(dir.path(), 1 << 20);
    spool.append(&[record(5)]).await.expect("appended");
    assert_eq!(drain(&spool).await, [1, 2, 3, 4, 5]);
    assert_eq!(spool.bytes(), 0);
    assert!(segments(dir.path()).is_empty(), "drained segments are removed");
    spool.append(&[record(6)]).await.expect("appended after it was empty");
    assert_eq!(drain(&spool).await, [6]);
}

#[tokio::test]
async fn a_torn_tail_is_passed_over_wherever_it_was_torn() {
    let dir = tempfile::tempdir().expect("a folder");
    let spool = open(dir.path(), 1 << 20);
    spool.append(&[record(1), record(2)]).await.expect("appended");
    drop(spool);
    let path = segments(dir.path()).remove(0);
    let whole = std::fs::read(&path).expect("reads");
    let one = whole.len() / 2;
    for length in one..whole.len() {
        std::fs::write(&path, &whole[..length]).expect("torn");
        let spool = open(dir.path(), 1 << 20);
        assert_eq!(spool.cut_bytes(), (length - one) as u64);
        let chunk = spool.oldest(9).await.expect("reads").expect("not empty");
        assert_eq!(chunk.records, [record(1)], "torn at {length}");
    }
    let spool = open(dir.path(), 1 << 20);
    spool.append(&[record(3)]).await.expect("appended");
    assert_eq!(drain(&spool).await, [1, 3]);
    assert!(segments(dir.path()).is_empty());
    let kept = files(dir.path(), "damaged");
    assert_eq!(std::fs::read(&kept[0]).expect("kept for people"), whole[..whole.len() - 1]);
}

#[tokio::test]
async fn damage_costs_the_records_that_it_hits_and_no_other() {
    let records: Vec<Record> = (1..=6).map(record).collect();
    let length = records[0].bytes();
    for hit in (0..6 * length).step_by(3) {
        let dir = tempfile::tempdir().expect("a folder");
        let spool = open(dir.path(), 1 << 20);
        spool.append(&records).await.expect("appended");
        drop(spool);
        let path = segments(dir.path()).remove(0);
        let mut bytes = std::fs::read(&path).expect("reads");
        assert_eq!(bytes.len(), 6 * length);
        bytes[hit] ^= 0x40;
        std::fs::write(&path, &bytes).expect("damaged");
        let spool = open(dir.path(), 1 << 20);
        assert_eq!(spool.cut_bytes(), length as u64, "byte {hit}");
        let lost = (hit / length) as i64 + 1;
        let left: Vec<i64> = (1..=6).filter(|number| *number != lost).collect();
        assert_eq!(drain(&spool).await, left, "byte {hit}");
        assert_eq!(spool.bytes(), 0);
        assert_eq!(spool.cut_bytes(), length as u64, "counted once");
        let kept = files(dir.path(), "damaged");
        assert_eq!(std::fs::read(&kept[0]).expect("kept for people"), bytes);
    }
}

#[tokio::test]
async fn damage_that_comes_while_the_spool_is_open_is_passed_over_too() {
    let dir = tempfile::tempdir().expect("a folder");
    let spool = open(dir.path(), 1 << 20);
    spool.append(&[record(1), record(2), record(3)]).await.expect("appended");
    let path = segments(dir.path()).remove(0);
    let mut bytes = std::fs::read(&path).expect("reads");
    let length = bytes.len() / 3;
    bytes[length..2 * length].fill(0);
    std::fs::write(&path, &bytes).expect("damaged");
    assert_eq!(drain(&spool).await, [1, 3]);
    spool.append(&[record(4)]).await.expect("appended");
    std::fs::write(&segments(dir.path())[0], vec![0; length]).expect("nothing of it is left");
    assert_eq!(drain(&spool).await, Vec::<i64>::new());
    assert_eq!(spool.cut_bytes(), 2 * length as u64);
    assert_eq!(spool.bytes(), 0, "and the drain does not stand still before it");
}

/// EIO.
const MEDIUM: i32 = 5;
/// EMFILE.
const FILES: i32 = 24;
/// EACCES.
const CLOSED: i32 = 13;

/// A spool on a faulty disk with two segments of a former life: 1 and 2, then 3.
async fn two_segments(dir: &Path, disk: &Arc<FaultyDisk>) {
    for records in [&[record(1), record(2)][..], &[record(3)]] {
        let spool = Spool::open(dir, 1 << 20, Arc::clone(disk) as _).expect("opens");
        spool.append(records).await.expect("appended");
    }
}

#[tokio::test]
async fn a_segment_that_the_disk_does_not_give_back_holds_up_no_other() {
    let length = record(1).bytes() as u64;
    for at_start in [true, false] {
        let dir = tempfile::tempdir().expect("a folder");
        let disk = Arc::new(FaultyDisk::default());
        two_segments(dir.path(), &disk).await;
        let lost = std::fs::read(&segments(dir.path())[0]).expect("reads");
        if at_start {
            disk.fail_reads(2, MEDIUM);
        }
        let spool = Spool::open(dir.path(), 1 << 20, Arc::clone(&disk) as _).expect("opens all the same");
        if !at_start {
            disk.fail_reads(2, MEDIUM);
        }
        spool.append(&[record(4)]).await.expect("appended");
        assert_eq!(drain(&spool).await, [3, 4], "at the start: {at_start}");
        assert_eq!((spool.bytes(), spool.cut_bytes()), (0, 2 * length));
        assert!(segments(dir.path()).is_empty());
        let kept = files(dir.path(), "unread");
        assert_eq!(std::fs::read(&kept[0]).expect("kept for people"), lost);
        drop(spool);
        std::fs::rename(&kept[0], kept[0].with_extension("spool")).expect("rescued");
        assert_eq!(drain(&open(dir.path(), 1 << 20)).await, [1, 2]);
    }
}

#[tokio::test]
async fn the_segment_that_is_written_to_is_left_for_another_when_it_is_not_given_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = Arc::new(FaultyDisk::default());
    let spool = Spool::open(dir.path(), 1 << 20, Arc::clone(&disk) as _).expect("opens");
    spool.append(&[record(1)]).await.expect("appended");
    disk.fail_reads(2, MEDIUM);
    assert_eq!(drain(&spool).await, Vec::<i64>::new());
    spool.append(&[record(2)]).await.expect("appended");
    assert_eq!(drain(&spool).await, [2]);
    assert_eq!(files(dir.path(), "unread").len(), 1);
}

#[tokio::test]
async fn nothing_is_put_aside_for_a_fault_that_passes() {
    for code in [FILES, CLOSED] {
        let dir = tempfile::tempdir().expect("a folder");
        let disk = Arc::new(FaultyDisk::default());
        two_segments(dir.path(), &disk).await;
        disk.fail_reads(2, code);
        assert!(Spool::open(dir.path(), 1 << 20, Arc::clone(&disk) as _).is_err());
        disk.fail_reads(1, MEDIUM);
        let spool = Spool::open(dir.path(), 1 << 20, Arc::clone(&disk) as _).expect("opens");
        disk.fail_reads(2, code);
        assert!(spool.oldest(3).await.is_err());
        disk.fail_reads(1, MEDIUM);
        assert_eq!(drain(&spool).await, [1, 2, 3]);
        assert!(files(dir.path(), "unread").is_empty());
    }
}

#[tokio::test]
async fn what_was_not_given_back_takes_room_and_stays() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = Arc::new(FaultyDisk::default());
    let length = record(1).bytes() as u64;
    for _ in 0..3 {
        let spool = Spool::open(dir.path(), 3 * length, Arc::clone(&disk) as _).expect("opens");
        spool.append(&[record(1)]).await.expect("appended");
        disk.fail_reads(2, MEDIUM);
        assert_eq!(drain(&spool).await, Vec::<i64>::new());
    }
    let spool = open(dir.path(), 3 * length);
    assert_eq!(spool.append(&[record(1)]).await, Err(AppendError::Full));
    assert_eq!(files(dir.path(), "unread").len(), 3);
}

#[tokio::test]
async fn a_file_that_is_no_segment_stays_where_it_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let strange = ["0000000000000001.spool", "1-2.spool", "x.spool"];
    for name in strange {
        std::fs::write(dir.path().join(name), b"of another program").expect("written");
    }
    let spool = open(dir.path(), 1 << 20);
    spool.append(&[record(1)]).await.expect("appended");
    assert_eq!(drain(&spool).await, [1]);
    assert_eq!(segments(dir.path()), strange.map(|name| dir.path().join(name)));
}

#[tokio::test]
async fn the_number_of_a_segment_put_aside_is_not_given_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let aside = dir.path().join(format!("{:016}-{:016x}.damaged", 41, 7));
    std::fs::write(&aside, b"damaged").expect("written");
    let spool = open(dir.path(), 1 << 20);
    spool.append(&[record(1)]).await.expect("appended");
    let name = segments(dir.path())[0].file_name().map(|name| name.to_string_lossy().into_owned());
    assert!(name.is_some_and(|name| name.starts_with("0000000000000042-")));
}

#[tokio::test]
async fn what_is_kept_for_people_is_bounded() {
    let dir = tempfile::tempdir().expect("a folder");
    for number in 1..=40 {
        std::fs::write(dir.path().join(format!("{number:016}-{number:016x}.spool")), [7; 100])
            .expect("written");
    }
    let spool = open(dir.path(), 1 << 20);
    assert_eq!(drain(&spool).await, Vec::<i64>::new());
    let kept = files(dir.path(), "damaged");
    assert_eq!(kept.len(), store::DAMAGED_MAX);
    assert!(kept[0].to_string_lossy().contains("0000000000000025-"), "the latest: {kept:?}");
}

#[tokio::test]
async fn two_gateways_do_not_share_a_spool() {
    let dir = tempfile::tempdir().expect("a folder");
    let spool = open(dir.path(), 1 << 20);
    let refused = Spool::open(dir.path(), 1 << 20, Arc::new(LocalDisk));
    assert!(refused.is_err_and(|error| error.kind() == io::ErrorKind::ResourceBusy));
    drop(spool);
    open(dir.path(), 1 << 20).append(&[record(1)]).await.expect("free again");
}

#[tokio::test]
async fn a_full_spool_takes_nothing_until_it_was_drained() {
    let dir = tempfile::tempdir().expect("a folder");
    let spool = open(dir.path(), 230);
    spool.append(&[record(1), record(2), record(3)]).await.expect("appended");
    assert!(!spool.is_full());
    assert_eq!(spool.append(&[record(4)]).await, Err(AppendError::Full));
    assert!(spool.is_full());
    assert_eq!(drain(&spool).await, [1, 2, 3]);
    assert!(!spool.is_full());
    spool.append(&[record(4)]).await.expect("appended");
}

#[tokio::test]
async fn a_disk_that_fills_half_way_leaves_whole_records() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = Arc::new(FaultyDisk::default());
    let spool = Spool::open(dir.path(), 1 << 20, Arc::clone(&disk) as _).expect("opens");
    spool.append(&[record(1)]).await.expect("appended");
    disk.full_after(70);
    assert_eq!(spool.append(&[record(2), record(3)]).await, Err(AppendError::Full));
    disk.heal();
    spool.append(&[record(4)]).await.expect("appended");
    assert_eq!(drain(&spool).await, [1, 4]);
}

#[tokio::test]
async fn a_full_disk_is_not_filled_with_empty_segments() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = Arc::new(FaultyDisk::default());
    let spool = Spool::open(dir.path(), 1 << 20, Arc::clone(&disk) as _).expect("opens");
    disk.full_after(10);
    for _ in 0..20 {
        assert_eq!(spool.append(&[record(1)]).await, Err(AppendError::Full));
    }
    assert!(segments(dir.path()).len() <= 1, "{:?}", segments(dir.path()));
    assert!(spool.is_full());
    disk.heal();
    spool.append(&[record(2)]).await.expect("appended");
    assert!(!spool.is_full());
    drop(spool);
    assert_eq!(drain(&open(dir.path(), 1 << 20)).await, [2]);
    assert!(segments(dir.path()).is_empty());
}

#[tokio::test]
async fn a_failed_fsync_ends_acknowledging_for_good() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = Arc::new(FaultyDisk::default());
    let spool = Spool::open(dir.path(), 1 << 20, Arc::clone(&disk) as _).expect("opens");
    spool.append(&[record(1)]).await.expect("appended");
    disk.fail_sync();
    assert_eq!(spool.append(&[record(2)]).await, Err(AppendError::Failed));
    disk.heal();
    assert_eq!(spool.append(&[record(3)]).await, Err(AppendError::Failed), "a later success says nothing");
    assert!(spool.failed());
    assert_eq!(drain(&spool).await, [1], "what was acknowledged is still drained");
    drop(spool);
    open(dir.path(), 1 << 20).append(&[record(4)]).await.expect("a new start begins anew");
}

/// The records behind `place`, and the place behind them.
async fn after(spool: &Spool, place: Place) -> (Vec<i64>, Place) {
    let (mut numbers, mut place) = (Vec::new(), place);
    while let Some(chunk) = spool.after(place, 1).await.expect("reads") {
        assert!(chunk.end() > place);
        place = chunk.end();
        numbers.extend(chunk.records.iter().map(|record| record.terminal.0));
    }
    (numbers, place)
}

#[tokio::test]
async fn what_lies_behind_a_place_is_read_over_segments_but_for_what_is_stored() {
    let dir = tempfile::tempdir().expect("a folder");
    for number in [1, 3] {
        let spool = open(dir.path(), 1 << 20);
        spool.append(&[record(number), record(number + 1)]).await.expect("appended");
    }
    let spool = open(dir.path(), 1 << 20);
    let (numbers, end) = after(&spool, Place::default()).await;
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert_eq!(spool.found(), end, "all of it is of former lives");
    let behind = spool.append(&[record(5)]).await.expect("appended");
    assert_eq!(after(&spool, end).await, (vec![5], behind));
    assert_eq!(after(&spool, behind).await, (vec![], behind));
    assert_eq!(after(&spool, Place::default()).await.0, [1, 2, 3, 4, 5]);

    let chunk = spool.oldest(3).await.expect("reads").expect("not empty");
    spool.stored(&chunk).await;
    assert_eq!(*spool.drained().borrow(), chunk.end());
    assert_eq!(after(&spool, Place::default()).await.0, [3, 4, 5]);
    assert!(*spool.drained().borrow() < spool.found());
    assert_eq!(drain(&spool).await, [3, 4, 5]);
    assert_eq!(*spool.drained().borrow(), behind);
    assert_eq!(after(&spool, Place::default()).await.0, Vec::<i64>::new());
    assert!(!spool.is_doubtful());
}

#[tokio::test]
async fn what_is_written_is_shown_while_the_disk_is_still_busy_with_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = Arc::new(FaultyDisk::default());
    let spool = Spool::open(dir.path(), 1 << 20, Arc::clone(&disk) as _).expect("opens");
    let mut written = spool.written();
    let end = spool.append(&[record(1)]).await.expect("appended");
    let shown = written.borrow_and_update().clone().expect("shown");
    assert_eq!((shown.begin, &shown.records[..]), (Place { offset: 0, ..end }, &[record(1)][..]));
    disk.fail_sync();
    assert_eq!(spool.append(&[record(2)]).await, Err(AppendError::Failed));
    let shown = written.borrow_and_update().clone().expect("shown");
    assert_eq!((shown.begin, &shown.records[..]), (end, &[record(2)][..]), "its fsync was not waited for");
    disk.heal();
    assert_eq!(after(&spool, Place::default()).await.0, [1]);
}

#[tokio::test]
async fn a_spool_of_which_something_was_not_given_back_is_doubtful_in_later_lives_too() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = Arc::new(FaultyDisk::default());
    two_segments(dir.path(), &disk).await;
    let spool = Spool::open(dir.path(), 1 << 20, Arc::clone(&disk) as _).expect("opens");
    assert!(!spool.is_doubtful());
    disk.fail_reads(2, MEDIUM);
    assert_eq!(drain(&spool).await, [3]);
    assert!(spool.is_doubtful());
    drop(spool);
    assert!(open(dir.path(), 1 << 20).is_doubtful());
}
