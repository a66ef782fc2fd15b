//! A terminal's way to its gateway is one trace over the processes that it goes through, and each message of the terminal
//! in it is in the terminal's own log.
//!
//! The traces are printed as `docs/tracing.md` shows them.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use sim::{LogEntry, LogLine};
use support::cluster::{Cluster, Plan};
use support::wait_for;

const WITHIN: Duration = Duration::from_secs(120);
const TERMINALS: u32 = 10;
const FIRST_SIM: u64 = 13_800_000_001;
/// Where the collector will be: on the first machine of the network.
const COLLECTOR: &str = "10.77.0.1:4317";

/// What the processes of a trace are.
const LOGIN: &str = "login1";
const API: &str = "api1";

fn plan() -> Plan {
    Plan {
        etcds: 1,
        nodes: vec![(LOGIN, "login"), ("gw1", "gateway"), ("gw2", "gateway"), (API, "api")],
        env: vec![("MOTORCADE__TRACE__OTLP", format!("http://{COLLECTOR}"))],
    }
}

/// A span as the collector got it.
#[derive(Clone, Debug)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    begun_ns: u64,
    ended_ns: u64,
    /// Which process made it.
    instance: String,
    attributes: BTreeMap<String, String>,
}

impl Span {
    fn of(&self, attribute: &str) -> &str {
        self.attributes.get(attribute).map_or("", String::as_str)
    }

    fn step(&self) -> u8 {
        self.of("step").parse().expect("a step has a number")
    }

    /// From, to, message.
    fn said(&self) -> [&str; 3] {
        ["from", "to", "message"].map(|attribute| self.of(attribute))
    }

    fn serial(&self, attribute: &str) -> u16 {
        self.of(attribute).parse().expect("a message of a terminal has a serial number")
    }
}

/// A collector, as small as can be.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let mut spans = self.0.lock().expect("no panic");
        for part in request.into_inner().resource_spans {
            let of_process = part.resource.map(|resource| texts(resource.attributes)).unwrap_or_default();
            assert_eq!(of_process.get("service.name").map(String::as_str), Some("motorcade"));
            for span in part.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                spans.push(Span {
                    trace: hex::encode(span.trace_id),
                    id: hex::encode(span.span_id),
                    parent: hex::encode(span.parent_span_id),
                    name: span.name,
                    begun_ns: span.start_time_unix_nano,
                    ended_ns: span.end_time_unix_nano,
                    instance: of_process.get("service.instance.id").cloned().unwrap_or_default(),
                    attributes: texts(span.attributes),
                });
            }
        }
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

fn texts(attributes: Vec<opentelemetry_proto::tonic::common::v1::KeyValue>) -> BTreeMap<String, String> {
    let text = |value| match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => panic!("neither a text nor a number: {other:?}"),
    };
    let pair = |attribute: opentelemetry_proto::tonic::common::v1::KeyValue| {
        Some((attribute.key, text(attribute.value?.value?)))
    };
    attributes.into_iter().filter_map(pair).collect()
}

impl Collector {
    /// The whole way of a terminal, by the time of its steps: all six of them, and somebody else who learned of it.
    fn way_of(&self, sim: &str) -> Option<Vec<Span>> {
        let spans = self.0.lock().expect("no panic");
        let traces: BTreeSet<&str> = spans
            .iter()
            .filter(|span| span.of("terminal.phone") == sim)
            .map(|span| span.trace.as_str())
            .collect();
        traces.into_iter().find_map(|trace| {
            let mut way: Vec<Span> = spans.iter().filter(|span| span.trace == trace).cloned().collect();
            way.sort_by_key(|span| (span.begun_ns, span.step()));
            let steps: BTreeSet<u8> = way.iter().map(Span::step).collect();
            let is_learned = way.iter().any(|span| span.instance == API);
            (steps.len() == 6 && is_learned).then_some(way)
        })
    }
}

#[test]
fn a_terminal_s_way_is_one_trace_and_its_messages_are_in_its_own_log() {
    let Some(cluster) = Cluster::start(&plan()) else { return };
    let collector = Collector::default();
    let collects = cluster.desk.runtime();
    let service = tonic::transport::Server::builder().add_service(TraceServiceServer::new(collector.clone()));
    collects.spawn(service.serve(COLLECTOR.parse().expect("an address")));

    let log = cluster.folder().join("terminals.jsonl");
    let path = log.display().to_string();
    // each message once: nothing is sent again because an answer takes its time
    let args = ["--redirect-refuse-permille", "500", "--answer-timeout-ms", "60000", "--log", &path];
    let _fleet = cluster.fleet(TERMINALS, &args);
    let sims = (FIRST_SIM..FIRST_SIM + u64::from(TERMINALS)).map(|sim| sim.to_string());
    let (mut redirected, mut spliced) = (0, 0);
    for sim in sims {
        let way = wait_for(&format!("the trace of {sim}"), WITHIN, || collector.way_of(&sim));
        let is_spliced = way.iter().any(|span| span.of("message") == "spliced");
        let count = if is_spliced { &mut spliced } else { &mut redirected };
        if *count == 0 {
            print(&sim, &way);
        }
        *count += 1;
        assert_steps(&sim, &way, is_spliced);
        assert_one_tree(&way);
        assert_in_log(&sim, &way, &log, &cluster);
    }
    assert_eq!((redirected, spliced), (TERMINALS / 2, TERMINALS / 2));
}

/// The steps, each once and in their order, with who said what to whom.
fn assert_steps(sim: &str, way: &[Span], is_spliced: bool) {
    let gateway = way.iter().find(|span| span.step() == 4).expect("all six are there").of("to");
    assert!(gateway.starts_with("gw"), "{gateway}");
    let assigned = format!("assigned to {gateway}");
    let mut expected = vec![(1, [sim, LOGIN, "0x0100"]), (1, [sim, LOGIN, "0x0102"])];
    expected.extend([(2, [LOGIN, LOGIN, assigned.as_str()]), (3, [LOGIN, sim, "0x8105"])]);
    if is_spliced {
        expected.push((3, [LOGIN, gateway, "spliced"]));
    }
    expected.extend([(4, [sim, gateway, "0x0102"]), (5, [gateway, "database", "session opened"])]);
    expected.push((6, [gateway, if is_spliced { "login server" } else { sim }, "0x8001"]));
    // What other nodes learn they learn beside the terminal's way.
    let (learned, own): (Vec<&Span>, Vec<&Span>) =
        way.iter().partition(|span| span.of("message") == "link up");
    let own: Vec<(u8, [&str; 3])> = own.iter().map(|span| (span.step(), span.said())).collect();
    assert_eq!(own, expected, "{sim}");
    let learned: BTreeSet<(u8, [&str; 3])> = learned.iter().map(|span| (span.step(), span.said())).collect();
    assert!(learned.contains(&(5, [gateway, API, "link up"])), "{learned:?}");

    let processes: BTreeSet<&str> = way.iter().map(|span| span.instance.as_str()).collect();
    assert!([LOGIN, gateway, API].iter().all(|process| processes.contains(process)), "{processes:?}");
    for span in way {
        assert!(span.name.starts_with(&format!("{} ", span.step())), "{}", span.name);
        assert_eq!(span.of("node"), span.instance);
        assert!(span.begun_ns <= span.ended_ns);
    }
    let stored = way.iter().find(|span| span.of("to") == "database").expect("asserted above");
    assert!(stored.of("terminal.address").parse::<IpAddr>().is_ok(), "{stored:?}");
    assert!(stored.of("gateway.address").ends_with(":6608"), "{stored:?}");
}

/// Every span comes after another one of its trace, but for the first.
fn assert_one_tree(way: &[Span]) {
    let ids: BTreeSet<&str> = way.iter().map(|span| span.id.as_str()).collect();
    let roots: Vec<&Span> = way.iter().filter(|span| !ids.contains(span.parent.as_str())).collect();
    let [root] = roots.as_slice() else { panic!("{roots:?}") };
    assert_eq!((root.step(), root.parent.as_str()), (1, ""));
}

/// Each message that the terminal sent or got is in its log, on a link to the node that says so.
fn assert_in_log(sim: &str, way: &[Span], log: &Path, cluster: &Cluster) {
    let lines: Vec<LogLine> = LogLine::read_all(log).expect("the simulator writes it");
    let lines: Vec<LogLine> = lines.into_iter().filter(|line| line.sim == sim).collect();
    // A spliced terminal has one link: the gateway hears on it what the login server heard.
    let is_spliced = way.iter().any(|span| span.of("message") == "spliced");
    let is_logged = |entry: &LogEntry, node: &str| {
        let node = if is_spliced { LOGIN } else { node };
        let server = cluster.node(node).process.machine.address.to_string();
        let links: BTreeSet<u32> = lines
            .iter()
            .filter(|line| matches!(&line.entry, LogEntry::Connected { to, .. } if to.starts_with(&format!("{server}:"))))
            .map(|line| line.link)
            .collect();
        lines.iter().any(|line| line.entry == *entry && links.contains(&line.link))
    };
    let mut matched = 0;
    let mut assert_logged = |entry: LogEntry, node: &str| {
        assert!(is_logged(&entry, node), "{sim} with {node}: {entry:?} is not in its log");
        matched += 1;
    };
    for span in way {
        let id = span.of("message").to_owned();
        if span.of("from") == sim {
            assert_logged(LogEntry::Sent { id, serial: span.serial("jt808.serial") }, &span.instance);
        } else if span.of("to") == sim {
            assert_logged(LogEntry::Received { id, serial: span.serial("jt808.serial") }, &span.instance);
        }
        if span.attributes.contains_key("answer") {
            let (id, serial) = (span.of("answer").to_owned(), span.serial("answer.jt808.serial"));
            assert_logged(LogEntry::Received { id, serial }, &span.instance);
        }
    }
    // 0x0100 and 0x0102 with their answers, 0x8105, 0x0102 again; its answer unless the login server keeps it.
    assert_eq!(matched, if is_spliced { 6 } else { 7 });
}

/// As a table, times in milliseconds from the first step.
fn print(sim: &str, way: &[Span]) {
    println!("trace {} of terminal {sim}", way[0].trace);
    println!("| ms | step | node | from → to | message | serial | answer | addresses |");
    println!("|---|---|---|---|---|---|---|---|");
    for span in way {
        let after_ms = (span.begun_ns - way[0].begun_ns) as f64 / 1e6;
        let [from, to, message] = span.said();
        let (serial, node) = (span.of("jt808.serial"), &span.instance);
        let answer = [span.of("answer"), span.of("answer.jt808.serial")].join(" ");
        let addresses = [span.of("terminal.address"), span.of("gateway.address")].join(" ");
        let (name, answer, addresses) = (&span.name, answer.trim(), addresses.trim());
        println!(
            "| {after_ms:.1} | {name} | {node} | {from} → {to} | {message} | {serial} | {answer} | {addresses} |"
        );
    }
}
