//! Nodes for a test.

use std::sync::{Arc, mpsc};
use std::thread;

use chrono::Utc;
use cluster::etcd::{EtcdSettings, Membership};
use cluster::{Advertise, DIALECT, Fence, Incarnation, Lead, Limits, NodeId, NodeInfo, Role, View, Views};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::server::WITHIN;

/// A login server by this name, a life of its own.
pub(crate) fn login(name: &str, incarnation: u64) -> NodeInfo {
    NodeInfo {
        node: id(name),
        incarnation: Incarnation(incarnation),
        dialect: DIALECT,
        version: "0.1.0".to_owned(),
        roles: vec![Role::Login],
        seams: Advertise { host: Some("127.0.0.1".to_owned()), port: 7000 },
        gateway: None,
        media: None,
        web: None,
        limits: Limits::default(),
        started_at: Utc::now(),
    }
}

pub(crate) fn id(name: &str) -> NodeId {
    name.parse().expect("a name")
}

/// One that has joined.
pub(crate) async fn joined(settings: &EtcdSettings, info: &NodeInfo) -> Membership {
    let membership = Membership::start(settings, info, Default::default()).expect("settings that work");
    timeout(WITHIN, membership.joined()).await.expect("in time").expect("joins");
    membership
}

/// Waits until what is watched is as wanted.
pub(crate) async fn until<T: Clone>(
    watched: &watch::Receiver<T>,
    what: &'static str,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let mut watched = watched.clone();
    let seen = timeout(WITHIN, watched.wait_for(|value| wanted(value))).await;
    seen.unwrap_or_else(|_| panic!("not in time: {what}")).unwrap_or_else(|_| panic!("never: {what}")).clone()
}

/// Waits for a leader other than under `before`, in one node's View.
pub(crate) async fn leader_after(views: &Views, before: Option<i64>) -> cluster::Leader {
    let is_wanted =
        |view: &Arc<View>| view.leader.as_ref().is_some_and(|leader| Some(leader.epoch.0) > before);
    until(views, "a leader", is_wanted).await.leader.clone().expect("a leader")
}

/// A node all of whose tasks run on one thread, which can be stopped as SIGSTOP stops a process.
pub(crate) struct Freezable {
    pub(crate) views: Views,
    pub(crate) leads: watch::Receiver<Option<Lead>>,
    pub(crate) fence: Arc<Fence>,
    freezes: tokio::sync::mpsc::UnboundedSender<Freeze>,
    thread: Option<thread::JoinHandle<()>>,
}

struct Freeze {
    has_begun: mpsc::Sender<()>,
    ends: mpsc::Receiver<()>,
}

/// Dropped, it ends.
pub(crate) struct Frozen {
    _ends: mpsc::Sender<()>,
}

impl Freezable {
    pub(crate) fn start(settings: EtcdSettings, info: NodeInfo) -> Self {
        let (freezes, mut asked) = tokio::sync::mpsc::unbounded_channel::<Freeze>();
        let (made, is_made) = mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let membership =
                    Membership::start(&settings, &info, Default::default()).expect("settings that work");
                let fence = membership.fence();
                made.send((membership.views(), membership.leads(), fence)).expect("heard");
                while let Some(freeze) = asked.recv().await {
                    freeze.has_begun.send(()).expect("heard");
                    // Nothing else of this runtime goes on meanwhile.
                    let _ = freeze.ends.recv();
                }
                membership.shutdown().await;
            });
        });
        let (views, leads, fence) = is_made.recv().expect("made");
        Self { views, leads, fence, freezes, thread: Some(thread) }
    }

    /// Stops it; it has stopped when this returns.
    pub(crate) fn freeze(&self) -> Frozen {
        let (has_begun, begun) = mpsc::channel();
        let (_ends, ends) = mpsc::channel();
        let is_asked = self.freezes.send(Freeze { has_begun, ends });
        assert!(is_asked.is_ok(), "it runs");
        begun.recv().expect("it freezes");
        Frozen { _ends }
    }
}

impl Drop for Freezable {
    fn drop(&mut self) {
        let (freezes, _) = tokio::sync::mpsc::unbounded_channel();
        self.freezes = freezes;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
