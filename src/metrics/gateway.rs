//! A gateway's numbers.

use std::fmt::Error;

use ::gateway::{Control, Stats};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Those of one gateway.
#[derive(Debug)]
pub(super) struct GatewayNumbers(pub(super) Control);

impl Collector for GatewayNumbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let Stats {
            terminals,
            received,
            acknowledged,
            inserted,
            repeated,
            quarantined,
            spooled,
            drained,
            copied,
            kept,
            adopted,
            spool_bytes,
            spool_cut_bytes,
            spool_failed,
            copied_to,
            copies,
            database_away,
            trouble,
        } = self.0.stats();
        for (name, help, count) in [
            ("gateway_reports_received", "Reports that came in; a resend counts again", received),
            ("gateway_reports_acknowledged", "Reports that were safe when they were answered", acknowledged),
            ("gateway_reports_inserted", "Reports that became a row", inserted),
            ("gateway_reports_repeated", "Reports that were stored already", repeated),
            ("gateway_reports_quarantined", "Reports that can never be stored as positions", quarantined),
            ("gateway_reports_spooled", "Reports that went to the spool", spooled),
            ("gateway_reports_drained", "Reports that went from the spool to the database", drained),
            ("gateway_reports_copied", "Reports of the spool that a peer took a copy of", copied),
            ("gateway_reports_adopted", "Reports that went from others' copies to the database", adopted),
            ("gateway_copies_kept", "Batches of others' spools that were taken", kept),
            (
                "gateway_spool_cut_bytes",
                "Bytes of the spool that were damaged or not given back",
                spool_cut_bytes,
            ),
        ] {
            let counter = ConstCounter::new(count);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        for (name, help, value) in [
            ("gateway_terminals", "Terminals that are authenticated", terminals as u64),
            ("gateway_spool_bytes", "Bytes in the spool", spool_bytes),
            ("gateway_spool_failed", "Whether the spool's disk failed", u64::from(spool_failed)),
            (
                "gateway_spool_copied",
                "Whether a peer has a copy of the spool",
                u64::from(copied_to.is_some()),
            ),
            ("gateway_copies", "Copies of others' spools that lie here", copies.len() as u64),
            (
                "gateway_copies_bytes",
                "Bytes of copies of others' spools",
                copies.iter().map(|copy| copy.bytes).sum(),
            ),
            (
                "gateway_database_away",
                "Whether the database was away at the last attempt",
                u64::from(database_away),
            ),
        ] {
            let gauge = ConstGauge::new(value as i64);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let help = "Trouble on terminals' links, by kind";
        let mut family = encoder.encode_descriptor("gateway_trouble", help, None, MetricType::Counter)?;
        for (kind, count) in trouble {
            ConstCounter::new(count).encode(family.encode_family(&[("kind", kind)])?)?;
        }
        Ok(())
    }
}
