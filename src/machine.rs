//! How busy this machine is, as `/proc` and the data folder's file system say.
//!
//! Knows no roles: what they carry is theirs to say.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use parking_lot::Mutex;

/// The machine's share of a node's [`Load`](cluster::Load).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MachineLoad {
    /// Share of all processors in use since the last look, 0 to 1,000.
    pub(crate) cpu_permille: u16,
    /// Bytes of memory that are not available to programs.
    pub(crate) memory_bytes: u64,
    /// Bytes of memory.
    pub(crate) memory_max_bytes: u64,
    /// Bytes in use on the disk of the data folder.
    pub(crate) storage_bytes: u64,
    /// Bytes of that disk.
    pub(crate) storage_max_bytes: u64,
}

/// Looks at the machine again and again.
#[derive(Debug)]
pub(crate) struct Machine {
    data: PathBuf,
    last: Mutex<Ticks>,
}

/// Processor time since the machine's start, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ticks {
    all: u64,
    idle: u64,
}

impl Machine {
    /// The machine whose disk holds `data`.
    pub(crate) fn new(data: &Path) -> Self {
        Self { data: data.to_owned(), last: Mutex::new(Ticks::now().unwrap_or_default()) }
    }

    /// Its load; what the system does not say is 0.
    pub(crate) fn look(&self) -> MachineLoad {
        let cpu_permille = Ticks::now().map_or(0, |now| {
            let before = std::mem::replace(&mut *self.last.lock(), now);
            now.busy_permille_since(before)
        });
        let (memory_bytes, memory_max_bytes) = memory().unwrap_or_default();
        let (storage_bytes, storage_max_bytes) = storage(&self.data).unwrap_or_default();
        MachineLoad { cpu_permille, memory_bytes, memory_max_bytes, storage_bytes, storage_max_bytes }
    }
}

impl Ticks {
    fn now() -> Option<Self> {
        Self::read(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// From the first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal.
    fn read(text: &str) -> Option<Self> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|word| word.parse().ok()).collect();
        let idle = ticks.get(3)? + ticks.get(4)?;
        Some(Self { all: ticks.iter().sum(), idle })
    }

    fn busy_permille_since(self, before: Self) -> u16 {
        let all = self.all.saturating_sub(before.all);
        let idle = self.idle.saturating_sub(before.idle).min(all);
        let busy = (all - idle) * 1_000;
        u16::try_from(busy.checked_div(all).unwrap_or(0)).unwrap_or(1_000)
    }
}

/// Bytes in use and of all.
fn memory() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1_024)
    };
    let (all, available) = (bytes("MemTotal:")?, bytes("MemAvailable:")?);
    Some((all.saturating_sub(available), all))
}

/// Bytes in use and of all.
fn storage(folder: &Path) -> Option<(u64, u64)> {
    let disk = statvfs(folder).ok()?;
    let block = disk.fragment_size();
    let (all, free) = (disk.blocks() * block, disk.blocks_free() * block);
    Some((all.saturating_sub(free), all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_a_share_of_what_passed() {
        let before = Ticks::read("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2\n").expect("reads");
        assert_eq!(before, Ticks { all: 1_000, idle: 850 });
        let after = Ticks::read("cpu  150 0 75 1200 75 0 0 0 0 0\n").expect("reads");
        assert_eq!(after.busy_permille_since(before), 150);
        assert_eq!(before.busy_permille_since(before), 0, "no time passed");
        assert_eq!(before.busy_permille_since(after), 0, "the machine's count began anew");
        assert_eq!(Ticks::read("intr 1"), None);
    }

    #[test]
    fn this_machine_has_memory_and_a_disk() {
        let load = Machine::new(Path::new("/")).look();
        assert!(load.memory_bytes > 0 && load.memory_bytes < load.memory_max_bytes, "{load:?}");
        assert!(load.storage_bytes > 0 && load.storage_bytes <= load.storage_max_bytes, "{load:?}");
        assert!(load.cpu_permille <= 1_000, "{load:?}");
        assert_eq!(storage(Path::new("/nowhere")), None);
    }
}
