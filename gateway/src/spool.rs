//! The spool: a bounded append-only store on disk for reports that arrive while the database is away.
//!
//! A thread of its own writes, so that a slow disk never holds up the runtime. An append is answered only
//! after fsync, many appends sharing one. After a failed fsync nothing is known of what the disk holds, so
//! nothing more is accepted until the process starts again. A segment goes only when everything in it was
//! stored; after a crash it is drained again from its start, which is harmless because storing is
//! idempotent. Knows bytes, not positions.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc as thread_mpsc;

use chrono::{DateTime, Utc};
use model::TerminalId;
use tokio::sync::oneshot;

use crate::disk::{Disk, DiskFile};
use crate::normalise::BODY_BYTES_MAX;

/// Where one segment ends and the next begins: what is freed at once, and read again at most after a crash.
const SEGMENT_BYTES_MAX: u64 = 8 << 20;
/// Appends that wait for the thread. Writers wait for their answer, so there is about one a writer.
const REQUESTS_MAX: usize = 64;
/// Most bytes that share one fsync.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// Before each record's content: its length and the CRC-32 of length and content.
const PREFIX_BYTES: usize = 8;
/// Terminal and arrival, before the body.
const FIXED_BYTES: usize = 16;

/// A report as it is kept: enough to normalise it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) terminal: TerminalId,
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) body: Arc<[u8]>,
}

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
    Append(Vec<u8>, oneshot::Sender<Result<(), AppendError>>),
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
    /// Opens the spool in `dir`, cutting a torn tail, and starts its thread.
    pub(crate) fn open(dir: &Path, bytes_max: u64, disk: Arc<dyn Disk>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut store = Store::open(dir, bytes_max, disk, Arc::clone(&shared))?;
        let (requests, inbox) = thread_mpsc::sync_channel(REQUESTS_MAX);
        std::thread::Builder::new().name("spool".to_owned()).spawn(move || store.run(&inbox))?;
        Ok(Self { requests, shared })
    }

    /// Keeps `records` for good: when this returns Ok they are on disk.
    pub(crate) async fn append(&self, records: &[Record]) -> Result<(), AppendError> {
        if self.failed() {
            return Err(AppendError::Failed);
        }
        let mut bytes = Vec::new();
        for record in records {
            encode(record, &mut bytes);
        }
        self.ask(|answer| Request::Append(bytes, answer)).await.unwrap_or(Err(AppendError::Failed))
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

    /// Bytes of torn or damaged records cut at open.
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

/// One file of the spool.
struct Segment {
    number: u64,
    bytes: u64,
    /// Everything before is stored.
    stored: u64,
}

/// The spool itself, on its thread.
struct Store {
    dir: PathBuf,
    bytes_max: u64,
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    /// Oldest first. The last one is written to while `open` holds its file.
    segments: VecDeque<Segment>,
    open: Option<Box<dyn DiskFile>>,
    next_number: u64,
}

impl Store {
    fn open(dir: &Path, bytes_max: u64, disk: Arc<dyn Disk>, shared: Arc<Shared>) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let mut numbers: Vec<u64> = std::fs::read_dir(dir)?
            .filter_map(|entry| segment_number(&entry.ok()?.file_name().into_string().ok()?))
            .collect();
        numbers.sort_unstable();
        let mut segments = VecDeque::new();
        for number in &numbers {
            let path = segment_path(dir, *number);
            let content = std::fs::read(&path)?;
            let good = whole_records(&content);
            if good < content.len() {
                let cut = content.len() - good;
                shared.cut_bytes.fetch_add(cut as u64, Ordering::Relaxed);
                if Some(number) == numbers.last() {
                    // The power went in mid-write; what was torn was never acknowledged.
                    tracing::warn!(segment = number, cut, "torn tail of the spool cut");
                } else {
                    let kept = path.with_extension("damaged");
                    std::fs::copy(&path, &kept)?;
                    tracing::error!(segment = number, cut, kept = %kept.display(), "damaged spool segment cut, a copy is kept");
                }
                disk.cut(&path, good as u64)?;
            }
            if good == 0 {
                std::fs::remove_file(&path)?;
            } else {
                segments.push_back(Segment { number: *number, bytes: good as u64, stored: 0 });
            }
        }
        let next_number = numbers.last().map_or(1, |last| last + 1);
        let store = Self { dir: dir.to_owned(), bytes_max, disk, shared, segments, open: None, next_number };
        store.publish_bytes();
        Ok(store)
    }

    fn run(&mut self, inbox: &thread_mpsc::Receiver<Request>) {
        let mut next = None;
        while let Some(request) = next.take().or_else(|| inbox.recv().ok()) {
            match request {
                Request::Append(mut bytes, answer) => {
                    let mut waiting = vec![answer];
                    // Whoever asks while the disk is busy shares the next fsync.
                    while bytes.len() < GROUP_BYTES_MAX {
                        match inbox.try_recv() {
                            Ok(Request::Append(more, answer)) => {
                                bytes.extend_from_slice(&more);
                                waiting.push(answer);
                            }
                            Ok(other) => {
                                next = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    let result = self.append(&bytes);
                    for answer in waiting {
                        let _ = answer.send(result);
                    }
                }
                Request::Oldest { records_max, answer } => {
                    let _ = answer.send(self.oldest(records_max));
                }
                Request::Stored { segment, end, answer } => {
                    self.stored(segment, end);
                    let _ = answer.send(());
                }
            }
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), AppendError> {
        if self.shared.failed.load(Ordering::Acquire) {
            return Err(AppendError::Failed);
        }
        let on_disk: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        if on_disk + bytes.len() as u64 > self.bytes_max {
            return Err(AppendError::Full);
        }
        if self.segments.back().is_some_and(|last| last.bytes >= SEGMENT_BYTES_MAX) {
            self.open = None;
        }
        if self.open.is_none() {
            self.start_segment().map_err(|error| {
                tracing::warn!(%error, "no further spool segment can be made");
                AppendError::Full
            })?;
        }
        let (Some(file), Some(segment)) = (self.open.as_mut(), self.segments.back_mut()) else {
            return Err(AppendError::Failed);
        };
        if let Err(error) = file.append(bytes) {
            // A full disk: cut what was half written, so that the next record begins where it must.
            tracing::warn!(%error, "the spool cannot be written");
            let path = segment_path(&self.dir, segment.number);
            if let Err(error) = self.disk.cut(&path, segment.bytes) {
                return Err(self.fail(&error));
            }
            self.open = None;
            return Err(AppendError::Full);
        }
        if let Err(error) = file.sync() {
            return Err(self.fail(&error));
        }
        segment.bytes += bytes.len() as u64;
        self.publish_bytes();
        Ok(())
    }

    fn start_segment(&mut self) -> io::Result<()> {
        let number = self.next_number;
        self.next_number += 1;
        self.open = Some(self.disk.create(&segment_path(&self.dir, number))?);
        self.segments.push_back(Segment { number, bytes: 0, stored: 0 });
        Ok(())
    }

    /// Ends acknowledging for good: after a failed fsync the kernel may have dropped the pages, and a later
    /// fsync that succeeds would say nothing about them.
    fn fail(&mut self, error: &io::Error) -> AppendError {
        tracing::error!(%error, "the spool's disk failed: reports stay unanswered while the database is away");
        self.shared.failed.store(true, Ordering::Release);
        self.open = None;
        AppendError::Failed
    }

    fn oldest(&mut self, records_max: usize) -> io::Result<Option<Chunk>> {
        while let Some(first) = self.segments.front() {
            if first.stored < first.bytes {
                break;
            }
            if self.segments.len() == 1 && self.open.is_some() {
                self.open = None;
            }
            self.remove_first()?;
        }
        let Some(first) = self.segments.front() else {
            return Ok(None);
        };
        let path = segment_path(&self.dir, first.number);
        let wanted = first.bytes - first.stored;
        let content = self.disk.read(&path, first.stored, wanted.min(GROUP_BYTES_MAX as u64))?;
        let mut records = Vec::new();
        let mut read = 0;
        while records.len() < records_max {
            let Some((record, length)) = decode(content.get(read..).unwrap_or_default()) else {
                break;
            };
            records.push(record);
            read += length;
        }
        if records.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("spool segment {} cannot be read at {}", first.number, first.stored),
            ));
        }
        Ok(Some(Chunk { records, segment: first.number, end: first.stored + read as u64 }))
    }

    fn stored(&mut self, number: u64, end: u64) {
        if let Some(segment) = self.segments.iter_mut().find(|segment| segment.number == number) {
            segment.stored = segment.stored.max(end);
        }
        while self.segments.front().is_some_and(|first| first.stored >= first.bytes && first.bytes > 0) {
            if self.segments.len() == 1 {
                self.open = None;
            }
            if let Err(error) = self.remove_first() {
                tracing::warn!(%error, "a drained spool segment cannot be removed");
                break;
            }
        }
        self.publish_bytes();
    }

    fn remove_first(&mut self) -> io::Result<()> {
        if let Some(first) = self.segments.pop_front() {
            std::fs::remove_file(segment_path(&self.dir, first.number))?;
        }
        Ok(())
    }

    fn publish_bytes(&self) {
        let left = self.segments.iter().map(|segment| segment.bytes - segment.stored).sum();
        self.shared.bytes.store(left, Ordering::Relaxed);
    }
}

fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016}.spool"))
}

fn segment_number(name: &str) -> Option<u64> {
    name.strip_suffix(".spool")?.parse().ok()
}

fn encode(record: &Record, out: &mut Vec<u8>) {
    let length = u32::try_from(FIXED_BYTES + record.body.len()).unwrap_or(u32::MAX);
    let start = out.len();
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&record.terminal.0.to_le_bytes());
    out.extend_from_slice(&record.received_at.timestamp_micros().to_le_bytes());
    out.extend_from_slice(&record.body);
    let crc = checksum(&out[start..start + 4], &out[start + PREFIX_BYTES..]);
    out[start + 4..start + PREFIX_BYTES].copy_from_slice(&crc.to_le_bytes());
}

/// The record at the start of `bytes` and its length there; None where there is no whole and undamaged one.
fn decode(bytes: &[u8]) -> Option<(Record, usize)> {
    let (length_bytes, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length_bytes)).ok()?;
    if !(FIXED_BYTES..=FIXED_BYTES + BODY_BYTES_MAX).contains(&length) {
        return None;
    }
    let content = rest.get(..length)?;
    if checksum(length_bytes, content) != u32::from_le_bytes(*crc) {
        return None;
    }
    let (terminal, content) = content.split_first_chunk::<8>()?;
    let (received_at, body) = content.split_first_chunk::<8>()?;
    let record = Record {
        terminal: TerminalId(i64::from_le_bytes(*terminal)),
        received_at: DateTime::from_timestamp_micros(i64::from_le_bytes(*received_at))?,
        body: body.into(),
    };
    Some((record, PREFIX_BYTES + length))
}

fn checksum(length: &[u8], content: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(length);
    crc.update(content);
    crc.finalize()
}

/// How many bytes from the start are whole records.
fn whole_records(content: &[u8]) -> usize {
    let mut good = 0;
    while let Some((_, length)) = decode(content.get(good..).unwrap_or_default()) {
        good += length;
    }
    good
}

#[cfg(test)]
mod tests {
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

    fn segments(dir: &Path) -> Vec<PathBuf> {
        let mut paths: Vec<_> =
            std::fs::read_dir(dir).expect("lists").map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        paths
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
    async fn a_torn_tail_is_cut_wherever_it_was_torn() {
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
        let mut damaged = whole.clone();
        damaged[one + 20] ^= 1;
        std::fs::write(&path, &damaged).expect("damaged");
        let spool = open(dir.path(), 1 << 20);
        assert_eq!(spool.oldest(9).await.expect("reads").expect("not empty").records, [record(1)]);
        spool.append(&[record(3)]).await.expect("appended");
        assert_eq!(drain(&spool).await, [1, 3]);
    }

    #[tokio::test]
    async fn a_full_spool_takes_nothing_until_it_was_drained() {
        let dir = tempfile::tempdir().expect("a folder");
        let spool = open(dir.path(), 200);
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
