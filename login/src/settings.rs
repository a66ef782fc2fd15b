//! What an operator may set of a login server. The binary reads them from file and environment; nothing here looks
//! anywhere.

use std::net::SocketAddr;

use access::terminal::Admission;
use cluster::{Advertise, Listener};
use model::RedirectForm;
use serde::Deserialize;

/// The settings of a login server: section `login` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where terminals and clients dial in; port 0 picks a free one.
    pub listen: SocketAddr,
    /// What they must dial to reach this login server; None: the address that they used already.
    pub advertise: Option<Advertise>,
    /// How unknown terminals are met: as at the gateways. Not in the file: the binary says it.
    #[serde(skip)]
    pub admission: Admission,
    /// Most connections at once, spliced ones included; further ones are closed on arrival.
    pub connections_max: usize,
    /// Most connections of one address (of an IPv6 /64) that have not proved anything yet. Behind one address may
    /// stand a whole fleet (mobile NAT), so this is generous.
    pub unauthenticated_per_ip_max: usize,
    /// How long a connection may take to authenticate, seconds.
    pub authenticate_within_s: u64,
    /// Most bytes a connection may send before it authenticated.
    pub unauthenticated_bytes_max: usize,
    /// How the command is written that sends a terminal to its gateway, unless its device profile says so.
    pub redirect_form: RedirectForm,
    /// How long a terminal keeps to a gateway unless that says so again, minutes.
    pub redirect_limit_min: u16,
    /// How long a terminal may take to answer that command, seconds; then it is spliced through.
    pub redirect_answer_within_s: u64,
    /// How long a terminal that said it would go may stay, seconds; then it is spliced through.
    pub redirect_leave_within_s: u64,
    /// Most bytes a terminal may send after it authenticated and before it goes; then it is spliced through at once.
    pub redirect_bytes_max: usize,
    /// After so many gateways that a terminal was sent to and did not reach, it is spliced through.
    pub redirect_failures_max: usize,
    /// Most terminals that are spliced through at once; further ones are closed, and try again.
    pub splices_max: usize,
    /// How long a gateway may take to accept a spliced terminal's connection, seconds.
    pub splice_connect_within_s: u64,
    /// How long a gateway may take to answer a spliced terminal's authentication, seconds.
    pub splice_answer_within_s: u64,
    /// How long a spliced terminal may stay silent, seconds. Above the gateways' own limit, which comes first.
    pub splice_idle_s: u64,
    /// How long an HTTP request may take from its first byte to its answer, seconds.
    pub request_within_s: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Listener::on_port(6605).listen,
            advertise: None,
            admission: Admission::default(),
            // Two sockets for a spliced one: below the usual limit of 20,000 files a process.
            connections_max: 12_000,
            unauthenticated_per_ip_max: 4_000,
            authenticate_within_s: 60,
            unauthenticated_bytes_max: 16 * 1024,
            redirect_form: RedirectForm::default(),
            redirect_limit_min: 2,
            redirect_answer_within_s: 10,
            redirect_leave_within_s: 10,
            redirect_bytes_max: 32 * 1024,
            redirect_failures_max: 2,
            splices_max: 6_000,
            splice_connect_within_s: 3,
            splice_answer_within_s: 10,
            splice_idle_s: 300,
            request_within_s: 10,
        }
    }
}
