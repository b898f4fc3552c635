//! A policy that was built for an older contract keeps working, and nothing that was released changes.

use std::path::{Path, PathBuf};

use http::Method;
use mock_service::{MockService, Step};

use crate::policy_config::{closed, faults};
use crate::support::redis::RedisServer;
use crate::support::{TestGateway, metric};

mod released;

/// What was released, and is not to be changed.
fn fixture(file: &str) -> PathBuf {
    let folder = "tests/fixtures/contract-0.1.0";
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    folder.join(file)
}

/// The upstreams and the gateway of a test; the old guest is on a route to `main`, with all grants.
struct Served {
    gateway: TestGateway,
    main: MockService,
    other: MockService,
    _redis: RedisServer,
}

async fn serve() -> Served {
    let (main, other) = (MockService::start().await, MockService::start().await);
    let redis = RedisServer::start().await;
    let gateway = TestGateway::start(&config(&main, &other, &redis, "{ k: v }")).await;
    Served {
        gateway,
        main,
        other,
        _redis: redis,
    }
}

fn config(main: &MockService, other: &MockService, redis: &RedisServer, of_use: &str) -> String {
    let grants = "kv: {}, redis: { binding: main, prefix: 'old:', scripts: true }, metrics: {}, \
        upstreams: [other], secrets: [s], outcall: { upstreams: [other] }";
    let used = closed("old", of_use);
    format!(
        "
redis: {{ main: {{ url: '{}', deadline: 5s }} }}
secrets: {{ s: sesame }}
upstreams: {{ main: {{ endpoints: ['{}'] }}, other: {{ endpoints: ['{}'] }} }}
policies:
  old: {{ component: 'file:{}', grants: {{ {grants} }}, limits: {{ time: 30s }} }}
routes:
  - {{ name: r, upstream: main, max_attempts: 3, retry_non_idempotent: true, policies: [{used}] }}
",
        redis.url(),
        main.url(),
        other.url(),
        fixture("guest.wasm").display(),
    )
}

/// What `on-request` reports: each call of the contract, and what came of it. (Tests have no log.)
const OF_REQUEST: &[&str] = &[
    r#"config="{\"k\":\"v\"}""#,
    "id=32",
    r#"attribute=Some("r")"#,
    "no-attribute=None",
    r#"head=("POST", "http", "/in?q=1")"#,
    "authority=true",
    r#"header=Some("1")"#,
    r#"header-values=["1", "2"]"#,
    "headers=2",
    r#"read-body=Ok("body")"#,
    "read-body-limit=Err(BodyError::TooLarge)",
    "get-state=None",
    "get-shared=None",
    "log-enabled=false",
    "monotonic=true",
    "unix=true",
    "random=true",
    r#"secret=Some("sesame")"#,
    "no-secret=None",
    "kv-get=Ok(None)",
    "kv-set=Ok(())",
    r#"kv-got=Ok(Some("1"))"#,
    "kv-swap=Ok(true)",
    "kv-swap-not=Ok(false)",
    "kv-increment=Ok(5)",
    "kv-delete=Ok(true)",
    "kv-delete-n=Ok(true)",
    r#"outcall=Ok((201, "answered"))"#,
    r#"outcall-not-granted=Err(Error::Denied("upstream \"nowhere\" is not granted"))"#,
    "redis-get=Ok(None)",
    "redis-set=Ok(true)",
    "redis-set-not=Ok(false)",
    "redis-set-present=Ok(true)",
    "redis-set-always=Ok(true)",
    "redis-increment=Ok(7)",
    r#"redis-eval=Ok(["7", "arg", "7", "nil"])"#,
    "redis-delete=Ok(1)",
    "redis-error=true",
    "edit-headers=Ok(())",
    r#"edit-forbidden=Err(EditError::Forbidden("host"))"#,
    "set-head=Ok(())",
    "set-upstream=Ok(())",
    r#"set-upstream-not-granted=Err(EditError::Forbidden("upstream \"nowhere\" is not granted"))"#,
    "replace-body=Ok(())",
    "set-shared=Ok(())",
];

/// What `on-response` reports, `on-attempt` included.
const OF_RESPONSE: &[&str] = &[
    "source=ResponseSource::Upstream",
    "status=200",
    r#"header=Some("1")"#,
    r#"header-values=["1", "2"]"#,
    "headers=2",
    "set-status=Ok(())",
    "edit-headers=Ok(())",
    r#"state=Some("kept")"#,
    r#"shared=Some("v")"#,
    r#"attempts=Some("number=1"#,
    r#"upstream=\"other\""#,
    "endpoint=true",
    "times=true",
    "sent=(true, true, true)",
    "failure=None",
    "status=Some(503)",
    r#"state=Some(\"kept\")"#,
    "too-late=Err(EditError::TooLate);number=2",
    r#"upstream=\"other\""#,
    "endpoint=true",
    "times=true",
    "sent=(true, true, true)",
    "failure=None",
    "status=Some(200)",
    r#"state=Some(\"kept\")"#,
    r#"too-late=Err(EditError::TooLate);")"#,
];

#[tokio::test]
async fn an_old_guest_calls_every_function_in_every_hook() {
    let served = serve().await;
    served
        .other
        .script("/called", vec![Step::respond(201, "answered")]);
    let answer = Step::respond(200, "answer")
        .with_header("x-out", "1")
        .with_header("x-out", "2");
    served
        .other
        .script("/moved", vec![Step::Status(503), answer]);
    let headers = [("x-in", "1"), ("x-in", "2"), ("x-gone", "1")];
    let mut client = served.gateway.client().await;
    let answer = client.send(Method::POST, "/in?q=1", &headers, "body").await;

    assert!(served.main.requests().is_empty());
    let request = &served.other.requests_to("/moved")[1];
    assert_eq!(
        (request.method.as_str(), request.query.as_str()),
        ("POST", "by=old")
    );
    let report = request.headers["x-old-report"].to_str().unwrap();
    assert_eq!(Vec::from_iter(report.split('|')), OF_REQUEST);
    assert_eq!(
        (&request.headers["x-set"], &request.headers["x-in"]),
        (&"1".parse().unwrap(), &"1".parse().unwrap())
    );
    assert_eq!(request.headers.get_all("x-in").iter().count(), 3);
    assert!(!request.headers.contains_key("x-gone"));
    assert_eq!(&request.body[..], b"up:replaced");

    assert_eq!(
        (
            answer.status.as_u16(),
            answer.header("x-old"),
            answer.header("x-out")
        ),
        (203, "edited", "")
    );
    let text = answer.text();
    let (body, report) = text.split_once('\n').unwrap();
    assert_eq!(body, "down:answer");
    assert_eq!(Vec::from_iter(report.split('|')), OF_RESPONSE);

    let labels = [
        ("status", "203"),
        ("attempts", "2"),
        ("ended", "ok"),
        ("bodies", "true"),
        ("seen", "203"),
        ("state", "kept"),
        ("in_time", "true"),
    ];
    served
        .gateway
        .wait_for_metric("policy_old_log_total", &labels, 1.0)
        .await;
    let page = served.gateway.metrics().await;
    for (name, value) in [
        ("policy_old_count_total", 2.0),
        ("policy_old_gauge", 3.0),
        ("policy_old_observe_sum", 4.0),
    ] {
        assert_eq!(metric(&page, name, &[("of", "old")]), value, "{name}");
    }
}

#[tokio::test]
async fn an_old_guest_may_answer_replace_and_fail() {
    let served = serve().await;
    for (what, status, body) in [("respond", 418, "a teapot"), ("replace", 219, "another")] {
        let answer = served.gateway.get_with("/", &[("x-do", what)]).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("x-old")),
            (status, "local")
        );
        assert!(answer.text().ends_with(body), "{}", answer.text());
    }
    for what in ["fail", "trap"] {
        assert_eq!(
            served.gateway.get_with("/", &[("x-do", what)]).await.status,
            503
        );
    }
    let page = served.gateway.metrics().await;
    for kind in ["error", "trap"] {
        assert_eq!(faults(&page, "old", "r", "on-request", kind), 1);
    }
}

#[tokio::test]
async fn an_old_guests_problem_with_its_config_has_its_place() {
    let (main, other) = (MockService::start().await, MockService::start().await);
    let redis = RedisServer::start().await;
    let refusal = TestGateway::refusal(&config(&main, &other, &redis, "{ bad: 1 }")).await;
    let expected = "routes[0].policies[0].config.bad: must not be there";
    assert!(refusal.contains(expected), "{refusal}");
}
