//! The builtin rate limit with its counts in Redis, shared by gateways; and what becomes of requests
//! when Redis does not answer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::Method;
use mock_service::MockService;

use crate::support::redis::RedisServer;
use crate::support::{Answer, TestClient, TestGateway, eventually, within};

/// Time for a call of Redis that a busy machine does not use up.
const AMPLE: &str = "1s";

struct Setup<'a> {
    redis: &'a str,
    deadline: &'a str,
    grant: &'a str,
    limit: &'a str,
    on_store_error: &'a str,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Setup {
            redis: "",
            deadline: AMPLE,
            grant: "prefix: 'rl:', scripts: true",
            limit: "rate: 100, per: 1h, burst: 1000",
            on_store_error: "closed",
        }
    }
}

impl Setup<'_> {
    async fn start(&self, upstream: &MockService) -> TestGateway {
        let Self {
            redis,
            deadline,
            grant,
            limit,
            on_store_error,
        } = self;
        TestGateway::start(&format!(
            "
redis: {{ main: {{ url: '{redis}', deadline: {deadline} }} }}
upstreams: {{ u: {{ endpoints: [{}] }} }}
policies:
  limit:
    component: builtin:rate-limit
    isolation: pooled
    grants: {{ metrics: {{}}, redis: {{ binding: main, {grant} }} }}
    limits: {{ time: 5s }}
routes:
  - name: r
    upstream: u
    policies:
      - use: limit
        on_failure: closed
        config:
          limits: [{{ name: token, key: {{ header: x-api-key }}, {limit} }}]
          on_store_error: {on_store_error}
",
            upstream.url()
        ))
        .await
    }
}

/// How many requests are admitted of clients at these addresses that ask without a pause until `end`.
async fn admitted_until(addresses: [SocketAddr; 4], end: Instant) -> usize {
    let clients = addresses.map(|address| {
        tokio::spawn(async move {
            let (mut client, mut admitted) = (TestClient::connect(address).await, 0);
            while Instant::now() < end {
                let answer = client.send(Method::GET, "/x", &[], "").await;
                match answer.status.as_u16() {
                    200 => admitted += 1,
                    429 => {}
                    other => panic!("{other}: {}", answer.text()),
                }
            }
            admitted
        })
    });
    let mut admitted = 0;
    for client in clients {
        admitted += within(client).await.unwrap();
    }
    admitted
}

#[tokio::test]
async fn two_gateways_share_one_limit() {
    let (redis, upstream) = (RedisServer::start().await, MockService::start().await);
    let (rate, burst) = (100.0, 20.0);
    let setup = Setup {
        redis: &redis.url(),
        limit: "rate: 100, per: 1s, burst: 20",
        ..Setup::default()
    };
    let gateways = [setup.start(&upstream).await, setup.start(&upstream).await];
    let [one, two] = gateways.each_ref().map(|gateway| gateway.address);
    let start = Instant::now();
    let admitted =
        admitted_until([one, two, one, two], start + Duration::from_secs(2)).await as f64;
    let most = burst + rate * start.elapsed().as_secs_f64();
    assert!(admitted <= most + 1.0, "{admitted} of {most}");
    assert!(
        admitted >= 0.95 * (burst + rate * 2.0),
        "{admitted} of {most}"
    );
    for gateway in &gateways {
        let page = gateway.metrics().await;
        let allowed = [("outcome", "allowed")];
        let allowed = crate::support::metric(&page, "policy_ratelimit_decisions_total", &allowed);
        assert!(allowed > 0.0, "{page}");
    }
}

#[tokio::test]
async fn another_prefix_is_another_count() {
    let (redis, upstream) = (RedisServer::start().await, MockService::start().await);
    let limit = "rate: 1, per: 1h, burst: 1";
    let shop = Setup {
        redis: &redis.url(),
        limit,
        ..Setup::default()
    };
    let blog = Setup {
        redis: &redis.url(),
        limit,
        grant: "prefix: 'blog:', scripts: true",
        ..Setup::default()
    };
    let (shop, again) = (shop.start(&upstream).await, shop.start(&upstream).await);
    let blog = blog.start(&upstream).await;
    assert_eq!(shop.get("/x").await.status, 200);
    assert_eq!(again.get("/x").await.status, 429);
    assert_eq!(blog.get("/x").await.status, 200);
    assert_eq!(blog.get("/x").await.status, 429);
}

#[tokio::test]
async fn an_answer_from_redis_carries_the_same_fields() {
    let (redis, upstream) = (RedisServer::start().await, MockService::start().await);
    let limit = "rate: 6, per: 1h, burst: 2";
    let gateway = Setup {
        redis: &redis.url(),
        limit,
        ..Setup::default()
    }
    .start(&upstream)
    .await;
    let answer = gateway.get("/x").await;
    assert_eq!(answer.header("ratelimit-policy"), "\"token\";q=6;w=3600");
    assert_eq!(answer.header("ratelimit"), "\"token\";r=1;t=600");
    assert_eq!(gateway.get("/x").await.status, 200);
    let denied = gateway.get("/x").await;
    assert_eq!(denied.status, 429);
    let seconds: u64 = denied.header("retry-after").parse().unwrap();
    assert!((570..=600).contains(&seconds), "{seconds}");
}

fn assert_store_failed(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let kind = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";
    assert_eq!(answer.json()["type"], kind);
}

/// The shortest time that an answer has taken, of five; each must be as `check` wants it.
async fn best_of_five(gateway: &TestGateway, check: impl Fn(&Answer)) -> Duration {
    let mut client = gateway.client().await;
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        let answer = client.send(Method::GET, "/x", &[], "").await;
        best = best.min(start.elapsed());
        check(&answer);
    }
    best
}

#[tokio::test]
async fn a_dead_redis_gives_the_configured_answer_in_time() {
    let (redis, upstream) = (RedisServer::start().await, MockService::start().await);
    let url = redis.url();
    let closed = Setup {
        redis: &url,
        ..Setup::default()
    }
    .start(&upstream)
    .await;
    let open = Setup {
        redis: &url,
        on_store_error: "open",
        ..Setup::default()
    }
    .start(&upstream)
    .await;
    assert_eq!(closed.get("/x").await.status, 200);
    assert_eq!(open.get("/x").await.status, 200);
    drop(redis);
    let limit = Duration::from_secs(1) + Duration::from_millis(20);
    assert!(best_of_five(&closed, assert_store_failed).await <= limit);
    let passes = |answer: &Answer| {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit"), "");
    };
    assert!(best_of_five(&open, passes).await <= limit);
    for (gateway, outcome) in [(&closed, "degraded_closed"), (&open, "degraded_open")] {
        let labels = [("outcome", outcome)];
        gateway
            .wait_for_metric("policy_ratelimit_decisions_total", &labels, 5.0)
            .await;
    }
}

#[tokio::test]
async fn a_stalled_redis_holds_a_request_no_longer_than_its_deadline() {
    let (redis, upstream) = (RedisServer::start().await, MockService::start().await);
    let url = redis.url();
    let setup = Setup {
        redis: &url,
        deadline: "25ms",
        ..Setup::default()
    };
    let gateway = setup.start(&upstream).await;
    // The first calls may find the machine too busy for 25 ms.
    eventually("redis counts", async || {
        gateway.get("/x").await.status == 200
    })
    .await;
    redis.stall();
    let best = best_of_five(&gateway, assert_store_failed).await;
    assert!(best <= Duration::from_millis(25 + 20), "{best:?}");
    redis.resume();
    eventually("redis counts again", async || {
        gateway.get("/x").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_comes_back_counts_again() {
    let (redis, upstream) = (RedisServer::start().await, MockService::start().await);
    let (url, port) = (redis.url(), redis.port());
    let gateway = Setup {
        redis: &url,
        ..Setup::default()
    }
    .start(&upstream)
    .await;
    assert_eq!(
        gateway
            .get("/x")
            .await
            .header("ratelimit")
            .split(';')
            .nth(1),
        Some("r=999")
    );
    drop(redis);
    assert_store_failed(&gateway.get("/x").await);
    // With it, the script that the last server knew is gone, and so are the counts.
    let _redis = RedisServer::start_on(port).await;
    eventually("redis counts again", async || {
        let answer = gateway.get("/x").await;
        answer.header("ratelimit").split(';').nth(1) == Some("r=999")
    })
    .await;
}

#[tokio::test]
async fn a_gateway_starts_without_its_redis() {
    let upstream = MockService::start().await;
    let nobody = crate::support::raw::RefusingAddress::take();
    let url = nobody.url().replace("http", "redis");
    let gateway = Setup {
        redis: &url,
        ..Setup::default()
    }
    .start(&upstream)
    .await;
    assert_store_failed(&gateway.get("/x").await);
}

#[tokio::test]
async fn a_grant_without_scripts_is_a_store_error() {
    let (redis, upstream) = (RedisServer::start().await, MockService::start().await);
    let setup = Setup {
        redis: &redis.url(),
        grant: "prefix: 'rl:'",
        ..Setup::default()
    };
    let gateway = setup.start(&upstream).await;
    assert_store_failed(&gateway.get("/x").await);
    let labels = [("outcome", "degraded_closed")];
    gateway
        .wait_for_metric("policy_ratelimit_decisions_total", &labels, 1.0)
        .await;
}
