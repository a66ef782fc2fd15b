//! Every node says what it counts to whoever scrapes it, and whether it lives and can serve.

mod support;

use reqwest::StatusCode;
use support::{Options, Platform};

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_what_the_roles_count() {
    let platform = Platform::start(Options::default());
    let get = async |path: &str| {
        let url = format!("http://{}{path}", platform.ready.metrics);
        support::http().get(url).send().await.expect("answered")
    };

    let reply = get("/metrics").await;
    assert_eq!(reply.status(), StatusCode::OK);
    let kind = reply.headers()["content-type"].to_str().expect("ASCII").to_owned();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = reply.text().await.expect("read");
    for line in [
        "# TYPE motorcade_gateway_reports_received counter",
        "motorcade_gateway_reports_received_total 0",
        "motorcade_gateway_terminals 0",
        "motorcade_media_views_total 0",
        "motorcade_media_trouble_total{kind=\"views_refused\"} 0",
        "motorcade_database_ready 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert_eq!(text.matches("# TYPE motorcade_media_trouble ").count(), 1, "a family is described once");

    assert_eq!(get("/healthz").await.status(), StatusCode::OK);
    assert_eq!(get("/readyz").await.status(), StatusCode::OK);
    assert_eq!(get("/else").await.status(), StatusCode::NOT_FOUND);
    let url = format!("http://{}/metrics", platform.ready.metrics);
    let posted = support::http().post(url).send().await.expect("answered");
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
}
