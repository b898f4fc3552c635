//! The page of the metrics listener, as others read it.

use std::time::{Duration, Instant};

use http::Method;
use mock_service::MockService;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::peers::run_script;
use crate::support::{Answer, TestClient, TestGateway};

/// What Debian's Prometheus sends.
const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

async fn gateway() -> (MockService, TestGateway) {
    let upstream = MockService::start().await;
    let gateway = TestGateway::start(&format!(
        "
upstreams: {{ u: {{ endpoints: ['{}'] }} }}
policies: {{ limit: {{ component: 'builtin:rate-limit', grants: {{ kv: {{}}, metrics: {{}} }} }} }}
routes:
  - name: \"quoted\"
    upstream: u
    policies:
      - {{ use: limit, on_failure: closed, config: {{ limits: [{{ name: a, key: route, rate: 5, per: 1h }}] }} }}
",
        upstream.url()
    ))
    .await;
    for _ in 0..8 {
        gateway.get("/x").await;
    }
    (upstream, gateway)
}

async fn page(gateway: &TestGateway, accept: &str) -> Answer {
    let mut client = TestClient::connect(gateway.metrics_address()).await;
    client
        .send(Method::GET, "/metrics", &[("accept", accept)], "")
        .await
}

/// Whether a series moves with each page, or is of the process, in which other tests run.
fn moves(name: &str) -> bool {
    let of_the_process = ["portcullis_policy_instances", "portcullis_log_dropped"];
    name.starts_with("process_")
        || name.contains("_busy_")
        || of_the_process.iter().any(|start| name.starts_with(start))
}

/// Both formats, between which nothing has happened: connections end when nobody waits for that.
async fn pages_of_one_moment(gateway: &TestGateway) -> [String; 2] {
    let still = |page: &str| {
        let lines = page.lines().filter(|line| !moves(line));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    for _ in 0..100 {
        let before = page(gateway, "text/plain").await;
        let open = page(gateway, OPENMETRICS).await;
        let after = page(gateway, "text/plain").await;
        assert_eq!(
            before.header("content-type"),
            "text/plain; version=0.0.4; charset=utf-8"
        );
        assert_eq!(
            open.header("content-type"),
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        );
        if still(&before.text()) == still(&after.text()) {
            return [before.text(), open.text()];
        }
    }
    panic!("something happens all the time");
}

#[tokio::test]
async fn both_formats_are_read_by_a_parser_that_is_not_ours_and_say_the_same() {
    let (_upstream, gateway) = gateway().await;
    gateway
        .wait_for_metric("http_server_request_duration_seconds_count", &[], 8.0)
        .await;
    let directory = tempfile::tempdir().unwrap();
    let [text, open] = pages_of_one_moment(&gateway).await;
    assert!(!text.contains("# EOF") && open.ends_with("\n# EOF\n"));
    let paths = [("text", text), ("open", open)].map(|(name, page)| {
        let path = directory.path().join(name);
        std::fs::write(&path, page).unwrap();
        path.display().to_string()
    });
    let read = run_script("read_metrics.py", &[&paths[0], &paths[1]]).await;
    let read: Value = serde_json::from_str(&read).unwrap();
    let samples = |format: &str| read[format].as_object().unwrap().clone();
    let (text, open) = (samples("text"), samples("openmetrics"));
    assert!(text.len() > 100, "{text:?}");
    for (name, value) in text.iter().filter(|(name, _)| !moves(name)) {
        assert_eq!(open.get(&canonical(name)), Some(value), "{name}");
    }
    assert_eq!(open.len(), text.len());
    for (name, kind, unit) in [
        (
            "http_server_request_duration_seconds",
            "histogram",
            "seconds",
        ),
        ("portcullis_upstream_attempts", "counter", ""),
        ("process_cpu_seconds", "counter", "seconds"),
        ("process_resident_memory_bytes", "gauge", "bytes"),
        ("portcullis_build", "info", ""),
    ] {
        assert_eq!(
            read["types"][name],
            serde_json::json!([kind, unit]),
            "{name}"
        );
    }
}

/// Bounds are written otherwise in OpenMetrics: `1.0` for `1`.
fn canonical(sample: &str) -> String {
    let Some((before, rest)) = sample.split_once("le=\"") else {
        return sample.to_owned();
    };
    let (bound, after) = rest.split_once('"').unwrap();
    let bound = match bound.parse::<f64>().unwrap() {
        bound if bound.is_infinite() => "+Inf".to_owned(),
        bound if bound < 1e-4 => format!("{bound:e}").replace("e-", "e-0"),
        bound => format!("{bound:?}"),
    };
    format!("{before}le=\"{bound}\"{after}")
}

#[tokio::test]
async fn who_reads_no_page_or_hangs_stops_nobody() {
    let (_upstream, gateway) = gateway().await;
    let mut hanging = Vec::new();
    for request in ["", "GET /metr", "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"] {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(gateway.metrics_address()).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            hanging.push(stream);
        }
    }
    let start = Instant::now();
    let mut client = gateway.client().await;
    for _ in 0..50 {
        client.send(Method::GET, "/x", &[], "").await;
    }
    assert_eq!(page(&gateway, "text/plain").await.status, 200);
    assert!(start.elapsed() < Duration::from_secs(10));
    let mut page = vec![0; 4];
    hanging
        .last_mut()
        .unwrap()
        .read_exact(&mut page)
        .await
        .unwrap();
    assert_eq!(page, b"HTTP");
}
