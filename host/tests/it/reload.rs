//! Another config takes over between two requests; one with problems changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::Method;
use mock_service::{MockService, Settings};

use crate::support::raw::RawUpstream;
use crate::support::{TestClient, TestGateway, metric, within};

fn config(url: &str) -> String {
    format!("upstreams: {{ u: {{ endpoints: [{url}] }} }}\nroutes: [{{ name: r, upstream: u }}]\n")
}

async fn named(name: &str) -> MockService {
    let settings = Settings {
        name: name.to_owned(),
        ..Settings::default()
    };
    MockService::with(settings).await.unwrap()
}

#[tokio::test]
async fn the_next_request_is_served_by_the_new_config() {
    let (old, new) = (named("old").await, named("new").await);
    let gateway = TestGateway::start(&config(&old.url())).await;
    let mut client = gateway.client().await;
    assert_eq!(
        client.send(Method::GET, "/x", &[], "").await.json()["service"],
        "old"
    );
    assert_eq!(gateway.reload(&config(&new.url())).await.unwrap(), 2);
    // Over the connection that the client has kept.
    assert_eq!(
        client.send(Method::GET, "/x", &[], "").await.json()["service"],
        "new"
    );
    // Connections that no upstream names any more are closed.
    old.wait_for_open_connections(0).await;
    let page = gateway.metrics().await;
    assert_eq!(metric(&page, "portcullis_config_revision", &[]), 2.0);
    let ok = [("portcullis_result", "ok")];
    assert_eq!(metric(&page, "portcullis_config_reloads_total", &ok), 1.0);
}

#[tokio::test]
async fn a_request_in_flight_ends_as_it_began() {
    let (old, new) = (RawUpstream::start().await, named("new").await);
    let gateway = TestGateway::start(&config(&old.url())).await;
    let mut client = gateway.client().await;
    let in_flight = tokio::spawn(async move { client.send(Method::GET, "/x", &[], "").await });
    let mut service = old.accept().await;
    service.head().await;
    gateway.reload(&config(&new.url())).await.unwrap();
    assert_eq!(gateway.get("/x").await.json()["service"], "new");
    service
        .send("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nold")
        .await;
    assert_eq!(within(in_flight).await.unwrap().text(), "old");
}

#[tokio::test]
async fn a_config_with_problems_changes_nothing_and_names_them_all() {
    let upstream = named("old").await;
    let gateway = TestGateway::start(&config(&upstream.url())).await;
    let problems = gateway
        .reload(
            "
upstreams: { u: { endpoints: ['http://127.0.0.1:1'] } }
policies:
  missing: { component: 'file:/no/such/policy.wasm' }
  unknown: { component: 'builtin:no-such-policy' }
  limit: { component: 'builtin:rate-limit' }
routes:
  - name: r
    upstream: u
    policies:
      - { use: limit, on_failure: open, config: { limits: [{ name: A B, key: route, rate: 0, per: 1s }] } }
      - { use: limit, on_failure: open, config: { limits: [], extra: 1 } }
",
        )
        .await
        .unwrap_err();
    for path in [
        "policies.missing.component",
        "policies.unknown.component",
        "routes[0].policies[0].config.limits[0].name",
        "routes[0].policies[0].config.limits[0].rate",
        "routes[0].policies[1].config",
    ] {
        let found = problems
            .iter()
            .find(|problem| problem.path.starts_with(path));
        assert!(
            found.is_some_and(|problem| problem.line.is_some()),
            "{path}: {problems:#?}"
        );
    }
    assert_eq!(gateway.get("/x").await.json()["service"], "old");
    let page = gateway.metrics().await;
    assert_eq!(metric(&page, "portcullis_config_revision", &[]), 1.0);
    let rejected = [("portcullis_result", "rejected")];
    assert_eq!(
        metric(&page, "portcullis_config_reloads_total", &rejected),
        1.0
    );
}

/// With policies of both kinds of isolation, so that instances are made and dropped as well.
fn busy_config(url: &str, variant: usize) -> String {
    format!(
        "
upstreams: {{ u: {{ endpoints: [{url}] }} }}
policies:
  limit: {{ component: 'builtin:rate-limit', grants: {{ kv: {{}} }} }}
  retry: {{ component: 'builtin:retry', isolation: pooled }}
routes:
  - name: r{variant}
    upstream: u
    policies:
      - {{ use: limit, on_failure: closed, config: {{ limits: [{{ name: a, key: route, rate: 100000, per: 1s, burst: 100000 }}] }} }}
      - {{ use: retry, on_failure: closed }}
"
    )
}

#[tokio::test]
async fn fifty_reloads_under_load_fail_no_request_and_close_no_connection() {
    const CLIENTS: usize = 4;
    let upstream = MockService::start().await;
    let gateway = TestGateway::start(&busy_config(&upstream.url(), 0)).await;
    let (stop, served) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (stop, served, address) = (stop.clone(), served.clone(), gateway.address);
            tokio::spawn(async move {
                let mut client = TestClient::connect(address).await;
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.send(Method::GET, "/x", &[], "").await;
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for variant in 1..=50 {
        let before = served.load(Ordering::Relaxed);
        let revision = gateway
            .reload(&busy_config(&upstream.url(), variant % 2))
            .await
            .unwrap();
        assert_eq!(revision, variant as u64 + 1);
        crate::support::eventually("requests go on", async || {
            served.load(Ordering::Relaxed) > before
        })
        .await;
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        within(client).await.unwrap();
    }
    // The upstream's connections outlive the configs: one for each request at a time is enough.
    assert!(
        upstream.connections() <= 2 * CLIENTS,
        "{}",
        upstream.connections()
    );
}

#[tokio::test]
async fn a_refused_config_leaves_the_room_of_keys_as_it_is() {
    let upstream = MockService::start().await;
    let config = |max_bytes: &str, rate: &str| {
        format!(
            "
upstreams: {{ u: {{ endpoints: [{}] }} }}
policies: {{ limit: {{ component: 'builtin:rate-limit', grants: {{ kv: {{ max_bytes: {max_bytes} }} }} }} }}
routes:
  - name: r
    upstream: u
    policies:
      - {{ use: limit, on_failure: closed, config: {{ limits: [{{ name: a, key: {{ header: x-key }}, rate: {rate}, per: 1m }}] }} }}
",
            upstream.url()
        )
    };
    let gateway = TestGateway::start(&config("1MiB", "100")).await;
    assert!(gateway.reload(&config("1KiB", "0")).await.is_err());
    // Each key takes more than a hundred bytes: twenty of them would not fit the refused room.
    for key in 0..20 {
        let key = format!("key-{key}");
        let answer = gateway.get_with("/", &[("x-key", &key)]).await;
        assert_eq!(answer.status, 200, "{key}: {}", answer.text());
    }
    assert_eq!(gateway.reload(&config("1KiB", "100")).await, Ok(2));
    let answer = gateway.get_with("/", &[("x-key", "one-more")]).await;
    assert_eq!(
        answer.status, 503,
        "the new room is smaller than what is used"
    );
}
