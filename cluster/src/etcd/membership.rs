//! The task that keeps a node in the cluster: a [`Candidate`] with its clock and its [`Agreement`], and the [`Book`] that
//! is read beside it.
//!
//! Knows not what a member or a leader does.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::agreement::Own;
use super::{Agreement, Book, EtcdError, EtcdSettings};
use crate::{Candidate, Ended, Epoch, Fence, Lead, NodeId, NodeInfo, View, Views};

/// Looks at an etcd that is away, in one lease's time.
const LOOKS_PER_TTL: u32 = 10;
/// How long leaving may take: then the lease ends it.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

/// Where a node stands with its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not a member yet, or not for the time being: its lease has ended and it joins anew.
    Joining,
    /// A member, as far as it knows.
    Member,
    /// No member any more, for good.
    Ended(Ended),
}

/// A node's membership. Dropped, it ends as if the process had died: its lease runs out.
#[derive(Debug)]
pub struct Membership {
    agreement: Arc<Agreement>,
    fence: Arc<Fence>,
    views: Views,
    leads: watch::Receiver<Option<Lead>>,
    standing: watch::Receiver<Standing>,
    leave: CancellationToken,
    task: JoinHandle<()>,
}

impl Membership {
    /// Begins to join; see [`joined`](Membership::joined). An etcd that is away is no error: it is tried until it is back.
    ///
    /// # Errors
    /// Settings that cannot work.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(settings: &EtcdSettings, info: &NodeInfo, fence: Arc<Fence>) -> Result<Self, EtcdError> {
        let agreement = Arc::new(Agreement::new(settings)?);
        let own = Own::new(info)?;
        let candidate = Candidate::new(Instant::now(), info, settings.lease_ttl());
        let (outlets, views, leads, standing) = Outlets::new(Arc::clone(&fence));
        let leave = CancellationToken::new();
        let member = Member {
            agreement: Arc::clone(&agreement),
            own,
            candidate,
            outlets,
            retry: settings.lease_ttl() / LOOKS_PER_TTL,
            leave: leave.clone(),
        };
        let task = tokio::spawn(member.run());
        Ok(Self { agreement, fence, views, leads, standing, leave, task })
    }

    /// Who is in the cluster, as last heard; empty before etcd was first read. Stays while etcd is away.
    pub fn views(&self) -> Views {
        self.views.clone()
    }

    /// The time of leading that this node is in. Changes with its epoch; ask [`Lead::at`] at each order, since nobody may
    /// have been there to take it back in time.
    pub fn leads(&self) -> watch::Receiver<Option<Lead>> {
        self.leads.clone()
    }

    /// The epoch under which this node leads now.
    pub fn epoch(&self) -> Option<Epoch> {
        self.leads.borrow().and_then(|lead| lead.at(Instant::now()))
    }

    /// What refuses old leaders on this node. Has seen the leader of every View.
    pub fn fence(&self) -> Arc<Fence> {
        Arc::clone(&self.fence)
    }

    /// Where this node stands.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Waits until this node is a member.
    ///
    /// # Errors
    /// Why it will not be.
    pub async fn joined(&self) -> Result<(), Ended> {
        self.settles(|standing| *standing == Standing::Member).await
    }

    /// Waits until this node is no member any more, for good, and says why.
    pub async fn ended(&self) -> Ended {
        match self.settles(|_| false).await {
            Ok(()) => std::future::pending().await,
            Err(ended) => ended,
        }
    }

    /// Since when etcd has not answered.
    pub fn etcd_away_since(&self) -> Option<DateTime<Utc>> {
        self.agreement.away().borrow().as_ref().map(|away| away.since)
    }

    /// What can be asked of etcd beside membership.
    pub fn agreement(&self) -> Arc<Agreement> {
        Arc::clone(&self.agreement)
    }

    /// Marks a node: it is to get no more and to give away what it has.
    pub async fn mark_draining(&self, node: &NodeId) -> Result<(), EtcdError> {
        self.agreement.mark_draining(node).await
    }

    /// Takes the mark away, also from a node that is gone. Whether there was one.
    pub async fn unmark(&self, node: &NodeId) -> Result<bool, EtcdError> {
        self.agreement.unmark(node).await
    }

    /// Resigns, leaves so that the leader can tell it from a lapse, and ends the lease; in 5 s at most.
    pub async fn shutdown(mut self) {
        self.leave.cancel();
        if timeout(SHUTDOWN_LIMIT, &mut self.task).await.is_err() {
            warn!("etcd did not take this node's leave in time: its lease runs out by itself");
        }
    }

    async fn settles(&self, is_settled: impl Fn(&Standing) -> bool) -> Result<(), Ended> {
        let mut standing = self.standing.clone();
        let is_final = |standing: &Standing| matches!(standing, Standing::Ended(_)) || is_settled(standing);
        let settled = standing.wait_for(is_final).await.map(|standing| standing.clone());
        match settled {
            Ok(Standing::Ended(ended)) => Err(ended),
            Ok(_) => Ok(()),
            // The task has ended without a word: it has panicked, and the panic is told where it happened.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the task tells the node.
#[derive(Debug)]
struct Outlets {
    fence: Arc<Fence>,
    views: watch::Sender<Arc<View>>,
    leads: watch::Sender<Option<Lead>>,
    standing: watch::Sender<Standing>,
}

impl Outlets {
    fn new(fence: Arc<Fence>) -> (Self, Views, watch::Receiver<Option<Lead>>, watch::Receiver<Standing>) {
        let (views, views_seen) = watch::channel(Arc::default());
        let (leads, leads_seen) = watch::channel(None);
        let (standing, standing_seen) = watch::channel(Standing::Joining);
        (Self { fence, views, leads, standing }, views_seen, leads_seen, standing_seen)
    }

    fn show(&self, view: &Arc<View>) {
        if let Some(leader) = &view.leader {
            self.fence.heed(leader.epoch);
        }
        self.views.send_if_modified(|shown| {
            let is_news = shown.revision < view.revision;
            if is_news {
                *shown = Arc::clone(view);
            }
            is_news
        });
    }

    /// Wakes nobody where only the time until which it is sure has moved.
    fn lead(&self, lead: Option<Lead>) {
        if let Some(lead) = &lead {
            self.fence.heed(lead.epoch);
        }
        self.leads.send_if_modified(|shown| {
            let before = shown.map(|lead| lead.epoch);
            *shown = lead;
            let after = shown.map(|lead| lead.epoch);
            match (before, after) {
                (None, Some(epoch)) => {
                    info!(epoch = epoch.0, "this node leads the cluster under epoch {epoch}")
                }
                (Some(epoch), None) => info!(epoch = epoch.0, "this node leads the cluster no more"),
                _ => {}
            }
            before != after
        });
    }

    fn stand(&self, standing: Standing) {
        self.standing.send_if_modified(|shown| {
            let is_news = *shown != standing;
            *shown = standing;
            is_news
        });
    }
}

/// What the task owns.
struct Member {
    agreement: Arc<Agreement>,
    own: Own,
    candidate: Candidate,
    outlets: Outlets,
    retry: Duration,
    leave: CancellationToken,
}

impl Member {
    async fn run(self) {
        let Self { agreement, own, candidate, outlets, retry, leave } = self;
        let (books, seen) = watch::channel(None);
        let read = read(&agreement, retry, |book| {
            outlets.show(&book.view());
            books.send_replace(Some(Arc::new(book.clone())));
        });
        let ended = tokio::select! {
            ended = keep(candidate, &agreement, &own, seen, &outlets, &leave) => ended,
            never = read => match never {},
        };
        outlets.lead(None);
        match &ended {
            Ended::Left(_) => info!("{ended}"),
            _ => error!("{ended}"),
        }
        outlets.stand(Standing::Ended(ended));
    }
}

/// Reads what etcd has, and reads on.
async fn read(agreement: &Agreement, retry: Duration, changed: impl Fn(&Book)) -> Infallible {
    let mut is_told = false;
    loop {
        let followed = match agreement.look().await {
            Ok(mut book) => {
                is_told = false;
                changed(&book);
                agreement.follow(&mut book, &changed).await
            }
            Err(error) => Err(error),
        };
        match followed {
            Ok(()) => continue,
            Err(error @ EtcdError::Compacted { .. }) => info!("{error}: reading anew"),
            Err(error @ (EtcdError::WentBack { .. } | EtcdError::TooManyKeys)) if !is_told => {
                is_told = true;
                error!("{error}: the last View stays");
            }
            Err(error) => debug!(error = &error as &dyn std::error::Error, "etcd is read anew soon"),
        }
        sleep(retry).await;
    }
}

/// Drives the candidate until it is over.
async fn keep(
    mut candidate: Candidate,
    agreement: &Agreement,
    own: &Own,
    mut books: watch::Receiver<Option<Arc<Book>>>,
    outlets: &Outlets,
    leave: &CancellationToken,
) -> Ended {
    let mut calls = FuturesUnordered::new();
    loop {
        let now = Instant::now();
        candidate.tick(now);
        while let Some(call) = candidate.poll() {
            calls.push(agreement.carry_out(own, call));
        }
        let lead = candidate.lead().filter(|lead| lead.at(now).is_some());
        outlets.lead(lead);
        match candidate.ended() {
            Some(ended) if candidate.is_over() => return ended.clone(),
            Some(_) => {}
            None if candidate.is_member() => outlets.stand(Standing::Member),
            None => outlets.stand(Standing::Joining),
        }
        let is_leaving = candidate.ended().is_some();
        let wake = [candidate.deadline(), lead.map(|lead| lead.until)].into_iter().flatten().min();
        tokio::select! {
            Some((call, answer)) = calls.next() => candidate.answered(Instant::now(), &call, answer),
            Ok(()) = books.changed() => {
                let book = books.borrow_and_update().clone();
                if let Some(book) = book {
                    candidate.sight(Instant::now(), &book.sight(&own.holder.node, own.holder.incarnation));
                }
            }
            () = leave.cancelled(), if !is_leaving => candidate.leave(Instant::now()),
            () = until(wake) => {}
        }
    }
}

async fn until(wake: Option<Instant>) {
    match wake {
        Some(wake) => sleep_until(wake.into()).await,
        None => std::future::pending().await,
    }
}
