//! The way to the collector: both protocols, and that no request feels a collector that is down, slow or unwilling.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use mock_service::{MockService, Settings};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use tokio_rustls::TlsAcceptor;

use crate::support::collector::{Collector, Mood, Speaks, attribute};
use crate::support::peers::free_port;
use crate::support::tls::{Authority, from_pem};
use crate::support::{TestClient, TestGateway, component, eventually, metric, within};

const ALL: &str = "tracing: { sample: 1 }\n";
const EXPORTED: &str = "portcullis_traces_exported_total";
const DROPPED: &str = "portcullis_traces_dropped_total";

fn routes(upstream: &MockService) -> String {
    format!(
        "upstreams: {{ u: {{ endpoints: [{}] }} }}\nroutes: [{{ name: r, upstream: u }}]",
        upstream.url()
    )
}

fn by(reason: &str) -> [(&str, &str); 1] {
    [("portcullis_reason", reason)]
}

/// A service that remembers nothing.
async fn service() -> MockService {
    let settings = Settings {
        kept_requests: 1,
        keeps_bodies: false,
        ..Settings::default()
    };
    MockService::with(settings).await.unwrap()
}

#[tokio::test]
async fn both_protocols_bring_spans_with_who_sent_them() {
    let upstream = MockService::start().await;
    let terms = "headers: { x-tenant: shop, authorization: { file: token } }, service_name: gw, resource: { deployment.environment.name: test, service.instance.id: one }";
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "Bearer t\n").unwrap();
    let terms = terms.replace("file: token", &format!("file: {}", token.display()));
    for (speaks, path) in [
        (
            Speaks::Grpc,
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        ),
        (Speaks::Http, "/v1/traces"),
    ] {
        let collector = Collector::start(speaks).await;
        let text = format!("{}{ALL}{}", collector.config(&terms), routes(&upstream));
        let gateway = TestGateway::start(&text).await;
        gateway.get("/x").await;
        let spans = collector.wait_for_spans(2).await;
        assert_eq!(attribute(&spans[0], "portcullis.route").unwrap(), "r");
        assert_eq!(collector.paths(), [path]);
        let headers = collector.headers();
        assert_eq!(
            (&headers["x-tenant"], &headers["authorization"]),
            (&"shop".parse().unwrap(), &"Bearer t".parse().unwrap())
        );
        for (key, value) in [
            ("service.name", "gw"),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("service.instance.id", "one"),
            ("deployment.environment.name", "test"),
        ] {
            assert_eq!(collector.resource(key).as_deref(), Some(value));
        }
        gateway.wait_for_metric(EXPORTED, &[], 2.0).await;
        assert_eq!(metric(&gateway.metrics().await, DROPPED, &[]), 0.0);
    }
}

#[tokio::test]
async fn a_collector_is_reached_over_tls_if_it_is_the_one() {
    let (upstream, authority) = (MockService::start().await, Authority::new());
    authority.issue("collector", &["localhost"]);
    let chain = vec![from_pem(&authority.path("collector.pem"))];
    let key = || PrivateKeyDer::from_pem_file(authority.path("collector.key")).unwrap();
    for (speaks, alpn, protocol) in [
        (Speaks::Grpc, "h2", "grpc"),
        (Speaks::Http, "http/1.1", "http"),
    ] {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.clone(), key())
            .unwrap();
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let any = "127.0.0.1:0".parse().unwrap();
        let collector = Collector::on(speaks, any, Some(acceptor)).await;
        let port = collector.address().port();
        let otlp = |host: &str| {
            format!(
                "otlp: {{ endpoint: 'https://{host}:{port}', protocol: {protocol}, tls: {{ ca: {} }} }}\n{ALL}{}",
                authority.path("ca.pem").display(),
                routes(&upstream)
            )
        };
        let gateway = TestGateway::start(&otlp("localhost")).await;
        gateway.get("/x").await;
        collector.wait_for_spans(2).await;
        // Another name is another collector: nothing is sent there.
        let gateway = TestGateway::start(&otlp("127.0.0.1")).await;
        gateway.get("/x").await;
        gateway.stop().await;
        assert_eq!(collector.spans().len(), 2);
    }
    let text = format!(
        "otlp: {{ endpoint: https://c, tls: {{ ca: {} }} }}\n{ALL}{}",
        authority.path("gone.pem").display(),
        routes(&upstream)
    );
    let refused = TestGateway::refusal(&text).await;
    assert!(
        refused.contains("otlp.tls.ca: cannot read the file"),
        "{refused}"
    );
}

#[tokio::test]
async fn what_was_not_taken_for_now_is_sent_again_and_a_collector_that_comes_back_is_used() {
    let upstream = MockService::start().await;
    for speaks in [Speaks::Grpc, Speaks::Http] {
        let collector = Collector::start(speaks).await;
        collector.be(Mood::Unavailable);
        let text = format!("{}{ALL}{}", collector.config(""), routes(&upstream));
        let gateway = TestGateway::start(&text).await;
        gateway.get("/x").await;
        eventually("it was tried", async || collector.exports() > 0).await;
        collector.be(Mood::Takes);
        collector.wait_for_spans(2).await;
        assert_eq!(metric(&gateway.metrics().await, DROPPED, &[]), 0.0);

        // It goes, and another comes to its place.
        let address = collector.address();
        drop(collector);
        eventually("the port is free", async || {
            tokio::net::TcpListener::bind(address).await.is_ok()
        })
        .await;
        gateway.get("/x").await;
        let collector = Collector::on(speaks, address, None).await;
        collector.wait_for_spans(2).await;
        gateway.wait_for_metric(EXPORTED, &[], 4.0).await;
    }
}

#[tokio::test]
async fn what_a_collector_does_not_want_is_dropped_and_counted() {
    let upstream = MockService::start().await;
    let collector = Collector::start(Speaks::Grpc).await;
    let text = format!("{}{ALL}{}", collector.config(""), routes(&upstream));
    let gateway = TestGateway::start(&text).await;
    collector.be(Mood::Refuses);
    gateway.get("/x").await;
    gateway.wait_for_metric(DROPPED, &by("refused"), 2.0).await;
    assert_eq!(collector.exports(), 1, "it is not asked again");
    collector.be(Mood::Rejects(1));
    gateway.get("/x").await;
    gateway.wait_for_metric(DROPPED, &by("refused"), 3.0).await;
    gateway.wait_for_metric(EXPORTED, &[], 1.0).await;
}

#[tokio::test]
async fn spans_beyond_the_bound_of_a_trace_are_counted() {
    let upstream = MockService::start().await;
    let collector = Collector::start(Speaks::Grpc).await;
    let policies = format!(
        "policies: {{ retry: {{ component: builtin:retry, isolation: pooled }}, hooks: {{ component: \"file:{}\", isolation: pooled }} }}",
        component("fixtures/noop-hooks").display()
    );
    // Each attempt is a span, with one for each policy that is asked what to do next.
    let hooks = "{ use: hooks, on_failure: closed, config: { header: x } }, ".repeat(12);
    let text = format!(
        "{}{ALL}upstreams: {{ u: {{ endpoints: [{}], retry_budget: {{ min_retries_per_second: 1000 }} }} }}\n{policies}
routes:
  - name: r
    upstream: u
    max_attempts: 10
    deadline: 20s
    policies: [{hooks}{{ use: retry, on_failure: closed, config: {{ attempts: 10, backoff: {{ base: 1ms, cap: 1ms }} }} }}]",
        collector.config(""),
        upstream.url()
    );
    let gateway = TestGateway::start(&text).await;
    assert_eq!(gateway.get("/status/503").await.status, 503);
    gateway.wait_for_metric(EXPORTED, &[], 129.0).await;
    let dropped = metric(&gateway.metrics().await, DROPPED, &by("span-limit"));
    assert_eq!(upstream.requests().len(), 10);
    // Twelve policies and retry are asked after each attempt, and the twelve for the response, its body and the end.
    assert_eq!(dropped, 10.0 * 14.0 + 3.0 * 12.0 - 128.0);
}

/// The latencies of so many requests over a few connections, sorted.
async fn latencies(address: SocketAddr, requests: usize) -> Vec<Duration> {
    let clients = (0..4).map(|_| {
        tokio::spawn(async move {
            let mut client = TestClient::connect(address).await;
            let mut took = Vec::new();
            for _ in 0..requests / 4 {
                let start = Instant::now();
                assert_eq!(
                    client.send(Method::GET, "/health", &[], "").await.status,
                    200
                );
                took.push(start.elapsed());
            }
            took
        })
    });
    let mut all = Vec::new();
    for client in clients {
        all.extend(within(client).await.unwrap());
    }
    all.sort_unstable();
    all
}

fn p99(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_feels_a_collector_that_is_down_or_hangs() {
    const REQUESTS: usize = 8000;
    let upstream = service().await;
    let collector = Collector::start(Speaks::Grpc).await;
    collector.be(Mood::Hangs);
    let plain = TestGateway::start(&routes(&upstream)).await;
    let down = format!(
        "otlp: {{ endpoint: \"http://127.0.0.1:{}\" }}\n",
        free_port()
    );
    let hangs = collector.config("timeout: 10s");
    let start = |otlp: String| {
        let text = format!("{otlp}{ALL}{}", routes(&upstream));
        async move { TestGateway::start(&text).await }
    };
    let troubled = [start(down).await, start(hangs).await];
    latencies(plain.address, 400).await;
    let usual = p99(&latencies(plain.address, REQUESTS).await);
    for (gateway, what) in troubled.iter().zip(["down", "hangs"]) {
        let found = p99(&latencies(gateway.address, REQUESTS).await);
        println!("p99 with a collector that {what}: {found:?}, without one {usual:?}");
        let most = usual * 3 + Duration::from_millis(20);
        assert!(found < most, "{what}: {found:?}, usually {usual:?}");
        eventually("what has no room is dropped", async || {
            metric(&gateway.metrics().await, DROPPED, &by("queue-full")) > 0.0
        })
        .await;
        let page = gateway.metrics().await;
        let lost = metric(&page, DROPPED, &by("queue-full"));
        assert!(lost < 2.0 * REQUESTS as f64, "{lost}");
        assert_eq!(metric(&page, EXPORTED, &[]), 0.0);
    }
    for gateway in troubled {
        let start = Instant::now();
        gateway.stop().await;
        let took = start.elapsed();
        assert!(
            took < Duration::from_secs(8),
            "a stop does not wait for a collector: {took:?}"
        );
    }
}

#[tokio::test]
async fn a_reload_changes_collector_and_sampling_and_loses_no_span() {
    let upstream = MockService::start().await;
    let [one, two] = [
        Collector::start(Speaks::Grpc).await,
        Collector::start(Speaks::Http).await,
    ];
    let to = |collector: &Collector, tracing: &str| {
        format!("{}{tracing}{}", collector.config(""), routes(&upstream))
    };
    let gateway = TestGateway::start(&to(&one, ALL)).await;
    let mut client = gateway.client().await;
    client.send(Method::GET, "/x", &[], "").await;
    gateway.reload(&to(&two, ALL)).await.unwrap();
    for _ in 0..3 {
        client.send(Method::GET, "/x", &[], "").await;
    }
    one.wait_for_spans(2).await;
    two.wait_for_spans(6).await;
    gateway
        .reload(&to(&two, "tracing: { sample: 0 }\n"))
        .await
        .unwrap();
    client.send(Method::GET, "/x", &[], "").await;
    gateway.reload(&routes(&upstream)).await.unwrap();
    client.send(Method::GET, "/x", &[], "").await;
    let told = upstream.requests().pop().unwrap();
    assert!(!told.headers.contains_key("traceparent"));
    gateway.reload(&to(&one, ALL)).await.unwrap();
    client.send(Method::GET, "/x", &[], "").await;
    // The last ones are sent before the gateway has stopped.
    gateway.stop().await;
    assert_eq!((one.spans().len(), two.spans().len()), (4, 6));
}

#[tokio::test]
async fn metrics_are_pushed_under_their_own_names() {
    let upstream = MockService::start().await;
    for speaks in [Speaks::Grpc, Speaks::Http] {
        let collector = Collector::start(speaks).await;
        let text = format!("{}{}", collector.config(""), routes(&upstream));
        let gateway = TestGateway::start_pushing("1s", &text).await;
        gateway.get("/x").await;
        let count = || {
            let last = collector.metrics().pop()?;
            let scopes = last
                .resource_metrics
                .into_iter()
                .flat_map(|all| all.scope_metrics);
            let mut metrics = scopes.flat_map(|scope| scope.metrics);
            let found = metrics.find(|metric| metric.name == "http.server.request.duration")?;
            assert_eq!(found.unit, "s");
            let Some(Data::Histogram(histogram)) = found.data else {
                panic!("{found:?}");
            };
            Some(
                histogram
                    .data_points
                    .iter()
                    .map(|point| point.count)
                    .sum::<u64>(),
            )
        };
        eventually("the request is in what is pushed", async || {
            count() == Some(1)
        })
        .await;
        assert!(collector.resource("service.instance.id").is_some());
        // The page shows the same: one reader for both.
        assert_eq!(
            metric(
                &gateway.metrics().await,
                "http_server_request_duration_seconds_count",
                &[]
            ),
            1.0
        );
        gateway.get("/x").await;
        gateway.stop().await;
        assert_eq!(
            count(),
            Some(2),
            "the last is sent before the gateway has stopped"
        );
    }
}
