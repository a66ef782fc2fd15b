//! Running views: who watches what, checked again every few seconds, and the HLS views that live from
//! request to request.

use std::collections::{BTreeSet, HashMap};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use model::{AccountId, StreamKey, TerminalId};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::hls::Playlist;
use crate::hub::Attachment;
use crate::segmenter::Form;
use crate::stats::Counters;
use crate::{Refusal, Settings, Viewers};

/// Checks that run at once.
const RECHECKS_AT_ONCE: usize = 16;

/// See the module.
pub(crate) struct Views {
    settings: Arc<Settings>,
    viewers: Arc<dyn Viewers>,
    counters: Arc<Counters>,
    serial: AtomicU64,
    running: Mutex<HashMap<u64, Watching>>,
    hls: Mutex<HashMap<HlsName, Arc<HlsView>>>,
}

struct Watching {
    account: AccountId,
    terminal: TerminalId,
    stop: CancellationToken,
}

/// A running view; gone when dropped.
pub(crate) struct View {
    views: Arc<Views>,
    id: u64,
    /// Cancelled when the view must end.
    pub(crate) stop: CancellationToken,
}

impl Drop for View {
    fn drop(&mut self) {
        self.views.running.lock().remove(&self.id);
    }
}

/// What names an HLS view in its URLs: an unguessable word.
pub(crate) type HlsName = String;

/// A view by HLS. Lasts while requests come.
pub(crate) struct HlsView {
    /// What its URLs carry.
    pub(crate) name: HlsName,
    /// The ticket or login that opened it, and opens it again: a CMSV6 player does so with every poll.
    opener: String,
    /// What it watches.
    pub(crate) playlist: Arc<Playlist>,
    /// The newest segment that it was told of.
    pub(crate) told: AtomicU64,
    /// Whether it was told of the end. Whoever opens the stream again after that wants another view.
    pub(crate) told_end: AtomicBool,
    view: View,
    _attachment: Attachment,
    used_at: Mutex<Instant>,
}

impl HlsView {
    /// Whose stream.
    pub(crate) fn stream(&self) -> StreamKey {
        self.playlist.stream
    }
}

/// Why no view was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooMany {
    /// The server has as many as it may.
    #[error("too many viewers")]
    Viewers,
    /// The account has as many as it may.
    #[error("too many viewers of this account")]
    OfAccount,
}

impl Views {
    pub(crate) fn new(settings: Arc<Settings>, viewers: Arc<dyn Viewers>, counters: Arc<Counters>) -> Self {
        Self {
            settings,
            viewers,
            counters,
            serial: AtomicU64::new(0),
            running: Mutex::default(),
            hls: Mutex::default(),
        }
    }

    /// How many run.
    pub(crate) fn count(&self) -> usize {
        self.running.lock().len()
    }

    /// Registers a view that ends when `stop` is cancelled, which a revoked right does.
    pub(crate) fn open(
        self: &Arc<Self>,
        account: AccountId,
        stream: StreamKey,
        stop: CancellationToken,
    ) -> Result<View, TooMany> {
        let mut running = self.running.lock();
        if running.len() >= self.settings.viewers_max {
            return Err(TooMany::Viewers);
        }
        let of_account = running.values().filter(|watching| watching.account == account).count();
        if of_account >= self.settings.viewers_per_account_max {
            return Err(TooMany::OfAccount);
        }
        let id = self.serial.fetch_add(1, Ordering::Relaxed);
        running.insert(id, Watching { account, terminal: stream.terminal, stop: stop.clone() });
        self.counters.views.one();
        Ok(View { views: Arc::clone(self), id, stop })
    }

    /// Makes `view` one that lives from request to request, or gives the one that its opener has by now: of
    /// requests that came together each opened its own.
    pub(crate) fn keep(
        &self,
        view: View,
        opener: String,
        playlist: Arc<Playlist>,
        attachment: Attachment,
    ) -> Arc<HlsView> {
        let (stream, form) = (playlist.stream, playlist.form);
        let view = Arc::new(HlsView {
            name: format!("{:032x}", rand::random::<u128>()),
            opener,
            playlist,
            told: AtomicU64::new(0),
            told_end: AtomicBool::new(false),
            view,
            _attachment: attachment,
            used_at: Mutex::new(Instant::now()),
        });
        let mut views = self.hls.lock();
        if let Some(opened) = find(&views, &view.opener, stream, form) {
            drop(views);
            // Outside the lock, as in `sweep`.
            drop(view);
            return opened;
        }
        views.insert(view.name.clone(), Arc::clone(&view));
        view
    }

    /// The HLS view `name`, if it still may run; using it keeps it.
    pub(crate) fn hls(&self, name: &str) -> Option<Arc<HlsView>> {
        let view = self.hls.lock().get(name).cloned().filter(|view| !view.view.stop.is_cancelled())?;
        *view.used_at.lock() = Instant::now();
        Some(view)
    }

    /// The HLS view of `stream` in `form` that `opener` opened before and that still has something to tell.
    pub(crate) fn reopened(&self, opener: &str, stream: StreamKey, form: Form) -> Option<Arc<HlsView>> {
        find(&self.hls.lock(), opener, stream, form)
    }

    /// Keeps views in order until told to stop: rights are checked again, unused HLS views dropped.
    pub(crate) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let ticks = || {
            let mut ticks = tokio::time::interval(Duration::from_secs(self.settings.recheck_s.max(1)));
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            ticks
        };
        let (mut recheck, mut sweep) = (ticks(), ticks());
        // Apart, so that a slow answer about rights keeps no unused view alive.
        let rechecks = async {
            loop {
                recheck.tick().await;
                self.recheck().await;
            }
        };
        let sweeps = async {
            loop {
                sweep.tick().await;
                self.sweep();
            }
        };
        tokio::select! {
            () = rechecks => {}
            () = sweeps => {}
            () = stop.cancelled() => {}
        }
        let ended = mem::take(&mut *self.hls.lock());
        // Dropped outside the lock: a view's end takes other locks.
        drop(ended);
    }

    async fn recheck(&self) {
        let pairs: BTreeSet<_> = {
            let running = self.running.lock();
            running.values().map(|watching| (watching.account, watching.terminal)).collect()
        };
        let checks =
            pairs.into_iter().map(|pair| async move { (pair, self.viewers.recheck(pair.0, pair.1).await) });
        let revoked: Vec<_> = stream::iter(checks)
            .buffer_unordered(RECHECKS_AT_ONCE)
            .filter_map(|(pair, result)| async move {
                // Not knowing is no reason to end a view.
                result.err().filter(|refusal| *refusal != Refusal::Unavailable).map(|_| pair)
            })
            .collect()
            .await;
        for (account, terminal) in revoked {
            info!("account {account} may no longer watch terminal {terminal}: its views end");
            for watching in self.running.lock().values() {
                if (watching.account, watching.terminal) == (account, terminal)
                    && !watching.stop.is_cancelled()
                {
                    watching.stop.cancel();
                    self.counters.views_revoked.one();
                }
            }
        }
    }

    fn sweep(&self) {
        let now = Instant::now();
        let idle = Duration::from_secs(self.settings.hls_idle_s);
        let gone: Vec<_> = {
            let mut views = self.hls.lock();
            let names: Vec<_> = views
                .values()
                .filter(|view| {
                    view.view.stop.is_cancelled()
                        || now.saturating_duration_since(*view.used_at.lock()) > idle
                })
                .map(|view| view.name.clone())
                .collect();
            names.iter().filter_map(|name| views.remove(name)).collect()
        };
        // Dropped outside the lock: a view's end takes other locks.
        drop(gone);
    }
}

/// The view of `stream` in `form` that `opener` opened, if it still may run and was not told of the end; using
/// it keeps it.
fn find(
    views: &HashMap<HlsName, Arc<HlsView>>,
    opener: &str,
    stream: StreamKey,
    form: Form,
) -> Option<Arc<HlsView>> {
    let view = views.values().find(|view| {
        view.opener == opener
            && view.stream() == stream
            && view.playlist.form == form
            && !view.told_end.load(Ordering::Relaxed)
            && !view.playlist.is_void()
            && !view.view.stop.is_cancelled()
    })?;
    *view.used_at.lock() = Instant::now();
    Some(Arc::clone(view))
}
