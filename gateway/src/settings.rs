//! What an operator may set of a gateway. The binary reads them from file and environment; nothing here
//! looks anywhere.

use std::net::SocketAddr;
use std::path::PathBuf;

use access::terminal::Admission;
use cluster::{Advertise, Listener};
use model::RedirectForm;
use serde::Deserialize;

/// The settings of a gateway: section `gateway` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where terminals dial in; port 0 picks a free one.
    pub listen: SocketAddr,
    /// What terminals must dial to reach this gateway; None: the address that they used already. With port 0: the bound
    /// port.
    pub advertise: Option<Advertise>,
    /// How unknown terminals are met. [`Admission::Pending`] leaves them their time, see
    /// [`authenticate_within_s`](Self::authenticate_within_s).
    pub admission: Admission,
    /// The name of this node, under which it holds its terminals' sessions. Not in the file:
    /// the binary says it.
    #[serde(skip)]
    pub node: String,
    /// The folder of the spool. Not in the file: the binary says it.
    #[serde(skip)]
    pub spool_dir: PathBuf,
    /// Most bytes that the spool takes on disk while the database is away; beyond, reports stay unanswered.
    pub spool_bytes_max: u64,
    /// Most bytes of copies of other gateways' spools, of all of them together; beyond, they look for another peer.
    pub copies_bytes_max: u64,
    /// Most connections at once; further ones are closed on arrival.
    pub connections_max: usize,
    /// Most connections of one address (of an IPv6 /64) that have not authenticated yet. Behind one address
    /// may stand a whole fleet (mobile NAT), so this is generous.
    pub unauthenticated_per_ip_max: usize,
    /// How long a connection may take to authenticate, seconds.
    pub authenticate_within_s: u64,
    /// Most bytes a connection may send before it authenticated.
    pub unauthenticated_bytes_max: usize,
    /// How long an authenticated terminal may stay silent, seconds.
    pub idle_s: u64,
    /// Batch writers. A terminal always goes to the same one.
    pub writers: usize,
    /// Most reports in a batch, hence in a transaction.
    pub batch_reports_max: usize,
    /// How long a batch waits for company, milliseconds.
    pub batch_wait_ms: u64,
    /// Most reports that wait for a writer; beyond, terminals' sockets are not read.
    pub queue_reports_max: usize,
    /// For how long login servers send terminals here, minutes; 0 where nobody does. Every terminal that is not
    /// carried by a login server is sent here anew at half of it. Not in the file: the binary says it.
    #[serde(skip)]
    pub redirect_limit_min: u16,
    /// How numbers stand in what says so, unless the terminal's device profile says it. Not in the file: the binary says
    /// it.
    #[serde(skip)]
    pub redirect_form: RedirectForm,
    /// How long a command waits for the terminal's answer, milliseconds.
    pub command_timeout_ms: u64,
    /// Most commands that wait for one terminal's answers.
    pub commands_per_terminal_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Listener::on_port(6608).listen,
            advertise: None,
            admission: Admission::default(),
            node: "motorcade".to_owned(),
            spool_dir: PathBuf::from("spool"),
            spool_bytes_max: 1 << 30,
            copies_bytes_max: 2 << 30,
            // Below the usual limit of 20,000 files a process.
            connections_max: 16_000,
            unauthenticated_per_ip_max: 4_000,
            authenticate_within_s: 60,
            unauthenticated_bytes_max: 16 * 1024,
            idle_s: 180,
            writers: 2,
            batch_reports_max: 2_000,
            batch_wait_ms: 5,
            queue_reports_max: 20_000,
            redirect_limit_min: 0,
            redirect_form: RedirectForm::default(),
            command_timeout_ms: 10_000,
            commands_per_terminal_max: 32,
        }
    }
}
