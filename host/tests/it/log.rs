//! The gateway's own log: its form, which lines are in it, and that nobody waits for it.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::support::controlled::Controlled;
use crate::support::peers::free_port;
use crate::support::process::{Portcullis, command, run_with_config};
use crate::support::raw::RefusingAddress;
use crate::support::{TestClient, eventually, metric};

const DEFAULT: &str = "warn,policy=info,portcullis=info";
const DEBUG: &str = "off,portcullis=debug";

/// Every request fails, which is a line at debug and one at warn.
fn config(down: &RefusingAddress, log: &str) -> String {
    let url = down.url();
    format!(
        "control: {{ address: '127.0.0.1:0' }}\nupstreams: {{ u: {{ endpoints: ['{url}'] }} }}\n\
         routes: [{{ name: r, upstream: u }}]\nlog: {{ {log} }}\n"
    )
}

async fn fail(gateway: &Portcullis) {
    let mut client = gateway.client().await;
    let answer = client.send(Method::GET, "/x", &[], "").await;
    assert_eq!(answer.status, 502);
}

fn debugs(gateway: &Portcullis) -> usize {
    gateway.log().matches("attempt failed").count()
}

/// Returns when what a failed request has to tell is there: its line at warn comes after the one at debug.
async fn failed(gateway: &Portcullis, times: usize) {
    eventually("the failures are told", async || {
        gateway.log().matches("connect-refused").count() >= times
    })
    .await;
}

#[tokio::test]
async fn lines_are_objects_of_json_where_no_terminal_reads_them_and_else_as_the_config_says() {
    let down = RefusingAddress::take();
    let gateway = Portcullis::start(&config(&down, "format: auto")).await;
    fail(&gateway).await;
    gateway.wait_for_log("upstream-connect-refused").await;
    for line in gateway.log().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(
            line["timestamp"].is_string() && line["level"].is_string(),
            "{line}"
        );
        assert!(
            line["message"].is_string() && line["target"].is_string(),
            "{line}"
        );
    }
    let log = gateway.log();
    let line = log
        .lines()
        .find(|line| line.contains("upstream-connect-refused"));
    let line: Value = serde_json::from_str(line.unwrap()).unwrap();
    assert_eq!(
        (&line["level"], &line["route"], &line["code"]),
        (
            &json!("WARN"),
            &json!("r"),
            &json!("upstream-connect-refused")
        )
    );
    let human = Portcullis::start(&config(&down, "format: human")).await;
    fail(&human).await;
    human.wait_for_log(" WARN portcullis::gateway: ").await;
    // No colours where no terminal is.
    assert!(!human.log().contains('\u{1b}'));
}

#[tokio::test]
async fn the_filter_is_the_configs_and_follows_it() {
    let down = RefusingAddress::take();
    let with = |filter: &str| config(&down, &format!("format: human, filter: '{filter}'"));
    let gateway = Portcullis::start(&with(DEFAULT)).await;
    fail(&gateway).await;
    gateway.wait_for_log("upstream-connect-refused").await;
    assert_eq!(debugs(&gateway), 0);
    gateway.write_config(&with("info,portcullis=debug"));
    gateway
        .wait_for_log("revision 2 of the config serves")
        .await;
    fail(&gateway).await;
    gateway.wait_for_log("attempt failed").await;
    let refused = run_with_config(
        "check",
        "listeners: [{ name: http, address: '127.0.0.1:0' }]\nlog: { filter: inof }\nroutes: [{ name: r, respond: {} }]\n",
        &crate::support::cache(),
    );
    assert_eq!(refused.code, Some(1));
    let problem = "2: log.filter: \"inof\" is neither a level nor MODULE=LEVEL";
    assert!(refused.errors.contains(problem), "{}", refused.errors);
}

#[tokio::test]
async fn the_environment_goes_before_the_config_unless_it_makes_no_sense() {
    let down = RefusingAddress::take();
    let quiet = config(&down, "format: human, filter: error");
    let gateway = Portcullis::start_with_filter(&quiet, "info,portcullis=debug").await;
    fail(&gateway).await;
    gateway.wait_for_log("attempt failed").await;
    let told = config(&down, "format: human");
    let gateway = Portcullis::start_with_filter(&told, "portcullis=loud").await;
    gateway.wait_for_log("RUST_LOG is left aside: ").await;
    let controlled = Controlled::over(gateway).await;
    let status = controlled.get("/api/v1/log", "viewer").await.json();
    assert_eq!(
        (&status["filter"], &status["source"]),
        (&json!(DEFAULT), &json!("config"))
    );
}

async fn put(controlled: &Controlled, role: &str, change: Value) -> (u16, Value) {
    let body = ("application/json", change.to_string().into_bytes());
    let answer = controlled
        .call_as(role, Method::PUT, "/api/v1/log", body)
        .await;
    (answer.status.as_u16(), answer.json())
}

#[tokio::test]
async fn the_filter_is_changed_while_the_gateway_runs_and_falls_back() {
    let down = RefusingAddress::take();
    let controlled = Controlled::start(&config(&down, "format: human")).await;
    let gateway = &controlled.gateway;
    let (status, now) = put(
        &controlled,
        "operator",
        json!({ "filter": DEBUG, "for": "2s" }),
    )
    .await;
    assert_eq!(status, 200, "{now}");
    assert_eq!(
        (&now["filter"], &now["source"], &now["configured"]),
        (&json!(DEBUG), &json!("control"), &json!(DEFAULT))
    );
    assert!(now["until"].as_str().unwrap().ends_with('Z'), "{now}");
    // Who has done it is told before anything is left out.
    gateway
        .wait_for_log(&format!("the log's filter becomes {DEBUG} for 2s"))
        .await;
    let log = gateway.log();
    let line = log
        .lines()
        .find(|line| line.contains("filter becomes"))
        .unwrap();
    assert!(
        line.contains("role=\"operator\"") && line.contains("from=\"127.0.0.1:"),
        "{line}"
    );
    fail(gateway).await;
    gateway.wait_for_log("attempt failed").await;
    eventually("it falls back", async || {
        let status = controlled.get("/api/v1/log", "viewer").await.json();
        status["source"] == "config"
    })
    .await;
    gateway
        .wait_for_log("the log's filter has fallen back")
        .await;
    let before = debugs(gateway);
    fail(gateway).await;
    failed(gateway, before + 2).await;
    assert_eq!(debugs(gateway), before);
    // For good, until it is taken back.
    assert_eq!(
        put(&controlled, "admin", json!({ "filter": DEBUG }))
            .await
            .1["until"],
        Value::Null
    );
    fail(gateway).await;
    eventually("it is told", async || debugs(gateway) == before + 1).await;
    let nothing = ("text/plain", Vec::new());
    let reset = controlled
        .call_as("operator", Method::DELETE, "/api/v1/log", nothing)
        .await;
    assert_eq!(reset.json()["filter"], DEFAULT);
}

#[tokio::test]
async fn bad_filters_and_weak_roles_change_nothing() {
    let down = RefusingAddress::take();
    let controlled = Controlled::start(&config(&down, "format: human")).await;
    for (role, change, status, told) in [
        (
            "viewer",
            json!({ "filter": "debug" }),
            403,
            "needs the role operator",
        ),
        (
            "operator",
            json!({ "filter": "loud" }),
            422,
            "filter: \"loud\" is neither a level",
        ),
        (
            "operator",
            json!({ "filter": "info", "for": "soon" }),
            422,
            "for: \"soon\" is not a duration",
        ),
        (
            "operator",
            json!({ "filter": "info", "for": "25h" }),
            422,
            "for: must be 1s to 24h",
        ),
    ] {
        let (answered, body) = put(&controlled, role, change).await;
        assert_eq!(answered, status, "{body}");
        assert!(body["detail"].as_str().unwrap().contains(told), "{body}");
    }
    let status = controlled.get("/api/v1/log", "viewer").await.json();
    assert_eq!(status["filter"], DEFAULT);
    let document = controlled
        .get("/api/v1/openapi.json", "viewer")
        .await
        .json();
    let calls = document["paths"]["/api/v1/log"].as_object().unwrap();
    assert_eq!(calls.keys().collect::<Vec<_>>(), ["delete", "get", "put"]);
}

#[tokio::test]
async fn the_command_line_shows_and_changes_it() {
    let down = RefusingAddress::take();
    let controlled = Controlled::start(&config(&down, "format: human")).await;
    let asked = |words: &[&str]| {
        let finished = controlled.ask(&[&["log"], words].concat());
        (finished.code, finished.output + &finished.errors)
    };
    assert_eq!(asked(&[]), (Some(0), format!("{DEFAULT} (by config)\n")));
    let (code, told) = asked(&[DEBUG, "--for", "10m"]);
    assert_eq!(code, Some(0));
    let (before, after) = (
        format!("{DEBUG} (by control, until "),
        format!("Z, then {DEFAULT})\n"),
    );
    assert!(
        told.starts_with(&before) && told.ends_with(&after),
        "{told}"
    );
    let (code, told) = asked(&["inof"]);
    assert!(
        code == Some(1) && told.contains("\"inof\" is neither a level"),
        "{told}"
    );
    assert_eq!(
        asked(&["--reset"]),
        (Some(0), format!("{DEFAULT} (by config)\n"))
    );
}

/// A gateway whose log nobody reads.
struct Unread(Child);

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn requests_go_on_while_nobody_takes_the_log() {
    let down = RefusingAddress::take();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.yaml");
    let (traffic, metrics) = (free_port(), free_port());
    let text = format!(
        "listeners: [{{ name: http, address: '127.0.0.1:{traffic}' }}]\nmetrics: {{ address: '127.0.0.1:{metrics}', max_age: 0s }}\n\
         workers: 1\nupstreams: {{ u: {{ endpoints: ['{}'] }} }}\nroutes: [{{ name: r, upstream: u }}]\n\
         log: {{ filter: 'warn,portcullis=trace' }}\n",
        down.url()
    );
    std::fs::write(&path, text).unwrap();
    let mut started = command(&["run", "--config"]);
    started
        .arg(&path)
        .arg("--cache")
        .arg(crate::support::cache());
    let _gateway = Unread(started.stderr(Stdio::piped()).spawn().unwrap());
    let address = |port: u16| ([127, 0, 0, 1], port).into();
    let mut client = None;
    eventually("it serves", async || {
        client = TestClient::try_connect(address(traffic)).await;
        client.is_some()
    })
    .await;
    let mut client = client.unwrap();
    let mut slowest = Duration::ZERO;
    let mut dropped = 0.0;
    let start = Instant::now();
    while dropped == 0.0 {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "nothing was dropped"
        );
        for _ in 0..100 {
            let sent = Instant::now();
            assert_eq!(client.send(Method::GET, "/x", &[], "").await.status, 502);
            slowest = slowest.max(sent.elapsed());
        }
        let mut scraper = TestClient::connect(address(metrics)).await;
        let page = scraper.send(Method::GET, "/metrics", &[], "").await.text();
        dropped = metric(&page, "portcullis_log_dropped_total", &[]);
    }
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
}
