//! What a policy sees of an exchange and may change of it, and in which order policies are asked.

use http::Method;
use mock_service::MockService;

use crate::policy_config::{closed, config, faults, open, policy, received};
use crate::support::TestGateway;

/// A gateway whose route `r` has one use of the probe.
async fn probed(upstream: &MockService, probe_config: &str) -> TestGateway {
    let policies = [policy("probe", "fixtures/probe")];
    let routes = [("r", vec![closed("probe", probe_config)])];
    TestGateway::start(&config(&upstream.url(), &policies, &routes)).await
}

/// A gateway whose route `r` has one use of the hostile policy, which misbehaves for requests with `x-bad`.
async fn hostile(upstream: &MockService, hook: &str, mode: &str) -> TestGateway {
    let policies = [policy("hostile", "fixtures/hostile")];
    let misbehaviour = format!("{{ hook: {hook}, mode: {mode}, when_header: x-bad }}");
    let routes = [
        ("r", vec![closed("hostile", &misbehaviour)]),
        ("o", vec![open("hostile", &misbehaviour)]),
    ];
    TestGateway::start(&config(&upstream.url(), &policies, &routes)).await
}

const BAD: [(&str, &str); 1] = [("x-bad", "1")];

#[tokio::test]
async fn on_request_sees_the_exchange_and_its_edits_reach_the_upstream() {
    let upstream = MockService::start().await;
    let gateway = probed(&upstream, "{}").await;
    let answer = gateway.get_with("/r/x?a=1", &[("x-secret", "s1")]).await;
    assert_eq!(answer.status, 200);
    let id = answer.header("x-request-id");
    assert_eq!(id.len(), 32);
    assert_eq!(received(&answer, "x-probe-id"), id);
    assert_eq!(received(&answer, "x-request-id"), id);
    assert_eq!(received(&answer, "x-probe-route"), "r");
    assert_eq!(received(&answer, "x-probe-client"), "127.0.0.1");
    assert_eq!(received(&answer, "x-probe-calls"), "1");
    assert_eq!(answer.json()["path"], "/x");
    assert_eq!(answer.json()["query"], "a=1");
}

#[tokio::test]
async fn on_response_sees_its_own_state_shared_values_and_the_response() {
    let upstream = MockService::start().await;
    let gateway = probed(&upstream, "{}").await;
    let answer = gateway.get("/r/status/418").await;
    assert_eq!(answer.status, 418);
    let id = answer.header("x-request-id");
    assert_eq!(answer.header("x-probe-state"), format!("from-request:{id}"));
    assert_eq!(answer.header("x-probe-shared"), id);
    assert_eq!(answer.header("x-probe-status"), "418");
    assert_eq!(answer.header("x-probe-source"), "upstream");
}

#[tokio::test]
async fn a_policys_state_is_not_another_policys() {
    let upstream = MockService::start().await;
    let policies = [
        policy("probe", "fixtures/probe"),
        policy("hostile", "fixtures/hostile"),
    ];
    let chain = vec![
        closed("probe", "{}"),
        closed("hostile", "{ hook: on_request, mode: forbidden_edit }"),
    ];
    let gateway = TestGateway::start(&config(&upstream.url(), &policies, &[("r", chain)])).await;
    let answer = gateway.get("/r").await;
    assert!(answer.header("x-probe-state").starts_with("from-request:"));
    assert!(answer.header("x-edit-results").ends_with("allowed=ok"));
}

#[tokio::test]
async fn set_head_changes_the_path_and_nothing_else() {
    let upstream = MockService::start().await;
    let gateway = probed(&upstream, "{ rewrite_path: \"/elsewhere?b=2\" }").await;
    let answer = gateway
        .get_with("/r/x?a=1", &[("host", "client.example")])
        .await;
    assert_eq!(answer.json()["path"], "/elsewhere");
    assert_eq!(answer.json()["query"], "b=2");
    assert_eq!(answer.json()["method"], "GET");
    assert_eq!(received(&answer, "host"), "client.example");
    assert_eq!(
        answer.json()["headers"]["host"].as_array().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn removed_fields_do_not_reach_the_upstream() {
    let upstream = MockService::start().await;
    let gateway = probed(&upstream, "{ remove: [x-gone] }").await;
    let headers = [("x-gone", "1"), ("x-gone", "2"), ("x-kept", "1")];
    let answer = gateway.get_with("/r", &headers).await;
    assert_eq!(received(&answer, "x-gone"), "");
    assert_eq!(received(&answer, "x-kept"), "1");
}

#[tokio::test]
async fn an_answer_of_a_policy_is_seen_by_the_policies_before_it_only() {
    let upstream = MockService::start().await;
    let policies = ["first", "responder", "last"].map(|name| policy(name, "fixtures/probe"));
    let responder = closed("responder", "{ respond: 202 }");
    let routes = [
        ("alone", vec![responder.clone()]),
        (
            "r",
            vec![
                closed("first", "{}"),
                responder,
                closed("last", "{ replace: 599 }"),
            ],
        ),
    ];
    let gateway = TestGateway::start(&config(&upstream.url(), &policies, &routes)).await;

    let answer = gateway.get("/alone").await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.text(), "probe responds");
    assert_eq!(
        answer.header("x-probe-source"),
        "",
        "the responder's own on-response was called"
    );
    assert_eq!(answer.header("x-request-id").len(), 32);

    let answer = gateway.get("/r").await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.header("x-probe-source"), "policy:responder");
    assert_eq!(answer.header("x-probe-status"), "202");
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn a_missing_header_is_answered_by_the_example_policy() {
    let upstream = MockService::start().await;
    let policies = [policy("key", "require-header")];
    let routes = [("r", vec![closed("key", "{ header: x-key }")])];
    let gateway = TestGateway::start(&config(&upstream.url(), &policies, &routes)).await;
    let refused = gateway.get("/r").await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert_eq!(refused.json()["status"], 401);
    assert!(upstream.requests().is_empty());
    assert_eq!(gateway.get_with("/r", &[("x-key", "1")]).await.status, 200);
}

#[tokio::test]
async fn on_response_replaces_the_response_and_earlier_policies_see_the_replacement() {
    let upstream = MockService::start().await;
    let policies = ["first", "last"].map(|name| policy(name, "fixtures/probe"));
    let chain = vec![closed("first", "{}"), closed("last", "{ replace: 418 }")];
    let gateway = TestGateway::start(&config(&upstream.url(), &policies, &[("r", chain)])).await;
    let answer = gateway.get("/r/status/201").await;
    assert_eq!(answer.status, 418);
    assert_eq!(answer.text(), "probe replaces");
    // The last policy noted the upstream's 201; the first came after it and noted this.
    assert_eq!(answer.header("x-probe-source"), "policy:last");
    assert_eq!(answer.header("x-probe-status"), "418");
    assert_eq!(upstream.requests_to("/status/201").len(), 1);
}

#[tokio::test]
async fn a_replacing_policy_sees_what_it_replaces() {
    let upstream = MockService::start().await;
    let gateway = probed(&upstream, "{ replace: 503 }").await;
    let mut client = gateway.client().await;
    for _ in 0..3 {
        let answer = client.send(Method::GET, "/r/status/201", &[], "").await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("x-probe-status"), "201");
        assert_eq!(answer.header("x-probe-source"), "upstream");
        assert_eq!(answer.header("content-length"), "14");
    }
}

#[tokio::test]
async fn requests_pass_the_chain_first_to_last() {
    let upstream = MockService::start().await;
    let policies = [
        policy("remover", "fixtures/probe"),
        policy("key", "require-header"),
    ];
    let remover = closed("remover", "{ remove: [x-key], rewrite_path: /one }");
    let key = closed("key", "{ header: x-key }");
    let other = closed("remover", "{ rewrite_path: /two }");
    let routes = [
        ("removed-first", vec![remover.clone(), key.clone()]),
        ("checked-first", vec![key, remover.clone()]),
        ("rewritten-twice", vec![remover, other]),
    ];
    let gateway = TestGateway::start(&config(&upstream.url(), &policies, &routes)).await;
    let with_key = [("x-key", "1")];
    assert_eq!(
        gateway.get_with("/removed-first", &with_key).await.status,
        401
    );
    assert_eq!(
        gateway.get_with("/checked-first", &with_key).await.status,
        200
    );
    assert_eq!(
        gateway.get_with("/rewritten-twice", &with_key).await.json()["path"],
        "/two"
    );
}

#[tokio::test]
async fn forbidden_edits_of_the_request_are_refused_and_nothing_of_them_is_sent() {
    let upstream = MockService::start().await;
    let gateway = hostile(&upstream, "on_request", "forbidden_edit").await;
    let headers = [("x-bad", "1"), ("host", "client.example")];
    let answer = gateway.get_with("/r", &headers).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-edit-results"), EDIT_RESULTS);
    assert_eq!(received(&answer, "x-allowed"), "1");
    assert_eq!(received(&answer, "host"), "client.example");
    for name in [
        "connection",
        "content-length",
        "transfer-encoding",
        "x-crlf",
        "x-smuggled",
    ] {
        assert_eq!(received(&answer, name), "", "{name} reached the upstream");
    }
}

const EDIT_RESULTS: &str = "connection=forbidden,content-length=forbidden,transfer-encoding=forbidden,host=forbidden,\
                            crlf-value=invalid,crlf-name=invalid,allowed=ok";

#[tokio::test]
async fn forbidden_edits_of_the_response_are_refused_and_nothing_of_them_is_sent() {
    let upstream = MockService::start().await;
    let gateway = hostile(&upstream, "on_response", "forbidden_edit").await;
    let answer = gateway.get_with("/r/bytes/10", &BAD).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-edit-results"), EDIT_RESULTS);
    assert_eq!(answer.header("x-allowed"), "1");
    assert_eq!(answer.header("content-length"), "10");
    assert_eq!(answer.body.len(), 10);
    for name in [
        "connection",
        "transfer-encoding",
        "host",
        "x-crlf",
        "x-smuggled",
    ] {
        assert_eq!(answer.header(name), "", "{name} reached the client");
    }
}

#[tokio::test]
async fn on_attempt_is_too_late_for_edits_of_the_request() {
    let upstream = MockService::start().await;
    let gateway = hostile(&upstream, "on_attempt", "forbidden_edit").await;
    let answer = gateway.get_with("/r", &BAD).await;
    assert_eq!(answer.status, 200);
    let results = answer.header("x-edit-results").split(',');
    assert!(
        results.clone().count() == 7 && results.clone().all(|result| result.ends_with("=too-late")),
        "{answer:?}"
    );
    assert_eq!(received(&answer, "x-allowed"), "");
}

#[tokio::test]
async fn a_hundred_thousand_edits_are_a_fault_that_leaves_nothing_behind() {
    let upstream = MockService::start().await;
    for (hook, phase) in [("on_request", "on-request"), ("on_response", "on-response")] {
        let gateway = hostile(&upstream, hook, "big_edit").await;
        let mut client = gateway.client().await;
        let refused = client.send(Method::GET, "/r", &BAD, "").await;
        assert_eq!(refused.status, 503, "{hook}");
        assert_eq!(refused.json()["code"], "policy-failed");
        assert_eq!(refused.header("x-many"), "");

        let passed = client.send(Method::GET, "/o", &BAD, "").await;
        assert_eq!(passed.status, 200, "{hook}");
        assert_eq!(received(&passed, "x-many"), "");
        assert_eq!(passed.header("x-many"), "");

        assert_eq!(
            client.send(Method::GET, "/r", &[], "").await.status,
            200,
            "{hook}"
        );
        let page = gateway.metrics().await;
        let kinds = ["trap", "error", "memory"];
        let count: u64 = kinds
            .iter()
            .map(|kind| faults(&page, "hostile", "r", phase, kind))
            .sum();
        assert_eq!(count, 1, "{page}");
    }
}

#[tokio::test]
async fn errors_of_the_gateway_pass_on_response() {
    // Nothing listens on port 1.
    let policies = [policy("probe", "fixtures/probe")];
    let routes = [("r", vec![closed("probe", "{}")])];
    let gateway = TestGateway::start(&config("http://127.0.0.1:1", &policies, &routes)).await;
    let answer = gateway.get("/r").await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(
        answer.header("x-portcullis-error"),
        "upstream-connect-refused"
    );
    assert_eq!(
        answer.header("x-probe-source"),
        "gateway:upstream-connect-refused"
    );
    assert_eq!(answer.header("x-probe-status"), "502");
    assert!(answer.header("x-probe-state").starts_with("from-request:"));
    assert_eq!(answer.json()["code"], "upstream-connect-refused");
}

#[tokio::test]
async fn an_answer_with_an_impossible_status_is_an_error_fault() {
    let upstream = MockService::start().await;
    let policies = [policy("probe", "fixtures/probe")];
    let routes = [
        ("interim", vec![closed("probe", "{ respond: 101 }")]),
        ("beyond", vec![closed("probe", "{ respond: 600 }")]),
        ("replaced", vec![closed("probe", "{ replace: 199 }")]),
    ];
    let gateway = TestGateway::start(&config(&upstream.url(), &policies, &routes)).await;
    for (route, phase) in [
        ("interim", "on-request"),
        ("beyond", "on-request"),
        ("replaced", "on-response"),
    ] {
        let answer = gateway.get(&format!("/{route}")).await;
        assert_eq!(answer.status, 503, "{route}");
        assert_eq!(answer.json()["code"], "policy-failed");
        assert_eq!(
            faults(&gateway.metrics().await, "probe", route, phase, "error"),
            1
        );
    }
}

#[tokio::test]
async fn an_answer_without_content_is_sent_without_its_body() {
    let upstream = MockService::start().await;
    for status in [204, 304] {
        let gateway = probed(&upstream, &format!("{{ respond: {status} }}")).await;
        let mut client = gateway.client().await;
        for _ in 0..2 {
            let answer = client.send(Method::GET, "/r", &[], "").await;
            assert_eq!(answer.status, status);
            assert_eq!(answer.text(), "");
        }
    }
}
