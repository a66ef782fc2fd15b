//! Copies on a disk: kept whole or not at all, found again, bounded, forgotten only when they may be.

use chrono::DateTime;
use model::TerminalId;

use super::*;
use crate::disk::LocalDisk;
use crate::disk::faulty::FaultyDisk;

fn record(number: i64) -> Record {
    let received_at = DateTime::from_timestamp_micros(1_700_000_000_000_000 + number).expect("a time");
    Record { terminal: TerminalId(number), received_at, body: vec![number as u8; 40].into() }
}

fn of(origin: &str, life: u64) -> CopyOf {
    CopyOf { origin: origin.parse().expect("a name"), incarnation: Incarnation(life) }
}

/// A batch of one record, which has the batch's number.
fn batch(of: &CopyOf, number: u64, follows: Option<u64>) -> Batch {
    let CopyOf { origin, incarnation } = of.clone();
    Batch { origin, incarnation, number, follows, records: Record::batch(&[record(number.cast_signed())]) }
}

fn open_on(disk: Arc<dyn Disk>, dir: &Path, bytes_max: u64) -> Shelf {
    Shelf::open(dir, bytes_max, disk, Arc::default()).expect("opens")
}

fn open(dir: &Path) -> Shelf {
    open_on(Arc::new(LocalDisk), dir, 1 << 20)
}

/// Adopts and takes everything out.
fn adopt(shelf: &mut Shelf, origin: &str) -> Vec<i64> {
    let origin: NodeId = origin.parse().expect("a name");
    let mut numbers = Vec::new();
    while shelf.adopt(origin.clone()) > 0 {
        let Some((of, chunk)) = shelf.oldest(2).expect("reads") else { break };
        assert_eq!(of.origin, origin);
        let reports = chunk.records.iter().filter(|record| record.marked().is_none());
        numbers.extend(reports.map(|record| record.terminal.0));
        let end = chunk.end();
        shelf.copies.get_mut(&of).expect("there").store.stored(end.segment, end.offset);
        shelf.close_if_empty(&of);
    }
    assert!(shelf.oldest(2).expect("reads").is_none());
    numbers
}

fn segments(dir: &Path, of: &CopyOf) -> Vec<PathBuf> {
    let folder = dir.join(of.origin.as_str()).join(of.incarnation.to_string());
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("lists").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

#[test]
fn what_is_kept_outlasts_a_restart_and_goes_when_it_is_stored() {
    let dir = tempfile::tempdir().expect("a folder");
    let (a, b) = (of("gw-a", 1), of("gw-b", 1));
    for start in 0..4 {
        let mut shelf = open(dir.path());
        let follows = (start > 0).then_some(start);
        shelf.keep(batch(&a, start + 1, follows)).expect("follows what a former life kept");
        shelf.keep(batch(&b, start + 1, follows)).expect("kept");
    }
    let mut shelf = open(dir.path());
    assert_eq!(segments(dir.path(), &a).len(), 4, "a segment of each life");
    shelf.stored(&a, 2).expect("forgotten");
    assert_eq!(segments(dir.path(), &a).len(), 2);
    shelf.stored(&a, 2).expect("told again");
    assert_eq!(adopt(&mut shelf, "gw-a"), [3, 4]);
    shelf.stored(&b, u64::MAX).expect("forgotten");
    shelf.stored(&b, u64::MAX).expect("of what is not there");
    assert!(shelf.copies.is_empty());
    assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0, "no empty folders are left");
}

#[test]
fn a_batch_is_kept_once_and_one_that_follows_nothing_here_is_a_gap() {
    let dir = tempfile::tempdir().expect("a folder");
    let a = of("gw-a", 1);
    let mut shelf = open(dir.path());
    assert_eq!(shelf.keep(batch(&a, 6, Some(5))), Err(CopyError::Gap { last: 0 }));
    assert_eq!(shelf.keep(batch(&a, 6, None)), Ok(()));
    assert_eq!(shelf.keep(batch(&a, 8, Some(7))), Err(CopyError::Gap { last: 6 }));
    assert_eq!(shelf.keep(batch(&a, 9, Some(6))), Ok(()), "numbers that went elsewhere are no gap");
    assert_eq!(shelf.keep(batch(&a, 9, Some(6))), Ok(()), "it comes again");
    assert_eq!(shelf.keep(batch(&a, 7, Some(6))), Ok(()), "late, and given up long ago");
    drop(shelf);
    let mut shelf = open(dir.path());
    assert_eq!(shelf.keep(batch(&a, 12, Some(10))), Err(CopyError::Gap { last: 9 }));
    assert_eq!(shelf.keep(batch(&a, 12, None)), Ok(()), "a new copy, beside what is here");
    assert_eq!(shelf.keep(batch(&of("gw-a", 2), 1, None)), Ok(()), "another life counts anew");
    let mut all = adopt(&mut shelf, "gw-a");
    all.sort_unstable();
    assert_eq!(all, [1, 6, 9, 12]);
}

#[test]
fn a_new_copy_stands_beside_the_old_one_until_that_may_go() {
    let dir = tempfile::tempdir().expect("a folder");
    let a = of("gw-a", 1);
    let mut shelf = open(dir.path());
    shelf.keep(batch(&a, 1, None)).expect("kept");
    shelf.keep(batch(&a, 2, Some(1))).expect("kept");
    drop(shelf);
    let mut shelf = open(dir.path());
    shelf.keep(batch(&a, 5, None)).expect("kept");
    shelf.keep(batch(&a, 6, Some(5))).expect("kept");
    shelf.stored(&a, 4).expect("forgotten");
    assert_eq!(adopt(&mut shelf, "gw-a"), [5, 6]);
}

#[test]
fn wherever_a_batch_was_torn_it_was_not_kept_and_those_before_were() {
    let dir = tempfile::tempdir().expect("a folder");
    let a = of("gw-a", 1);
    let mut shelf = open(dir.path());
    shelf.keep(batch(&a, 1, None)).expect("kept");
    let path = segments(dir.path(), &a).remove(0);
    let one = std::fs::metadata(&path).expect("there").len() as usize;
    shelf.keep(batch(&a, 2, Some(1))).expect("kept");
    drop(shelf);
    let whole = std::fs::read(&path).expect("reads");
    for length in one..whole.len() {
        std::fs::write(&path, &whole[..length]).expect("torn");
        let mut shelf = open(dir.path());
        assert_eq!(shelf.keep(batch(&a, 3, Some(2))), Err(CopyError::Gap { last: 1 }), "torn at {length}");
    }
    let mut shelf = open(dir.path());
    shelf.keep(batch(&a, 3, Some(1))).expect("kept");
    let all = adopt(&mut shelf, "gw-a");
    assert_eq!((all.first(), all.last()), (Some(&1), Some(&3)));
}

#[test]
fn all_copies_share_one_bound() {
    let dir = tempfile::tempdir().expect("a folder");
    let (a, b) = (of("gw-a", 1), of("gw-b", 1));
    let one = record(1).bytes() + Record::mark(1).bytes();
    let mut shelf = open_on(Arc::new(LocalDisk), dir.path(), 3 * one as u64);
    shelf.keep(batch(&a, 1, None)).expect("kept");
    shelf.keep(batch(&b, 1, None)).expect("kept");
    shelf.keep(batch(&a, 2, Some(1))).expect("kept");
    assert_eq!(shelf.keep(batch(&b, 2, Some(1))), Err(CopyError::Full));
    assert_eq!(shelf.keep(batch(&of("gw-c", 1), 1, None)), Err(CopyError::Full));
    drop(shelf);
    let mut shelf = open_on(Arc::new(LocalDisk), dir.path(), 3 * one as u64);
    assert_eq!(shelf.keep(batch(&b, 2, Some(1))), Err(CopyError::Full), "after a restart too");
    shelf.stored(&a, 2).expect("forgotten");
    shelf.keep(batch(&b, 2, Some(1))).expect("there is room again");
    assert_eq!(adopt(&mut shelf, "gw-b"), [1, 2]);
}

#[test]
fn a_full_disk_keeps_nothing_of_a_batch_and_goes_on_when_it_has_room() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = Arc::new(FaultyDisk::default());
    let mut shelf = open_on(Arc::clone(&disk) as _, dir.path(), 1 << 20);
    let a = of("gw-a", 1);
    shelf.keep(batch(&a, 1, None)).expect("kept");
    disk.full_after(80);
    assert_eq!(shelf.keep(batch(&a, 2, Some(1))), Err(CopyError::Full));
    disk.heal();
    assert_eq!(shelf.keep(batch(&a, 3, Some(2))), Err(CopyError::Gap { last: 1 }));
    shelf.keep(batch(&a, 3, Some(1))).expect("kept");
    assert_eq!(adopt(&mut shelf, "gw-a"), [1, 3]);
}

#[test]
fn a_failed_fsync_ends_keeping_until_the_next_start() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = Arc::new(FaultyDisk::default());
    let mut shelf = open_on(Arc::clone(&disk) as _, dir.path(), 1 << 20);
    let (a, b) = (of("gw-a", 1), of("gw-b", 1));
    shelf.keep(batch(&a, 1, None)).expect("kept");
    disk.fail_sync();
    assert!(matches!(shelf.keep(batch(&a, 2, Some(1))), Err(CopyError::Disk(_))));
    disk.heal();
    assert!(matches!(shelf.keep(batch(&b, 1, None)), Err(CopyError::Disk(_))), "it is the same disk");
    shelf.stored(&of("gw-z", 1), 1).expect("forgetting goes on");
    assert_eq!(adopt(&mut shelf, "gw-a"), [1], "and so does adopting");
    drop(shelf);
    open(dir.path()).keep(batch(&b, 1, None)).expect("a new start begins anew");
}

#[test]
fn only_the_adopted_origin_is_given_out_and_of_it_every_life() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut shelf = open(dir.path());
    for (origin, life) in [("gw-a", 1), ("gw-a", 2), ("gw-b", 1)] {
        let of = of(origin, life);
        shelf.keep(batch(&of, 10 * life, None)).expect("kept");
        shelf.keep(batch(&of, 10 * life + 1, Some(10 * life))).expect("kept");
    }
    assert!(shelf.oldest(9).expect("reads").is_none(), "nobody was adopted");
    assert_eq!(adopt(&mut shelf, "gw-a"), [10, 11, 20, 21]);
    assert_eq!(shelf.copies.keys().collect::<Vec<_>>(), [&of("gw-b", 1)]);
    shelf.keep(batch(&of("gw-a", 3), 1, None)).expect("kept");
    assert!(shelf.oldest(9).expect("reads").is_none(), "an adoption ends when it is done");
}

#[test]
fn what_is_no_batch_is_refused_and_makes_no_folder() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut shelf = open(dir.path());
    let good = batch(&of("gw-a", 1), 1, None);
    let long = vec![record(1); BATCH_BYTES_MAX / record(1).bytes() + 1];
    let bad = [
        Batch { number: 0, ..good.clone() },
        Batch { records: good.records.slice(1..), ..good.clone() },
        Batch { records: bytes::Bytes::new(), ..good.clone() },
        Batch { records: Record::batch(&[Record::mark(9)]), ..good.clone() },
        Batch { records: Record::batch(&long), ..good },
    ];
    for batch in bad {
        assert_eq!(shelf.keep(batch), Err(CopyError::Invalid));
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0);
}

#[test]
fn a_folder_that_is_no_copy_stays_where_it_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let strange = ["Gw_A/0000000000000001", "gw-a/1", "gw-a/nonsense"];
    for name in strange {
        std::fs::create_dir_all(dir.path().join(name)).expect("made");
        std::fs::write(dir.path().join(name).join("file"), b"of another program").expect("written");
    }
    let mut shelf = open(dir.path());
    assert!(shelf.copies.is_empty());
    shelf.keep(batch(&of("gw-a", 1), 1, None)).expect("kept");
    shelf.stored(&of("gw-a", 1), 1).expect("forgotten");
    for name in strange {
        assert!(dir.path().join(name).join("file").exists(), "{name}");
    }
}
