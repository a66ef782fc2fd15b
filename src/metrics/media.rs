//! A media server's numbers.

use std::fmt::Error;
use std::sync::Arc;

use ::media::{MediaServer, Stats};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

/// Those of one media server.
pub(super) struct MediaNumbers(pub(super) Arc<MediaServer>);

impl std::fmt::Debug for MediaNumbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MediaNumbers")
    }
}

impl Collector for MediaNumbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let Stats {
            live_connections,
            packets,
            units,
            sources,
            views,
            viewer_connections,
            snapshots,
            connections_without_packet,
            connections_without_request,
            packets_for_nobody,
            sources_refused,
            connections_over_bound,
            bytes_skipped,
            frames_with_gap,
            frames_unsupported,
            audio_dropped,
            units_dropped_for_viewers,
            viewers_stalled,
            views_refused,
            views_revoked,
            viewer_protocol_unknown,
        } = self.0.stats();
        for (name, help, count) in [
            ("media_live_connections", "Connections of terminals accepted on live ports", live_connections),
            ("media_packets", "JT/T 1078 packets taken", packets),
            ("media_units", "Coded frames put into rings", units),
            ("media_sources", "Streams whose source came", sources),
            ("media_views", "Views opened", views),
            ("media_viewer_connections", "Connections accepted on the viewer port", viewer_connections),
            ("media_snapshots", "Snapshots made", snapshots),
        ] {
            let counter = ConstCounter::new(count);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        let help = "Trouble of the media server, by kind";
        let mut family = encoder.encode_descriptor("media_trouble", help, None, MetricType::Counter)?;
        for (kind, count) in [
            ("connections_without_packet", connections_without_packet),
            ("connections_without_request", connections_without_request),
            ("packets_for_nobody", packets_for_nobody),
            ("sources_refused", sources_refused),
            ("connections_over_bound", connections_over_bound),
            ("bytes_skipped", bytes_skipped),
            ("frames_with_gap", frames_with_gap),
            ("frames_unsupported", frames_unsupported),
            ("audio_dropped", audio_dropped),
            ("units_dropped_for_viewers", units_dropped_for_viewers),
            ("viewers_stalled", viewers_stalled),
            ("views_refused", views_refused),
            ("views_revoked", views_revoked),
            ("viewer_protocol_unknown", viewer_protocol_unknown),
        ] {
            ConstCounter::new(count).encode(family.encode_family(&[("kind", kind)])?)?;
        }
        Ok(())
    }
}
