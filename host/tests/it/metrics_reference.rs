//! observability/METRICS.md, held to what gateways show that have something of everything to tell.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use http::Method;
use mock_service::{MockService, Step};
use portcullis::telemetry::metrics::Metrics;

use crate::policy_config::{closed, policy_on};
use crate::support::raw::{RawConnection, RefusingAddress};
use crate::support::tls::Authority;
use crate::support::{TestGateway, eventually};

/// A metric's type and its labels.
type Described = BTreeMap<String, (String, BTreeSet<String>)>;

/// The rows of the reference, and by metric the labels that not every series has.
fn documented() -> (Described, BTreeMap<String, BTreeSet<String>>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../observability/METRICS.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (mut all, mut optional) = (Described::new(), BTreeMap::new());
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (name, kind, labels) = (cells[1].trim_matches('`'), cells[2], cells[3]);
        assert!(!cells[4].is_empty(), "{row}");
        let labels = labels.split(", ").filter(|label| !label.is_empty());
        let mut named = BTreeSet::new();
        for label in labels {
            let plain = label.trim_end_matches('?').trim_matches('`').to_owned();
            if label.ends_with('?') {
                let of = optional
                    .entry(name.to_owned())
                    .or_insert_with(BTreeSet::new);
                of.insert(plain.clone());
            }
            named.insert(plain);
        }
        let before = all.insert(name.to_owned(), (kind.to_owned(), named));
        assert!(before.is_none(), "{name} is there twice");
    }
    (all, optional)
}

/// Adds what a page shows, but for what policies make.
fn read(page: &str, shown: &mut Described, optional: &BTreeMap<String, BTreeSet<String>>) {
    let mut kinds = BTreeMap::new();
    for line in page.lines() {
        if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            kinds.insert(name, kind);
            continue;
        }
        if line.starts_with('#') || line.starts_with("policy_") {
            continue;
        }
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (sample, labels) = series.split_once('{').unwrap_or((series, ""));
        let parts = ["_bucket", "_sum", "_count"];
        let stem = parts.iter().find_map(|part| sample.strip_suffix(part));
        let name = stem
            .filter(|stem| kinds.get(stem) == Some(&"histogram"))
            .unwrap_or(sample);
        let labels = labels
            .split("\",")
            .filter_map(|label| Some(label.split_once('=')?.0));
        let labels: BTreeSet<String> = labels
            .filter(|label| *label != "le")
            .map(str::to_owned)
            .collect();
        let known = shown.entry(name.to_owned());
        let known = known.or_insert_with(|| (kinds[name].to_owned(), labels.clone()));
        // What one series has and another has not must be said to be so.
        let differ: Vec<_> = known.1.symmetric_difference(&labels).cloned().collect();
        let may = optional.get(name);
        assert!(
            differ
                .iter()
                .all(|label| may.is_some_and(|may| may.contains(label))),
            "{name}: not every series has {differ:?}"
        );
        known.1.extend(labels);
    }
}

/// Everything that traffic in the clear can bring about.
async fn plain(upstream: &MockService, down: &RefusingAddress) -> TestGateway {
    let (url, down) = (upstream.url(), down.url());
    let redis = down.trim_start_matches("http://");
    let outcall = "grants: { outcall: { upstreams: [u] } }, limits: { time: 10s, outcalls: 1 }";
    let outcall = policy_on("outcall", "fixtures/outcall-probe", outcall);
    let faulty = "limits: { time: 10s }, fault_circuit: { faults: 1, window: 1h, open_for: 1h }";
    let faulty = policy_on("faulty", "fixtures/hostile", faulty);
    let calls = closed("outcall", "{ upstream: u, times: 2 }");
    let fails = closed("faulty", "{ hook: on_request, mode: trap }");
    let retry = "{ use: retry, on_failure: open, config: { backoff: { base: 1ms, cap: 1ms } } }";
    TestGateway::start(&format!(
        "
access_log: {{ path: /dev/full }}
limits: {{ body: 10B, connections_per_client: 3 }}
timeouts: {{ head: 200ms }}
redis: {{ main: {{ url: 'redis://{redis}', deadline: 50ms }} }}
upstreams:
  u: {{ endpoints: ['{url}'] }}
  stingy: {{ endpoints: ['{url}'], retry_budget: {{ ratio: 0, min_retries_per_second: 0 }}, circuit: {{ max_requests: 1 }} }}
  bad: {{ endpoints: ['{url}', '{down}'], outlier_detection: {{ consecutive_failures: 1 }} }}
policies:
  {outcall}
  {faulty}
  retry: {{ component: 'builtin:retry', isolation: pooled }}
  limit: {{ component: 'builtin:rate-limit', grants: {{ kv: {{}}, metrics: {{}}, redis: {{ binding: main, prefix: 'rl:', scripts: true }} }} }}
routes:
  - {{ name: plain, match: {{ path_prefix: /plain }}, rewrite: {{ strip_prefix: /plain }}, upstream: u, mirror: {{ upstream: u, percent: 100 }}, policies: [{retry}] }}
  - {{ name: stingy, match: {{ path_prefix: /stingy }}, rewrite: {{ strip_prefix: /stingy }}, upstream: stingy, policies: [{retry}] }}
  - {{ name: bad, match: {{ path_prefix: /bad }}, rewrite: {{ strip_prefix: /bad }}, upstream: bad }}
  - {{ name: outcall, match: {{ path_prefix: /outcall }}, respond: {{ status: 204 }}, policies: [{calls}] }}
  - {{ name: faulty, match: {{ path_prefix: /faulty }}, respond: {{ status: 204 }}, policies: [{fails}] }}
  - name: limited
    match: {{ path_prefix: /limited }}
    respond: {{ status: 204 }}
    policies: [{{ use: limit, on_failure: closed, config: {{ limits: [{{ name: a, key: route, rate: 5, per: 1s }}], on_store_error: open }} }}]
"
    ))
    .await
}

async fn drive_plain(gateway: &TestGateway, upstream: &MockService) {
    upstream.script("/hang", vec![Step::Hang]);
    let mut client = gateway.client().await;
    for path in [
        "/plain/x",
        "/plain/flaky",
        "/stingy/status/503",
        "/bad/x",
        "/bad/x",
        "/outcall",
        "/faulty",
        "/faulty",
        "/limited",
        "/elsewhere",
    ] {
        client.send(Method::GET, path, &[], "").await;
    }
    gateway.post("/plain/x", "more than ten bytes").await;
    let mut hanging = gateway.client().await;
    let hanging = tokio::spawn(async move {
        let _ = hanging.try_send(Method::GET, "/stingy/hang", &[], "").await;
    });
    eventually("it hangs", async || {
        gateway
            .upstreams()
            .iter()
            .any(|upstream| upstream.circuit.requests == 1)
    })
    .await;
    client.send(Method::GET, "/stingy/x", &[], "").await;
    hanging.abort();
    drop(client);
    // One that says nothing, and one more than a client may have.
    gateway
        .wait_for_metric("portcullis_connections_active", &[], 0.0)
        .await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.extend(RawConnection::try_connect(gateway.address).await);
    }
    gateway
        .wait_for_metric("portcullis_connections_timed_out_total", &[], 3.0)
        .await;
}

/// TLS: a handshake that fails, and certificates that change.
async fn drive_tls(authority: &Authority) -> TestGateway {
    authority.issue("gateway", &["gateway.test"]);
    let file = |name: &str| authority.path(name).display().to_string();
    let pair = format!(
        "certificate: '{}', key: '{}'",
        file("gateway.pem"),
        file("gateway.key")
    );
    let listener = format!("tls: {{ certificates: [{{ {pair} }}] }}");
    let routes = "routes: [{ name: r, respond: { status: 204 } }]\n";
    let gateway = TestGateway::start_on(&listener, routes).await;
    let mut stranger = RawConnection::connect(gateway.address).await;
    stranger.send("this is not TLS\r\n\r\n").await;
    stranger.bytes_to_end().await;
    authority.issue("gateway", &["gateway.test"]);
    for (name, count) in [
        ("portcullis_tls_handshakes_failed_total", 1.0),
        ("portcullis_tls_certificate_reloads_total", 1.0),
    ] {
        gateway.wait_for_metric(name, &[], count).await;
    }
    gateway.reload_on(&listener, routes).await.unwrap();
    gateway
}

/// What takes a flood or a collector to bring about, which other tests have (`http2_floods`, `policies_log`, `trace_export`).
fn by_hand() -> String {
    let metrics = Metrics::start().unwrap();
    metrics.downstream.connection_closed("resets");
    metrics.traces.exported(1);
    metrics.traces.dropped(1, "queue-full");
    let route = metrics.route("r");
    route.on_log_dropped();
    // A compile child's time, should all of this test come out of the cache.
    metrics.config.compiled(std::time::Duration::from_secs(1));
    metrics.render().unwrap()
}

#[tokio::test]
async fn the_reference_names_all_metrics_and_no_others() {
    let (documented, optional) = documented();
    let mut shown = Described::new();
    read(&by_hand(), &mut shown, &optional);
    let (upstream, down, authority) = (
        MockService::start().await,
        RefusingAddress::take(),
        Authority::new(),
    );
    let gateway = plain(&upstream, &down).await;
    drive_plain(&gateway, &upstream).await;
    for name in [
        "portcullis_access_log_dropped_total",
        "portcullis_mirror_requests_total",
    ] {
        eventually(name, async || {
            crate::support::metric(&gateway.metrics().await, name, &[]) > 0.0
        })
        .await;
    }
    read(&gateway.metrics().await, &mut shown, &optional);
    read(
        &drive_tls(&authority).await.metrics().await,
        &mut shown,
        &optional,
    );
    let names = |of: &Described| of.keys().cloned().collect::<BTreeSet<String>>();
    let (shown_names, documented_names) = (names(&shown), names(&documented));
    let undocumented: Vec<_> = shown_names.difference(&documented_names).collect();
    let missing: Vec<_> = documented_names.difference(&shown_names).collect();
    assert!(
        undocumented.is_empty() && missing.is_empty(),
        "not documented: {undocumented:?}; not shown: {missing:?}"
    );
    for (name, described) in &documented {
        assert_eq!(shown.get(name), Some(described), "{name}");
    }
}

#[tokio::test]
async fn each_metric_says_on_the_page_what_it_is() {
    let metrics = by_hand();
    let described = |name: &str| metrics.contains(&format!("# HELP {name} "));
    let typed = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let silent: Vec<&str> = typed
        .map(|(name, _)| name)
        .filter(|name| !described(name))
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
}
