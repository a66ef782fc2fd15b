//! Which server a terminal dials: one of its own (main and backup), or the one that it was sent to (0x8105 command 2).
//! Knows no sockets and reads no clock.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// How many attempts in a row a terminal that stays while it works makes at a server that does not.
const PATIENCE: u32 = 3;

/// A server as a terminal dials it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// An address, without brackets, or a name.
    host: String,
    port: u16,
}

/// Text that is no host and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoAddress;

impl Address {
    pub(crate) fn new(host: &str, port: u16) -> Result<Self, NoAddress> {
        let is_host = !host.is_empty() && (!host.contains(':') || host.parse::<Ipv6Addr>().is_ok());
        if is_host && port != 0 { Ok(Self { host: host.to_owned(), port }) } else { Err(NoAddress) }
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let (host, port) = text.rsplit_once(':').ok_or(NoAddress)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or(NoAddress)?,
            None if host.contains(':') => return Err(NoAddress),
            None => host,
        };
        Self::new(host, port.parse().map_err(|_| NoAddress)?)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// The servers of one terminal.
#[derive(Debug)]
pub(crate) struct Servers {
    /// Its own, in order of preference: main first. Never empty.
    own: Vec<Address>,
    /// Which of its own is dialled.
    place: usize,
    given: Option<Given>,
    /// The one dialled last.
    dialled: Option<Address>,
}

/// The server that a terminal was sent to.
#[derive(Debug)]
struct Given {
    address: Address,
    code: Option<Bytes>,
    stay: Stay,
    /// Attempts in a row that failed.
    failed: u32,
}

/// How long a terminal keeps to the server that it was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stay {
    /// Until then, whether that server can be reached or not (the standard's time limit).
    Until(Instant),
    /// For good (the standard's time limit 0).
    Always,
    /// As long as the link works and a few attempts more: devices that do not keep to the limit.
    WhileItWorks,
}

/// What is to be dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) address: Address,
    /// The code for this link; None = the terminal's own.
    pub(crate) code: Option<Bytes>,
}

/// What became of a terminal that was sent to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It is there already: nothing but the time limit is new.
    Renewed,
    /// It has to go.
    Elsewhere,
}

impl Servers {
    /// `own` in order of preference, not empty.
    pub(crate) fn new(own: Vec<Address>) -> Self {
        assert!(!own.is_empty(), "a terminal has a server");
        Self { own, place: 0, given: None, dialled: None }
    }

    /// Its own, in order of preference.
    pub(crate) fn own(&self) -> &[Address] {
        &self.own
    }

    /// Other servers of its own, in order of preference, not empty; dialled next time.
    pub(crate) fn set_own(&mut self, own: Vec<Address>) {
        assert!(!own.is_empty(), "a terminal has a server");
        self.own = own;
        self.place = 0;
    }

    /// What to dial now.
    pub(crate) fn dial(&mut self) -> Target {
        let target = self.target();
        self.dialled = Some(target.address.clone());
        target
    }

    /// Whether the link to the server dialled last is one that the terminal should not be on any more.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.dialled.as_ref().is_some_and(|dialled| *dialled != self.target().address)
    }

    /// Sends the terminal, on a link to the server dialled last, to `address`.
    pub(crate) fn send_to(&mut self, address: Address, code: Option<Bytes>, stay: Stay) -> Sent {
        self.given = Some(Given { address, code, stay, failed: 0 });
        if self.is_elsewhere() { Sent::Elsewhere } else { Sent::Renewed }
    }

    /// Back to its own server.
    pub(crate) fn go_home(&mut self) {
        self.given = None;
    }

    /// As after a reset: back to its own main server.
    pub(crate) fn reset(&mut self) {
        self.given = None;
        self.place = 0;
    }

    /// When the time at the given server is over.
    pub(crate) fn stays_until(&self) -> Option<Instant> {
        match self.given.as_ref()?.stay {
            Stay::Until(until) => Some(until),
            Stay::Always | Stay::WhileItWorks => None,
        }
    }

    /// True, once, when the time at the given server is over.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        let is_over = self.stays_until().is_some_and(|until| until <= now);
        if is_over {
            self.given = None;
        }
        is_over
    }

    /// The terminal authenticated at the server dialled last.
    pub(crate) fn worked(&mut self) {
        if let Some(given) = &mut self.given {
            given.failed = 0;
        }
    }

    /// The attempt at the server dialled last came to nothing. Its own servers take turns; true when it has given up the
    /// server that it was sent to.
    pub(crate) fn failed(&mut self) -> bool {
        let Some(given) = &mut self.given else {
            self.place = (self.place + 1) % self.own.len();
            return false;
        };
        given.failed += 1;
        let gives_up = given.stay == Stay::WhileItWorks && given.failed >= PATIENCE;
        if gives_up {
            self.given = None;
        }
        gives_up
    }

    fn target(&self) -> Target {
        match &self.given {
            Some(Given { address, code, .. }) => Target { address: address.clone(), code: code.clone() },
            None => Target { address: self.own[self.place].clone(), code: None },
        }
    }
}

/// A time limit of 0x8105, where a minute lasts `minute`.
pub(crate) fn stay(now: Instant, limit_min: u16, minute: Duration) -> Stay {
    match limit_min {
        0 => Stay::Always,
        minutes => Stay::Until(now + minute * u32::from(minutes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    /// On a link to its main server.
    fn servers() -> Servers {
        let mut servers = Servers::new(vec![address("main:1"), address("backup:2")]);
        assert_eq!(dialled(&mut servers), "main:1");
        servers
    }

    fn dialled(servers: &mut Servers) -> String {
        servers.dial().address.to_string()
    }

    #[test]
    fn addresses() {
        for text in ["10.0.0.1:6608", "gw1.example:1", "[2001:db8::1]:65535"] {
            assert_eq!(address(text).to_string(), text);
        }
        for text in
            ["", "host", "host:", ":1", "host:0", "host:65536", "2001:db8::1:1", "[::1:1", "[host:x]:1"]
        {
            assert_eq!(text.parse::<Address>(), Err(NoAddress), "{text}");
        }
    }

    #[test]
    fn main_and_backup_take_turns_when_one_cannot_be_reached() {
        let mut servers = servers();
        assert!(!servers.failed());
        assert_eq!(dialled(&mut servers), "backup:2");
        servers.worked();
        assert_eq!(dialled(&mut servers), "backup:2", "it stays where it worked");
        servers.failed();
        assert_eq!(dialled(&mut servers), "main:1");
        servers.set_own(vec![address("other:3")]);
        assert!(servers.is_elsewhere());
        assert_eq!(dialled(&mut servers), "other:3");
    }

    #[test]
    fn keeps_to_the_given_server_until_the_limit_after_the_last_command() {
        let (mut servers, start) = (servers(), Instant::now());
        let code = Some(Bytes::from_static(b"lent"));
        let sent = servers.send_to(address("given:9"), code.clone(), stay(start, 10, MINUTE));
        assert_eq!(sent, Sent::Elsewhere);
        assert!(servers.is_elsewhere());
        assert_eq!(servers.dial(), Target { address: address("given:9"), code });
        // it cannot be reached, and is tried all the same
        for _ in 0..10 {
            assert!(!servers.failed());
            assert_eq!(dialled(&mut servers), "given:9");
        }
        let renewed_at = start + 9 * MINUTE;
        assert!(!servers.expire(renewed_at));
        assert_eq!(
            servers.send_to(address("given:9"), None, stay(renewed_at, 10, MINUTE)),
            Sent::Renewed,
            "no new link"
        );
        assert!(!servers.expire(start + 10 * MINUTE));
        let until = renewed_at + 10 * MINUTE;
        assert_eq!(servers.stays_until(), Some(until));
        assert!(!servers.expire(until - Duration::from_millis(1)) && !servers.is_elsewhere());
        assert!(servers.expire(until) && servers.is_elsewhere());
        assert!(!servers.expire(until), "once");
        assert_eq!(servers.dial(), Target { address: address("main:1"), code: None });
    }

    #[test]
    fn a_limit_of_0_is_for_good_until_it_is_called_back() {
        let (mut servers, start) = (servers(), Instant::now());
        servers.send_to(address("given:9"), None, stay(start, 0, MINUTE));
        assert_eq!(dialled(&mut servers), "given:9");
        assert!(servers.stays_until().is_none() && !servers.expire(start + 70_000 * MINUTE));
        servers.go_home();
        assert!(servers.is_elsewhere());
        assert_eq!(dialled(&mut servers), "main:1");
    }

    #[test]
    fn sent_to_where_its_own_link_leads_it_stays_on_it_before_and_after() {
        let (mut servers, start) = (servers(), Instant::now());
        assert_eq!(servers.send_to(address("main:1"), None, stay(start, 1, MINUTE)), Sent::Renewed);
        assert!(servers.expire(start + MINUTE) && !servers.is_elsewhere());
    }

    #[test]
    fn one_that_does_not_keep_to_the_limit_stays_while_it_works() {
        let mut servers = servers();
        servers.send_to(address("given:9"), None, Stay::WhileItWorks);
        for _ in 0..3 {
            assert_eq!(dialled(&mut servers), "given:9");
            servers.worked();
            assert!(!servers.failed() && !servers.failed(), "two failures in a row");
        }
        assert!(servers.failed());
        assert_eq!(dialled(&mut servers), "main:1");
    }

    #[test]
    fn a_reset_leads_to_the_main_server() {
        let (mut servers, start) = (servers(), Instant::now());
        servers.failed();
        servers.send_to(address("given:9"), None, stay(start, 1, MINUTE));
        assert_eq!(dialled(&mut servers), "given:9");
        servers.reset();
        assert_eq!(dialled(&mut servers), "main:1");
    }
}
