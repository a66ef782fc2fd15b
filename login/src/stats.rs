//! What a login server did and met, in numbers; trouble is summarised each second in the log, never a line a message.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

/// How often the log says what was counted since.
const SUMMARY_EVERY: Duration = Duration::from_secs(1);

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident: $kind:ident,)*) => {
        /// Counts since start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Stats {
                Stats { $($name: self.$name.read(),)* }
            }
        }

        /// What went wrong between two counts, by name.
        fn troubles(before: &Stats, now: &Stats) -> Vec<(&'static str, u64)> {
            [$((stringify!($name), counters!(@trouble $kind), now.$name.saturating_sub(before.$name)),)*]
                .into_iter()
                .filter(|(_, trouble, more)| *trouble && *more > 0)
                .map(|(name, _, more)| (name, more))
                .collect()
        }
    };
    (@trouble traffic) => { false };
    (@trouble trouble) => { true };
}

counters! {
    /// Connections that were taken.
    connections: traffic,
    /// Terminals that authenticated.
    authenticated: traffic,
    /// Terminals that were told to go to a gateway.
    redirects: traffic,
    /// Terminals that went.
    redirected: traffic,
    /// Terminals that said they would not.
    redirect_refused: traffic,
    /// Terminals that did not answer, or stayed.
    redirect_ignored: traffic,
    /// Terminals that were spliced through to a gateway that let them in.
    spliced: traffic,
    /// Terminals that are spliced through now: the one number that falls.
    splices: traffic,
    /// HTTP requests.
    requests: traffic,
    /// Connections closed on arrival: there are too many.
    connections_full: trouble,
    /// Connections closed on arrival: their address has too many that did not authenticate.
    address_full: trouble,
    /// Frames and messages that were skipped.
    skipped: trouble,
    /// Links closed because they did not authenticate in time.
    authentication_late: trouble,
    /// Links closed because they sent too much, or tried too often, before they authenticated.
    authentication_flood: trouble,
    /// Registrations refused.
    registration_refused: trouble,
    /// Authentications refused.
    authentication_refused: trouble,
    /// Registrations and authentications unanswered because the database is away.
    admission_unanswered: trouble,
    /// Links closed because too many bytes came without one good frame.
    garbage: trouble,
    /// Links closed because the terminal takes no bytes.
    write_stalled: trouble,
    /// Links closed because no gateway is fit and has room.
    no_gateway: trouble,
    /// Links closed because too many terminals are spliced through.
    splices_full: trouble,
    /// Attempts to reach a gateway that failed.
    gateway_unreachable: trouble,
    /// Spliced terminals that their gateway did not let in, or not in time.
    gateway_refused: trouble,
    /// Spliced links that their gateway ended.
    gateway_lost: trouble,
    /// Spliced links closed because nothing came for too long.
    splice_idle: trouble,
}

/// A count.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn one_less(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Says each second what went wrong in it, until `stop`.
pub(crate) async fn summarise(counters: Arc<Counters>, stop: CancellationToken) {
    let mut said = Stats::default();
    while stop.run_until_cancelled(tokio::time::sleep(SUMMARY_EVERY)).await.is_some() {
        let counted = counters.snapshot();
        let news: Vec<_> =
            troubles(&said, &counted).iter().map(|(name, more)| format!("{name} {more}")).collect();
        if !news.is_empty() {
            tracing::warn!("trouble at the login server in the last second: {}", news.join(", "));
        }
        said = counted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_splice_that_ends_is_no_trouble() {
        let counters = Counters::default();
        counters.splices.one();
        let before = counters.snapshot();
        counters.splices.one_less();
        counters.garbage.one();
        assert_eq!(troubles(&before, &counters.snapshot()), [("garbage", 1)]);
    }
}
