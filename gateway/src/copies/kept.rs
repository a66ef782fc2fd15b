//! What this gateway keeps for others: a folder for each life of each origin, of the same segments as the spool, with
//! a mark behind each batch. One thread has all of them, under one lock and one bound on bytes.
//!
//! Nothing leaves a folder but by its origin's word that it is stored, or by being adopted: stored into the database
//! from here. Both may happen twice, which is harmless.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc as thread_mpsc;

use async_trait::async_trait;
use cluster::{BATCH_BYTES_MAX, Batch, Copies, CopyError, Incarnation, NodeId};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::oneshot;

use super::CopyOf;
use crate::disk::Disk;
use crate::gate::Gate;
use crate::spool::{AppendError, Chunk, Place, Record, Shared, Store, ask, lock};

/// Requests that wait for the thread: one or two of each origin.
const REQUESTS_MAX: usize = 64;
/// Most folders: more lives than all gateways of a cluster have in its worst week.
const COPIES_MAX: usize = 256;

/// A copy that is kept here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CopyStats {
    /// Whose, and of which life.
    #[serde(flatten)]
    pub of: CopyOf,
    /// Bytes on the disk.
    pub bytes: u64,
}

enum Request {
    Keep { batch: Batch, answer: oneshot::Sender<Result<(), CopyError>> },
    Stored { of: CopyOf, upto: u64, answer: oneshot::Sender<Result<(), CopyError>> },
    Adopt { origin: NodeId, answer: oneshot::Sender<u64> },
    Oldest { records_max: usize, answer: oneshot::Sender<io::Result<Option<(CopyOf, Chunk)>>> },
    Drained { of: CopyOf, end: Place, answer: oneshot::Sender<()> },
}

/// A handle to the thread of the copies. It ends with the last handle.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    requests: thread_mpsc::SyncSender<Request>,
    /// What there is, for people.
    stats: Arc<Mutex<Vec<CopyStats>>>,
}

impl Kept {
    /// Opens what was kept in `dir`, as a spool is opened, and starts the thread.
    ///
    /// # Errors
    /// A folder that cannot be used, or that another process uses.
    pub(crate) fn open(dir: &Path, bytes_max: u64, disk: Arc<dyn Disk>) -> io::Result<Self> {
        let lock = lock(dir)?;
        let stats = Arc::default();
        let mut shelf = Shelf::open(dir, bytes_max, disk, Arc::clone(&stats))?;
        let (requests, inbox) = thread_mpsc::sync_channel(REQUESTS_MAX);
        std::thread::Builder::new().name("copies".to_owned()).spawn(move || {
            shelf.work(&inbox);
            drop(lock);
        })?;
        Ok(Self { requests, stats })
    }

    /// Every copy that is here.
    pub(crate) fn stats(&self) -> Vec<CopyStats> {
        self.stats.lock().clone()
    }

    /// The oldest records of an adopted copy, at most `records_max`, marks among them; None when there are none.
    ///
    /// # Errors
    /// As those of the spool.
    pub(crate) async fn oldest(&self, records_max: usize) -> io::Result<Option<(CopyOf, Chunk)>> {
        ask(&self.requests, |answer| Request::Oldest { records_max, answer })
            .await
            .unwrap_or_else(|| Err(io::Error::other("the thread of the copies is gone")))
    }

    /// Forgets a chunk whose records are committed.
    pub(crate) async fn drained(&self, of: &CopyOf, chunk: &Chunk) {
        let (of, end) = (of.clone(), chunk.end());
        ask(&self.requests, |answer| Request::Drained { of, end, answer }).await;
    }
}

/// What others ask of this gateway.
pub(crate) struct Keeping {
    pub(crate) gate: Arc<Gate>,
    pub(crate) kept: Kept,
}

#[async_trait]
impl Copies for Keeping {
    async fn keep(&self, batch: Batch) -> Result<(), CopyError> {
        let kept = ask(&self.kept.requests, |answer| Request::Keep { batch, answer }).await;
        let kept = kept.unwrap_or_else(|| Err(gone()));
        if kept.is_ok() {
            self.gate.counts.kept.add(1);
        }
        kept
    }

    async fn stored(&self, origin: &NodeId, incarnation: Incarnation, upto: u64) -> Result<(), CopyError> {
        let of = CopyOf { origin: origin.clone(), incarnation };
        let stored = ask(&self.kept.requests, |answer| Request::Stored { of, upto, answer }).await;
        stored.unwrap_or_else(|| Err(gone()))
    }

    async fn adopt(&self, origin: &NodeId) -> Result<u64, CopyError> {
        let origin = origin.clone();
        let left = ask(&self.kept.requests, |answer| Request::Adopt { origin, answer }).await;
        // The drain stores what is adopted.
        self.gate.database.look.notify_one();
        left.ok_or_else(gone)
    }
}

/// The copies themselves, on their thread.
pub(super) struct Shelf {
    dir: PathBuf,
    bytes_max: u64,
    disk: Arc<dyn Disk>,
    copies: BTreeMap<CopyOf, Shelved>,
    /// Whose copies are being stored from here.
    adopted: BTreeSet<NodeId>,
    /// After a failed fsync nothing is known of what the disk holds.
    failed: bool,
    stats: Arc<Mutex<Vec<CopyStats>>>,
}

/// A copy on the shelf.
struct Shelved {
    store: Store,
    folder: PathBuf,
}

impl Shelf {
    pub(super) fn open(
        dir: &Path,
        bytes_max: u64,
        disk: Arc<dyn Disk>,
        stats: Arc<Mutex<Vec<CopyStats>>>,
    ) -> io::Result<Self> {
        let mut shelf = Self {
            dir: dir.to_owned(),
            bytes_max,
            disk,
            copies: BTreeMap::new(),
            adopted: BTreeSet::new(),
            failed: false,
            stats,
        };
        for origin in folders(dir)? {
            for life in folders(&origin)? {
                match named(&origin, &life) {
                    Some(of) => {
                        shelf.open_copy(of.clone(), life)?;
                        shelf.close_if_empty(&of);
                    }
                    None => {
                        let folder = life.display();
                        tracing::error!(%folder, "{folder} is no copy by its name: what it holds is not stored");
                    }
                }
            }
        }
        shelf.publish();
        Ok(shelf)
    }

    /// Does what is asked until nobody can ask any more.
    fn work(&mut self, inbox: &thread_mpsc::Receiver<Request>) {
        while let Ok(request) = inbox.recv() {
            match request {
                Request::Keep { batch, answer } => {
                    let _ = answer.send(self.keep(batch));
                }
                Request::Stored { of, upto, answer } => {
                    let _ = answer.send(self.stored(&of, upto));
                }
                Request::Adopt { origin, answer } => {
                    let _ = answer.send(self.adopt(origin));
                }
                Request::Oldest { records_max, answer } => {
                    let _ = answer.send(self.oldest(records_max));
                }
                Request::Drained { of, end, answer } => {
                    if let Some(copy) = self.copies.get_mut(&of) {
                        copy.store.stored(end.segment, end.offset);
                    }
                    self.close_if_empty(&of);
                    let _ = answer.send(());
                }
            }
            self.publish();
        }
    }

    pub(super) fn keep(&mut self, batch: Batch) -> Result<(), CopyError> {
        let Batch { origin, incarnation, number, follows, records } = batch;
        let of = CopyOf { origin, incarnation };
        if self.failed {
            return Err(failed());
        }
        if number == 0 || records.len() > BATCH_BYTES_MAX {
            return Err(CopyError::Invalid);
        }
        let mut records = Record::of_batch(&records).ok_or(CopyError::Invalid)?;
        records.push(Record::mark(number));
        let last = self.copies.get(&of).map_or(0, |copy| copy.store.last_marked());
        if number <= last {
            return Ok(());
        }
        if follows.is_some_and(|follows| follows != last) {
            return Err(CopyError::Gap { last });
        }
        if !self.copies.contains_key(&of) {
            self.make(of.clone())?;
        }
        let others: u64 = self
            .copies
            .iter()
            .filter(|(other, _)| **other != of)
            .map(|(_, copy)| copy.store.bytes_on_disk())
            .sum();
        let Some(copy) = self.copies.get_mut(&of) else { return Err(gone()) };
        copy.store.bound(self.bytes_max.saturating_sub(others));
        let kept = copy.store.append(records).map_err(|error| match error {
            AppendError::Full => CopyError::Full,
            AppendError::Failed => failed(),
        });
        self.failed |= matches!(kept, Err(CopyError::Disk(_)));
        self.close_if_empty(&of);
        kept.map(|_| ())
    }

    /// Makes the folder for a copy.
    fn make(&mut self, of: CopyOf) -> Result<(), CopyError> {
        if self.copies.len() >= COPIES_MAX {
            tracing::warn!(origin = %of.origin, "a copy is refused: there are {COPIES_MAX}");
            return Err(CopyError::Full);
        }
        let origin = self.folder_of(&of.origin).ok_or(CopyError::Invalid)?;
        let folder = origin.join(of.incarnation.to_string());
        let made = make_for_good(&origin).and_then(|()| make_for_good(&folder));
        made.and_then(|()| self.open_copy(of, folder)).map_err(|error| {
            tracing::warn!(%error, "no folder for a copy can be made");
            CopyError::Full
        })
    }

    fn open_copy(&mut self, of: CopyOf, folder: PathBuf) -> io::Result<()> {
        let store =
            Store::open(&folder, self.bytes_max, Arc::clone(&self.disk), Arc::new(Shared::default()))?;
        self.copies.insert(of, Shelved { store, folder });
        Ok(())
    }

    /// A node's name is one part of a path by its type; what becomes a path is looked at all the same.
    fn folder_of(&self, origin: &NodeId) -> Option<PathBuf> {
        let mut parts = Path::new(origin.as_str()).components();
        let is_one = matches!(parts.next(), Some(Component::Normal(part)) if part == origin.as_str());
        (is_one && parts.next().is_none()).then(|| self.dir.join(origin.as_str()))
    }

    pub(super) fn stored(&mut self, of: &CopyOf, upto: u64) -> Result<(), CopyError> {
        let Some(copy) = self.copies.get_mut(of) else { return Ok(()) };
        let forgotten = copy.store.forget(upto);
        self.close_if_empty(of);
        forgotten.map_err(|error| {
            tracing::warn!(%error, "a copy that is stored cannot be removed");
            CopyError::Disk(error.to_string())
        })
    }

    fn adopt(&mut self, origin: NodeId) -> u64 {
        let of_it = self.copies.iter().filter(|(of, _)| of.origin == origin);
        let left: u64 = of_it.map(|(_, copy)| copy.store.bytes_to_store()).sum();
        if left == 0 {
            self.adopted.remove(&origin);
        } else if self.adopted.insert(origin.clone()) {
            tracing::info!(%origin, "the copies of {origin} are stored from here: {left} bytes");
        }
        left
    }

    fn oldest(&mut self, records_max: usize) -> io::Result<Option<(CopyOf, Chunk)>> {
        let adopted: Vec<CopyOf> =
            self.copies.keys().filter(|of| self.adopted.contains(&of.origin)).cloned().collect();
        for of in adopted {
            if let Some(copy) = self.copies.get_mut(&of)
                && let Some(chunk) = copy.store.oldest(records_max)?
            {
                return Ok(Some((of, chunk)));
            }
            self.close_if_empty(&of);
        }
        self.adopted.clear();
        Ok(None)
    }

    /// Forgets a copy of which nothing is left. What was put aside for people stays where it is.
    fn close_if_empty(&mut self, of: &CopyOf) {
        if self.copies.get(of).is_some_and(|copy| copy.store.is_empty())
            && let Some(copy) = self.copies.remove(of)
        {
            // An error says that something is in it still.
            let _ = std::fs::remove_dir(&copy.folder);
            let _ = copy.folder.parent().map(std::fs::remove_dir);
        }
    }

    /// The terminals whose reports are kept, of all copies.
    #[cfg(test)]
    pub(super) fn reports(&self) -> BTreeSet<i64> {
        let mut reports = BTreeSet::new();
        for copy in self.copies.values() {
            let mut place = Place::default();
            while let Some(chunk) = copy.store.after(place, 1 << 20).expect("reads") {
                place = chunk.end();
                let records = chunk.records.iter().filter(|record| record.marked().is_none());
                reports.extend(records.map(|record| record.terminal.0));
            }
        }
        reports
    }

    fn publish(&self) {
        let stats = self.copies.iter();
        *self.stats.lock() =
            stats.map(|(of, copy)| CopyStats { of: of.clone(), bytes: copy.store.bytes_on_disk() }).collect();
    }
}

fn failed() -> CopyError {
    CopyError::Disk("an fsync failed; no copies are kept until the next start".to_owned())
}

fn gone() -> CopyError {
    CopyError::Disk("the thread of the copies is gone".to_owned())
}

/// The folders in `dir`.
fn folders(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

/// Whose copy lies in `life`, a folder of `origin`'s.
fn named(origin: &Path, life: &Path) -> Option<CopyOf> {
    let origin = origin.file_name()?.to_str()?.parse().ok()?;
    let name = life.file_name()?.to_str()?;
    let incarnation = Incarnation(u64::from_str_radix(name, 16).ok()?);
    (incarnation.to_string() == name).then_some(CopyOf { origin, incarnation })
}

/// Makes a folder that outlasts a power cut.
fn make_for_good(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    folder.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

#[cfg(test)]
mod tests;
