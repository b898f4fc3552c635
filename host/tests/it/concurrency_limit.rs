//! The builtin concurrency limit: places are held until the last byte, or the client's end, or for a time.

use http::Method;
use mock_service::{MockService, Step};
use tokio::task::JoinHandle;

use crate::support::process::Portcullis;
use crate::support::raw::{RawConnection, RawUpstream};
use crate::support::redis::RedisServer;
use crate::support::{TestClient, TestGateway, eventually, metric};

const MEMORY: &str = "kv: {}";
const REDIS: &str = "redis: { binding: main, prefix: 'cl:', scripts: true }";

fn config(redis: &str, upstream: &str, grant: &str, more: &str) -> String {
    format!(
        "
workers: 2
redis: {{ main: {{ url: '{redis}', deadline: 5s }} }}
upstreams: {{ u: {{ endpoints: ['{upstream}'] }} }}
policies:
  limit: {{ component: 'builtin:concurrency-limit', grants: {{ metrics: {{}}, {grant} }}, limits: {{ time: 10s }} }}
routes:
  - name: r
    upstream: u
    policies:
      - use: limit
        on_failure: closed
        config: {{ limits: [{{ name: caller, key: {{ header: x-api-key }}, concurrency: 2 }}]{more} }}
"
    )
}

/// A request whose answer does not come as long as this is not aborted.
async fn hanging(address: std::net::SocketAddr) -> JoinHandle<()> {
    let mut client = TestClient::connect(address).await;
    tokio::spawn(async move {
        let _ = client.try_send(Method::GET, "/hang", &[], "").await;
    })
}

#[tokio::test]
async fn more_in_flight_than_allowed_are_refused_until_one_ends() {
    let redis = RedisServer::start().await;
    for grant in [MEMORY, REDIS] {
        let service = MockService::start().await;
        service.script("/hang", vec![Step::Hang; 2]);
        let config = config(&redis.url(), &service.url(), grant, "");
        let gateway = TestGateway::start(&config).await;
        let in_flight = [
            hanging(gateway.address).await,
            hanging(gateway.address).await,
        ];
        service.wait_for_requests(2).await;
        for _ in 0..3 {
            let refused = gateway.get("/x").await;
            assert_eq!(refused.status, 429, "{grant}");
            assert_eq!(refused.header("retry-after"), "1");
            let policy = "\"caller\";q=2;qu=\"concurrent-requests\"";
            assert_eq!(refused.header("ratelimit-policy"), policy);
            assert_eq!(refused.header("ratelimit"), "\"caller\";r=0");
            let violated = &refused.json()["violated-policies"];
            assert_eq!(*violated, serde_json::json!(["caller"]));
        }
        let other = gateway.get_with("/x", &[("x-api-key", "other")]).await;
        assert_eq!(other.status, 200);
        // The client leaves: its place is free.
        in_flight[0].abort();
        eventually("there is a place again", async || {
            gateway.get("/x").await.status == 200
        })
        .await;
        in_flight[1].abort();
        let page = gateway.metrics().await;
        let limited = [("outcome", "limited")];
        let limited = metric(&page, "policy_concurrencylimit_decisions_total", &limited);
        assert!(limited >= 3.0, "{page}");
    }
}

#[tokio::test]
async fn a_request_takes_a_place_of_each_limit_or_none() {
    let redis = RedisServer::start().await;
    for grant in [MEMORY, REDIS] {
        let service = MockService::start().await;
        service.script("/hang", vec![Step::Hang]);
        let config = config(&redis.url(), &service.url(), grant, "").replace(
            "concurrency: 2 }",
            "concurrency: 1 }, { name: all, key: route, concurrency: 1 }",
        );
        let gateway = TestGateway::start(&config).await;
        let in_flight = hanging(gateway.address).await;
        service.wait_for_requests(1).await;
        let other = [("x-api-key", "other")];
        let refused = gateway.get_with("/x", &other).await;
        assert_eq!(refused.status, 429, "{grant}");
        let violated = &refused.json()["violated-policies"];
        assert_eq!(*violated, serde_json::json!(["all"]));
        in_flight.abort();
        // Had the refusal kept the caller's one place, it would be gone for a minute.
        eventually("there is a place again", async || {
            gateway.get_with("/x", &other).await.status == 200
        })
        .await;
    }
}

#[tokio::test]
async fn a_place_is_held_until_the_last_byte() {
    let upstream = RawUpstream::start().await;
    // One worker, so that the second request has the connection of the first.
    let config = config("redis://127.0.0.1:1", &upstream.url(), MEMORY, "")
        .replace("concurrency: 2", "concurrency: 1")
        .replace("workers: 2", "workers: 1");
    let gateway = TestGateway::start(&config).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client.send("GET /x HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut service = upstream.accept().await;
    service.head().await;
    service
        .send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab")
        .await;
    client.head().await;
    assert_eq!(client.exactly(2).await, "ab");
    assert_eq!(gateway.get("/y").await.status, 429);
    service.send("cd").await;
    assert_eq!(client.exactly(2).await, "cd");
    let mut second = RawConnection::connect(gateway.address).await;
    eventually("the place is free", async || {
        second.send("GET /z HTTP/1.1\r\nhost: x\r\n\r\n").await;
        // A refusal comes at once; a request that passes is the upstream's to answer.
        tokio::select! {
            (head, _) = second.message() => {
                assert!(head.starts_with("HTTP/1.1 429"), "{head}");
                false
            }
            _ = service.head() => true,
        }
    })
    .await;
}

#[tokio::test]
async fn gateways_share_places_and_those_of_a_dead_one_end_with_their_time() {
    let (redis, service) = (RedisServer::start().await, MockService::start().await);
    service.script("/hang", vec![Step::Hang; 2]);
    let config = config(&redis.url(), &service.url(), REDIS, ", timeout: 2s");
    let dying = Portcullis::start(&config).await;
    let living = TestGateway::start(&config).await;
    let in_flight = [hanging(dying.address).await, hanging(dying.address).await];
    service.wait_for_requests(2).await;
    assert_eq!(living.get("/x").await.status, 429);
    dying.signal("KILL");
    assert_eq!(living.get("/x").await.status, 429);
    eventually("the places' time is up", async || {
        living.get("/x").await.status == 200
    })
    .await;
    in_flight.iter().for_each(JoinHandle::abort);
}
