//! Where traces go: to a collector, by OTLP over gRPC.
//!
//! The one place that knows OpenTelemetry. Nothing waits for the collector: spans stand in a bounded queue, are sent
//! from a thread of their own, and are dropped where they find no room. Without `trace.otlp` none of it exists.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cluster::NodeId;
use cluster::trace::{Message, Recorder, StepTaken, Trace, Traceparent};
use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, Tracer as _,
    TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, SpanData,
};
use serde::Deserialize;
use tracing::{info, warn};

/// Spans that wait to be sent; further ones are dropped. Some 1 kB each.
const WAITING_MAX: usize = 4_096;
/// Spans in one message to the collector.
const BATCH_MAX: usize = 512;
/// How long a span may wait until it is sent.
const SEND_EVERY: Duration = Duration::from_secs(1);
/// How long the collector may take to answer, retries included.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long the end waits for the last spans to be sent.
const LAST_WITHIN: Duration = Duration::from_secs(2);
/// Most characters of an attribute.
const ATTRIBUTE_CHARS_MAX: usize = 128;

/// `[trace]`
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// The collector, `http://host:4317`; None traces nothing.
    otlp: Option<String>,
    /// Of 1,000 terminals that come, how many are traced.
    sample_permille: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self { otlp: None, sample_permille: 1_000 }
    }
}

/// A node's traces on their way to the collector.
pub(crate) struct Tracing {
    provider: Option<SdkTracerProvider>,
    trace: Trace,
}

impl Tracing {
    /// Of `node`, as it is set. The collector need not be there. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// An address that is none, a share above 1,000.
    pub(crate) fn start(settings: &Settings, node: NodeId) -> Result<Self> {
        ensure!(settings.sample_permille <= 1_000, "trace.sample_permille is at most 1000");
        let Some(otlp) = &settings.otlp else { return Ok(Self { provider: None, trace: Trace::off() }) };
        ensure!(otlp.starts_with("http://"), "trace.otlp: `{otlp}` is no http://host:port");
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_protocol(Protocol::Grpc)
            .with_endpoint(otlp)
            .with_timeout(ANSWER_WITHIN)
            .build()
            .context("trace.otlp")?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(WAITING_MAX)
            .with_max_export_batch_size(BATCH_MAX)
            .with_scheduled_delay(SEND_EVERY)
            .build();
        let exporter = Sender { exporter, otlp: otlp.clone(), fails: AtomicBool::new(false) };
        let of_node = [
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", node.to_string()),
        ];
        let share = f64::from(settings.sample_permille) / 1_000.0;
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
            // what another node has decided stays decided
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share))))
            .with_resource(
                Resource::builder_empty().with_service_name("motorcade").with_attributes(of_node).build(),
            )
            .build();
        let recorder = Spans { tracer: provider.tracer("motorcade"), node: node.clone() };
        info!("traces go to {otlp}");
        Ok(Self { provider: Some(provider), trace: Trace::to(node, Arc::new(recorder)) })
    }

    /// Where the roles' steps go.
    pub(crate) fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Sends what waits, for a bounded time.
    pub(crate) async fn stop(self) {
        let Some(provider) = self.provider else { return };
        let sent = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST_WITHIN)).await;
        if let Ok(Err(error)) = sent {
            warn!("the last spans were not sent: {error}");
        }
    }
}

/// Makes spans of steps.
struct Spans {
    tracer: SdkTracer,
    node: NodeId,
}

impl Recorder for Spans {
    fn record(&self, step: StepTaken, after: Option<Traceparent>) -> Option<Traceparent> {
        let parent = match after {
            Some(after) => Context::new().with_remote_span_context(remote(after)),
            None => Context::new(),
        };
        let (begun, ended) = (step.begun, step.ended.max(step.begun));
        let span = self
            .tracer
            .span_builder(step.step.name())
            .with_start_time(begun)
            .with_attributes(attributes(&self.node, step));
        let mut span = span.start_with_context(&self.tracer, &parent);
        span.end_with_timestamp(ended);
        carried(span.span_context())
    }
}

fn attributes(node: &NodeId, step: StepTaken) -> Vec<KeyValue> {
    let StepTaken {
        step,
        from,
        to,
        message,
        answer,
        phone,
        terminal,
        terminal_address,
        gateway_address,
        begun: _,
        ended: _,
    } = step;
    let mut all = vec![
        KeyValue::new("step", i64::from(step.number())),
        KeyValue::new("node", node.to_string()),
        text("from", from.to_string()),
        text("to", to.to_string()),
    ];
    match message {
        Message::Device(message) => {
            all.push(text("message", message.name()));
            all.push(KeyValue::new("jt808.serial", i64::from(message.serial)));
        }
        Message::Words(words) => all.push(text("message", words)),
    }
    if let Some(answer) = answer {
        all.push(text("answer", answer.name()));
        all.push(KeyValue::new("answer.jt808.serial", i64::from(answer.serial)));
    }
    all.extend(phone.map(|phone| text("terminal.phone", phone.as_str().to_owned())));
    all.extend(terminal.map(|terminal| KeyValue::new("terminal.id", terminal.0)));
    all.extend(terminal_address.map(|address| text("terminal.address", address.to_string())));
    all.extend(gateway_address.map(|address| text("gateway.address", address.to_string())));
    all
}

fn text(key: &'static str, value: impl Into<Cow<'static, str>>) -> KeyValue {
    let value = value.into();
    match value.char_indices().nth(ATTRIBUTE_CHARS_MAX) {
        None => KeyValue::new(key, value),
        Some((end, _)) => KeyValue::new(key, value.get(..end).unwrap_or_default().to_owned()),
    }
}

fn remote(context: Traceparent) -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(context.trace.get().to_be_bytes()),
        SpanId::from_bytes(context.span.get().to_be_bytes()),
        TraceFlags::new(context.flags),
        true,
        TraceState::NONE,
    )
}

fn carried(context: &SpanContext) -> Option<Traceparent> {
    Some(Traceparent {
        trace: u128::from_be_bytes(context.trace_id().to_bytes()).try_into().ok()?,
        span: u64::from_be_bytes(context.span_id().to_bytes()).try_into().ok()?,
        flags: context.trace_flags().to_u8(),
    })
}

/// The exporter, which says once that it fails, and once that it does not any more.
#[derive(Debug)]
struct Sender {
    exporter: SpanExporter,
    otlp: String,
    fails: AtomicBool,
}

impl opentelemetry_sdk::trace::SpanExporter for Sender {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let sent = self.exporter.export(batch).await;
        match (&sent, self.fails.swap(sent.is_err(), Ordering::Relaxed)) {
            (Err(error), false) => warn!("spans are lost: {} does not take them: {error}", self.otlp),
            (Ok(()), true) => info!("{} takes spans again", self.otlp),
            _ => {}
        }
        // told already
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use cluster::trace::{Party, Step};
    use model::{Sim, TerminalId};

    use super::*;

    fn settings(otlp: &str, sample_permille: u16) -> Settings {
        Settings { otlp: Some(otlp.to_owned()), sample_permille }
    }

    fn node() -> NodeId {
        "gw1".parse().expect("a name")
    }

    fn step() -> StepTaken {
        let sim: Sim = "FFFFFFFFFFFFFFFFFFFF".parse().expect("the longest there is");
        StepTaken {
            phone: Some(sim.clone()),
            terminal: Some(TerminalId(1)),
            ..StepTaken::now(
                Step::Registers,
                Party::Terminal(sim),
                Party::Node(node()),
                Message::Words("x".repeat(4_000).into()),
            )
        }
    }

    /// Nobody listens on this port of the loopback address.
    const NOWHERE: &str = "http://127.0.0.1:1";

    #[tokio::test(flavor = "multi_thread")]
    async fn a_collector_that_is_not_there_holds_nobody_up() {
        let tracing = Tracing::start(&settings(NOWHERE, 1_000), node()).expect("it need not be there");
        let mut last = None;
        for _ in 0..4 * WAITING_MAX {
            let next = tracing.trace().record(last, |_| step());
            let next = next.expect("traced, though it may be dropped");
            assert_eq!(last.map_or(next.trace, |last: Traceparent| last.trace), next.trace);
            last = Some(next);
        }
        tracing.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_began_elsewhere_is_sampled_as_it_was_there() {
        let tracing = Tracing::start(&settings(NOWHERE, 0), node()).expect("it need not be there");
        let own = tracing.trace().record(None, |_| step()).expect("it has a name all the same");
        assert_eq!(own.flags, 0);
        let after = Traceparent { flags: 1, ..own };
        let next = tracing.trace().record(Some(after), |_| step()).expect("traced");
        assert_eq!((next.trace, next.flags), (own.trace, 1));
        tracing.stop().await;
    }

    #[tokio::test]
    async fn without_a_collector_nothing_is_traced_and_what_is_none_is_refused() {
        let tracing = Tracing::start(&Settings::default(), node()).expect("nothing to fail");
        assert!(!tracing.trace().is_on());
        tracing.stop().await;
        for wrong in ["collector:4317", "https://collector:4317", "http://", "http://a b:1"] {
            assert!(Tracing::start(&settings(wrong, 1_000), node()).is_err(), "{wrong}");
        }
        assert!(Tracing::start(&settings(NOWHERE, 1_001), node()).is_err());
    }

    #[test]
    fn attributes_have_bounds_whatever_a_terminal_says() {
        for attribute in attributes(&node(), step()) {
            let length = attribute.value.as_str().chars().count();
            assert!(length <= ATTRIBUTE_CHARS_MAX, "{}: {length}", attribute.key);
        }
        let cut = text("message", "ü".repeat(ATTRIBUTE_CHARS_MAX + 1));
        assert_eq!(cut.value.as_str(), "ü".repeat(ATTRIBUTE_CHARS_MAX));
    }
}
