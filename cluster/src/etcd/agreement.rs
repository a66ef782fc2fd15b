//! Asking etcd: one endpoint at a time, every call with a time limit, the next endpoint when one fails.
//!
//! Decides nothing about membership or leading: it carries out a [`Candidate`](crate::Candidate)'s calls.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use etcd_client::{
    Client, Compare, CompareOp, ConnectOptions, EventType, GetOptions, KeyValue, PutOptions, ResponseHeader,
    Txn, TxnOp, TxnOpResponse, TxnResponse, WatchOptions, WatchResponse,
};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, info, warn};

use super::book::{self, Change, Holder, Keys, NODES_MAX, Record};
use super::{Book, EtcdError, EtcdSettings};
use crate::{Answer, Call, Epoch, Incarnation, LeaderKey, LeaseId, NodeId, NodeInfo, Registration, Request};

/// How long changes are followed before everything is read anew, in case a watch has gone silent.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Tries in one lease's time. A call that takes longer is given up.
const CALLS_PER_TTL: u32 = 3;
/// Most keys that are read: every node with its two marks, and the leader.
pub(super) const KEYS_MAX: i64 = 3 * NODES_MAX as i64 + 1;
/// gRPC's code for "not found", which etcd uses for leases only.
const NOT_FOUND: i32 = 5;

/// A time without etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Away {
    /// Since when.
    pub since: DateTime<Utc>,
    /// What went wrong first.
    pub why: String,
}

/// What the cluster agrees on. Cheap to make: it connects when it is first asked.
pub struct Agreement {
    keys: Keys,
    endpoints: Vec<String>,
    options: ConnectOptions,
    lease_ttl_s: u32,
    call_limit: Duration,
    /// The endpoint in use, by its place in the list. Counts on: the client of an earlier count is not used again.
    turn: watch::Sender<usize>,
    connection: Mutex<Option<Connection>>,
    away: watch::Sender<Option<Away>>,
    highest: AtomicI64,
}

/// A client and the turn that it is of.
#[derive(Clone)]
struct Connection {
    turn: usize,
    client: Client,
}

/// Without the options: they hold a key.
impl fmt::Debug for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agreement")
            .field("keys", &self.keys)
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}

/// What one life of a node writes.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) holder: Holder,
    member: Vec<u8>,
    /// Which life of which node, where that is all there is to say.
    life: Vec<u8>,
}

impl Own {
    pub(super) fn new(info: &NodeInfo) -> Result<Self, EtcdError> {
        let holder = Holder { node: info.node.clone(), incarnation: info.incarnation };
        let member = serde_json::to_vec(info).map_err(EtcdError::Info)?;
        let life = serde_json::to_vec(&holder).map_err(EtcdError::Info)?;
        Ok(Self { holder, member, life })
    }
}

impl Agreement {
    /// Refuses settings that cannot work; an etcd that is away is no error here.
    pub fn new(settings: &EtcdSettings) -> Result<Self, EtcdError> {
        settings.check()?;
        let call_limit = settings.lease_ttl() / CALLS_PER_TTL;
        Ok(Self {
            keys: Keys::of(&settings.cluster),
            endpoints: settings.endpoints.clone(),
            options: settings.options(call_limit)?,
            lease_ttl_s: settings.lease_ttl_s,
            call_limit,
            turn: watch::Sender::new(0),
            connection: Mutex::new(None),
            away: watch::Sender::new(None),
            highest: AtomicI64::new(0),
        })
    }

    /// Whether etcd answers, as the last call found it.
    pub fn away(&self) -> watch::Receiver<Option<Away>> {
        self.away.subscribe()
    }

    /// Reads all of the cluster's keys.
    pub async fn look(&self) -> Result<Book, EtcdError> {
        let prefix = self.keys.all();
        let options = GetOptions::new().with_prefix().with_limit(KEYS_MAX);
        let what = "show the cluster's keys";
        // As of now: a look that began earlier may rightly end with less.
        let seen = self.highest.load(Ordering::Relaxed);
        let range =
            self.ask(what, |mut client| async move { client.get(prefix, Some(options)).await }).await?;
        if range.more() {
            return Err(EtcdError::TooManyKeys);
        }
        let given = self.revision(what, range.header())?;
        if given < seen {
            return Err(EtcdError::WentBack { seen, given });
        }
        self.highest.fetch_max(given, Ordering::Relaxed);
        Ok(Book::new(self.keys.clone(), given, range.kvs().iter().map(record)))
    }

    /// Follows the changes after `book`, and tells of each, until it is time for another look: after a while, or because
    /// another endpoint is in use.
    ///
    /// Fails where they cannot be followed; [`Compacted`](EtcdError::Compacted) where they are not kept. Another look
    /// is the answer to each.
    pub async fn follow(&self, book: &mut Book, mut changed: impl FnMut(&Book)) -> Result<(), EtcdError> {
        let after = book.revision();
        let what = "watch the cluster's keys";
        let mut turns = self.turn.subscribe();
        let turn = *turns.borrow_and_update();
        let options = WatchOptions::new().with_prefix().with_start_revision(after + 1).with_progress_notify();
        let prefix = self.keys.all();
        let mut stream =
            self.ask(what, |mut client| async move { client.watch(prefix, Some(options)).await }).await?;
        let mut is_made = false;
        let mut until = Instant::now() + self.call_limit;
        loop {
            let message = tokio::select! {
                message = timeout_at(until, stream.message()) => message,
                _ = turns.changed() => return Ok(()),
            };
            let response = match message {
                Ok(Ok(Some(response))) => response,
                Ok(Ok(None)) => return Err(self.watch_ended(turn, "the stream ended".to_owned())),
                Ok(Err(error)) => return Err(self.watch_ended(turn, error.to_string())),
                Err(_) if is_made => return Ok(()),
                Err(_) => return Err(self.silent(turn, what)),
            };
            if response.compact_revision() > 0 {
                return Err(EtcdError::Compacted { after, kept: response.compact_revision() });
            }
            if response.canceled() {
                return Err(self.watch_ended(turn, response.cancel_reason().to_owned()));
            }
            if !is_made {
                is_made = true;
                until = Instant::now() + LOOK_EVERY;
            }
            if book.apply(changes(&response)) {
                self.highest.fetch_max(book.revision(), Ordering::Relaxed);
                changed(book);
            }
        }
    }

    /// Marks a node: it is to get no more and to give away what it has. It need not be a member.
    pub async fn mark_draining(&self, node: &NodeId) -> Result<(), EtcdError> {
        let key = self.keys.draining(node);
        let mark = |mut client: Client| async move { client.put(key, "", None).await };
        self.ask("mark a node as draining", mark).await.map(drop)
    }

    /// Takes the mark away, also from a node that is gone. Whether there was one.
    pub async fn unmark(&self, node: &NodeId) -> Result<bool, EtcdError> {
        let key = self.keys.draining(node);
        let unmark = |mut client: Client| async move { client.delete(key, None).await };
        Ok(self.ask("take the mark from a node", unmark).await?.deleted() > 0)
    }

    /// Takes away the mark that this life of a node left. Does nothing to that of another life.
    pub async fn forget_left(&self, node: &NodeId, incarnation: Incarnation) -> Result<(), EtcdError> {
        let key = self.keys.left(node);
        let life = Holder { node: node.clone(), incarnation };
        let life = serde_json::to_vec(&life).map_err(EtcdError::Info)?;
        let is_of_that_life = Compare::value(key.as_str(), CompareOp::Equal, life);
        let txn = Txn::new().when([is_of_that_life]).and_then([TxnOp::delete(key, None)]);
        let forget = |mut client: Client| async move { client.txn(txn).await };
        self.ask("take the mark from a node that left", forget).await.map(drop)
    }

    /// Carries out a candidate's call. Ends within the call limit.
    pub(super) async fn carry_out(&self, own: &Own, call: Call) -> (Call, Answer) {
        let answer = match self.answer(own, call.request).await {
            Ok(answer) => answer,
            Err(EtcdError::Failed { source, .. }) if is_not_found(&source) => Answer::LeaseLost,
            Err(error) => {
                debug!(error = &error as &dyn std::error::Error, request = ?call.request, "etcd did not do what was asked");
                Answer::Failed
            }
        };
        (call, answer)
    }

    async fn answer(&self, own: &Own, request: Request) -> Result<Answer, EtcdError> {
        match request {
            Request::Grant => {
                let ttl_s = i64::from(self.lease_ttl_s);
                let what = "grant a lease";
                let grant =
                    self.ask(what, |mut client| async move { client.lease_grant(ttl_s, None).await }).await?;
                let ttl_s = u64::try_from(grant.ttl()).map_err(|_| self.senseless(what))?;
                Ok(Answer::Granted(LeaseId(grant.id()), Duration::from_secs(ttl_s)))
            }
            Request::KeepAlive(lease) => self.keep_alive(lease).await,
            Request::Join { lease, over } => {
                let key = self.keys.member(&own.holder.node);
                let condition = Compare::mod_revision(key.as_str(), CompareOp::Equal, over);
                let put = TxnOp::put(
                    key.as_str(),
                    own.member.as_slice(),
                    Some(PutOptions::new().with_lease(lease.0)),
                );
                let txn = Txn::new().when([condition]).and_then([put]).or_else([TxnOp::get(key, None)]);
                let (at, other) = self.decide("let the node join", txn).await?;
                let mine = Registration { incarnation: Some(own.holder.incarnation), revision: at, lease };
                let own = match other {
                    None => Some(mine),
                    Some(found) => found.map(|kv| book::registration(&own.holder.node, &record(&kv))),
                };
                Ok(Answer::Own { at, own })
            }
            Request::Stand(lease) => {
                let key = self.keys.leader();
                let condition = Compare::create_revision(key.as_str(), CompareOp::Equal, 0);
                let put = TxnOp::put(
                    key.as_str(),
                    own.life.as_slice(),
                    Some(PutOptions::new().with_lease(lease.0)),
                );
                let txn = Txn::new().when([condition]).and_then([put]).or_else([TxnOp::get(key, None)]);
                let (at, other) = self.decide("let the node stand for leader", txn).await?;
                let mine = LeaderKey { is_mine: true, epoch: Epoch(at), lease };
                let leader = match other {
                    None => Some(mine),
                    Some(found) => found.map(|kv| book::leader_key(&record(&kv), &own.holder)),
                };
                Ok(Answer::Leader { at, leader })
            }
            Request::Resign(epoch) => {
                let key = self.keys.leader();
                let condition = Compare::create_revision(key.as_str(), CompareOp::Equal, epoch.0);
                let delete = TxnOp::delete(key.as_str(), None);
                let txn = Txn::new().when([condition]).and_then([delete]).or_else([TxnOp::get(key, None)]);
                let (at, other) = self.decide("let the leader resign", txn).await?;
                let leader = other.flatten().map(|kv| book::leader_key(&record(&kv), &own.holder));
                Ok(Answer::Leader { at, leader })
            }
            Request::Depart { over } => {
                let node = &own.holder.node;
                let key = self.keys.member(node);
                let condition = Compare::mod_revision(key.as_str(), CompareOp::Equal, over);
                let mark = TxnOp::put(self.keys.left(node), own.life.as_slice(), None);
                let delete = TxnOp::delete(key.as_str(), None);
                let txn = Txn::new().when([condition]).and_then([mark, delete]);
                let (at, other) =
                    self.decide("let the node leave", txn.or_else([TxnOp::get(key, None)])).await?;
                let own = other.flatten().map(|kv| book::registration(node, &record(&kv)));
                Ok(Answer::Own { at, own })
            }
            Request::Revoke(lease) => {
                let revoke = |mut client: Client| async move { client.lease_revoke(lease.0).await };
                self.ask("end a lease", revoke).await?;
                Ok(Answer::Revoked)
            }
        }
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<Answer, EtcdError> {
        let kept = |mut client: Client| async move {
            match client.lease_keep_alive(lease.0).await {
                Ok(_stream) => Ok(Answer::KeptAlive),
                // The client's word for an answer without time.
                Err(etcd_client::Error::LeaseKeepAliveError(_)) => Ok(Answer::LeaseLost),
                Err(error) => Err(error),
            }
        };
        self.ask("keep a lease alive", kept).await
    }

    /// Runs a transaction whose other branch reads one key: its revision, and on the other branch what was found.
    async fn decide(
        &self,
        what: &'static str,
        txn: Txn,
    ) -> Result<(i64, Option<Option<KeyValue>>), EtcdError> {
        let response = self.ask(what, |mut client| async move { client.txn(txn).await }).await?;
        let at = self.revision(what, response.header())?;
        if response.succeeded() {
            return Ok((at, None));
        }
        let found = found(&response).ok_or_else(|| self.senseless(what))?;
        Ok((at, Some(found)))
    }

    /// Asks the endpoint in use. Where that fails, the next one is in use.
    async fn ask<T, F>(&self, what: &'static str, ask: impl FnOnce(Client) -> F) -> Result<T, EtcdError>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let turn = *self.turn.borrow();
        let asked = async { ask(self.client(turn).await?).await };
        match timeout(self.call_limit, Box::pin(asked)).await {
            Ok(Ok(answer)) => {
                self.is_there();
                Ok(answer)
            }
            Ok(Err(source)) => {
                let is_there = is_not_found(&source);
                let error =
                    EtcdError::Failed { what, endpoint: self.endpoint(turn), source: Box::new(source) };
                if is_there {
                    self.is_there();
                } else {
                    self.fails(turn, &error);
                }
                Err(error)
            }
            Err(_) => Err(self.silent(turn, what)),
        }
    }

    async fn client(&self, turn: usize) -> Result<Client, etcd_client::Error> {
        let held = self.connection.lock().clone();
        if let Some(held) = held.filter(|held| held.turn == turn) {
            return Ok(held.client);
        }
        let client = Client::connect([self.endpoint(turn)], Some(self.options.clone())).await?;
        *self.connection.lock() = Some(Connection { turn, client: client.clone() });
        Ok(client)
    }

    fn endpoint(&self, turn: usize) -> String {
        self.endpoints[turn % self.endpoints.len()].clone()
    }

    fn silent(&self, turn: usize, what: &'static str) -> EtcdError {
        let error = EtcdError::Silent { what, endpoint: self.endpoint(turn), limit: self.call_limit };
        self.fails(turn, &error);
        error
    }

    fn watch_ended(&self, turn: usize, why: String) -> EtcdError {
        let error = EtcdError::WatchEnded(why);
        self.fails(turn, &error);
        error
    }

    fn senseless(&self, what: &'static str) -> EtcdError {
        EtcdError::Senseless { what, endpoint: self.endpoint(*self.turn.borrow()) }
    }

    fn revision(&self, what: &'static str, header: Option<&ResponseHeader>) -> Result<i64, EtcdError> {
        header.map(ResponseHeader::revision).ok_or_else(|| self.senseless(what))
    }

    fn is_there(&self) {
        self.away.send_if_modified(|away| {
            let back = away.take();
            if let Some(away) = &back {
                info!(away.since = %away.since, "etcd answers again");
            }
            back.is_some()
        });
    }

    /// The endpoint of this turn has failed: it is the next one's. What goes by this turn still changes nothing more.
    fn fails(&self, turn: usize, error: &EtcdError) {
        self.turn.send_if_modified(|current| {
            let is_current = *current == turn;
            if is_current {
                *current = turn.wrapping_add(1);
            }
            is_current
        });
        self.away.send_if_modified(|away| {
            if away.is_some() {
                return false;
            }
            warn!(error = error as &dyn std::error::Error, "etcd is away: the last View stays");
            *away = Some(Away { since: Utc::now(), why: error.to_string() });
            true
        });
    }
}

fn is_not_found(error: &etcd_client::Error) -> bool {
    matches!(error, etcd_client::Error::GRpcStatus(status) if i32::from(status.code()) == NOT_FOUND)
}

/// What the only read of a transaction found.
fn found(response: &TxnResponse) -> Option<Option<KeyValue>> {
    match response.op_responses().into_iter().next()? {
        TxnOpResponse::Get(range) => Some(range.kvs().first().cloned()),
        _ => None,
    }
}

fn record(kv: &KeyValue) -> Record<'_> {
    Record {
        key: kv.key(),
        value: kv.value(),
        created: kv.create_revision(),
        modified: kv.mod_revision(),
        lease: kv.lease(),
    }
}

fn changes(response: &WatchResponse) -> impl Iterator<Item = Change<'_>> {
    response.events().iter().filter_map(|event| {
        let kv = event.kv()?;
        Some(match event.event_type() {
            EventType::Put => Change::Put(record(kv)),
            EventType::Delete => Change::Delete { key: kv.key(), revision: kv.mod_revision() },
        })
    })
}
