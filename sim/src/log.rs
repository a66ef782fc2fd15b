//! The simulator's own log: what each terminal's links were and said, one JSON object a line, so that a trace of the
//! platform can be held against it message by message.

use std::fs::File;
use std::io::{BufRead, BufReader, LineWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::Error;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// When.
    pub time: DateTime<Utc>,
    /// The terminal's SIM, without leading zeros.
    pub sim: String,
    /// Which of its attempts to connect, from 1.
    pub link: u32,
    /// What happened.
    #[serde(flatten)]
    pub entry: Entry,
}

/// What happened on a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Entry {
    /// An attempt to connect began.
    Dialled {
        /// Where: `host:port`.
        address: String,
    },
    /// The TCP connection is there.
    Connected {
        /// The terminal's own end of it.
        from: String,
        /// The server's end.
        to: String,
    },
    /// The platform took the terminal's code.
    Authenticated,
    /// A message came, 0x8001 among them; a split one once it is whole.
    Received {
        /// Its id, such as `0x8105`.
        id: String,
        /// The serial number of its last package.
        serial: u16,
    },
    /// A message went out for the first time, reports (0x0200, 0x0704) and heartbeats (0x0002) excepted.
    Sent {
        /// Its id, such as `0x0102`.
        id: String,
        /// The serial number of its last package.
        serial: u16,
    },
    /// The link is gone, or the attempt failed.
    Ended {
        /// Why, in words.
        reason: String,
    },
}

/// Where lines go: a file, or nowhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    file: Option<Arc<Mutex<LogFile>>>,
}

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    lines: LineWriter<File>,
    /// The first write that failed; nothing is written after it.
    failed: Option<std::io::Error>,
}

impl Log {
    /// Into the file at `path`, made anew.
    pub(crate) fn create(path: &Path) -> Result<Self, Error> {
        let file = File::create(path).map_err(|source| Error::Log { path: path.to_owned(), source })?;
        let file = LogFile { path: path.to_owned(), lines: LineWriter::new(file), failed: None };
        Ok(Self { file: Some(Arc::new(Mutex::new(file))) })
    }

    /// Whether anybody reads.
    pub(crate) fn is_on(&self) -> bool {
        self.file.is_some()
    }

    /// Writes what `entry` says, if anybody reads.
    pub(crate) fn write(&self, sim: &str, link: u32, entry: impl FnOnce() -> Entry) {
        let Some(file) = &self.file else { return };
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.failed.is_some() {
            return;
        }
        let line = Line { time: Utc::now(), sim: sim.to_owned(), link, entry: entry() };
        let json = serde_json::to_vec(&line).map_err(std::io::Error::from);
        let written = json.and_then(|mut json| {
            json.push(b'\n');
            file.lines.write_all(&json)
        });
        file.failed = written.err();
    }

    /// An error if not everything was written.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        match file.failed.take() {
            Some(source) => Err(Error::Log { path: file.path.clone(), source }),
            None => Ok(()),
        }
    }
}

impl Line {
    /// Reads the log at `path`, also while it is written.
    pub fn read_all(path: &Path) -> Result<Vec<Self>, Error> {
        let failed = |source| Error::Log { path: path.to_owned(), source };
        let mut reader = BufReader::new(File::open(path).map_err(failed)?);
        let (mut lines, mut text) = (Vec::new(), String::new());
        while reader.read_line(&mut text).map_err(failed)? > 0 && text.ends_with('\n') {
            lines.push(serde_json::from_str(&text).map_err(|error| failed(error.into()))?);
            text.clear();
        }
        Ok(lines)
    }
}

/// A message id as the log writes it.
pub(crate) fn message(id: u16) -> String {
    format!("{id:#06x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_line_by_line_and_waits_for_the_end_of_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let log = Log::create(&path).unwrap();
        let entries = [
            Entry::Dialled { address: "10.0.0.1:6605".into() },
            Entry::Connected { from: "10.0.0.9:40000".into(), to: "10.0.0.1:6605".into() },
            Entry::Authenticated,
            Entry::Received { id: message(0x8105), serial: 65_535 },
            Entry::Sent { id: message(0x0001), serial: 3 },
            Entry::Ended { reason: "closed by the platform".into() },
        ];
        for entry in &entries {
            log.write("13800000001", 2, || entry.clone());
        }
        let lines = Line::read_all(&path).unwrap();
        assert_eq!(lines.iter().map(|line| line.entry.clone()).collect::<Vec<_>>(), entries);
        assert!(lines.iter().all(|line| (line.sim.as_str(), line.link) == ("13800000001", 2)));
        assert!(lines.is_sorted_by_key(|line| line.time));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(r#""what":"received","id":"0x8105","serial":65535}"#), "{text}");

        std::fs::write(&path, &text[..text.len() - 9]).unwrap();
        assert_eq!(Line::read_all(&path).unwrap().len(), 5, "the last is not whole yet");
        assert!(log.finish().is_ok());
    }

    #[test]
    fn a_write_that_failed_is_told_at_the_end() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            println!("skipped: there is no {}", full.display());
            return;
        }
        let log = Log::create(full).unwrap();
        log.write("1", 1, || Entry::Authenticated);
        assert!(matches!(log.finish(), Err(Error::Log { .. })));
        let off = Log::default();
        off.write("1", 1, || unreachable!("nobody reads"));
        assert!(off.finish().is_ok() && !off.is_on());
    }
}
