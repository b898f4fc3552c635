//! The access log: what a line says, and that no request waits for it or fails with it.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use http::Method;
use mock_service::{MockService, Step};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::process::Portcullis;
use crate::support::raw::{RawConnection, RawUpstream};
use crate::support::{TestGateway, eventually, metric};

const DROPPED: &str = "portcullis_access_log_dropped_total";

fn routes(url: &str) -> String {
    format!(
        "upstreams: {{ u: {{ endpoints: [{url}] }} }}\nroutes: [{{ name: r, match: {{ path_prefix: /x }}, upstream: u }}]\n"
    )
}

fn config(log: &Path, url: &str) -> String {
    format!(
        "access_log: {{ path: {}, headers: [x-tenant, cookie], redact: [ticket] }}\n{}",
        log.display(),
        routes(url)
    )
}

fn lines(log: &Path) -> Vec<Value> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let whole = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    whole
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// The lines, once there are so many.
async fn wait_for_lines(log: &Path, count: usize) -> Vec<Value> {
    eventually(
        &format!("{} has {count} lines", log.display()),
        async || lines(log).len() >= count,
    )
    .await;
    let lines = lines(log);
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

struct Logged {
    upstream: MockService,
    gateway: TestGateway,
    log: PathBuf,
    _directory: TempDir,
}

impl Logged {
    async fn start() -> Self {
        let (upstream, directory) = (MockService::start().await, tempfile::tempdir().unwrap());
        let log = directory.path().join("access.log");
        let gateway = TestGateway::start(&config(&log, &upstream.url())).await;
        Self {
            upstream,
            gateway,
            log,
            _directory: directory,
        }
    }
}

#[tokio::test]
async fn a_request_leaves_a_line_that_says_what_became_of_it() {
    let logged = Logged::start().await;
    let fields = [
        ("x-tenant", "t1"),
        ("cookie", "geheim"),
        ("authorization", "Bearer geheim"),
        ("user-agent", "test/1"),
        ("referer", "http://a.test/?password=geheim"),
        (
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
    ];
    let mut client = logged.gateway.client().await;
    let target = "/x/y?a=1&ticket=geheim&access_token=geheim";
    let answer = client.send(Method::POST, target, &fields, "hello").await;
    let text = fs::read_to_string(&logged.log).unwrap_or_default();
    assert!(!text.contains("geheim"), "{text}");
    let line = wait_for_lines(&logged.log, 1).await.remove(0);
    assert!(!line.to_string().contains("geheim"), "{line}");
    let endpoint = logged.upstream.url();
    let expected = [
        ("request_id", Value::from(answer.header("x-request-id"))),
        ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736".into()),
        ("client", "127.0.0.1".into()),
        ("scheme", "http".into()),
        ("protocol", "HTTP/1.1".into()),
        ("method", "POST".into()),
        ("host", logged.gateway.address.to_string().into()),
        ("path", "/x/y".into()),
        (
            "query",
            "a=1&ticket=[redacted]&access_token=[redacted]".into(),
        ),
        ("user_agent", "test/1".into()),
        ("referer", "http://a.test/?password=[redacted]".into()),
        ("route", "r".into()),
        ("upstream", "u".into()),
        ("endpoint", endpoint.trim_start_matches("http://").into()),
        ("attempts", 1.into()),
        ("status", 200.into()),
        ("error", Value::Null),
        ("bytes_in", 5.into()),
        ("bytes_out", answer.body.len().into()),
        ("policies", Value::Array(Vec::new())),
    ];
    for (field, value) in expected {
        assert_eq!(line[field], value, "{field}: {line:#}");
    }
    assert_eq!(line["headers"]["x-tenant"], "t1");
    assert_eq!(line["headers"]["cookie"], "[redacted]");
    let micros = |field: &str| {
        line[field]
            .as_u64()
            .unwrap_or_else(|| panic!("{field}: {line:#}"))
    };
    assert!(
        micros("upstream_us") > 0 && micros("upstream_us") <= micros("first_byte_us"),
        "{line:#}"
    );
    assert!(micros("first_byte_us") <= micros("total_us"), "{line:#}");
}

#[tokio::test]
async fn a_line_tells_of_attempts_and_of_what_policies_said() {
    let (upstream, directory) = (MockService::start().await, tempfile::tempdir().unwrap());
    let log = directory.path().join("access.log");
    let gateway = TestGateway::start(&format!(
        "
access_log: {{ path: {} }}
upstreams: {{ u: {{ endpoints: [{}] }} }}
policies:
  limit: {{ component: 'builtin:rate-limit', grants: {{ kv: {{}} }} }}
  retry: {{ component: 'builtin:retry' }}
routes:
  - name: r
    upstream: u
    policies:
      - {{ use: limit, on_failure: closed, config: {{ limits: [{{ name: a, key: route, rate: 1, per: 1h, burst: 1 }}] }} }}
      - {{ use: retry, on_failure: closed }}
",
        log.display(),
        upstream.url()
    ))
    .await;
    upstream.script("/x", vec![Step::Status(503), Step::respond(200, "done")]);
    assert_eq!(gateway.get("/x").await.status, 200);
    assert_eq!(gateway.get("/x").await.status, 429);
    let lines = wait_for_lines(&log, 2).await;
    let verdicts = |line: &Value| -> Vec<String> {
        let asked = line["policies"].as_array().unwrap().iter();
        let words = asked.map(|asked| {
            assert!(asked["us"].is_u64(), "{asked}");
            let word = |key: &str| asked[key].as_str().unwrap().to_owned();
            format!("{} {} {}", word("policy"), word("phase"), word("verdict"))
        });
        words.collect()
    };
    assert_eq!(lines[0]["attempts"], 2);
    let asked = verdicts(&lines[0]);
    for expected in ["limit on-request next", "retry on-attempt retry"] {
        assert!(
            asked.iter().any(|asked| asked == expected),
            "{expected}: {asked:?}"
        );
    }
    assert_eq!(
        (&lines[1]["attempts"], &lines[1]["upstream"]),
        (&0.into(), &Value::Null)
    );
    assert_eq!(lines[1]["status"], 429);
    assert!(
        verdicts(&lines[1]).contains(&"limit on-request respond".to_owned()),
        "{:#}",
        lines[1]
    );
}

#[tokio::test]
async fn answers_of_the_gateways_own_are_named() {
    let logged = Logged::start().await;
    assert_eq!(logged.gateway.get("/none").await.status, 404);
    let line = wait_for_lines(&logged.log, 1).await.remove(0);
    assert_eq!(
        (&line["status"], &line["error"]),
        (&404.into(), &"no-route".into())
    );
    assert_eq!(
        (&line["route"], &line["endpoint"]),
        (&Value::Null, &Value::Null)
    );
    // An answer to HEAD is whole without a body.
    let mut client = logged.gateway.client().await;
    client.send(Method::HEAD, "/x", &[], "").await;
    let line = wait_for_lines(&logged.log, 2).await.remove(1);
    assert_eq!(
        (&line["status"], &line["error"]),
        (&200.into(), &Value::Null)
    );
}

#[tokio::test]
async fn a_client_that_goes_away_is_told_of_before_and_within_its_answer() {
    let (upstream, directory) = (RawUpstream::start().await, tempfile::tempdir().unwrap());
    let log = directory.path().join("access.log");
    let gateway = TestGateway::start(&config(&log, &upstream.url())).await;
    let request = "GET /x HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut client = RawConnection::connect(gateway.address).await;
    client.send(request).await;
    // Held, so that the client is the first to go.
    let mut service = upstream.accept().await;
    service.head().await;
    drop(client);
    let line = wait_for_lines(&log, 1).await.remove(0);
    assert_eq!(
        (&line["status"], &line["error"]),
        (&499.into(), &"client-closed".into())
    );
    assert_eq!(
        (&line["attempts"], &line["first_byte_us"]),
        (&1.into(), &Value::Null)
    );

    let mut client = RawConnection::connect(gateway.address).await;
    client.send(request).await;
    let mut service = upstream.accept().await;
    service.head().await;
    service
        .send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        .await;
    client.head().await;
    drop(client);
    let line = wait_for_lines(&log, 2).await.remove(1);
    assert_eq!(
        (&line["status"], &line["error"]),
        (&200.into(), &"client-closed".into())
    );

    let mut client = RawConnection::connect(gateway.address).await;
    client.send(request).await;
    let mut service = upstream.accept().await;
    service.head().await;
    service
        .send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        .await;
    drop(service);
    client.rest().await;
    let line = wait_for_lines(&log, 3).await.remove(2);
    assert_eq!(
        (&line["status"], &line["error"]),
        (&200.into(), &"upstream-body".into())
    );
    assert_eq!(line["bytes_out"], 4);
}

#[tokio::test]
async fn a_sample_of_none_logs_nothing_and_a_reload_changes_that_and_the_file() {
    let logged = Logged::start().await;
    let other = logged.log.with_file_name("other.log");
    let unsampled = format!(
        "access_log: {{ path: {}, sample: 0 }}\n{}",
        logged.log.display(),
        routes(&logged.upstream.url())
    );
    logged.gateway.reload(&unsampled).await.unwrap();
    logged.gateway.get("/x").await;
    logged
        .gateway
        .reload(&config(&other, &logged.upstream.url()))
        .await
        .unwrap();
    logged.gateway.get("/x").await;
    wait_for_lines(&other, 1).await;
    logged
        .gateway
        .reload(&routes(&logged.upstream.url()))
        .await
        .unwrap();
    logged.gateway.get("/x").await;
    logged.gateway.stop().await;
    assert_eq!((lines(&logged.log).len(), lines(&other).len()), (0, 1));
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_a_problem_of_the_config() {
    let refusal = TestGateway::refusal(&config(
        Path::new("/no/such/directory/a.log"),
        "http://127.0.0.1:1",
    ))
    .await;
    assert!(
        refusal.contains("access_log.path: it cannot be opened to write to: "),
        "{refusal}"
    );
}

#[tokio::test]
async fn a_full_disk_costs_lines_and_no_request() {
    let upstream = MockService::start().await;
    let gateway = TestGateway::start(&config(Path::new("/dev/full"), &upstream.url())).await;
    for _ in 0..10 {
        assert_eq!(gateway.get("/x").await.status, 200);
    }
    gateway
        .wait_for_metric(DROPPED, &[("portcullis_reason", "write-failed")], 10.0)
        .await;
}

#[tokio::test]
async fn a_target_that_takes_nothing_costs_lines_and_no_request() {
    let upstream = MockService::start().await;
    let (gateway, mut output) =
        Portcullis::start_piped(&config(Path::new("stdout"), &upstream.url())).await;
    let mut client = gateway.client().await;
    let target = format!("/x?{}", "x".repeat(2000));
    let mut sent = 0;
    // Nobody reads the pipe: it fills, then the queue.
    while metric(
        &gateway.metrics().await,
        DROPPED,
        &[("portcullis_reason", "queue-full")],
    ) == 0.0
    {
        for _ in 0..50 {
            assert_eq!(client.send(Method::GET, &target, &[], "").await.status, 200);
            sent += 1;
        }
        assert!(sent < 20_000, "nothing is dropped");
    }
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        text.lines().count()
    });
    gateway.signal("TERM");
    let mut gateway = gateway;
    assert_eq!(gateway.ended().await.code(), Some(0));
    let written = reader.join().unwrap();
    assert!(written > 0 && written < sent, "{written} of {sent}");
}

#[tokio::test]
async fn a_file_is_opened_anew_on_sighup_and_when_it_has_gone() {
    let (upstream, directory) = (MockService::start().await, tempfile::tempdir().unwrap());
    let log = directory.path().join("access.log");
    let gateway = Portcullis::start(&config(&log, &upstream.url())).await;
    let mut client = gateway.client().await;
    client.send(Method::GET, "/x/1", &[], "").await;
    wait_for_lines(&log, 1).await;
    let rotated = log.with_file_name("access.log.1");
    fs::rename(&log, &rotated).unwrap();
    gateway.signal("HUP");
    eventually("the file is there again", async || log.exists()).await;
    client.send(Method::GET, "/x/2", &[], "").await;
    assert_eq!(wait_for_lines(&log, 1).await[0]["path"], "/x/2");
    assert_eq!(lines(&rotated).len(), 1);
    fs::remove_file(&log).unwrap();
    eventually("the file is there again", async || {
        client.send(Method::GET, "/x/3", &[], "").await;
        log.exists()
    })
    .await;
}

#[tokio::test]
async fn no_line_is_lost_when_the_gateway_stops() {
    let (upstream, directory) = (MockService::start().await, tempfile::tempdir().unwrap());
    let log = directory.path().join("access.log");
    let two = format!("workers: 2\n{}", config(&log, &upstream.url()));
    let mut gateway = Portcullis::start(&two).await;
    for _ in 0..4 {
        let mut client = gateway.client().await;
        for _ in 0..25 {
            client.send(Method::GET, "/x", &[], "").await;
        }
    }
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await.code(), Some(0));
    assert_eq!(lines(&log).len(), 100);
}
