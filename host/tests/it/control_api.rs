//! The control API: who may call it, and what it tells.

use std::time::Duration;

use http::Method;
use mock_service::MockService;
use serde_json::Value;

use crate::support::controlled::Controlled;
use crate::support::process::run;
use crate::support::raw::RawConnection;
use crate::support::{Answer, component, eventually};

/// A gateway with a policy and two routes, and its upstream.
async fn started() -> (MockService, Controlled) {
    let upstream = MockService::start().await;
    let controlled = Controlled::start(&config(&upstream)).await;
    (upstream, controlled)
}

async fn validate(controlled: &Controlled, text: &str, role: &str) -> Answer {
    let body = ("application/yaml", text.as_bytes().to_vec());
    let path = "/api/v1/config/validate";
    controlled.call_as(role, Method::POST, path, body).await
}

fn config(upstream: &MockService) -> String {
    format!(
        "
control: {{ address: '127.0.0.1:0', hosts: [gateway.internal] }}
upstreams:
  u: {{ endpoints: [{}] }}
policies:
  noop: {{ component: 'file:{}', isolation: pooled }}
  idle: {{ component: 'builtin:retry' }}
routes:
  - name: guarded
    match: {{ path_prefix: /guarded }}
    upstream: u
    policies:
      - {{ use: noop, on_failure: closed, config: {{ header: x-a }} }}
  - {{ name: away, match: {{ path_prefix: /away }}, redirect: {{ host: example.com }} }}
",
        upstream.url(),
        component("fixtures/noop").display()
    )
}

#[tokio::test]
async fn nobody_without_a_token_learns_what_there_is() {
    let (_upstream, controlled) = started().await;
    let mode = std::fs::metadata(controlled.gateway.directory().join("control.token")).unwrap();
    let mode = std::os::unix::fs::MetadataExt::mode(&mode) & 0o777;
    assert_eq!(mode, 0o600);
    let admin = controlled.token("admin");
    let wrong = format!("Bearer {}", "0".repeat(64));
    for path in ["/api/v1/status", "/api/v1/nothing", "/"] {
        for headers in [
            &[][..],
            &[("authorization", wrong.as_str())],
            &[("authorization", admin.as_str())],
            &[("authorization", &format!("Basic {admin}"))],
        ] {
            let answer = controlled.call(Method::GET, path, headers, "").await;
            assert_eq!(answer.status, 401, "{path} {headers:?}");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
            assert_eq!(answer.header("content-type"), "application/problem+json");
        }
    }
    assert_eq!(
        controlled.get("/api/v1/nothing", "viewer").await.status,
        404
    );
    assert!(!controlled.gateway.log().contains(&admin));
}

#[tokio::test]
async fn a_page_of_another_site_is_refused_even_with_a_token() {
    let (_upstream, controlled) = started().await;
    let token = format!("Bearer {}", controlled.token("admin"));
    let own = controlled.address.to_string();
    let port = controlled.address.port();
    let local = format!("localhost:{port}");
    for (host, origin, status) in [
        (own.as_str(), None, 200),
        (own.as_str(), Some(format!("http://{own}")), 200),
        (local.as_str(), None, 200),
        (
            "GATEWAY.internal",
            Some("https://GATEWAY.internal".to_owned()),
            200,
        ),
        ("[::1]:9901", None, 200),
        ("evil.example", None, 403),
        ("gateway.internal.evil.example", None, 403),
        (own.as_str(), Some("https://evil.example".to_owned()), 403),
        (own.as_str(), Some("null".to_owned()), 403),
        (local.as_str(), Some(format!("http://{own}")), 403),
    ] {
        let mut headers = vec![("authorization", token.as_str()), ("host", host)];
        headers.extend(origin.as_deref().map(|origin| ("origin", origin)));
        let answer = controlled
            .call(Method::GET, "/api/v1/status", &headers, "")
            .await;
        assert_eq!(answer.status, status, "{host} {origin:?} {}", answer.text());
    }
}

#[tokio::test]
async fn status_and_policies_tell_what_serves_and_follow_a_reload() {
    let (_upstream, controlled) = started().await;
    let status = controlled.get("/api/v1/status", "viewer").await.json();
    assert_eq!(
        (&status["revision"], &status["ready"]),
        (&Value::from(1), &Value::from(true))
    );
    let own = controlled.gateway.address.to_string();
    assert_eq!(status["listeners"][0]["address"], own);
    let routes = status["routes"].as_array().unwrap();
    let guarded = routes
        .iter()
        .find(|route| route["name"] == "guarded")
        .unwrap();
    assert_eq!(guarded["upstreams"], serde_json::json!(["u"]));
    assert_eq!(
        guarded["policies"],
        serde_json::json!([{
            "policy": "noop", "on_failure": "closed", "hooks": ["on-request"],
            "calls": { "on-request": { "count": 0, "seconds": 0.0 } }, "faults": {}, "fault_circuit": null,
        }])
    );
    let away = routes.iter().find(|route| route["name"] == "away").unwrap();
    assert_eq!(away["upstreams"], serde_json::json!([]));
    let upstream = &status["upstreams"][0];
    assert_eq!(
        (&upstream["name"], &upstream["endpoints"][0]["healthy"]),
        (&Value::from("u"), &Value::from(true))
    );

    let policies = controlled.get("/api/v1/policies", "viewer").await.json();
    let noop = &policies["policies"][1];
    assert_eq!(noop["name"], "noop");
    assert_eq!(noop["digest"].as_str().unwrap().len(), 64);
    assert_eq!(
        (&noop["isolation"], &noop["routes"]),
        (&Value::from("pooled"), &serde_json::json!(["guarded"]))
    );
    assert_eq!(policies["policies"][0]["routes"], serde_json::json!([]));

    let text = std::fs::read_to_string(controlled.gateway.config_path()).unwrap();
    let text = text.replace("name: guarded", "name: watched");
    std::fs::write(controlled.gateway.config_path(), text).unwrap();
    controlled
        .gateway
        .wait_for_log("revision 2 of the config serves")
        .await;
    let status = controlled.get("/api/v1/status", "viewer").await.json();
    assert_eq!(status["revision"], 2);
    assert!(status["routes"].to_string().contains("watched"));
}

#[tokio::test]
async fn faults_of_policies_are_counted_and_told_with_their_backtraces() {
    let text = format!(
        "
control: {{ address: '127.0.0.1:0' }}
policies:
  bad: {{ component: 'file:{}', fault_circuit: {{ faults: 2 }} }}
routes:
  - name: hurt
    respond: {{ status: 204 }}
    policies:
      - {{ use: bad, on_failure: open, config: {{ hook: on_request, mode: trap }} }}
",
        component("fixtures/hostile").display()
    );
    let controlled = Controlled::start(&text).await;
    let mut client = controlled.gateway.client().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let answer = client.send(Method::GET, "/", &[], "").await;
        assert_eq!(answer.status, 204);
        ids.push(answer.header("x-request-id").to_owned());
    }
    let status = controlled.get("/api/v1/status", "viewer").await.json();
    let used = &status["routes"][0]["policies"][0];
    assert_eq!(used["calls"]["on-request"]["count"], 2);
    assert!(used["calls"]["on-request"]["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(used["faults"], serde_json::json!({ "trap": 2 }));
    assert_eq!(used["fault_circuit"], "open");
    let told = controlled.ask(&["status"]).output;
    assert!(told.contains("bad (2 fault(s), circuit open)"), "{told}");

    let faults = controlled.get("/api/v1/faults", "viewer").await.json();
    let faults = faults["faults"].as_array().unwrap();
    assert_eq!(faults.len(), 2);
    let newest = &faults[0];
    assert_eq!(newest["request"], ids[1]);
    assert_eq!(
        (&newest["policy"], &newest["route"], &newest["kind"]),
        (
            &Value::from("bad"),
            &Value::from("hurt"),
            &Value::from("trap")
        )
    );
    let backtrace = newest["backtrace"].as_str().unwrap();
    assert!(backtrace.contains("@0x"), "{backtrace}");
}

#[tokio::test]
async fn a_config_is_checked_with_all_its_problems_and_changes_nothing() {
    let (_upstream, controlled) = started().await;
    let serving = std::fs::read_to_string(controlled.gateway.config_path()).unwrap();
    let found = validate(&controlled, &serving, "operator").await.json();
    assert_eq!(found, serde_json::json!({ "valid": true, "problems": [] }));
    let logged = format!("{serving}access_log: {{ path: made-by-a-check.log }}\n");
    assert_eq!(
        validate(&controlled, &logged, "admin").await.json()["valid"],
        true
    );
    assert!(
        !controlled
            .gateway
            .directory()
            .join("made-by-a-check.log")
            .exists()
    );

    let broken = serving
        .replace("upstream: u\n", "upstream: v\n")
        .replace("header: x-a", "haeder: x-a");
    let found = validate(&controlled, &broken, "operator").await.json();
    assert_eq!(found["valid"], false);
    let problems = found["problems"].as_array().unwrap();
    let at = |path: &str| {
        problems
            .iter()
            .find(|problem| problem["path"].as_str().unwrap().starts_with(path))
    };
    assert!(
        at("routes[0].upstream").unwrap()["message"]
            .as_str()
            .unwrap()
            .contains("unknown upstream \"v\"")
    );
    assert!(
        at("routes[0].policies[0].config").unwrap()["line"]
            .as_u64()
            .unwrap()
            > 1,
        "{found}"
    );

    assert_eq!(validate(&controlled, &serving, "viewer").await.status, 403);
    let status = controlled.get("/api/v1/status", "viewer").await.json();
    assert_eq!(status["revision"], 1);
}

#[tokio::test]
async fn the_document_describes_every_call() {
    let (_upstream, controlled) = started().await;
    let document = controlled
        .get("/api/v1/openapi.json", "viewer")
        .await
        .json();
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        [
            "/api/v1/config/validate",
            "/api/v1/faults",
            "/api/v1/journal",
            "/api/v1/log",
            "/api/v1/openapi.json",
            "/api/v1/policies",
            "/api/v1/status",
            "/api/v1/store",
            "/api/v1/store/{policy}",
            "/api/v1/store/{policy}/activate",
            "/api/v1/store/{policy}/rollback",
            "/api/v1/store/{policy}/versions",
            "/api/v1/store/{policy}/versions/{version}"
        ]
    );
    let schemas = &document["components"]["schemas"];
    for name in ["Status", "Policies", "Validation", "Refusal"] {
        assert!(schemas[name].is_object(), "{name}");
    }
    assert_eq!(
        document["components"]["securitySchemes"]["token"]["scheme"],
        "bearer"
    );
}

#[tokio::test]
async fn the_command_line_asks_it() {
    let (_upstream, controlled) = started().await;
    let status = controlled.ask(&["status"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    assert!(
        status.output.contains("ready, revision 1,"),
        "{}",
        status.output
    );
    assert!(status.output.contains("policies noop"), "{}", status.output);
    let listed = controlled.ask(&["policy", "list"]);
    assert!(
        listed.output.contains("noop") && listed.output.contains("routes guarded"),
        "{listed:?}"
    );

    let missing = run(&["status", "--token-file", "/nowhere/control.token"]);
    assert_eq!(missing.code, Some(1));
    assert!(
        missing.errors.contains("/nowhere/control.token"),
        "{missing:?}"
    );
    let tokens = controlled.tokens();
    let words = ["status", "--control", "127.0.0.1:1", "--token-file"];
    let closed = run(&[&words[..], &[tokens.to_str().unwrap()]].concat());
    assert!(
        closed.errors.contains("is the gateway running"),
        "{closed:?}"
    );
}

#[tokio::test]
async fn callers_that_say_nothing_are_few_and_not_waited_for_long() {
    let (_upstream, controlled) = started().await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(RawConnection::connect(controlled.address).await);
    }
    eventually("one more is closed at once", async || {
        let mut more = RawConnection::connect(controlled.address).await;
        let closed = tokio::time::timeout(Duration::from_secs(3), more.rest());
        closed.await.is_ok()
    })
    .await;
    // The gateway gives up those that have been silent for ten seconds.
    for mut connection in silent {
        connection.rest().await;
    }
    eventually("callers are answered again", async || {
        controlled.ask(&["status"]).code == Some(0)
    })
    .await;
}

#[tokio::test]
async fn tokens_that_others_may_read_stop_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("control.token");
    std::fs::write(&tokens, format!("admin {}\n", "a".repeat(64))).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&tokens, mode).unwrap();
    let config = format!(
        "listeners: [{{ name: http, address: '127.0.0.1:0' }}]\ncontrol: {{ address: '127.0.0.1:0', token_file: {} }}\nroutes: [{{ name: a, respond: {{ status: 204 }} }}]\n",
        tokens.display()
    );
    let finished =
        crate::support::process::run_with_config("run", &config, &crate::support::cache());
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.errors.contains("chmod 600 it"), "{finished:?}");
}
