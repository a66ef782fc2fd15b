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
    /// Opens the spool in `dir`, passing over what is damaged or cannot be read, and starts its thread.
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
    ///
    /// # Errors
    /// A lack of open files or memory, a file or folder that is closed to us. Ask again: what a disk does not give
    /// back is put aside.
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

    /// Bytes of torn or damaged records that were passed over, and of segments that the disk did not give back.
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
mod tests;
