//! What becomes of series when the config changes.

use mock_service::{MockService, Step};

use crate::support::process::Portcullis;
use crate::support::{TestGateway, metric};

const REQUESTS: &str = "http_server_request_duration_seconds_count";

/// Two routes, one of which is called as `number` says, with everything that has series of its own.
fn config(url: &str, number: u32) -> String {
    format!(
        "
upstreams:
  kept: {{ endpoints: ['{url}'] }}
  u{number}: {{ endpoints: ['{url}'] }}
policies:
  retry: {{ component: 'builtin:retry', isolation: pooled, grants: {{ metrics: {{}} }} }}
  p{number}: {{ component: 'builtin:retry', isolation: pooled, grants: {{ metrics: {{}} }} }}
routes:
  - {{ name: kept, match: {{ path_prefix: /kept }}, rewrite: {{ strip_prefix: /kept }}, upstream: kept, policies: [{{ use: retry, on_failure: open, config: {{}} }}] }}
  - name: r{number}
    match: {{ path_prefix: /new }}
    rewrite: {{ strip_prefix: /new }}
    upstream: u{number}
    mirror: {{ upstream: kept, percent: 100 }}
    policies: [{{ use: p{number}, on_failure: open, config: {{}} }}]
"
    )
}

#[tokio::test]
async fn series_go_with_what_they_are_of_and_go_on_with_what_stays() {
    let upstream = MockService::start().await;
    let url = upstream.url();
    let gateway = TestGateway::start(&config(&url, 0)).await;
    let rounds = 20;
    let mut lines = Vec::new();
    for round in 1..=rounds {
        gateway.get("/kept/x").await;
        gateway.get("/new/x").await;
        let new = format!("r{}", round - 1);
        let kept = [("portcullis_route", "kept")];
        gateway
            .wait_for_metric(REQUESTS, &kept, f64::from(round))
            .await;
        gateway
            .wait_for_metric(REQUESTS, &[("portcullis_route", &new)], 1.0)
            .await;
        let mirror = [("portcullis_route", &*new), ("portcullis_outcome", "sent")];
        gateway
            .wait_for_metric("portcullis_mirror_requests_total", &mirror, 1.0)
            .await;
        lines.push(gateway.metrics().await.lines().count());
        gateway.reload(&config(&url, round)).await.unwrap();
        // The worker changes over with the next request.
        gateway.get("/elsewhere").await;
        gateway
            .wait_for_metric("portcullis_config_revisions", &[], 1.0)
            .await;
        let page = gateway.metrics().await;
        for gone in ["r", "u", "p"].map(|kind| format!("\"{kind}{}\"", round - 1)) {
            assert!(!page.contains(&gone), "{gone}: {page}");
        }
        let used = [("portcullis_policy", "retry"), ("portcullis_route", "kept")];
        let asked = metric(&page, "portcullis_policy_duration_seconds_count", &used);
        assert_eq!(asked, f64::from(round), "{page}");
    }
    assert_eq!(lines[1], lines[lines.len() - 1], "{lines:?}");
}

#[tokio::test]
async fn the_series_of_a_request_stay_until_it_has_ended() {
    let upstream = MockService::start().await;
    upstream.script("/hang", vec![Step::Hang]);
    let url = upstream.url();
    let gateway = TestGateway::start(&config(&url, 0)).await;
    let mut client = gateway.client().await;
    let hanging = tokio::spawn(async move {
        let _ = client
            .try_send(http::Method::GET, "/new/hang", &[], "")
            .await;
    });
    upstream.wait_for_requests(1).await;
    gateway.reload(&config(&url, 1)).await.unwrap();
    gateway.get("/elsewhere").await;
    let route = [("portcullis_route", "r0")];
    let page = gateway.metrics().await;
    assert_eq!(
        metric(&page, "portcullis_requests_active", &route),
        1.0,
        "{page}"
    );
    hanging.abort();
    gateway
        .wait_for_metric("portcullis_config_revisions", &[], 1.0)
        .await;
    assert!(!gateway.metrics().await.contains("\"r0\""));
}

/// `RELOADS` in the environment: how many; some hundreds otherwise.
#[tokio::test]
async fn reloads_with_names_that_are_always_new_leave_nothing_behind() {
    const SETTLED: u32 = 100;
    // An allocator beside a busy machine's other work takes some MiB more or less; what stayed of each reload would be more.
    const MAY_GROW_MIB: usize = 16;
    let reloads = std::env::var("RELOADS").map_or(800, |text| text.parse().unwrap());
    let upstream = MockService::start().await;
    let config = |number: u32| {
        let url = upstream.url();
        format!(
            "watch: false\nupstreams: {{ u{number}: {{ endpoints: ['{url}'] }} }}\n\
             routes: [{{ name: r{number}, upstream: u{number}, mirror: {{ upstream: u{number}, percent: 100 }} }}]\n"
        )
    };
    let gateway = Portcullis::start(&config(0)).await;
    let mut client = gateway.client().await;
    let mut settled = 0;
    for number in 1..=reloads {
        gateway.write_config(&config(number));
        gateway.signal("HUP");
        let revision = f64::from(number + 1);
        gateway
            .wait_for_metric("portcullis_config_revision", &[], revision)
            .await;
        let answer = client.send(http::Method::GET, "/x", &[], "").await;
        assert_eq!(answer.status, 200);
        if number == SETTLED {
            settled = gateway.memory_mib("VmRSS");
        }
    }
    let grown = gateway.memory_mib("VmRSS").saturating_sub(settled);
    assert!(
        grown <= MAY_GROW_MIB,
        "{grown} MiB in {} reloads",
        reloads - SETTLED
    );
    let page = gateway.metrics().await;
    assert!(!page.contains("\"r1\""), "{page}");
}
