//! A login server's numbers.

use std::fmt::Error;

use ::login::{Control, Stats};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Those of one login server.
#[derive(Debug)]
pub(super) struct LoginNumbers(pub(super) Control);

impl Collector for LoginNumbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let Stats {
            connections,
            authenticated,
            redirects,
            redirected,
            redirect_refused,
            redirect_ignored,
            spliced,
            splices,
            requests,
            connections_full,
            address_full,
            skipped,
            authentication_late,
            authentication_flood,
            registration_refused,
            authentication_refused,
            admission_unanswered,
            garbage,
            write_stalled,
            no_gateway,
            splices_full,
            gateway_unreachable,
            gateway_refused,
            gateway_lost,
            splice_idle,
        } = self.0.stats();
        for (name, help, count) in [
            ("login_connections", "Connections accepted", connections),
            ("login_authenticated", "Terminals that authenticated", authenticated),
            ("login_redirects", "Terminals that were told to go to a gateway", redirects),
            ("login_redirected", "Terminals that went", redirected),
            ("login_redirect_refused", "Terminals that said they would not go", redirect_refused),
            ("login_redirect_ignored", "Terminals that did not answer, or stayed", redirect_ignored),
            ("login_spliced", "Terminals that were spliced through to their gateway", spliced),
            ("login_requests", "HTTP requests of clients", requests),
        ] {
            let counter = ConstCounter::new(count);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        for (name, help, value) in [
            ("login_splices", "Terminals that are spliced through now", splices),
            ("login_awaited", "Terminals on their way to a gateway", self.0.awaited() as u64),
        ] {
            let gauge = ConstGauge::new(value as i64);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let help = "Trouble of the login server, by kind";
        let mut family = encoder.encode_descriptor("login_trouble", help, None, MetricType::Counter)?;
        for (kind, count) in [
            ("connections_full", connections_full),
            ("address_full", address_full),
            ("skipped", skipped),
            ("authentication_late", authentication_late),
            ("authentication_flood", authentication_flood),
            ("registration_refused", registration_refused),
            ("authentication_refused", authentication_refused),
            ("admission_unanswered", admission_unanswered),
            ("garbage", garbage),
            ("write_stalled", write_stalled),
            ("no_gateway", no_gateway),
            ("splices_full", splices_full),
            ("gateway_unreachable", gateway_unreachable),
            ("gateway_refused", gateway_refused),
            ("gateway_lost", gateway_lost),
            ("splice_idle", splice_idle),
        ] {
            ConstCounter::new(count).encode(family.encode_family(&[("kind", kind)])?)?;
        }
        Ok(())
    }
}
