//! The few things that the spool asks of a file system, behind a seam so that a test can let a disk fail.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// A file being appended to.
pub(crate) trait DiskFile: Send {
    /// Writes all of `bytes` at the end; on an error part of them may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns when everything written is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file system.
pub(crate) trait Disk: Send + Sync {
    /// Makes the file, which must not exist, so that it and its name outlast a power cut once synced.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Cuts the file to `length` bytes, for good.
    fn cut(&self, path: &Path, length: u64) -> io::Result<()>;
    /// Up to `length` bytes from `offset` on.
    fn read(&self, path: &Path, offset: u64, length: u64) -> io::Result<Vec<u8>>;
}

/// The operating system's.
#[derive(Debug)]
pub(crate) struct LocalDisk;

impl Disk for LocalDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = File::options().append(true).create_new(true).open(path)?;
        let named = path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all());
        if let Err(error) = named {
            // Not made, then: nobody would ever remove it.
            std::fs::remove_file(path)?;
            return Err(error);
        }
        Ok(Box::new(file))
    }

    fn cut(&self, path: &Path, length: u64) -> io::Result<()> {
        let file = File::options().write(true).open(path)?;
        file.set_len(length)?;
        file.sync_all()
    }

    fn read(&self, path: &Path, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl DiskFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// A disk that fails when it is told to.
#[cfg(test)]
pub(crate) mod faulty {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicUsize, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Faults {
        sync_fails: AtomicBool,
        limited: AtomicBool,
        bytes_left: AtomicI64,
        reads_failing: AtomicUsize,
        read_error: AtomicI32,
    }

    #[derive(Debug, Default)]
    pub(crate) struct FaultyDisk {
        faults: Arc<Faults>,
    }

    impl FaultyDisk {
        pub(crate) fn fail_sync(&self) {
            self.faults.sync_fails.store(true, Ordering::SeqCst);
        }

        pub(crate) fn full_after(&self, bytes: i64) {
            self.faults.bytes_left.store(bytes, Ordering::SeqCst);
            self.faults.limited.store(true, Ordering::SeqCst);
        }

        /// The next `count` reads fail with the system's error `code`.
        pub(crate) fn fail_reads(&self, count: usize, code: i32) {
            self.faults.read_error.store(code, Ordering::SeqCst);
            self.faults.reads_failing.store(count, Ordering::SeqCst);
        }

        pub(crate) fn heal(&self) {
            self.faults.sync_fails.store(false, Ordering::SeqCst);
            self.faults.limited.store(false, Ordering::SeqCst);
            self.faults.reads_failing.store(0, Ordering::SeqCst);
        }
    }

    impl Disk for FaultyDisk {
        fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
            let file = LocalDisk.create(path)?;
            Ok(Box::new(FaultyFile { file, faults: Arc::clone(&self.faults) }))
        }

        fn cut(&self, path: &Path, length: u64) -> io::Result<()> {
            LocalDisk.cut(path, length)
        }

        fn read(&self, path: &Path, offset: u64, length: u64) -> io::Result<Vec<u8>> {
            let one_less = |left: usize| left.checked_sub(1);
            let failing = &self.faults.reads_failing;
            if failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
                return Err(io::Error::from_raw_os_error(self.faults.read_error.load(Ordering::SeqCst)));
            }
            LocalDisk.read(path, offset, length)
        }
    }

    struct FaultyFile {
        file: Box<dyn DiskFile>,
        faults: Arc<Faults>,
    }

    impl DiskFile for FaultyFile {
        fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
            if self.faults.limited.load(Ordering::SeqCst) {
                let left = self.faults.bytes_left.load(Ordering::SeqCst).max(0) as usize;
                if left < bytes.len() {
                    self.file.append(&bytes[..left])?;
                    return Err(io::Error::from(io::ErrorKind::StorageFull));
                }
            }
            self.file.append(bytes)
        }

        fn sync(&mut self) -> io::Result<()> {
            if self.faults.sync_fails.load(Ordering::SeqCst) {
                return Err(io::Error::other("the disk is gone"));
            }
            self.file.sync()
        }
    }
}
