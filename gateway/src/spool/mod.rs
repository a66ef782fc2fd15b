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
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc as thread_mpsc;
use std::sync::{Arc, OnceLock};

use tokio::sync::{oneshot, watch};

pub(crate) use record::{RECORD_BYTES_MAX, Record};
pub(crate) use store::{Store, lock};

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

/// A place in the spool. What is written later lies behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The segment's number.
    pub(crate) segment: u64,
    /// Bytes from its beginning.
    pub(crate) offset: u64,
}

/// Records that lie one behind the other in the spool.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) records: Vec<Record>,
    segment: u64,
    end: u64,
}

impl Chunk {
    /// The place behind them.
    pub(crate) fn end(&self) -> Place {
        Place { segment: self.segment, offset: self.end }
    }
}

/// Records that were written last, and are perhaps not on the disk yet.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) begin: Place,
    pub(crate) records: Vec<Record>,
}

enum Request {
    Append(Vec<Record>, oneshot::Sender<Result<Place, AppendError>>),
    Oldest { records_max: usize, answer: oneshot::Sender<io::Result<Option<Chunk>>> },
    After { place: Place, bytes_max: u64, answer: oneshot::Sender<io::Result<Option<Chunk>>> },
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
pub(crate) struct Shared {
    bytes: AtomicU64,
    failed: AtomicBool,
    /// Whether the last append found no room, and nothing was stored since.
    full: AtomicBool,
    cut_bytes: AtomicU64,
    /// Whether damaged or unread segments were put aside, in this life or before.
    has_aside: AtomicBool,
    /// The end of what was found at the start.
    found: OnceLock<Place>,
    /// For whoever copies; shown before the fsync.
    written: watch::Sender<Option<Arc<Written>>>,
    /// Everything before is stored, or was put aside, which makes the spool doubtful first.
    drained: watch::Sender<Place>,
}

impl Shared {
    /// Whether an fsync failed since the start.
    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }
}

impl Spool {
    /// Opens the spool in `dir`, passing over what is damaged or cannot be read, and starts its thread.
    ///
    /// # Errors
    /// A folder that cannot be used, or that another process uses.
    pub(crate) fn open(dir: &Path, bytes_max: u64, disk: Arc<dyn Disk>) -> io::Result<Self> {
        let lock = lock(dir)?;
        let shared = Arc::new(Shared::default());
        let mut store = Store::open(dir, bytes_max, disk, Arc::clone(&shared))?;
        let (requests, inbox) = thread_mpsc::sync_channel(REQUESTS_MAX);
        std::thread::Builder::new().name("spool".to_owned()).spawn(move || {
            work(&mut store, &inbox);
            drop(lock);
        })?;
        Ok(Self { requests, shared })
    }

    /// Keeps `records` for good: when this returns Ok they are on disk, before the place that it gives.
    pub(crate) async fn append(&self, records: &[Record]) -> Result<Place, AppendError> {
        if self.failed() {
            return Err(AppendError::Failed);
        }
        self.ask(|answer| Request::Append(records.to_vec(), answer)).await.unwrap_or(Err(AppendError::Failed))
    }

    /// The oldest records, at most `records_max`; None when the spool is empty.
    ///
    /// # Errors
    /// A lack of open files or memory, a file or folder that is closed to us. Ask again: what a disk does not give
    /// back is put aside.
    pub(crate) async fn oldest(&self, records_max: usize) -> io::Result<Option<Chunk>> {
        self.ask(|answer| Request::Oldest { records_max, answer })
            .await
            .unwrap_or_else(|| Err(io::Error::other("the spool's thread is gone")))
    }

    /// The records behind `place` that are not stored, about `bytes_max` bytes of them at most; None when there are
    /// none.
    ///
    /// # Errors
    /// As [`oldest`](Self::oldest); what the disk does not give back is passed over.
    pub(crate) async fn after(&self, place: Place, bytes_max: u64) -> io::Result<Option<Chunk>> {
        self.ask(|answer| Request::After { place, bytes_max, answer })
            .await
            .unwrap_or_else(|| Err(io::Error::other("the spool's thread is gone")))
    }

    /// What was written last, as it is being written.
    pub(crate) fn written(&self) -> watch::Receiver<Option<Arc<Written>>> {
        self.shared.written.subscribe()
    }

    /// The place before which everything is stored, unless the spool [is doubtful](Self::is_doubtful).
    pub(crate) fn drained(&self) -> watch::Receiver<Place> {
        self.shared.drained.subscribe()
    }

    /// The place before which everything is of former lives, and behind which nothing is.
    pub(crate) fn found(&self) -> Place {
        self.shared.found.get().copied().unwrap_or_default()
    }

    /// Whether something of it, from this life or one before, was damaged or not given back by the disk: then what
    /// is drained may not be all that was acknowledged.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.shared.has_aside.load(Ordering::Relaxed) || self.cut_bytes() > 0
    }

    /// Forgets a chunk whose records are committed.
    pub(crate) async fn stored(&self, chunk: &Chunk) {
        let (segment, end) = (chunk.segment, chunk.end);
        self.ask(|answer| Request::Stored { segment, end, answer }).await;
        raise(&self.shared.drained, chunk.end());
    }

    /// Bytes on disk that are not known to be stored.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Whether an fsync failed since the start.
    pub(crate) fn failed(&self) -> bool {
        self.shared.failed()
    }

    /// Whether there was no room at the last attempt, in the spool's bound or on its disk.
    pub(crate) fn is_full(&self) -> bool {
        self.shared.full.load(Ordering::Relaxed)
    }

    /// Bytes of torn or damaged records that were passed over, and of segments that the disk did not give back.
    pub(crate) fn cut_bytes(&self) -> u64 {
        self.shared.cut_bytes.load(Ordering::Relaxed)
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        ask(&self.requests, request).await
    }
}

/// Asks a thread of a disk; None where it is gone.
pub(crate) async fn ask<R, T>(
    requests: &thread_mpsc::SyncSender<R>,
    request: impl FnOnce(oneshot::Sender<T>) -> R,
) -> Option<T> {
    let (answer, answered) = oneshot::channel();
    let mut request = request(answer);
    // The thread may be busy with a slow disk; a blocking send would hold up the runtime.
    loop {
        match requests.try_send(request) {
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

/// Moves a place that only moves forward.
pub(crate) fn raise(place: &watch::Sender<Place>, to: Place) {
    place.send_if_modified(|place| {
        let is_behind = *place < to;
        *place = to.max(*place);
        is_behind
    });
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
                let result = store.append(records);
                for answer in waiting {
                    let _ = answer.send(result);
                }
            }
            Request::Oldest { records_max, answer } => {
                let _ = answer.send(store.oldest(records_max));
            }
            Request::After { place, bytes_max, answer } => {
                let _ = answer.send(store.after(place, bytes_max));
            }
            Request::Stored { segment, end, answer } => {
                store.stored(segment, end);
                let _ = answer.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
