//! The response cache before real upstreams, with responses in the gateway's memory and in a real Redis.

use http::Method;
use mock_service::{MockService, Step};

use crate::support::redis::RedisServer;
use crate::support::{Answer, TestGateway, component, metric};

/// A response that may be kept for a minute.
fn minute(body: &str) -> Step {
    Step::respond(200, body.to_owned()).with_header("cache-control", "max-age=60")
}

struct Setup<'a> {
    redis: Option<&'a RedisServer>,
    kv: &'a str,
    policy: &'a str,
    config: &'a str,
    before: &'a str,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self {
            redis: None,
            kv: "{}",
            policy: "limits: { time: 10s }",
            config: "",
            before: "",
        }
    }
}

impl Setup<'_> {
    async fn start(&self, upstream: &MockService) -> TestGateway {
        TestGateway::start(&self.config(upstream)).await
    }

    fn config(&self, upstream: &MockService) -> String {
        let Self {
            kv,
            policy,
            config,
            before,
            ..
        } = self;
        let (bindings, grant, store) = match self.redis {
            Some(redis) => (
                format!(
                    "redis: {{ main: {{ url: '{}', deadline: 2s }} }}",
                    redis.url()
                ),
                "redis: { binding: main, prefix: 'cache:' }".to_owned(),
                "redis",
            ),
            None => (String::new(), format!("kv: {kv}"), "kv"),
        };
        format!(
            "
{bindings}
upstreams: {{ u: {{ endpoints: [{}] }} }}
policies:
  cache: {{ component: 'file:{}', isolation: pooled, grants: {{ metrics: {{}}, {grant} }}, {policy} }}
  key: {{ component: 'file:{}' }}
routes:
  - name: r
    upstream: u
    policies: [{before} {{ use: cache, on_failure: open, config: {{ store: {store}, {config} }} }}]
",
            upstream.url(),
            component("response-cache").display(),
            component("require-header").display(),
        )
    }
}

async fn ask(gateway: &TestGateway, path: &str, headers: &[(&str, &str)]) -> Answer {
    gateway.get_with(path, headers).await
}

/// What the cache says of an answer.
fn status(answer: &Answer) -> &str {
    let status = answer.header("cache-status");
    status.strip_prefix("portcullis; ").unwrap_or(status)
}

#[tokio::test]
async fn a_response_is_kept_and_sent_again() {
    let redis = RedisServer::start().await;
    for redis in [None, Some(&redis)] {
        let upstream = MockService::start().await;
        upstream.script(
            "/a",
            vec![minute("hello").with_header("content-type", "text/plain")],
        );
        let gateway = Setup {
            redis,
            ..Setup::default()
        }
        .start(&upstream)
        .await;
        let first = ask(&gateway, "/a", &[]).await;
        assert_eq!(
            status(&first),
            "fwd=uri-miss; stored; ttl=60",
            "{}",
            gateway.metrics().await
        );
        let second = ask(&gateway, "/a", &[]).await;
        assert!(status(&second).starts_with("hit; ttl="), "{second:?}");
        assert_eq!((second.status, second.text()), (first.status, first.text()));
        assert_eq!(second.header("content-type"), "text/plain");
        assert_eq!(second.header("date"), first.header("date"));
        let age: u64 = second.header("age").parse().unwrap();
        assert!(age < 60, "{age}");
        assert_ne!(second.header("x-request-id"), first.header("x-request-id"));
        assert_eq!(upstream.requests().len(), 1);
        let page = gateway.metrics().await;
        let hits = metric(&page, "policy_cache_decisions_total", &[("outcome", "hit")]);
        assert_eq!(hits, 1.0, "{page}");
    }
}

#[tokio::test]
async fn two_gateways_share_what_redis_keeps() {
    let (redis, upstream) = (RedisServer::start().await, MockService::start().await);
    let long = "0123456789abcdef".repeat(8 << 10);
    upstream.script("/short", vec![minute("hello").with_header("etag", "\"1\"")]);
    upstream.script("/long", vec![minute(&long)]);
    let setup = Setup {
        redis: Some(&redis),
        ..Setup::default()
    };
    let (one, two) = (setup.start(&upstream).await, setup.start(&upstream).await);
    // Both serve under one name.
    let host = [("host", "shop.example")];
    for (path, body) in [("/short", "hello"), ("/long", &*long)] {
        assert_eq!(
            status(&ask(&one, path, &host).await),
            "fwd=uri-miss; stored; ttl=60"
        );
        let second = ask(&two, path, &host).await;
        assert!(
            status(&second).starts_with("hit"),
            "{path}: {:?}",
            second.headers
        );
        assert!(second.text() == body);
    }
    // What one of them learns of a change holds for the other.
    let answer = two
        .client()
        .await
        .send(Method::POST, "/short", &host, "x")
        .await;
    assert_eq!(answer.status, 200);
    assert!(status(&ask(&one, "/short", &host).await).starts_with("fwd=uri-miss"));
    assert_eq!(upstream.requests_to("/long").len(), 1);
    assert_eq!(upstream.requests_to("/short").len(), 3);
}

#[tokio::test]
async fn a_hit_costs_six_calls_of_the_gateway() {
    let upstream = MockService::start().await;
    upstream.script("/a", vec![minute("hello")]);
    let gateway = Setup::default().start(&upstream).await;
    assert_eq!(ask(&gateway, "/a", &[]).await.text(), "hello");
    let six = Setup {
        policy: "limits: { time: 10s, host_calls: 6 }",
        ..Setup::default()
    };
    // What is kept stays over a reload.
    gateway.reload(&six.config(&upstream)).await.unwrap();
    let answer = ask(&gateway, "/a", &[]).await;
    assert!(status(&answer).starts_with("hit"), "{}", status(&answer));
}

#[tokio::test]
async fn what_is_one_persons_goes_to_nobody_else() {
    let redis = RedisServer::start().await;
    for redis in [None, Some(&redis)] {
        let upstream = MockService::start().await;
        let setup = Setup {
            redis,
            ..Setup::default()
        };
        let gateway = setup.start(&upstream).await;
        for (path, answer, alice, bob) in [
            (
                "/authorization",
                minute("alice's"),
                ("authorization", "Bearer alice"),
                ("authorization", "Bearer bob"),
            ),
            (
                "/key",
                minute("alice's"),
                ("x-api-key", "alice"),
                ("x-api-key", "bob"),
            ),
            (
                "/cookie",
                minute("alice's"),
                ("cookie", "session=alice"),
                ("cookie", "session=bob"),
            ),
            (
                "/set-cookie",
                minute("alice's").with_header("set-cookie", "session=alice"),
                ("x", "alice"),
                ("x", "bob"),
            ),
            (
                "/private",
                Step::respond(200, "alice's").with_header("cache-control", "PRIVATE, max-age=60"),
                ("x", "alice"),
                ("x", "bob"),
            ),
            (
                "/vary",
                minute("alice's").with_header("vary", "X-User"),
                ("x-user", "alice"),
                ("x-user", "bob"),
            ),
        ] {
            upstream.script(
                path,
                vec![answer, minute("bob's").with_header("vary", "x-user")],
            );
            assert_eq!(
                ask(&gateway, path, &[alice]).await.text(),
                "alice's",
                "{path}"
            );
            let other = ask(&gateway, path, &[bob]).await;
            assert_eq!(other.text(), "bob's", "{path}");
            assert_eq!(other.header("set-cookie"), "", "{path}");
            assert_eq!(upstream.requests_to(path).len(), 2, "{path}");
        }
    }
}

#[tokio::test]
async fn variants_are_told_apart() {
    let upstream = MockService::start().await;
    let german = minute("Guten Tag").with_header("vary", "Accept-Language");
    let english = minute("Hello").with_header("vary", "Accept-Language");
    upstream.script("/greeting", vec![german, english]);
    let gateway = Setup::default().start(&upstream).await;
    for (language, expected, wanted) in [
        ("de, en", "Guten Tag", "fwd=uri-miss"),
        ("en", "Hello", "fwd=vary-miss"),
        ("de,en", "Guten Tag", "hit"),
        ("en", "Hello", "hit"),
    ] {
        let answer = ask(&gateway, "/greeting", &[("accept-language", language)]).await;
        assert_eq!(answer.text(), expected, "{language}");
        assert!(
            status(&answer).starts_with(wanted),
            "{language}: {}",
            status(&answer)
        );
    }
}

#[tokio::test]
async fn a_head_is_answered_by_what_a_get_has_brought() {
    let upstream = MockService::start().await;
    upstream.script("/a", vec![minute("hello").with_header("etag", "\"1\"")]);
    let gateway = Setup::default().start(&upstream).await;
    assert_eq!(ask(&gateway, "/a", &[]).await.text(), "hello");
    let mut client = gateway.client().await;
    let answer = client.send(Method::HEAD, "/a", &[], "").await;
    assert!(status(&answer).starts_with("hit"));
    assert_eq!(
        (answer.text().as_str(), answer.header("etag")),
        ("", "\"1\"")
    );
    assert_eq!(answer.header("content-length"), "5");
    // The connection is in step: what follows is no body of the HEAD.
    assert_eq!(
        client.send(Method::GET, "/a", &[], "").await.text(),
        "hello"
    );
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_client_that_has_it_gets_304() {
    let upstream = MockService::start().await;
    upstream.script("/a", vec![minute("hello").with_header("etag", "\"1\"")]);
    let gateway = Setup::default().start(&upstream).await;
    let etag = ask(&gateway, "/a", &[]).await.header("etag").to_owned();
    let answer = ask(&gateway, "/a", &[("if-none-match", &etag)]).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (304, ""));
    assert_eq!(answer.header("etag"), etag);
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_stale_response_is_asked_about_and_sent_again() {
    let redis = RedisServer::start().await;
    let long = "0123456789abcdef".repeat(8 << 10);
    for (redis, body) in [
        (None, "hello"),
        (None, &long),
        (Some(&redis), "hello"),
        (Some(&redis), &long),
    ] {
        let upstream = MockService::start().await;
        let kept = Step::respond(200, body.to_owned()).with_header("etag", "\"1\"");
        let unchanged = Step::respond(304, "").with_header("cache-control", "max-age=60");
        upstream.script(
            "/a",
            vec![kept.with_header("cache-control", "no-cache"), unchanged],
        );
        let gateway = Setup {
            redis,
            ..Setup::default()
        }
        .start(&upstream)
        .await;
        assert!(ask(&gateway, "/a", &[]).await.text() == body);
        let again = ask(&gateway, "/a", &[]).await;
        assert_eq!(status(&again), "fwd=stale; fwd-status=304; ttl=60");
        assert!(again.status == 200 && again.text() == body);
        assert_eq!(upstream.requests()[1].headers["if-none-match"], "\"1\"");
        let third = ask(&gateway, "/a", &[]).await;
        assert!(
            status(&third).starts_with("hit") && third.text() == body,
            "{:?}",
            third.headers
        );
        assert_eq!(upstream.requests().len(), 2);
    }
}

#[tokio::test]
async fn a_stale_response_stands_in_for_a_service_that_is_gone() {
    let upstream = MockService::start().await;
    let kept =
        Step::respond(200, "hello").with_header("cache-control", "max-age=0, stale-if-error=60");
    upstream.script("/a", vec![kept]);
    let gateway = Setup::default().start(&upstream).await;
    assert_eq!(ask(&gateway, "/a", &[]).await.status, 200);
    upstream.script("/a", vec![Step::Close]);
    let answer = ask(&gateway, "/a", &[]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.text().as_str()),
        (200, "hello")
    );
    assert!(
        status(&answer).starts_with("fwd=stale; fwd-status=502"),
        "{}",
        status(&answer)
    );
    upstream.script("/b", vec![Step::Close]);
    assert_eq!(ask(&gateway, "/b", &[]).await.status, 502);
}

#[tokio::test]
async fn a_body_that_breaks_off_or_is_too_long_is_not_kept() {
    let upstream = MockService::start().await;
    upstream.script("/long", vec![minute("hello")]);
    let gateway = Setup {
        config: "max_body_bytes: 4, default_ttl: 60s",
        ..Setup::default()
    }
    .start(&upstream)
    .await;
    for _ in 0..2 {
        assert_eq!(ask(&gateway, "/long", &[]).await.text(), "hello");
        // Without a length the body is read up to the bound, and goes on all the same.
        let streamed = ask(&gateway, "/stream/3?interval_ms=0", &[]).await;
        assert!(
            streamed.text().ends_with("chunk 3 of 3\n"),
            "{}",
            streamed.text()
        );
    }
    assert_eq!(upstream.requests().len(), 4);
    let gateway = Setup {
        config: "default_ttl: 60s",
        ..Setup::default()
    }
    .start(&upstream)
    .await;
    for _ in 0..2 {
        let mut client = gateway.client().await;
        assert!(
            client
                .try_send(Method::GET, "/truncate", &[], "")
                .await
                .is_err()
        );
    }
    assert_eq!(upstream.requests_to("/truncate").len(), 2);
    let page = gateway.metrics().await;
    let aborted = metric(
        &page,
        "policy_cache_stores_total",
        &[("outcome", "aborted")],
    );
    assert_eq!(aborted, 2.0, "{page}");
}

#[tokio::test]
async fn a_full_space_keeps_nothing_more_and_stops_nothing() {
    let upstream = MockService::start().await;
    let body = "0123456789abcdef".repeat(1 << 10);
    upstream.script("/a", vec![minute(&body)]);
    upstream.script("/b", vec![minute(&body)]);
    let gateway = Setup {
        kv: "{ max_bytes: 24KiB }",
        ..Setup::default()
    }
    .start(&upstream)
    .await;
    for _ in 0..2 {
        for path in ["/a", "/b"] {
            assert!(ask(&gateway, path, &[]).await.text() == body);
        }
    }
    assert_eq!(upstream.requests_to("/a").len(), 1);
    assert_eq!(upstream.requests_to("/b").len(), 2);
    let page = gateway.metrics().await;
    let full = metric(&page, "policy_cache_stores_total", &[("outcome", "full")]);
    assert_eq!(full, 2.0, "{page}");
}

#[tokio::test]
async fn a_redis_that_is_gone_is_a_miss() {
    let (redis, upstream) = (RedisServer::start().await, MockService::start().await);
    upstream.script("/a", vec![minute("hello")]);
    let gateway = Setup {
        redis: Some(&redis),
        ..Setup::default()
    }
    .start(&upstream)
    .await;
    assert_eq!(ask(&gateway, "/a", &[]).await.text(), "hello");
    drop(redis);
    let answer = ask(&gateway, "/a", &[]).await;
    assert_eq!(
        (status(&answer), answer.text().as_str()),
        ("fwd=uri-miss", "hello")
    );
    let page = gateway.metrics().await;
    let failed = metric(
        &page,
        "policy_cache_decisions_total",
        &[("outcome", "store_error")],
    );
    assert_eq!(failed, 1.0, "{page}");
}

#[tokio::test]
async fn a_policy_before_the_cache_decides_first() {
    let upstream = MockService::start().await;
    upstream.script("/a", vec![minute("hello")]);
    let before = "{ use: key, on_failure: closed, config: { header: x-key } },";
    let gateway = Setup {
        before,
        ..Setup::default()
    }
    .start(&upstream)
    .await;
    assert_eq!(ask(&gateway, "/a", &[("x-key", "k")]).await.status, 200);
    assert_eq!(ask(&gateway, "/a", &[]).await.status, 401);
    let answer = ask(&gateway, "/a", &[("x-key", "k")]).await;
    assert!(status(&answer).starts_with("hit"), "{}", status(&answer));
}
