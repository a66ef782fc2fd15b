//! The spool: a bounded append-only store on disk for reports that arrive while the database is away.
//!
//! A thread of its own writes, so that a slow disk never holds up the runtime. An append is answered only
//! after fsync, many appends sharing one. After a failed fsync nothing is known of what the disk holds, so
//! nothing more is accepted until the process starts again. This file is the way to that thread; what lies on
//! disk is the store's. Knows bytes, not positions.

mod record;
mod store;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc as thread_mpsc;

use tokio::sync::oneshot;

pub(crate) use record::Record;
use store::Store;

use crate::disk::Disk;

/// Appends that wait for the thread. Writers wait for their answer, so there is about one a writer.
const REQUESTS_MAX: usize = 64;
/// Most bytes that share one fsync.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// Why records were not taken. Their reports stay unanswered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AppendError {
    /// The bound on bytes, or the disk itself.
    #[error("the spool is full")]
    Full,
    /// An earlier fsync failed, or this one did.
    #[error("the spool's disk failed; nothing is acknowledged from it until the next start")]
    Failed,
}

/// Records that lie oldest in the spool.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) records: Vec<Record>,
    segment: u64,
    end: u64,
}

enum Request {
    Append(Vec<Record>, oneshot::Sender<Result<(), AppendError>>),
    Oldest { records_max: usize, answer: oneshot::Sender<io::Result<Option<Chunk>>> },
    Stored { segment: u64, end: u64, answer: oneshot::Sender<()> },
}

/// A handle to the spool's thread. The thread ends with the last handle.
#[derive(Clone, Debug)]
pub(crate) struct Spool {
    requests: thread_mpsc::SyncSender<Request>,
    shared: Arc<Shared>,
}

/// What others may read without asking the thread.
#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicU64,
    failed: AtomicBool,
    cut_bytes: AtomicU64,
}

impl Spool {
    /// Opens the spool in `dir`, passing over what is damaged, and starts its thread.
    ///
    /// # Errors
    /// A folder that cannot be used, or that another process uses.
    pub(crate) fn open(dir: &Path, bytes_max: u64, disk: Arc<dyn Disk>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut store = Store::open(dir, bytes_max, disk, Arc::clone(&shared))?;
        let (requests, inbox) = thread_mpsc::sync_channel(REQUESTS_MAX);
        std::thread::Builder::new().name("spool".to_owned()).spawn(move || work(&mut store, &inbox))?;
        Ok(Self { requests, shared })
    }

    /// Keeps `records` for good: when this returns Ok they are on disk.
    pub(crate) async fn append(&self, records: &[Record]) -> Result<(), AppendError> {
        if self.failed() {
            return Err(AppendError::Failed);
        }
        self.ask(|answer| Request::Append(records.to_vec(), answer)).await.unwrap_or(Err(AppendError::Failed))
    }

    /// The oldest records, at most `records_max`; None when the spool is empty.
    pub(crate) async fn oldest(&self, records_max: usize) -> io::Result<Option<Chunk>> {
        self.ask(|answer| Request::Oldest { records_max, answer })
            .await
            .unwrap_or_else(|| Err(io::Error::other("the spool's thread is gone")))
    }

    /// Forgets a chunk whose records are committed.
    pub(crate) async fn stored(&self, chunk: &Chunk) {
        let (segment, end) = (chunk.segment, chunk.end);
        self.ask(|answer| Request::Stored { segment, end, answer }).await;
    }

    /// Bytes on disk that are not known to be stored.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Whether an fsync failed since the start.
    pub(crate) fn failed(&self) -> bool {
        self.shared.failed.load(Ordering::Acquire)
    }

    /// Bytes of torn or damaged records that were passed over.
    pub(crate) fn cut_bytes(&self) -> u64 {
        self.shared.cut_bytes.load(Ordering::Relaxed)
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let mut request = request(answer);
        // The thread may be busy with a slow disk; a blocking send would hold up the runtime.
        loop {
            match self.requests.try_send(request) {
                Ok(()) => break,
                Err(thread_mpsc::TrySendError::Full(back)) => {
                    request = back;
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
                Err(thread_mpsc::TrySendError::Disconnected(_)) => return None,
            }
        }
        answered.await.ok()
    }
}

/// The thread: does what is asked until nobody can ask any more.
fn work(store: &mut Store, inbox: &thread_mpsc::Receiver<Request>) {
    let mut next = None;
    while let Some(request) = next.take().or_else(|| inbox.recv().ok()) {
        match request {
            Request::Append(mut records, answer) => {
                let mut waiting = vec![answer];
                // Whoever asks while the disk is busy shares the next fsync.
                while records.iter().map(Record::bytes).sum::<usize>() < GROUP_BYTES_MAX {
                    match inbox.try_recv() {
                        Ok(Request::Append(more, answer)) => {
                            records.extend(more);
                            waiting.push(answer);
                        }
                        Ok(other) => {
                            next = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                let result = store.append(&records);
                for answer in waiting {
                    let _ = answer.send(result);
                }
            }
            Request::Oldest { records_max, answer } => {
                let _ = answer.send(store.oldest(records_max));
            }
            Request::Stored { segment, end, answer } => {
                store.stored(segment, end);
                let _ = answer.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(spool.append(&[record(4)]).await, Err(AppendError::Full));
        assert_eq!(drain(&spool).await, [1, 2, 3]);
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
        disk.heal();
        spool.append(&[record(2)]).await.expect("appended");
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
        assert_eq!(
            spool.append(&[record(3)]).await,
            Err(AppendError::Failed),
            "a later success says nothing"
        );
        assert!(spool.failed());
        assert_eq!(drain(&spool).await, [1], "what was acknowledged is still drained");
        drop(spool);
        open(dir.path(), 1 << 20).append(&[record(4)]).await.expect("a new start begins anew");
    }
}
