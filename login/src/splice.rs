//! A terminal that does not go to its gateway itself is spliced through to it: the gateway is told who dials, hears
//! the terminal's authentication and what it said since, and then bytes go both ways.
//!
//! Knows of JT/T 808 what it takes to keep the gateway's answer to that authentication from the terminal, which has
//! had one. When either side ends, the other is closed: a terminal whose gateway dies comes back to be sent elsewhere.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use chrono::Utc;
use cluster::dispatch::Assignment;
use cluster::proxy::Spliced;
use cluster::trace::{Message, Party, Step, StepTaken, Traceparent};
use model::{Sim, TerminalId};
use protocol::jt808::message::{GeneralReply, ReplyResult};
use protocol::jt808::{Deframer, FrameSettings, id};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::conn::WRITE_WITHIN;
use crate::desk::Desk;

/// How many gateways are tried for a terminal, one after the other.
const TRIES: usize = 3;
/// Most bytes of a gateway before its answer to the authentication: it has nothing else to say then.
const ANSWER_BYTES_MAX: usize = 8 * 1024;
/// Bytes that are carried at once, each way.
const CARRY_BYTES: usize = 8 * 1024;
/// How long the one side may go on after the other has ended.
const HALF_CLOSED_FOR: Duration = Duration::from_secs(5);
/// After how much silence TCP asks whether a gateway is there. Gateways are near; their terminals shall not wait.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(5);
/// How long what a gateway was sent may stay unacknowledged before it counts as dead.
const USER_TIMEOUT: Duration = Duration::from_secs(15);

/// A terminal on its way through.
pub(crate) struct Passage {
    pub(crate) terminal: TerminalId,
    pub(crate) sim: Sim,
    pub(crate) assignment: Assignment,
    /// The serial number of the authentication that `heard` begins with.
    pub(crate) serial: u16,
    /// The last step of its way, where that is traced.
    pub(crate) trace: Option<Traceparent>,
    pub(crate) heard: Vec<u8>,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
}

/// Why a splice ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("too many terminals are spliced through")]
    Full,
    #[error("no gateway could be reached")]
    Unreachable,
    #[error("the gateway did not let it in")]
    Refused,
    #[error("ended by the terminal")]
    Terminal,
    #[error("ended by the gateway")]
    Gateway,
    #[error("nothing received for too long")]
    Idle,
    #[error("told to close")]
    Closed,
}

/// Splices `terminal` through, until either side ends or `stop`.
pub(crate) async fn run(desk: &Desk, terminal: TcpStream, mut passage: Passage, stop: &CancellationToken) {
    let sim = passage.sim.clone();
    let spliced = stop.run_until_cancelled(through(desk, terminal, &mut passage)).await;
    let end = spliced.unwrap_or(End::Closed);
    let counters = &desk.counters;
    match end {
        End::Full => counters.splices_full.one(),
        End::Refused => counters.gateway_refused.one(),
        End::Gateway => counters.gateway_lost.one(),
        End::Idle => counters.splice_idle.one(),
        // Counted for each gateway that was tried.
        End::Unreachable | End::Terminal | End::Closed => {}
    }
    let node = &passage.assignment.node;
    tracing::info!(terminal.sim = %sim, node = %node, "terminal {sim} is not spliced to {node} any more: {end}");
}

async fn through(desk: &Desk, mut terminal: TcpStream, passage: &mut Passage) -> End {
    let Ok(_permit) = desk.splices.try_acquire() else { return End::Full };
    let Some(mut gateway) = reach(desk, passage).await else { return End::Unreachable };
    let within = Duration::from_secs(desk.settings.splice_answer_within_s);
    let first = match timeout(within, introduce(desk, &mut gateway, passage)).await {
        Ok(Ok(Some(first))) => first,
        Ok(Ok(None) | Err(_)) | Err(_) => return End::Refused,
    };
    if !matches!(timeout(WRITE_WITHIN, terminal.write_all(&first)).await, Ok(Ok(()))) {
        return End::Terminal;
    }
    desk.counters.spliced.one();
    desk.counters.splices.one();
    let _present = Present(desk);
    let Passage { sim, assignment: Assignment { node, .. }, .. } = passage;
    tracing::info!(terminal.sim = %sim, node = %node, "terminal {sim} is spliced through to {node}");
    carry_both(terminal, gateway, Duration::from_secs(desk.settings.splice_idle_s)).await
}

/// Counts while the splice is there.
struct Present<'a>(&'a Desk);

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.counters.splices.one_less();
    }
}

/// Connects to the terminal's gateway, or to another one that it is assigned to in its place.
async fn reach(desk: &Desk, passage: &mut Passage) -> Option<TcpStream> {
    let within = Duration::from_secs(desk.settings.splice_connect_within_s);
    for attempt in 1..=TRIES {
        passage.trace = trace_carried(desk, passage);
        let dial = &passage.assignment.dial;
        let host = dial.host.clone().unwrap_or_else(|| passage.local.ip().to_string());
        match timeout(within, TcpStream::connect((host, dial.port))).await {
            Ok(Ok(gateway)) if prepare(&gateway).is_ok() => return Some(gateway),
            Ok(Ok(_)) | Err(_) => {}
            Ok(Err(error)) => {
                tracing::debug!(node = %passage.assignment.node, %error, "a gateway cannot be reached");
            }
        }
        desk.counters.gateway_unreachable.one();
        if attempt < TRIES {
            passage.assignment = desk.dispatch.assign(passage.terminal)?;
        }
    }
    None
}

/// The terminal is carried to its gateway. Recorded before it is there, so that the gateway hears of it first.
fn trace_carried(desk: &Desk, passage: &Passage) -> Option<Traceparent> {
    let Passage { terminal, sim, assignment: Assignment { node, dial, .. }, .. } = passage;
    desk.sent(passage.trace, node, *terminal, |login| StepTaken {
        phone: Some(sim.clone()),
        terminal: Some(*terminal),
        gateway_address: Some(dial.clone()),
        ..StepTaken::now(Step::Returned, login, Party::Node(node.clone()), Message::Words("spliced".into()))
    })
}

fn prepare(gateway: &TcpStream) -> io::Result<()> {
    gateway.set_nodelay(true)?;
    let options = SockRef::from(gateway);
    options.set_tcp_keepalive(
        &TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_AFTER).with_retries(2),
    )?;
    options.set_tcp_user_timeout(Some(USER_TIMEOUT))
}

/// Says who dials, repeats what the terminal said, and waits for the answer to its authentication. What else the
/// gateway has sent by then is for the terminal; None where it did not let it in.
async fn introduce(desk: &Desk, gateway: &mut TcpStream, passage: &Passage) -> io::Result<Option<Vec<u8>>> {
    let who = Spliced { source: passage.peer, destination: passage.local };
    let unix_s = u64::try_from(Utc::now().timestamp()).unwrap_or(0);
    let mut bytes = who.encode(&desk.secret, unix_s, rand::random());
    bytes.extend_from_slice(&passage.heard);
    // It may answer before it has heard all, and need its answer taken to go on.
    let (mut reader, mut writer) = gateway.split();
    let said = async { writer.write_all(&bytes).await };
    let (_, answer) = tokio::try_join!(said, without_answer(&mut reader, passage.serial))?;
    Ok(answer)
}

/// What the gateway sends up to and around its answer to the message `serial`, without that answer; None where it is
/// no good one.
async fn without_answer(gateway: &mut (impl AsyncRead + Unpin), serial: u16) -> io::Result<Option<Vec<u8>>> {
    let mut raw = Vec::new();
    let mut deframer = Deframer::new(FrameSettings::default());
    let mut input = BytesMut::new();
    loop {
        let before = input.len();
        if gateway.read_buf(&mut input).await? == 0 {
            return Ok(None);
        }
        raw.extend_from_slice(input.get(before..).unwrap_or_default());
        while let Some(frame) = deframer.next(&mut input) {
            let Ok(frame) = frame else { continue };
            let edition = frame.header.edition();
            let Ok(reply) = GeneralReply::decode(&frame.body, edition) else { continue };
            if (frame.header.id, reply.id, reply.serial) != (id::PLATFORM_REPLY, id::AUTHENTICATE, serial) {
                continue;
            }
            if reply.result != ReplyResult::OK {
                return Ok(None);
            }
            // Delimiters belong to it.
            let begin = usize::try_from(frame.offset).unwrap_or(0).saturating_sub(1);
            let end = usize::try_from(deframer.offset()).unwrap_or(usize::MAX).min(raw.len());
            raw.drain(begin.min(end)..end);
            return Ok(Some(raw));
        }
        if raw.len() > ANSWER_BYTES_MAX {
            return Ok(None);
        }
    }
}

/// Carries bytes both ways, none further than the other side takes them, until one side ends.
async fn carry_both(terminal: TcpStream, gateway: TcpStream, idle: Duration) -> End {
    let begin = Instant::now();
    let heard_ms = AtomicU64::new(0);
    let (from_terminal, to_terminal) = terminal.into_split();
    let (from_gateway, to_gateway) = gateway.into_split();
    let hear = || heard_ms.store(elapsed_ms(begin), Ordering::Relaxed);
    let mut up = pin!(carry(from_terminal, to_gateway, hear));
    let mut down = pin!(carry(from_gateway, to_terminal, || {}));
    let silence = async {
        loop {
            let last = begin + Duration::from_millis(heard_ms.load(Ordering::Relaxed));
            if last.elapsed() >= idle {
                return;
            }
            tokio::time::sleep_until((last + idle).into()).await;
        }
    };
    tokio::select! {
        ended = &mut up => {
            if ended.is_ok() {
                // It has said all; what it is still to hear goes on for a moment.
                let _ = timeout(HALF_CLOSED_FOR, down).await;
            }
            End::Terminal
        }
        ended = &mut down => {
            if ended.is_ok() {
                let _ = timeout(HALF_CLOSED_FOR, up).await;
            }
            End::Gateway
        }
        () = silence => End::Idle,
    }
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Carries bytes one way until their end, which it passes on.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    on_bytes: impl Fn(),
) -> io::Result<()> {
    let mut buffer = BytesMut::with_capacity(CARRY_BYTES);
    loop {
        if from.read_buf(&mut buffer).await? == 0 {
            return to.shutdown().await;
        }
        on_bytes();
        timeout(WRITE_WITHIN, to.write_all(&buffer)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        buffer.clear();
    }
}

#[cfg(test)]
mod tests {
    use protocol::jt808::{Edition, Header, Phone, frame};

    use super::*;

    fn message(id: u16, serial: u16, body: &[u8]) -> Vec<u8> {
        let phone = Phone::short("13912345678").expect("a phone number");
        let mut bytes = Vec::new();
        frame::encode(&Header::new(id, Edition::V2013, phone, serial), body, &mut bytes);
        bytes
    }

    fn answer(serial: u16, id: u16, result: u8) -> Vec<u8> {
        let mut body = Vec::new();
        GeneralReply::new(serial, id, ReplyResult(result)).encode(&mut body, Edition::V2013);
        message(0x8001, 0, &body)
    }

    /// What is left for the terminal of what a gateway sends in these pieces.
    async fn left(pieces: Vec<Vec<u8>>) -> Option<Vec<u8>> {
        let (mut gateway, mut login) = tokio::io::duplex(64);
        let sends = async move {
            for piece in pieces {
                // The reader may have seen enough, and be gone.
                let _ = gateway.write_all(&piece).await;
            }
        };
        let reads = async move { without_answer(&mut login, 0x7e7d).await };
        let (left, ()) = tokio::join!(reads, sends);
        left.expect("a stream in memory does not fail")
    }

    #[tokio::test]
    async fn the_answer_is_taken_out_wherever_it_stands() {
        let (good, query) = (answer(0x7e7d, 0x0102, 0), message(0x8104, 1, &[]));
        let other = answer(0x7e7d, 0x0200, 0);
        assert_eq!(left(vec![good.clone()]).await, Some(Vec::new()));
        assert_eq!(left(good.iter().map(|byte| vec![*byte]).collect()).await, Some(Vec::new()));
        let before = [query.clone(), other.clone(), good.clone()].concat();
        assert_eq!(left(vec![before]).await, Some([query.clone(), other].concat()));
        // In one piece of 64 bytes at most, as the pipe is.
        let around = [query.clone(), good, query.clone()].concat();
        assert_eq!(left(vec![around]).await, Some([query.clone(), query].concat()));
    }

    #[tokio::test]
    async fn a_gateway_that_refuses_ends_or_says_too_much_has_not_let_in() {
        assert_eq!(left(vec![answer(0x7e7d, 0x0102, 1)]).await, None);
        assert_eq!(left(vec![answer(0x7e7e, 0x0102, 0)]).await, None, "another message's");
        assert_eq!(left(Vec::new()).await, None);
        let queries = vec![message(0x8104, 1, &[]); ANSWER_BYTES_MAX / 8];
        assert_eq!(left(queries).await, None);
    }
}
