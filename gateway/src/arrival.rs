//! How a connection begins: with a terminal's own bytes, or with the header of a login server that carries one
//! (PROXY protocol version 2), which names the terminal's address.
//!
//! Only where the gateway is in a cluster is there anything to look for, and then a terminal that dialled by itself
//! pays a look at its first byte. Whether a header is believed others say.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use cluster::{Newcomer, Newcomers};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::conn::Conn;
use crate::gate::Gate;
use crate::trouble::Trouble;

/// What every header begins with. No JT/T 808 frame does.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest header that is read: the standard's longest without TLVs is 232 bytes.
const HEADER_BYTES_MAX: usize = 536;
/// How long a header may take from its first byte. Its writer is a node of the cluster.
const HEADER_WITHIN: Duration = Duration::from_secs(5);

/// Who says whether a header is a login server's.
pub trait Splices: Send + Sync {
    /// The terminal that the header names: of those bytes that are there, None while more are needed. Gives its
    /// address and the header's length.
    ///
    /// # Errors
    /// What is wrong with it, for the log: the connection is closed.
    fn read(&self, bytes: &[u8]) -> Result<Option<(SocketAddr, usize)>, String>;
}

/// A connection that was taken.
pub(crate) struct Arrival {
    /// The terminal, as we or its login server see it.
    pub(crate) peer: SocketAddr,
    /// Our address as it was dialled.
    pub(crate) local: SocketAddr,
    pub(crate) is_spliced: bool,
    /// When it was taken.
    pub(crate) at: Instant,
    /// What was read of it already.
    pub(crate) first: BytesMut,
}

impl Arrival {
    /// A terminal that dialled by itself, as far as is known.
    pub(crate) fn direct(peer: SocketAddr, local: SocketAddr) -> Self {
        Self { peer, local, is_spliced: false, at: Instant::now(), first: BytesMut::new() }
    }
}

/// Why a connection is none.
enum Wrong {
    /// Nothing came in time.
    Silent,
    /// It is closed.
    Gone,
    Header(String),
}

/// Finds out who is there, and serves the connection.
pub(crate) async fn arrive(
    gate: Arc<Gate>,
    mut socket: TcpStream,
    mut arrival: Arrival,
    newcomer: Newcomer,
    newcomers: Arc<Newcomers>,
    stop: CancellationToken,
) {
    let begun = match &gate.splices {
        None => Ok(()),
        Some(splices) => {
            let within = Duration::from_secs(gate.settings.authenticate_within_s);
            let begun = begin(splices.as_ref(), &mut socket, &mut arrival, within);
            match stop.run_until_cancelled(begun).await {
                Some(begun) => begun,
                None => return,
            }
        }
    };
    match begun {
        Ok(()) => {}
        Err(Wrong::Gone) => return,
        Err(Wrong::Silent) => return gate.troubles.count(Trouble::AuthenticationLate),
        Err(Wrong::Header(error)) => {
            tracing::debug!(peer = %arrival.peer, error, "a header is not believed");
            return gate.troubles.count(Trouble::SpliceRefused);
        }
    }
    let newcomer = if arrival.is_spliced {
        // The login server was counted so far, which carries many.
        drop(newcomer);
        match newcomers.enter(arrival.peer.ip(), gate.settings.unauthenticated_per_ip_max) {
            Some(newcomer) => newcomer,
            None => return gate.troubles.count(Trouble::AddressFull),
        }
    } else {
        newcomer
    };
    Box::pin(Conn::new(gate, arrival, newcomer, &stop).run(socket)).await;
}

/// Looks at the first byte, and reads the header if it begins one.
async fn begin(
    splices: &dyn Splices,
    socket: &mut TcpStream,
    arrival: &mut Arrival,
    within: Duration,
) -> Result<(), Wrong> {
    let mut first = [0; 1];
    match tokio::time::timeout(within, socket.peek(&mut first)).await {
        Err(_) => return Err(Wrong::Silent),
        Ok(Err(_) | Ok(0)) => return Err(Wrong::Gone),
        Ok(Ok(_)) if !SIGNATURE.starts_with(&first) => return Ok(()),
        Ok(Ok(_)) => {}
    }
    let read = tokio::time::timeout(HEADER_WITHIN, header(splices, socket, arrival)).await;
    read.unwrap_or_else(|_| Err(Wrong::Header("it did not come in time".to_owned())))
}

/// Reads until the header is whole, or the bytes are none.
async fn header(splices: &dyn Splices, socket: &mut TcpStream, arrival: &mut Arrival) -> Result<(), Wrong> {
    let mut bytes = BytesMut::with_capacity(HEADER_BYTES_MAX);
    while bytes.len() < HEADER_BYTES_MAX {
        let count = (&mut *socket)
            .take((HEADER_BYTES_MAX - bytes.len()) as u64)
            .read_buf(&mut bytes)
            .await
            .map_err(|_| Wrong::Gone)?;
        if count == 0 {
            return Err(Wrong::Gone);
        }
        let common = bytes.len().min(SIGNATURE.len());
        if bytes[..common] != SIGNATURE[..common] {
            // a terminal's noise, which its session counts
            arrival.first = bytes;
            return Ok(());
        }
        if common < SIGNATURE.len() {
            continue;
        }
        if let Some((terminal, length)) = splices.read(&bytes).map_err(Wrong::Header)? {
            arrival.first = bytes.split_off(length.min(bytes.len()));
            arrival.peer = terminal;
            arrival.is_spliced = true;
            return Ok(());
        }
    }
    Err(Wrong::Header(format!("it is longer than {HEADER_BYTES_MAX} bytes")))
}
