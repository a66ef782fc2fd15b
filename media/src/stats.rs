//! What a media server counts: traffic and trouble.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing::warn;

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
                Stats { $($name: self.$name.value(),)* }
            }
        }

        /// What went wrong between two counts, by name.
        fn troubles(before: &Stats, now: &Stats) -> Vec<(&'static str, u64)> {
            [$((stringify!($name), counters!(@trouble $kind), now.$name - before.$name),)*]
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
    /// Connections of terminals accepted on live ports.
    live_connections: traffic,
    /// JT/T 1078 packets taken.
    packets: traffic,
    /// Units put into rings.
    units: traffic,
    /// Streams whose source came.
    sources: traffic,
    /// Views opened, HLS ones counted once.
    views: traffic,
    /// Connections accepted on the viewer port.
    viewer_connections: traffic,
    /// Snapshots made.
    snapshots: traffic,
    /// Connections to a live port that never brought a whole packet in time or within the byte bound.
    connections_without_packet: trouble,
    /// Connections whose first packet no request asked for.
    connections_without_request: trouble,
    /// Packets, on an accepted connection, of a terminal and channel that no request asked for.
    packets_for_nobody: trouble,
    /// Second connections for a source that runs.
    sources_refused: trouble,
    /// Connections beyond the bound, on either port.
    connections_over_bound: trouble,
    /// Bytes of a media connection that were no packet.
    bytes_skipped: trouble,
    /// Frames with a gap in them or before them.
    frames_with_gap: trouble,
    /// Frames of a codec that cannot be passed on.
    frames_unsupported: trouble,
    /// Frames of sound that could not be decoded or encoded, came faster than the encoder, held more sound
    /// than time passed, or began before the end of silence that stood in for them.
    audio_dropped: trouble,
    /// Units that slow viewers skipped.
    units_dropped_for_viewers: trouble,
    /// Viewers closed because they took no byte.
    viewers_stalled: trouble,
    /// Views refused: ticket or login wrong, expired, of another stream, or without the right.
    views_refused: trouble,
    /// Running views ended because the right was revoked.
    views_revoked: trouble,
    /// Connections to the viewer port in a protocol that is not spoken there.
    viewer_protocol_unknown: trouble,
}

/// One count.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often trouble is summed up in the log.
const SUMMARY: Duration = Duration::from_secs(1);

/// Logs each second what went wrong in it, one line however much it was.
pub(crate) async fn summarise(counters: Arc<Counters>, stop: CancellationToken) {
    let mut before = counters.snapshot();
    let mut tick = tokio::time::interval(SUMMARY);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        let now = counters.snapshot();
        let troubles = troubles(&before, &now);
        if !troubles.is_empty() {
            let text: Vec<String> = troubles.iter().map(|(name, more)| format!("{name} {more}")).collect();
            warn!("media trouble in the last second: {}", text.join(", "));
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trouble_is_summed_up() {
        let counters = Counters::default();
        let before = counters.snapshot();
        counters.packets.add(5);
        counters.packets_for_nobody.add(3);
        assert_eq!(troubles(&before, &counters.snapshot()), [("packets_for_nobody", 3)]);
        assert_eq!(counters.snapshot().packets, 5);
    }
}
