//! Sending terminals elsewhere, and keeping those that were sent here: releases (0x8105 command 2, control 1: back to
//! the own server), the drain of the whole gateway, and renewals of a redirect's time limit.
//!
//! Which terminals came by a redirect the gateway is not told. In a cluster ([`Settings::redirect_limit_min`] above 0)
//! it takes every link for one that did, unless a login server carries it (it is spliced), and names itself again at
//! half of the limit: to a terminal that dialled here by itself that changes nothing. What a terminal answers says how
//! it is let go.
//!
//! [`Settings::redirect_limit_min`]: crate::Settings::redirect_limit_min

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cluster::Advertise;
use model::{SendError, TerminalId};
use parking_lot::Mutex;
use protocol::jt808::server::{Answer, Downlink};
use protocol::jt808::{id, message};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::command;
use crate::gate::Gate;
use crate::link::{Link, Redirect};

/// How often terminals are sent away, [`RELEASES_AT_ONCE`] at a time: 100 a second. They all come to the login
/// servers and from there to other gateways.
const RELEASE_EVERY: Duration = Duration::from_millis(100);
const RELEASES_AT_ONCE: usize = 10;
/// How long a terminal that was told to go may take to close its link.
const LEAVE_WITHIN: Duration = Duration::from_secs(30);
/// How often links are looked through for redirects that are to be renewed.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// Most renewals in one look: a fleet that came within a minute is due within a minute.
const RENEWALS_AT_ONCE: usize = 500;

/// The terminals that are to go.
#[derive(Debug, Default)]
pub(crate) struct Releases {
    /// No more than there are links: each is here once.
    waiting: Mutex<VecDeque<(TerminalId, Arc<Link>)>>,
    draining: AtomicBool,
}

impl Releases {
    /// Whether new links are sent away at once.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Lets `terminal` go when it is its turn.
    pub(crate) fn push(&self, terminal: TerminalId, link: &Arc<Link>) {
        if !link.is_leaving.swap(true, Ordering::Relaxed) {
            self.waiting.lock().push_back((terminal, Arc::clone(link)));
        }
    }
}

/// Sends all away who are here or come, or no more.
pub(crate) fn drain(gate: &Gate, on: bool) {
    gate.releases.draining.store(on, Ordering::Relaxed);
    if on {
        release(gate, usize::MAX);
    } else {
        let waiting = std::mem::take(&mut *gate.releases.waiting.lock());
        waiting.iter().for_each(|(_, link)| link.is_leaving.store(false, Ordering::Relaxed));
    }
}

/// Lets `count` more terminals go, those first that are known to obey. Gives how many that are.
pub(crate) fn release(gate: &Gate, count: usize) -> usize {
    let mut links = gate.links.all();
    links.retain(|(_, link)| !link.is_leaving.load(Ordering::Relaxed));
    links.sort_by_key(|(_, link)| (link.is_spliced, link.redirect()));
    links.truncate(count);
    links.iter().for_each(|(terminal, link)| gate.releases.push(*terminal, link));
    links.len()
}

/// Releases and renews until `stop`.
pub(crate) async fn run(gate: Arc<Gate>, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    let (mut releases, mut renewals) =
        (tokio::time::interval(RELEASE_EVERY), tokio::time::interval(RENEW_EVERY));
    releases.set_missed_tick_behavior(MissedTickBehavior::Delay);
    renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = releases.tick() => {
                for _ in 0..RELEASES_AT_ONCE {
                    let Some((terminal, link)) = gate.releases.waiting.lock().pop_front() else { break };
                    let (gate, stop) = (Arc::clone(&gate), stop.clone());
                    tasks.spawn(async move {
                        stop.run_until_cancelled(let_go(&gate, terminal, &link)).await;
                    });
                }
            }
            _ = renewals.tick() => {
                for (terminal, link) in due(&gate, Instant::now()) {
                    let (gate, stop) = (Arc::clone(&gate), stop.clone());
                    tasks.spawn(async move {
                        stop.run_until_cancelled(renew(&gate, terminal, &link)).await;
                    });
                }
            }
        }
    }
    tasks.close();
    tasks.wait().await;
}

/// Tells a terminal to go back to its own server, and closes its link if it does not.
async fn let_go(gate: &Gate, terminal: TerminalId, link: &Link) {
    if link.ended.is_cancelled() {
        return;
    }
    // One that is spliced does not obey such words, and is at its own server already.
    let does_obey = !link.is_spliced
        && {
            let answer = command::ask(gate, terminal, link, back(link)).await;
            match answer {
                Ok(Answer::General(0)) => true,
                Ok(answer) => {
                    tracing::debug!(terminal.sim = %link.sim, ?answer, "terminal {} does not go by itself", link.sim);
                    false
                }
                Err(error) => {
                    tracing::debug!(terminal.sim = %link.sim, %error, "terminal {} does not go by itself", link.sim);
                    // It may have gone without an answer.
                    matches!(error, SendError::Disconnected(_))
                }
            }
        };
    let gone = does_obey && tokio::time::timeout(LEAVE_WITHIN, link.ended.cancelled()).await.is_ok();
    if !gone {
        tracing::info!(terminal.sim = %link.sim, "terminal {} is released: its link is closed", link.sim);
        link.close.cancel();
    }
}

/// The links whose redirect is to be renewed, each marked as renewed at `now`.
fn due(gate: &Gate, now: Instant) -> Vec<(TerminalId, Arc<Link>)> {
    let limit_min = gate.settings.redirect_limit_min;
    if limit_min == 0 {
        return Vec::new();
    }
    let half = Duration::from_secs(u64::from(limit_min) * 60 / 2);
    let mut due = gate.links.all();
    due.retain(|(_, link)| !link.is_spliced && !link.is_leaving.load(Ordering::Relaxed));
    due.retain(|(_, link)| now.saturating_duration_since(*link.renewed_at.lock()) >= half);
    due.truncate(RENEWALS_AT_ONCE);
    due.iter().for_each(|(_, link)| *link.renewed_at.lock() = now);
    due
}

/// Names this gateway to the terminal for another time limit.
async fn renew(gate: &Gate, terminal: TerminalId, link: &Link) {
    let answer = match here(gate, link) {
        Some(downlink) => command::ask(gate, terminal, link, downlink).await,
        // It cannot be said, so it was never said to this terminal.
        None => return,
    };
    let redirect = match answer {
        Ok(Answer::General(0)) => Redirect::Obeyed,
        Ok(_) | Err(_) => Redirect::Refused,
    };
    if redirect == Redirect::Refused {
        tracing::debug!(terminal.sim = %link.sim, ?answer, "terminal {} takes no redirect", link.sim);
    }
    *link.redirect.lock() = redirect;
}

/// 0x8105: connect to this gateway. None where the terminal's code would be read as another parameter.
fn here(gate: &Gate, link: &Link) -> Option<Downlink> {
    let settings = &gate.settings;
    let (host, tcp_port) = dialled(settings.advertise.as_ref(), link.local);
    let redirect = message::Redirect {
        // the one that it came with: it counts for this connection alone
        code: link.code.as_bytes(),
        host: &host,
        tcp_port,
        udp_port: 0,
        limit_min: settings.redirect_limit_min,
    };
    let mut body = Vec::new();
    redirect.encode(&mut body, link.redirect_form).ok()?;
    Some(Downlink { id: id::TERMINAL_CONTROL, body: body.into() })
}

/// Where a terminal dials us, who did so at `local`. A port of 0 was left to the system: only the socket knows it.
fn dialled(advertised: Option<&Advertise>, local: SocketAddr) -> (String, u16) {
    let host = advertised.and_then(|advertised| advertised.host.clone());
    let port = advertised.map(|advertised| advertised.port).filter(|port| *port != 0);
    (host.unwrap_or_else(|| local.ip().to_string()), port.unwrap_or(local.port()))
}

/// 0x8105: connect to the terminal's own server again.
fn back(link: &Link) -> Downlink {
    let mut body = Vec::new();
    message::Redirect::encode_end(&mut body, link.redirect_form);
    Downlink { id: id::TERMINAL_CONTROL, body: body.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_what_is_advertised_and_else_what_it_dialled() {
        let local = SocketAddr::from(([192, 0, 2, 7], 40_123));
        let advertise = |host: Option<&str>, port| Advertise { host: host.map(str::to_owned), port };
        for (advertised, expected) in [
            (None, ("192.0.2.7", 40_123)),
            (Some(advertise(None, 6608)), ("192.0.2.7", 6608)),
            (Some(advertise(Some("gw1.example"), 6608)), ("gw1.example", 6608)),
            (Some(advertise(Some("gw1.example"), 0)), ("gw1.example", 40_123)),
        ] {
            assert_eq!(dialled(advertised.as_ref(), local), (expected.0.to_owned(), expected.1));
        }
    }
}
