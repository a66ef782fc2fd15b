//! The limits of a platform session.

use std::time::Duration;

/// Time limits and bounds of one session. All may be changed; the defaults are the ones documented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a link may last without a successful authentication. 60 s.
    pub authentication_limit: Duration,
    /// How long a link may be silent. The larger of three heartbeat periods and 180 s: set it from the
    /// terminal's parameter 0x0001 where that is known. 180 s.
    pub idle_limit: Duration,
    /// How long a command first waits for its answer; the wait before resend N+1 is the one before N times
    /// N+1 (JT/T 808-2019, as the terminal's own resending). 10 s.
    pub command_timeout: Duration,
    /// How often a command is sent again. 2: with 10 s the waits are 10, 20 and 60 s.
    pub command_resends: u32,
    /// How many commands may wait for answers at once. 32.
    pub commands_max: usize,
    /// How many messages of positions may wait to be stored before [`wants_input`](super::Session::wants_input)
    /// turns false. 64: at 1 KiB each that is what one link may hold of a gateway's memory.
    pub reports_max: usize,
    /// How long a split message may stand still before its missing packages are asked for (0x8003). 5 s.
    pub package_wait: Duration,
    /// How often missing packages of one split message are asked for. 3.
    pub package_asks: u32,
    /// How long a split message may take as a whole. 60 s.
    pub split_limit: Duration,
    /// How many bytes may come in without one good frame before the link is closed. 64 KiB: thirty of the
    /// largest frames; a device that garbles for longer does not recover, a scanner is gone sooner.
    pub bad_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            authentication_limit: Duration::from_secs(60),
            idle_limit: Duration::from_secs(180),
            command_timeout: Duration::from_secs(10),
            command_resends: 2,
            commands_max: 32,
            reports_max: 64,
            package_wait: Duration::from_secs(5),
            package_asks: 3,
            split_limit: Duration::from_secs(60),
            bad_bytes_max: 64 * 1024,
        }
    }
}
