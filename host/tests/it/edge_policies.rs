//! What policies and their stores may do at the edges: to Redis, to the metrics page, to a reload.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mock_service::MockService;
use portcullis::telemetry::metrics::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::policy_config::{closed, config, policy_on, received};
use crate::support::TestGateway;
use crate::support::process::{Portcullis, gone};

/// Answers the handshake, and then either nothing or `7` to each command.
async fn serve_redis(mut stream: TcpStream, silent: bool) {
    let mut buffer = vec![0; 65_536];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        let text = String::from_utf8_lossy(&buffer[..length]);
        let commands = text.matches('*').count();
        let reply = match text.contains("SETINFO") {
            true => "+OK\r\n".repeat(commands),
            false if silent => continue,
            false => ":7\r\n".repeat(commands),
        };
        if stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_stalled_redis_connection_is_not_used_again() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
            tokio::spawn(serve_redis(stream, first));
        }
    });
    let upstream = MockService::start().await;
    let terms =
        "grants: { redis: { binding: main, prefix: p, scripts: true } }, limits: { time: 20s }";
    let policies = [policy_on("probe", "fixtures/redis-probe", terms)];
    let routes = [("r", vec![closed("probe", "{ key: n }")])];
    let text = config(&upstream.url(), &policies, &routes);
    let gateway = TestGateway::start(&format!(
        "redis: {{ main: {{ url: 'redis://127.0.0.1:{port}', deadline: 2s }} }}\n{text}"
    ))
    .await;

    let start = Instant::now();
    let answer = gateway.get("/r/echo").await;
    let elapsed = start.elapsed();
    // The first command of the hook runs into the deadline, the second is the next call.
    assert!(!received(&answer, "x-redis-error").is_empty(), "{answer:?}");
    assert_eq!(received(&answer, "x-redis-time"), "7", "{answer:?}");
    assert!(elapsed >= Duration::from_millis(1_900), "{elapsed:?}");
    assert!(elapsed < Duration::from_millis(3_500), "{elapsed:?}");
    let answer = gateway.get("/r/echo").await;
    assert_eq!(received(&answer, "x-redis-count"), "7", "{answer:?}");
    assert!(connections.load(Ordering::SeqCst) >= 2);
}

/// A line's labels, where it is a comment or a sample as Prometheus reads them.
fn labels_of(line: &str) -> Option<Vec<&str>> {
    let Some((_, rest)) = line.split_once('{').filter(|_| !line.starts_with('#')) else {
        let known = line.starts_with("# ") || line.split(' ').count() == 2;
        return known.then(Vec::new);
    };
    let (labels, value) = rest.rsplit_once("} ")?;
    value.parse::<f64>().ok()?;
    let names = labels.split("\",").map(|label| {
        let (name, value) = label.split_once("=\"")?;
        let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let named = name.chars().all(letter) && !name.is_empty();
        (named && !name.starts_with(|c: char| c.is_ascii_digit()) && !value.contains('\n'))
            .then_some(name)
    });
    names.collect()
}

#[test]
fn no_label_of_a_policy_breaks_the_metrics_page() {
    let metrics = Metrics::start().unwrap();
    let counters = metrics.policy_counters("limit", "r", 200);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let labels = [
        pair("", "empty"),
        pair("le", "5"),
        pair("portcullis_policy", "fake"),
        pair("portcullis.route", "fake"),
        pair("9 lives", "cat"),
        pair("a.b", "1"),
        pair("a_b", "2"),
        pair("a_b", "3"),
    ];
    counters.count("counted", 1.0, &labels);
    counters.gauge("level", 1.0, &labels);
    counters.observe("sizes", 1.0, &labels);
    let page = metrics.render().unwrap();
    let ours = page.lines().filter(|line| line.starts_with("policy_"));
    assert!(ours.count() > 3, "{page}");
    assert!(!page.contains("fake"), "{page}");
    for line in page.lines() {
        let mut names = labels_of(line).unwrap_or_else(|| panic!("{line:?}"));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "{line}");
        if line.starts_with("policy_") {
            assert!(line.contains("portcullis_policy=\"limit\""), "{line}");
        }
    }
}

#[tokio::test]
async fn sigterm_ends_the_process_while_a_reload_configures_for_ever() {
    let upstream = MockService::start().await;
    let quiet = config(&upstream.url(), &[], &[("r", vec![])]).replace("policies:\n", "");
    let mut gateway = Portcullis::start(&quiet).await;
    let policies = [policy_on(
        "hostile",
        "fixtures/hostile",
        "limits: { time: 10s }",
    )];
    let looping = closed("hostile", "{ hook: configure, mode: loop }");
    let routes = ["a", "b", "c"].map(|name| (name, vec![looping.clone()]));
    gateway.write_config(&config(&upstream.url(), &policies, &routes));
    gateway.signal("HUP");
    let child = gateway.busy_child().await;
    let start = Instant::now();
    gateway.signal("TERM");
    gateway.ended().await;
    let elapsed = start.elapsed();
    assert!(elapsed < Duration::from_secs(4), "{elapsed:?}");
    gone(child).await;
}
