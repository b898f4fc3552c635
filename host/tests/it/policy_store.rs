//! Versions of policies in a running gateway: pushed, served, rolled back, and refused.

use std::fs;
use std::path::Path;

use http::Method;
use mock_service::MockService;
use serde_json::{Value, json};

use crate::support::component;
use crate::support::controlled::Controlled;
use crate::support::process::{Portcullis, run};

/// The guard lets all requests pass in `noop`, and those with the field x-a in `require-header`.
pub(crate) fn config(upstream: &MockService, store: &str, component: &str) -> String {
    format!(
        "
control: {{ address: '127.0.0.1:0' }}
policy_store: {store}
upstreams:
  u: {{ endpoints: [{}] }}
policies:
  guard: {{ component: '{component}', limits: {{ time: 10s }} }}
routes:
  - name: guarded
    match: {{ path_prefix: /guarded }}
    upstream: u
    policies:
      - {{ use: guard, on_failure: closed, config: {{ header: x-a }} }}
  - {{ name: plain, upstream: u }}
",
        upstream.url()
    )
}

/// A gateway whose guard is a file, with an empty store.
async fn started() -> (MockService, Controlled) {
    let upstream = MockService::start().await;
    let open = format!("file:{}", component("fixtures/noop").display());
    let config = config(&upstream, "{ directory: store, keep: 3 }", &open);
    let controlled = Controlled::start(&config).await;
    (upstream, controlled)
}

/// The same, after `noop` was pushed as version 1 and the config names it.
async fn started_from_store() -> (MockService, Controlled) {
    let (upstream, controlled) = started().await;
    let pushed = controlled
        .upload("guard", "admin", &[("component", &bytes("fixtures/noop"))])
        .await;
    assert_eq!(pushed.status, 200, "{}", pushed.text());
    let text = config(&upstream, "{ directory: store, keep: 3 }", "store:guard");
    controlled.gateway.write_config(&text);
    controlled
        .gateway
        .wait_for_log("revision 2 of the config serves")
        .await;
    (upstream, controlled)
}

pub(crate) fn bytes(name: &str) -> Vec<u8> {
    fs::read(component(name)).unwrap()
}

/// The same component under another digest: with a custom section at its end.
pub(crate) fn variant(name: &str, number: u8) -> Vec<u8> {
    let mut bytes = bytes(name);
    bytes.extend_from_slice(&[0, 3, 1, b'v', number]);
    bytes
}

/// What a request without the field x-a gets on that path.
pub(crate) async fn status(gateway: &Portcullis, path: &str) -> u16 {
    let mut client = gateway.client().await;
    let answer = client.send(Method::GET, path, &[], "").await;
    answer.status.as_u16()
}

/// Names and values of a form.
type Fields<'a> = &'a [(&'a str, &'a [u8])];

fn files(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}

#[tokio::test]
async fn a_version_is_pushed_served_rolled_back_activated_and_deleted() {
    let (_upstream, controlled) = started_from_store().await;
    let gateway = &controlled.gateway;
    assert_eq!(status(gateway, "/guarded").await, 200);
    let closed = component("require-header");
    let closed = closed.to_str().unwrap();
    let words = ["policy", "push", "guard", closed, "--reason", "ticket 7"];
    let pushed = controlled.ask(&words);
    assert_eq!(pushed.code, Some(0), "{pushed:?}");
    assert_eq!(
        pushed.output,
        "guard: version 2 serves guard from revision 3 on\n"
    );
    assert_eq!(status(gateway, "/guarded").await, 401);
    let again = controlled.ask(&words);
    assert_eq!(
        again.output,
        "guard: version 2 is the active one already; nothing has changed\n"
    );

    let rolled_back = controlled.ask(&["policy", "rollback", "guard", "--reason", "oops"]);
    assert_eq!(
        rolled_back.output,
        "guard: version 1 serves guard from revision 4 on\n"
    );
    assert_eq!(status(gateway, "/guarded").await, 200);
    let policies = controlled.get("/api/v1/policies", "viewer").await.json();
    assert_eq!(policies["policies"][0]["stored_version"], 1);
    let none = controlled.ask(&["policy", "rollback", "guard"]);
    assert_eq!(none.code, Some(1));
    assert!(
        none.errors
            .contains("no version of \"guard\" served before"),
        "{none:?}"
    );
    let activated = controlled.ask(&["policy", "activate", "guard", "2"]);
    assert_eq!(
        activated.output,
        "guard: version 2 serves guard from revision 5 on\n"
    );
    assert_eq!(status(gateway, "/guarded").await, 401);

    let serves = controlled.ask(&["policy", "delete", "guard", "2"]);
    assert!(serves.errors.contains("is the active one"), "{serves:?}");
    let deleted = controlled.ask(&["policy", "delete", "guard", "1", "--reason", "a b&c"]);
    assert_eq!(deleted.output, "guard: 1 version(s) deleted\n");
    assert_eq!(files(&gateway.directory().join("store/components")), 1);
    let gone = controlled.ask(&["policy", "activate", "guard", "1"]);
    assert!(
        gone.errors.contains("not in the store; there are: 2"),
        "{gone:?}"
    );

    let versions = controlled.ask(&["policy", "versions", "guard"]).output;
    assert!(
        versions.starts_with("guard (used by guard)\n     2 active "),
        "{versions}"
    );
    assert!(versions.contains("ticket 7"), "{versions}");
    let journal = controlled.ask(&["journal", "--json"]).output;
    let journal: Value = serde_json::from_str(&journal).unwrap();
    let told: Vec<(&str, u64, &str)> = journal
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap();
            assert_eq!(entry["by"]["role"], "admin");
            (
                text("action"),
                entry["version"].as_u64().unwrap(),
                text("reason"),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("push", 1, ""),
            ("push", 2, "ticket 7"),
            ("roll-back", 1, "oops"),
            ("activate", 2, ""),
            ("delete", 1, "a b&c"),
        ]
    );
}

#[tokio::test]
async fn what_was_active_serves_after_a_restart_and_the_journal_can_be_read_without_a_gateway() {
    let (upstream, controlled) = started_from_store().await;
    let closed = bytes("require-header");
    let pushed = controlled
        .upload("guard", "admin", &[("component", &closed)])
        .await;
    assert_eq!(pushed.json()["revision"], 3);
    let Controlled { mut gateway, .. } = controlled;
    let store = gateway.directory().join("store");
    gateway.signal("KILL");
    gateway.ended().await;
    let text = config(
        &upstream,
        &format!("{{ directory: {} }}", store.display()),
        "store:guard",
    );
    let again = Portcullis::start(&text).await;
    assert_eq!(status(&again, "/guarded").await, 401);

    let store_name = store.to_str().unwrap();
    let journal = run(&["journal", "--store", store_name]);
    assert!(
        journal.output.ends_with("2 change(s); the chain holds\n"),
        "{journal:?}"
    );
    let path = store.join("journal.jsonl");
    let lines = fs::read_to_string(&path).unwrap();
    fs::write(&path, lines.replace("\"version\":2", "\"version\":3")).unwrap();
    let journal = run(&["journal", "--store", store_name]);
    assert_eq!(journal.code, Some(1));
    assert!(
        journal
            .errors
            .contains("journal.jsonl:2: the line has been changed"),
        "{journal:?}"
    );
    let answer = Controlled::over(again)
        .await
        .get("/api/v1/journal", "viewer")
        .await;
    assert_eq!(answer.status, 500);
    assert!(answer.text().contains("journal.jsonl:2"));
}

#[tokio::test]
async fn what_is_refused_changes_nothing_and_says_why() {
    let (_upstream, controlled) = started_from_store().await;
    let store = controlled.gateway.directory().join("store");
    let before = fs::read(store.join("journal.jsonl")).unwrap();
    let (kv, closed) = (bytes("fixtures/kv-probe"), bytes("require-header"));
    let probe = bytes("fixtures/probe");
    let long = [b'x'; 501];
    let refused: &[(&str, Fields<'_>, u16, &str)] = &[
        (
            "guard",
            &[("component", b"hello")],
            422,
            "not a WebAssembly component",
        ),
        (
            "guard",
            &[("component", b"\0asm\x01\0\0\0")],
            422,
            "core WebAssembly module",
        ),
        (
            "guard",
            &[("component", &kv)],
            422,
            "imports \\\"kv\\\", which is not granted",
        ),
        (
            "guard",
            &[("component", &probe)],
            422,
            "routes[0].policies[0].config",
        ),
        (
            "guard",
            &[("reason", b"none")],
            422,
            "no field \\\"component\\\"",
        ),
        (
            "guard",
            &[("componet", &closed)],
            422,
            "unknown field \\\"componet\\\"",
        ),
        (
            "guard",
            &[("component", &closed), ("activate", b"yes")],
            422,
            "expected true or false",
        ),
        (
            "guard",
            &[("component", &closed), ("reason", &long)],
            422,
            "at most 500",
        ),
        (
            "Guard",
            &[("component", &closed)],
            422,
            "no name for a policy",
        ),
    ];
    for (policy, fields, code, why) in refused {
        let answer = controlled.upload(policy, "admin", fields).await;
        assert_eq!(answer.status, *code, "{why}: {}", answer.text());
        assert!(answer.text().contains(why), "{why}: {}", answer.text());
    }
    let too_weak = controlled
        .upload("guard", "operator", &[("component", &closed)])
        .await;
    assert_eq!(too_weak.status, 403);
    let path = "/api/v1/store/guard/activate";
    let viewer = controlled
        .post(path, "viewer", &json!({ "version": 1 }))
        .await;
    assert_eq!(viewer.status, 403);
    let unknown = controlled
        .post(path, "operator", &json!({ "version": 9 }))
        .await;
    assert_eq!(unknown.status, 404);
    let other = controlled
        .post("/api/v1/store/other/rollback", "operator", &json!({}))
        .await;
    assert_eq!(other.status, 404);

    assert_eq!(fs::read(store.join("journal.jsonl")).unwrap(), before);
    assert_eq!(files(&store.join("components")), 1);
    let told = controlled.get("/api/v1/status", "viewer").await.json();
    assert_eq!(told["revision"], 2);
    assert_eq!(status(&controlled.gateway, "/guarded").await, 200);
    let accepted = controlled
        .upload("guard", "admin", &[("component", &closed)])
        .await;
    assert_eq!(accepted.json()["version"], 2);
}

#[tokio::test]
async fn a_version_can_wait_and_be_looked_at_before_it_serves() {
    let (_upstream, controlled) = started_from_store().await;
    let kv = bytes("fixtures/kv-probe");
    let fields: [(&str, &[u8]); 2] = [("component", &kv), ("activate", b"false")];
    let pushed = controlled.upload("guard", "admin", &fields).await.json();
    assert_eq!(
        (&pushed["version"], &pushed["active"]),
        (&json!(2), &json!(false))
    );
    assert_eq!(status(&controlled.gateway, "/guarded").await, 200);
    let path = "/api/v1/store/guard/versions/2";
    let told = controlled.get(path, "operator").await.json();
    assert_eq!(told["title"], "kv-probe");
    assert_eq!(told["capabilities"], json!(["kv"]));
    let path = "/api/v1/store/guard/activate";
    let asked = json!({ "version": 2 });
    let refused = controlled.post(path, "operator", &asked).await;
    assert_eq!(refused.status, 422);
    let problem = &refused.json()["problems"][0];
    assert_eq!(problem["path"], "policies.guard.grants");
    let stored = controlled.get("/api/v1/store/guard", "viewer").await.json();
    assert_eq!(
        (&stored["active"], &stored["before"]),
        (&json!(1), &Value::Null)
    );
}

#[tokio::test]
async fn only_as_many_versions_are_kept_as_the_config_says() {
    let (_upstream, controlled) = started_from_store().await;
    for number in 2..=6 {
        let component = variant("fixtures/noop", number);
        let pushed = controlled
            .upload("guard", "admin", &[("component", &component)])
            .await;
        assert_eq!(pushed.json()["version"], number);
    }
    let stored = controlled.get("/api/v1/store/guard", "viewer").await.json();
    let versions = stored["versions"].as_array().unwrap();
    let numbers: Vec<u64> = versions
        .iter()
        .map(|version| version["version"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [6, 5, 4]);
    let components = controlled.gateway.directory().join("store/components");
    assert_eq!(files(&components), 3);
    let deleted = controlled.ask(&["policy", "delete", "guard", "--unused"]);
    assert_eq!(deleted.output, "guard: 1 version(s) deleted\n");
    assert_eq!(files(&components), 2);
}

#[tokio::test]
async fn a_config_that_names_what_was_never_pushed_says_what_to_do() {
    let upstream = MockService::start().await;
    let text = config(&upstream, "{ directory: store }", "store:guard");
    let text = format!("listeners: [{{ name: http, address: '127.0.0.1:0' }}]\n{text}");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.yaml");
    fs::write(&path, text).unwrap();
    for command in ["check", "run"] {
        let refused = run(&[command, "--config", path.to_str().unwrap()]);
        assert_eq!(refused.code, Some(1));
        assert!(
            refused
                .errors
                .contains("policies.guard.component: no version of \"guard\" is active in"),
            "{refused:?}"
        );
        assert!(refused.errors.contains("portcullis policy push guard FILE"));
    }
    fs::set_permissions(
        directory.path().join("store"),
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )
    .unwrap();
    let exposed = run(&["run", "--config", path.to_str().unwrap()]);
    assert!(
        exposed
            .errors
            .contains("others may write to it (mode 777); chmod 700 it"),
        "{exposed:?}"
    );
}

#[tokio::test]
async fn a_gateway_without_a_store_says_how_to_have_one() {
    let upstream = MockService::start().await;
    let open = format!("file:{}", component("fixtures/noop").display());
    let text = config(&upstream, "x", &open).replace("policy_store: x\n", "");
    let controlled = Controlled::start(&text).await;
    let pushed = controlled
        .upload("guard", "admin", &[("component", b"x")])
        .await;
    assert_eq!(pushed.status, 409);
    assert!(
        pushed
            .text()
            .contains("policy_store: { directory: policy-store }")
    );
    let listed = controlled.get("/api/v1/store", "viewer").await;
    assert_eq!(listed.status, 409);
}
