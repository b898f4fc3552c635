//! What a gateway knows about buckets in Redis without asking, and what it does while it can't ask.

use mock_service::MockService;

use crate::support::redis::RedisServer;
use crate::support::{TestGateway, eventually};

async fn gateway(redis: &str, upstream: &MockService, limit: &str, more: &str) -> TestGateway {
    TestGateway::start(&format!(
        "
redis: {{ main: {{ url: '{redis}', deadline: 1s }} }}
upstreams: {{ u: {{ endpoints: [{}] }} }}
policies:
  limit:
    component: builtin:rate-limit
    grants: {{ kv: {{}}, metrics: {{}}, redis: {{ binding: main, prefix: 'rl:', scripts: true }} }}
    limits: {{ time: 5s }}
routes:
  - name: r
    upstream: u
    policies:
      - {{ use: limit, on_failure: closed, config: {{ limits: [{{ name: token, key: {{ header: x-api-key }}, {limit} }}]{more} }} }}
",
        upstream.url()
    ))
    .await
}

async fn statuses(gateway: &TestGateway, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(gateway.get("/x").await.status.as_u16());
    }
    statuses
}

#[tokio::test]
async fn a_refused_key_costs_no_command() {
    let (redis, upstream) = (RedisServer::start().await, MockService::start().await);
    let gateway = gateway(&redis.url(), &upstream, "rate: 1, per: 1h, burst: 2", "").await;
    assert_eq!(statuses(&gateway, 3).await, [200, 200, 429]);
    let before = redis.commands().await;
    assert_eq!(statuses(&gateway, 50).await, [429; 50]);
    assert_eq!(redis.commands().await, before);
    let other = gateway.get_with("/x", &[("x-api-key", "other")]).await;
    assert_eq!(other.status, 200);
    assert!(redis.commands().await > before);
    gateway
        .wait_for_metric(
            "policy_ratelimit_decisions_total",
            &[("outcome", "limited")],
            51.0,
        )
        .await;
}

#[tokio::test]
async fn a_refused_key_passes_when_its_time_has_come() {
    let (redis, upstream) = (RedisServer::start().await, MockService::start().await);
    let gateway = gateway(&redis.url(), &upstream, "rate: 5, per: 1s, burst: 1", "").await;
    assert_eq!(statuses(&gateway, 1).await, [200]);
    for _ in 0..3 {
        eventually("it passes again", async || {
            gateway.get("/x").await.status == 200
        })
        .await;
    }
    // Refused again and again meanwhile, but Redis was hardly asked: at each end, and just before it.
    let scripts = redis.scripts().await;
    assert!((4..=16).contains(&scripts), "{scripts}");
}

#[tokio::test]
async fn a_gateway_counts_by_its_part_while_redis_is_away_and_tells_it_later() {
    let (redis, upstream) = (RedisServer::start().await, MockService::start().await);
    let (limit, local) = (
        "rate: 8, per: 1h, burst: 8",
        ", on_store_error: local, gateways: 2",
    );
    let gateways = [
        gateway(&redis.url(), &upstream, limit, local).await,
        gateway(&redis.url(), &upstream, limit, local).await,
    ];
    let port = redis.port();
    drop(redis);
    for gateway in &gateways {
        assert_eq!(statuses(gateway, 6).await, [200, 200, 200, 200, 429, 429]);
        for (outcome, count) in [("degraded_local", 4.0), ("degraded_local_limited", 2.0)] {
            let labels = [("outcome", outcome)];
            gateway
                .wait_for_metric("policy_ratelimit_decisions_total", &labels, count)
                .await;
        }
    }
    let _redis = RedisServer::start_on(port).await;
    // The new server knows nothing but what the gateways tell: half of the burst each.
    eventually("redis counts again", async || {
        let answer = gateways[0].get("/x").await;
        answer.header("ratelimit").starts_with("\"token\";r=3;")
    })
    .await;
    eventually("the other gateway has told", async || {
        !gateways[1].get("/x").await.header("retry-after").is_empty()
            && redis_limited(&gateways[1]).await
    })
    .await;
    assert_eq!(statuses(&gateways[0], 1).await, [429]);
}

/// Whether a request was refused by what Redis knows.
async fn redis_limited(gateway: &TestGateway) -> bool {
    let page = gateway.metrics().await;
    let limited = [("outcome", "limited")];
    crate::support::metric(&page, "policy_ratelimit_decisions_total", &limited) > 0.0
}

#[tokio::test]
async fn a_lease_serves_a_key_while_it_lasts() {
    let (redis, upstream) = (RedisServer::start().await, MockService::start().await);
    let limit = "rate: 100, per: 1h, burst: 100, lease: 9";
    let gateway = gateway(&redis.url(), &upstream, limit, "").await;
    assert_eq!(statuses(&gateway, 1).await, [200]);
    let before = redis.commands().await;
    assert_eq!(statuses(&gateway, 9).await, [200; 9]);
    assert_eq!(redis.commands().await, before);
    let answer = gateway.get("/x").await;
    assert!(answer.header("ratelimit").starts_with("\"token\";r=89;"));
    assert!(redis.commands().await > before);
}
