//! How a role counts what it did and met: one list of counts by name, of which the log sums up the trouble each second,
//! never a line a message.
//!
//! Knows no role and no count: [`counts!`](crate::counts) makes a role's own types of its list.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How often the log says what went wrong since.
const SUMMARY_EVERY: Duration = Duration::from_secs(1);

/// Makes `Stats` (what was counted, to be read) and `Counters` (what counts) of a list of `/// what` `name: traffic` or
/// `name: trouble`.
#[macro_export]
macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident: $kind:ident,)*) => {
        /// Counts since start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: $crate::Counter,)*
        }

        impl $crate::Counts for Counters {
            type Stats = Stats;

            fn snapshot(&self) -> Stats {
                Stats { $($name: self.$name.value(),)* }
            }

            fn troubles(before: &Stats, now: &Stats) -> Vec<(&'static str, u64)> {
                [$(($crate::counts!(@trouble $kind), stringify!($name), before.$name, now.$name),)*]
                    .into_iter()
                    .filter(|(is_trouble, _, before, now)| *is_trouble && now > before)
                    .map(|(_, name, before, now)| (name, now - before))
                    .collect()
            }
        }
    };
    (@trouble traffic) => { false };
    (@trouble trouble) => { true };
}

/// What [`counts!`](crate::counts) makes.
pub trait Counts: Send + Sync + 'static {
    /// What was counted until a moment.
    type Stats: Default + Send;

    /// What was counted until now.
    fn snapshot(&self) -> Self::Stats;

    /// What went wrong between two looks: names, and how often. What did not happen is left out.
    fn troubles(before: &Self::Stats, now: &Self::Stats) -> Vec<(&'static str, u64)>;
}

/// One count. Wraps around never in practice: 2^64.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts `more`.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Counts one.
    pub fn one(&self) {
        self.add(1);
    }

    /// Takes one back, of a count of what there is now.
    pub fn one_less(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// What was counted until now.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Says each second what went wrong in it at `role`, one line however much it was, until `stop`.
pub async fn sum_up<C: Counts>(role: &'static str, counters: Arc<C>, stop: CancellationToken) {
    let mut said = C::Stats::default();
    while stop.run_until_cancelled(tokio::time::sleep(SUMMARY_EVERY)).await.is_some() {
        let counted = counters.snapshot();
        let news: Vec<_> =
            C::troubles(&said, &counted).iter().map(|(name, more)| format!("{name} {more}")).collect();
        if !news.is_empty() {
            warn!("{role} trouble in the last second: {}", news.join(", "));
        }
        said = counted;
    }
}

#[cfg(test)]
#[expect(unreachable_pub, reason = "what is made for a role's crate is made for nobody here")]
mod tests {
    use super::*;

    counts! {
        /// Now, so that it falls too.
        guests: traffic,
        /// Broken.
        plates: trouble,
        /// Broken too.
        cups: trouble,
    }

    #[test]
    fn only_trouble_that_happened_is_summed_up() {
        let counters = Counters::default();
        counters.guests.one();
        counters.cups.one();
        let before = counters.snapshot();
        counters.guests.one_less();
        counters.plates.add(3);
        let now = counters.snapshot();
        assert_eq!(Counters::troubles(&before, &now), [("plates", 3)]);
        assert_eq!(now, Stats { guests: 0, plates: 3, cups: 1 });
    }
}
