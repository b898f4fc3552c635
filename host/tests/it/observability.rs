//! Two gateways under traffic, and a real Prometheus that scrapes them: every expression of the dashboards and rules
//! finds something there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::support::busy_gateway::{Behind, BusyGateway, COUNTED};
use crate::support::eventually;
use crate::support::observability::{Dashboard, metrics_in, rules};
use crate::support::prometheus::Prometheus;

/// What can't be brought about here is declared in the gateway at least: a queue of on-log that is full, a reader of
/// standard error that does not read, a collector that is slow.
const RARE: [&str; 3] = [
    "portcullis_policy_on_log_dropped_total",
    "portcullis_log_dropped_total",
    "portcullis_traces_dropped_total",
];

/// With the variables of dashboards filled in, for a Prometheus that scrapes twice a second.
fn filled_in(expression: &str) -> String {
    let values = [
        ("$__rate_interval", "10s"),
        ("$__range", "1m"),
        ("$job", "portcullis"),
        ("$instance", ".*"),
        ("$route", ".*"),
        ("$policy", ".*"),
        ("$upstream", ".*"),
    ];
    let fill = |text: String, (variable, value): &(&str, &str)| text.replace(variable, value);
    values.iter().fold(expression.to_owned(), fill)
}

/// Every expression that must find something, with where it stands.
fn expressions() -> Vec<(String, String)> {
    let mut all: Vec<_> = Dashboard::all()
        .iter()
        .flat_map(Dashboard::expressions)
        .map(|(place, expression)| (place, filled_in(&expression)))
        .collect();
    for rule in rules() {
        let expression = rule["expr"].as_str().unwrap();
        if let Some(record) = rule["record"].as_str() {
            all.push((record.to_owned(), expression.to_owned()));
            all.push((record.to_owned(), record.to_owned()));
            continue;
        }
        // An alert need not fire, but what it looks at must be there.
        for metric in metrics_in(expression) {
            all.push((rule["alert"].to_string(), metric));
        }
    }
    all.retain(|(_, expression)| metrics_in(expression).is_disjoint(&rare()));
    all
}

fn rare() -> BTreeSet<String> {
    RARE.map(str::to_owned).into()
}

/// What an expression is missing; nothing if it finds something that is a number.
async fn lacks(prometheus: &Prometheus, expression: &str) -> Option<String> {
    match prometheus.ask(expression).await {
        Err(error) => panic!("{expression}: {error}"),
        Ok(samples) if samples.iter().any(|sample| !sample.value.is_nan()) => None,
        Ok(samples) => Some(format!("{} samples", samples.len())),
    }
}

#[tokio::test]
async fn every_expression_of_dashboards_and_rules_finds_something() {
    let behind = Behind::start().await;
    let gateways = [
        BusyGateway::start(&behind).await,
        BusyGateway::start(&behind).await,
    ];
    let targets = gateways.each_ref().map(BusyGateway::target);
    let prometheus = Prometheus::start(&targets).await;
    let mut left = expressions();
    assert!(left.len() > 150, "{}", left.len());
    let (start, mut rounds) = (Instant::now(), 0);
    // Counters that begin with their first event have a rate from the second on.
    while !left.is_empty() && start.elapsed() < Duration::from_secs(40) {
        for gateway in &gateways {
            gateway.round(rounds).await;
        }
        rounds += 1;
        let mut lacking = Vec::new();
        for (place, expression) in left {
            if lacks(&prometheus, &expression).await.is_some() {
                lacking.push((place, expression));
            }
        }
        left = lacking;
    }
    assert!(left.is_empty(), "these find nothing:\n{left:#?}");
    counts_agree(&prometheus, rounds * gateways.len() * COUNTED).await;
    targets_and_rules_are_well(&prometheus).await;
    alerts_fire(&prometheus).await;
}

/// As many requests as were sent, and by status.
async fn counts_agree(prometheus: &Prometheus, sent: usize) {
    let counted = "http_server_request_duration_seconds_count{portcullis_route=\"counted\"}";
    let expected = f64::from(u32::try_from(sent).unwrap());
    eventually("Prometheus has counted what was sent", async || {
        // The one with too long a path is refused before any route is looked for.
        prometheus.sum(counted).await >= expected
    })
    .await;
    assert_eq!(prometheus.sum(counted).await, expected);
    let observed =
        "http_server_request_duration_seconds_bucket{portcullis_route=\"counted\", le=\"+Inf\"}";
    assert_eq!(prometheus.sum(observed).await, expected);
    println!("Prometheus has counted {expected} requests of {sent} that were sent");
}

async fn targets_and_rules_are_well(prometheus: &Prometheus) {
    assert_eq!(prometheus.sum("up{job=\"portcullis\"}").await, 2.0);
    let groups = prometheus.api("/api/v1/rules").await;
    let mut seen = 0;
    for group in groups["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            assert_eq!(
                rule["health"], "ok",
                "{}: {}",
                rule["name"], rule["lastError"]
            );
            seen += 1;
        }
    }
    assert_eq!(seen, rules().len());
}

/// Some are meant to fire with what happens here; those of which the cause must last are pending.
async fn alerts_fire(prometheus: &Prometheus) {
    for name in [
        "PortcullisErrorBudgetBurnsFast",
        "PortcullisUpstreamDown",
        "PortcullisUpstreamFails",
        "PortcullisEndpointEjected",
        "PortcullisUpstreamCircuitOpen",
        "PortcullisRetryBudgetSpent",
        "PortcullisPolicyFaults",
        "PortcullisPolicyCircuitOpen",
        "PortcullisRateLimitDegraded",
        "PortcullisRedisCircuitOpen",
        "PortcullisRedisDegraded",
        "PortcullisAccessLogDropped",
        "PortcullisConnectionsRefused",
    ] {
        let alert = format!("ALERTS{{alertname=\"{name}\"}}");
        eventually(&alert, async || prometheus.sum(&alert).await > 0.0).await;
    }
}
