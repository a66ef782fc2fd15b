//! What the spool keeps on disk: segments, numbered files of records, the oldest first.
//!
//! A segment goes only when everything in it was stored; after a crash it is drained again from its start, which
//! is harmless because storing is idempotent. Nothing is appended to a segment of a former life. Damaged bytes, a torn
//! tail among them, are passed over: they cost the records that they hit. A segment that has any is not removed when
//! it was drained but put aside for people; one that the disk does not give back is put aside at once, so that it
//! holds up no other, and never removed: what was acknowledged lies in it, and the fault may pass.

use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::record::{RECORD_BYTES_MAX, Record, Salt};
use super::{AppendError, Chunk, GROUP_BYTES_MAX, Place, Shared, Written, raise};
use crate::disk::{Disk, DiskFile};

/// Where one segment ends and the next begins: what is freed at once, and read again at most after a crash.
const SEGMENT_BYTES_MAX: u64 = 8 << 20;
/// Damaged segments kept for people; the oldest gives way.
pub(super) const DAMAGED_MAX: usize = 16;
/// How long a start waits for the process that has the folder: it may be ending.
const LOCK_WITHIN: Duration = Duration::from_secs(5);
/// How often it looks meanwhile.
const LOCK_LOOK_EVERY: Duration = Duration::from_millis(20);
/// Errors of a read that say nothing about what the disk holds: too many files are open in this process (EMFILE) or
/// on this machine (ENFILE), memory is short (ENOMEM), or the file is closed to us (EACCES, EPERM).
const NOT_OF_THE_DISK: [i32; 5] = [24, 23, 12, 13, 1];

/// One file of the spool.
struct Segment {
    number: u64,
    salt: Salt,
    /// Where its last whole record ends.
    bytes: u64,
    /// Everything before is stored.
    stored: u64,
    /// The last batch that it holds the end of; 0 where it is no copy's.
    marked: u64,
    /// Whether bytes of it had to be passed over.
    is_damaged: bool,
    /// Whether the disk did not give it back.
    is_unread: bool,
}

/// A spool, or the copy of one, on its thread. Nobody else may have its folder.
pub(crate) struct Store {
    dir: PathBuf,
    bytes_max: u64,
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    /// Oldest first. The last one is written to while `open` holds its file.
    segments: VecDeque<Segment>,
    open: Option<Box<dyn DiskFile>>,
    next_number: u64,
    /// Of the segments put aside unread; they take room as the others do.
    unread_bytes: u64,
    /// The last batch of a copy.
    marked: u64,
}

impl Store {
    /// Opens the folder, which is there.
    pub(crate) fn open(
        dir: &Path,
        bytes_max: u64,
        disk: Arc<dyn Disk>,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let Listed { segments, next_number, unread_bytes, has_aside } = Listed::of(dir)?;
        shared.has_aside.store(has_aside, Ordering::Relaxed);
        let mut store = Self {
            dir: dir.to_owned(),
            bytes_max,
            disk,
            shared,
            segments: VecDeque::new(),
            open: None,
            next_number,
            unread_bytes,
            marked: 0,
        };
        for mut segment in segments {
            match store.read(&segment, 0, u64::MAX) {
                Ok(content) => store.look_through(&mut segment, &content),
                Err(error) if says_nothing_of_the_disk(&error) => return Err(error),
                Err(error) => store.give_up(&mut segment, &error),
            }
            store.segments.push_back(segment);
            if store.segments.back().is_some_and(|last| last.bytes == 0) {
                store.remove(store.segments.len() - 1)?;
            }
        }
        store.marked = store.segments.iter().map(|segment| segment.marked).max().unwrap_or(0);
        let begin = store.segments.front().map_or(store.next_number, |first| first.number);
        store.shared.drained.send_replace(Place { segment: begin, offset: 0 });
        let found = store.segments.back().map(|last| Place { segment: last.number, offset: last.bytes });
        // A folder is opened once with what is shared of it.
        let _ = store.shared.found.set(found.unwrap_or_default());
        store.publish_bytes();
        Ok(store)
    }

    /// Finds where the last whole record of a segment of a former life ends, and what is damaged before and
    /// behind it.
    fn look_through(&self, segment: &mut Segment, content: &[u8]) {
        let (mut read, mut passed) = (0, 0);
        while let Some((before, record, end)) =
            Record::find(segment.salt, content.get(read..).unwrap_or_default())
        {
            passed += before;
            read += end;
            segment.marked = record.marked().unwrap_or(segment.marked);
        }
        segment.bytes = read as u64;
        let tail = content.len() - read;
        if passed > 0 {
            tracing::error!(
                segment = segment.number,
                bytes = passed,
                "the spool is damaged: acknowledged reports are lost"
            );
        }
        if tail > 0 {
            // The power went in mid-write, mostly: what was torn was never acknowledged.
            tracing::warn!(segment = segment.number, bytes = tail, "the spool ends in no whole record");
        }
        self.note_damage(segment, (passed + tail) as u64);
    }

    /// Up to `length` bytes of a segment from `at` on. A disk that fails is asked once more.
    fn read(&self, segment: &Segment, at: u64, length: u64) -> io::Result<Vec<u8>> {
        let path = segment.path(&self.dir);
        self.disk.read(&path, at, length).or_else(|_| self.disk.read(&path, at, length))
    }

    /// Makes nothing more of a segment that the disk does not give back: what is left of it is for people.
    fn give_up(&mut self, segment: &mut Segment, error: &io::Error) {
        tracing::error!(
            segment = segment.number,
            %error,
            "the spool's disk does not give a segment back: its acknowledged reports are for people to rescue"
        );
        let length = std::fs::metadata(segment.path(&self.dir)).map_or(0, |file| file.len());
        segment.is_unread = true;
        self.unread_bytes += length;
        self.shared.cut_bytes.fetch_add(length.max(segment.bytes) - segment.stored, Ordering::Relaxed);
        (segment.bytes, segment.stored) = (0, 0);
    }

    fn note_damage(&self, segment: &mut Segment, bytes: u64) {
        segment.is_damaged |= bytes > 0;
        self.shared.cut_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Puts the records on disk, all or none. Gives the place behind them.
    pub(crate) fn append(&mut self, records: Vec<Record>) -> Result<Place, AppendError> {
        let appended = self.write(records);
        self.shared.full.store(matches!(appended, Err(AppendError::Full)), Ordering::Relaxed);
        appended
    }

    fn write(&mut self, records: Vec<Record>) -> Result<Place, AppendError> {
        if self.shared.failed.load(Ordering::Acquire) {
            return Err(AppendError::Failed);
        }
        let wanted: usize = records.iter().map(Record::bytes).sum();
        if self.bytes_on_disk() + wanted as u64 > self.bytes_max {
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
        let mut bytes = Vec::with_capacity(wanted);
        for record in &records {
            record.encode(segment.salt, &mut bytes);
        }
        if let Err(error) = file.append(&bytes) {
            // A full disk: cut what was half written, so that the next record begins where it must. The same
            // file is tried again: another would be one more on a disk that has no room.
            tracing::warn!(%error, "the spool cannot be written");
            let path = segment.path(&self.dir);
            return Err(match self.disk.cut(&path, segment.bytes) {
                Ok(()) => AppendError::Full,
                Err(error) => self.fail(&error),
            });
        }
        let begin = Place { segment: segment.number, offset: segment.bytes };
        let end = Place { offset: begin.offset + bytes.len() as u64, ..begin };
        let marked = records.last().and_then(Record::marked);
        if self.shared.written.receiver_count() > 0 {
            // While this disk is busy, another may be so too.
            self.shared.written.send_replace(Some(Arc::new(Written { begin, records })));
        }
        if let Err(error) = file.sync() {
            return Err(self.fail(&error));
        }
        segment.bytes = end.offset;
        segment.marked = marked.unwrap_or(segment.marked);
        self.marked = segment.marked;
        self.publish_bytes();
        Ok(end)
    }

    /// Changes the bound on bytes.
    pub(crate) fn bound(&mut self, bytes_max: u64) {
        self.bytes_max = bytes_max;
    }

    /// What it takes on the disk, stored or not, but for damaged segments kept for people.
    pub(crate) fn bytes_on_disk(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum::<u64>() + self.unread_bytes
    }

    /// Bytes that are not known to be stored.
    pub(crate) fn bytes_to_store(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes - segment.stored).sum()
    }

    /// The last batch of a copy that is here, or was in this life; 0 where there is none.
    pub(crate) fn last_marked(&self) -> u64 {
        self.marked
    }

    /// Whether no segment is here.
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    fn start_segment(&mut self) -> io::Result<()> {
        let (number, salt) = (self.next_number, Salt::random());
        self.next_number += 1;
        let segment = Segment::empty(number, salt);
        self.open = Some(self.disk.create(&segment.path(&self.dir))?);
        self.segments.push_back(segment);
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

    /// The oldest records, at most `records_max`; None when there are none.
    pub(crate) fn oldest(&mut self, records_max: usize) -> io::Result<Option<Chunk>> {
        loop {
            self.remove_stored(0)?;
            let Some(first) = self.segments.front() else { return Ok(None) };
            let (number, salt, at, left) =
                (first.number, first.salt, first.stored, first.bytes - first.stored);
            let content = match self.read(first, at, left.min(GROUP_BYTES_MAX as u64)) {
                Ok(content) => content,
                Err(error) if says_nothing_of_the_disk(&error) => return Err(error),
                Err(error) => {
                    self.put_first_aside(&error)?;
                    continue;
                }
            };
            let (records, mut read, mut passed) = records_in(salt, &content, records_max);
            let is_all = content.len() as u64 >= left || content.len() < GROUP_BYTES_MAX;
            if records.is_empty() {
                // No record in sight: go on where one could begin that ends beyond it, or give the segment up.
                passed = if is_all { content.len() } else { content.len() - RECORD_BYTES_MAX };
                read = if is_all { usize::try_from(left).unwrap_or(usize::MAX) } else { passed };
            }
            if let Some(first) = self.segments.front_mut()
                && passed > 0
            {
                let known = first.is_damaged;
                first.is_damaged = true;
                if !known {
                    tracing::error!(segment = number, "the spool is damaged: acknowledged reports are lost");
                    self.shared.cut_bytes.fetch_add(passed as u64, Ordering::Relaxed);
                }
            }
            let end = at + read as u64;
            if !records.is_empty() {
                return Ok(Some(Chunk { records, segment: number, end }));
            }
            self.stored(number, end);
            raise(&self.shared.drained, Place { segment: number, offset: end });
        }
    }

    /// The records behind `place` that are not stored, as many as lie in `bytes_max` bytes of one segment; None when
    /// there are none. Passes over what it cannot read: the drain deals with that.
    pub(crate) fn after(&self, place: Place, bytes_max: u64) -> io::Result<Option<Chunk>> {
        let bytes_max = bytes_max.max(2 * RECORD_BYTES_MAX as u64);
        for segment in self.segments.iter().filter(|segment| segment.number >= place.segment) {
            let mut at = match segment.number == place.segment {
                true => segment.stored.max(place.offset),
                false => segment.stored,
            };
            while at < segment.bytes {
                let wanted = (segment.bytes - at).min(bytes_max);
                let content = match self.read(segment, at, wanted) {
                    Ok(content) => content,
                    Err(error) if says_nothing_of_the_disk(&error) => return Err(error),
                    Err(error) => {
                        tracing::error!(segment = segment.number, %error, "a spool segment is not copied");
                        break;
                    }
                };
                let (records, read, _) = records_in(segment.salt, &content, usize::MAX);
                if !records.is_empty() {
                    let (segment, end) = (segment.number, at + read as u64);
                    return Ok(Some(Chunk { records, segment, end }));
                }
                let is_all = at + wanted >= segment.bytes || (content.len() as u64) < wanted;
                at = if is_all { segment.bytes } else { at + wanted - RECORD_BYTES_MAX as u64 };
            }
        }
        Ok(None)
    }

    /// Puts the oldest segment aside, of which the disk gives nothing back.
    fn put_first_aside(&mut self, error: &io::Error) -> io::Result<()> {
        let Some(mut first) = self.segments.pop_front() else { return Ok(()) };
        self.give_up(&mut first, error);
        if self.segments.is_empty() {
            // it may be the one that is written to
            self.open = None;
        }
        let behind = Place { segment: first.number, offset: u64::MAX };
        self.segments.push_front(first);
        let aside = self.remove(0);
        self.publish_bytes();
        raise(&self.shared.drained, behind);
        aside
    }

    /// Everything of segment `number` up to `end` is stored.
    pub(crate) fn stored(&mut self, number: u64, end: u64) {
        if let Some(segment) = self.segments.iter_mut().find(|segment| segment.number == number) {
            segment.stored = segment.stored.max(end.min(segment.bytes));
        }
        self.shared.full.store(false, Ordering::Relaxed);
        // One that is open and empty stays: something may be about to be written.
        if let Err(error) = self.remove_stored(1) {
            tracing::warn!(%error, "a drained spool segment cannot be removed");
        }
        self.publish_bytes();
    }

    /// Forgets the oldest segments as far as they hold no batch above `upto`, damaged ones too: what they held is
    /// safe elsewhere.
    pub(crate) fn forget(&mut self, upto: u64) -> io::Result<()> {
        while let Some(first) = self.segments.front().filter(|first| first.marked <= upto) {
            match std::fs::remove_file(first.path(&self.dir)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => self.segments.pop_front(),
            };
            if self.segments.is_empty() {
                self.open = None;
            }
        }
        self.publish_bytes();
        Ok(())
    }

    /// Removes the oldest segments of which everything is stored and that hold `bytes_min` at least.
    fn remove_stored(&mut self, bytes_min: u64) -> io::Result<()> {
        while self
            .segments
            .front()
            .is_some_and(|first| first.stored >= first.bytes && first.bytes >= bytes_min)
        {
            if self.segments.len() == 1 {
                self.open = None;
            }
            self.remove(0)?;
        }
        Ok(())
    }

    /// Removes a segment, or puts it aside where it is damaged or was not read.
    fn remove(&mut self, place: usize) -> io::Result<()> {
        let Some(segment) = self.segments.remove(place) else { return Ok(()) };
        let path = segment.path(&self.dir);
        if segment.is_unread || segment.is_damaged {
            self.shared.has_aside.store(true, Ordering::Relaxed);
        }
        if segment.is_unread {
            return std::fs::rename(&path, path.with_extension("unread"));
        }
        if !segment.is_damaged {
            return std::fs::remove_file(path);
        }
        let kept = path.with_extension("damaged");
        std::fs::rename(&path, &kept)?;
        tracing::warn!(kept = %kept.display(), "a damaged spool segment is kept");
        let mut damaged: Vec<PathBuf> = std::fs::read_dir(&self.dir)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|ending| ending == "damaged"))
            .collect();
        damaged.sort_unstable();
        let beyond = damaged.len().saturating_sub(DAMAGED_MAX);
        damaged[..beyond].iter().try_for_each(std::fs::remove_file)
    }

    fn publish_bytes(&self) {
        self.shared.bytes.store(self.bytes_to_store(), Ordering::Relaxed);
    }
}

impl Segment {
    fn empty(number: u64, salt: Salt) -> Self {
        Self { number, salt, bytes: 0, stored: 0, marked: 0, is_damaged: false, is_unread: false }
    }

    /// Number and salt are the name: no damage inside the file can touch them.
    fn path(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{:016}-{:016x}.spool", self.number, self.salt.0))
    }

    /// The segment that lies at `path`, or lay there before it was put aside; None where that is no name of one.
    fn named(path: &Path) -> Option<Self> {
        let (number, salt) = path.file_stem()?.to_str()?.split_once('-')?;
        let (number, salt) = (number.parse().ok()?, Salt(u64::from_str_radix(salt, 16).ok()?));
        let segment = Self::empty(number, salt);
        let name = segment.path(path.parent()?);
        (name.file_stem() == path.file_stem()).then_some(segment)
    }
}

/// What a folder holds.
struct Listed {
    /// The oldest first.
    segments: Vec<Segment>,
    /// Above the numbers of all of them, and of those that were put aside.
    next_number: u64,
    unread_bytes: u64,
    /// Whether any was put aside.
    has_aside: bool,
}

impl Listed {
    fn of(dir: &Path) -> io::Result<Self> {
        let mut listed = Self { segments: Vec::new(), next_number: 1, unread_bytes: 0, has_aside: false };
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let path = entry.path();
            let is = |ending: &str| path.extension().is_some_and(|found| found == ending);
            if !is("spool") && !is("damaged") && !is("unread") {
                continue;
            }
            listed.has_aside |= !is("spool");
            if is("unread") {
                listed.unread_bytes += entry.metadata()?.len();
            }
            match Segment::named(&path) {
                Some(segment) => {
                    listed.next_number = listed.next_number.max(segment.number.saturating_add(1));
                    if is("spool") {
                        listed.segments.push(segment);
                    }
                }
                None if is("spool") => {
                    let file = path.display();
                    tracing::error!(%file, "{file} is no segment of the spool by its name: what it holds is not stored");
                }
                None => {}
            }
        }
        listed.segments.sort_unstable_by_key(|segment| segment.number);
        Ok(listed)
    }
}

/// The first records in `content`, at most `records_max`, where the last of them ends, and how many bytes before it
/// had to be passed over.
fn records_in(salt: Salt, content: &[u8], records_max: usize) -> (Vec<Record>, usize, usize) {
    let (mut records, mut read, mut passed) = (Vec::new(), 0, 0);
    while records.len() < records_max {
        let found = Record::find(salt, content.get(read..).unwrap_or_default());
        let Some((before, record, end)) = found else { break };
        records.push(record);
        passed += before;
        read += end;
    }
    (records, read, passed)
}

fn says_nothing_of_the_disk(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| NOT_OF_THE_DISK.contains(&code))
}

/// Makes the folder, and makes it this process's own while what it gives lives: two that number and remove its
/// segments would lose some.
pub(crate) fn lock(dir: &Path) -> io::Result<File> {
    std::fs::create_dir_all(dir)?;
    let lock = File::options().create(true).truncate(false).write(true).open(dir.join("lock"))?;
    let until = Instant::now() + LOCK_WITHIN;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(LOCK_LOOK_EVERY),
            Err(TryLockError::WouldBlock) => {
                let text = format!("{} is in use by another gateway", dir.display());
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
            }
        }
    }
}
