//! What a simulated fleet is told.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::servers::Address;

/// A fleet: how many terminals, where they connect, how they behave.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The server that each terminal dials (JT/T 808): a gateway or a login server, host:port.
    pub gateway: String,
    /// The servers that it dials when that one cannot be reached, in order of preference, host:port each. It stays with
    /// one that works until that link breaks.
    pub backups: Vec<String>,
    /// How many terminals. 20.
    pub terminals: u32,
    /// The SIM of the first one; each further one has the next number. At most 11 digits, so that it fits the
    /// shorter header.
    pub first_sim: u64,
    /// The editions that they speak, in turn: 2011, 2013, 2019.
    pub editions: Vec<u16>,
    /// Milliseconds between two reports of one terminal, at least 10. 5,000.
    pub interval_ms: u64,
    /// How long to report, seconds; None = until stopped.
    pub duration_s: Option<u64>,
    /// How long to wait for the last acknowledgements after that, seconds. 60.
    pub drain_s: u64,
    /// Everything that is random follows from this, so that a run can be repeated.
    pub seed: u64,
    /// Of 1,000 reports, how many go out a second time at once under their old serial number.
    pub resend_same_serial_permille: u32,
    /// Of 1,000 reports, how many go out a second time at once under a new serial number.
    pub resend_new_serial_permille: u32,
    /// Of 1,000 reports, how many go out a second time at once inside a 0x0704 of type 1.
    pub resend_batch_permille: u32,
    /// Of 1,000 reports, how many carry an impossible time.
    pub poison_permille: u32,
    /// How long each alarm condition lasts, and how long it then stays away, seconds; 0 = no alarms.
    pub alarm_period_s: u32,
    /// The first wait for an answer, milliseconds. 5,000.
    pub answer_timeout_ms: u64,
    /// Heartbeat period, milliseconds. 30,000.
    pub heartbeat_ms: u64,
    /// How long an attempt to connect may take, milliseconds, at least 1. 5,000.
    pub connect_timeout_ms: u64,
    /// The longest wait between two attempts to connect, milliseconds; the first one is 100. 2,000.
    pub reconnect_max_ms: u64,
    /// Of 1,000 terminals, how many refuse to be sent to another server (0x8105 command 2): result 3. Which ones
    /// follows from the seed, here and in the next two; there are exactly as many.
    pub redirect_refuse_permille: u32,
    /// Of 1,000 terminals, how many ignore it: no answer.
    pub redirect_ignore_permille: u32,
    /// Of 1,000 terminals, how many obey but do not keep to the time limit: they stay as long as the link works, and go
    /// home after three failed attempts.
    pub redirect_limit_ignore_permille: u32,
    /// How long a minute of a time limit lasts, milliseconds. 60,000; less makes a test short.
    pub minute_ms: u64,
    /// How many channels (cameras) each terminal has.
    pub channels: u8,
    /// Folder for the clips that the cameras show, made by `ffmpeg` when first wanted; None = no cameras.
    pub clips: Option<PathBuf>,
    /// File for the ledger, written at the end.
    pub ledger: Option<PathBuf>,
    /// File for what each terminal's links were and said, a JSON object a line ([`LogLine`](crate::LogLine)), written
    /// as it happens.
    pub log: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            gateway: "127.0.0.1:6608".to_owned(),
            backups: Vec::new(),
            terminals: 20,
            first_sim: 13_800_000_001,
            editions: vec![2013, 2019, 2011],
            interval_ms: 5_000,
            duration_s: None,
            drain_s: 60,
            seed: 1,
            resend_same_serial_permille: 0,
            resend_new_serial_permille: 0,
            resend_batch_permille: 0,
            poison_permille: 0,
            alarm_period_s: 0,
            answer_timeout_ms: 5_000,
            heartbeat_ms: 30_000,
            connect_timeout_ms: 5_000,
            reconnect_max_ms: 2_000,
            redirect_refuse_permille: 0,
            redirect_ignore_permille: 0,
            redirect_limit_ignore_permille: 0,
            minute_ms: 60_000,
            channels: 4,
            clips: None,
            ledger: None,
            log: None,
        }
    }
}

/// Why a fleet cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is out of its range.
    #[error("setting {name}: {reason}")]
    Setting {
        /// Which.
        name: &'static str,
        /// What it must be.
        reason: &'static str,
    },
    /// The ledger could not be written or read.
    #[error("ledger {}", path.display())]
    Ledger {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The log could not be written or read.
    #[error("log {}", path.display())]
    Log {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A proxy could not listen.
    #[error("listen on {addr}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `ffmpeg` did not make a clip.
    #[error("clip for channel {channel} was not made")]
    Clip {
        /// Whose.
        channel: u8,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A capture could not be read.
    #[error("capture {}", path.display())]
    Capture {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |name, reason| Err(Error::Setting { name, reason });
        if self.first_sim.saturating_add(self.terminals.into()) > 99_999_999_999 {
            return wrong("first_sim", "every SIM has at most 11 digits");
        }
        if self.interval_ms < 10 {
            return wrong("interval_ms", "at least 10");
        }
        if self.connect_timeout_ms == 0 {
            return wrong("connect_timeout_ms", "at least 1");
        }
        if self.editions.is_empty() || !self.editions.iter().all(|e| [2011, 2013, 2019].contains(e)) {
            return wrong("editions", "some of 2011, 2013 and 2019");
        }
        if self.resend_same_serial_permille + self.resend_new_serial_permille + self.resend_batch_permille
            > 1_000
        {
            return wrong("resend_*_permille", "together at most 1,000");
        }
        if self.poison_permille > 1_000 {
            return wrong("poison_permille", "at most 1,000");
        }
        let redirects = [
            self.redirect_refuse_permille,
            self.redirect_ignore_permille,
            self.redirect_limit_ignore_permille,
        ];
        if redirects.into_iter().fold(0, u32::saturating_add) > 1_000 {
            return wrong("redirect_*_permille", "together at most 1,000");
        }
        self.servers().map(|_| ())
    }

    /// The servers of each terminal, in order of preference.
    pub(crate) fn servers(&self) -> Result<Vec<Address>, Error> {
        let wrong = |name| move |_| Error::Setting { name, reason: "host:port" };
        let main: Address = self.gateway.parse().map_err(wrong("gateway"))?;
        let backups = self.backups.iter().map(|text| text.parse().map_err(wrong("backups")));
        std::iter::once(Ok(main)).chain(backups).collect()
    }
}
