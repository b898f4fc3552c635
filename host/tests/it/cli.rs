//! The command line, as an operator meets it.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};

use http::Method;
use mock_service::MockService;

use crate::support::process::{Finished, Portcullis, run, run_with_config};
use crate::support::{cache, component, eventually};

/// Each of `problems` is a line of its own that begins with the file and this line of it.
fn assert_problems(finished: &Finished, problems: &[(usize, &str)]) {
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert_eq!(finished.output, "");
    for (line, problem) in problems {
        let start = format!("gateway.yaml:{line}: {problem}");
        let found = finished
            .errors
            .lines()
            .filter(|line| line.starts_with(&start));
        assert_eq!(found.count(), 1, "{start}\n{}", finished.errors);
    }
    assert_eq!(
        finished.errors.lines().count(),
        problems.len(),
        "{}",
        finished.errors
    );
}

#[test]
fn check_tells_all_problems_of_the_file_at_once() {
    let config = "\
listeners: [{ name: http, address: 127.0.0.1:0 }]
upstreams:
  u: { endpoints: [http://127.0.0.1:1], timeouts: { attemt: 5s } }
workers: two
routes:
  - name: a
    upstream: nowhere
    policies:
      - { use: nothing, on_failure: open }
  - name: b
    match: { path_prefix: /b }
    upstream: u
    deadline: 5
colour: red
";
    let problems = [
        (3, "upstreams.u.timeouts.attemt: unknown key"),
        (4, "workers: expected a whole number"),
        (7, "routes[0].upstream: unknown upstream \"nowhere\""),
        (9, "routes[0].policies[0].use: unknown policy \"nothing\""),
        (13, "routes[1].deadline: expected a duration"),
        (14, "colour: unknown key"),
    ];
    for name in ["check", "run"] {
        assert_problems(&run_with_config(name, config, &cache()), &problems);
    }
}

#[test]
fn check_tells_all_problems_of_the_policies_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let broken = directory.path().join("broken.wasm");
    std::fs::write(&broken, "no wasm").unwrap();
    let config = format!(
        "\
listeners: [{{ name: http, address: 127.0.0.1:0 }}]
upstreams:
  u: {{ endpoints: [http://127.0.0.1:1] }}
policies:
  gone:
    component: file:gone.wasm
  broken:
    component: file:{}
  unknown:
    component: builtin:unknown
  limit:
    component: builtin:rate-limit
  ungranted:
    component: file:{}
routes:
  - name: r
    upstream: u
    policies:
      - use: limit
        on_failure: open
        config:
          limits:
            - name: UPPER
              key: route
              rate: 1
              per: 1s
      - use: limit
        on_failure: open
        config: {{ limitz: [] }}
",
        broken.display(),
        component("fixtures/kv-probe").display()
    );
    let finished = run_with_config("check", &config, &cache());
    assert_problems(
        &finished,
        &[
            (6, "policies.gone.component: gone.wasm: "),
            (8, "policies.broken.component: file:"),
            (
                10,
                "policies.unknown.component: no builtin policy \"unknown\"",
            ),
            (
                13,
                "policies.ungranted.grants: the component imports \"kv\"",
            ),
            (23, "routes[0].policies[0].config.limits[0].name: "),
            (29, "routes[0].policies[1].config: missing key \"limits\""),
            (
                29,
                "routes[0].policies[1].config.limitz: unknown key; did you mean \"limits\"?",
            ),
        ],
    );
}

#[test]
fn problems_of_the_file_do_not_hide_those_of_the_policies() {
    let directory = tempfile::tempdir().unwrap();
    let broken = directory.path().join("broken.wasm");
    std::fs::write(&broken, "no wasm").unwrap();
    let config = format!(
        "\
listeners: [{{ name: http, address: 127.0.0.1:0 }}]
colour: red
workers: two
policies:
  a.b: {{ component: file:gone.wasm }}
  broken: {{ component: file:{} }}
  limit: {{ component: builtin:rate-limit, grants: {{ redis: {{ binding: gone, prefix: p }} }} }}
  ungranted: {{ component: file:{} }}
routes:
  - name: r
    upstream: nowhere
    policies:
      - {{ use: a.b, on_failure: open }}
      - {{ use: limit, config: {{ limits: [], extra: 1 }} }}
      - {{ use: limit, on_failure: open, config: {{ limits: [{{ name: A B, key: route, rate: 1, per: 1s }}] }} }}
",
        broken.display(),
        component("fixtures/kv-probe").display()
    );
    let problems = [
        (2, "colour: unknown key"),
        (3, "workers: expected a whole number"),
        (5, "policies[\"a.b\"].component: gone.wasm: "),
        (6, "policies.broken.component: file:"),
        (7, "policies.limit.grants.redis.binding: unknown redis"),
        (8, "policies.ungranted.grants: the component imports \"kv\""),
        (11, "routes[0].upstream: unknown upstream \"nowhere\""),
        (14, "routes[0].policies[1]: missing key \"on_failure\""),
        (14, "routes[0].policies[1].config.extra: unknown key"),
        (
            14,
            "routes[0].policies[1].config.limits: must have at least",
        ),
        (15, "routes[0].policies[2].config.limits[0].name: "),
    ];
    for name in ["check", "run"] {
        let finished = run_with_config(name, &config, &cache());
        assert_problems(&finished, &problems);
        let lines = finished.errors.lines().map(|line| line.split(':').nth(1));
        assert!(lines.is_sorted_by_key(|line| line.and_then(|line| line.parse::<usize>().ok())));
    }
}

#[test]
fn check_of_a_good_config_says_so_and_binds_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = format!(
        "\
listeners: [{{ name: http, address: '{address}' }}]
upstreams: {{ u: {{ endpoints: [http://127.0.0.1:1] }} }}
policies: {{ retry: {{ component: builtin:retry }} }}
routes: [{{ name: r, upstream: u, policies: [{{ use: retry, on_failure: open }}] }}]
"
    );
    let finished = run_with_config("check", &config, &cache());
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(
        finished.output,
        "gateway.yaml: ok (1 routes, 1 upstreams, 1 policies in chains)\n"
    );
    assert_eq!(finished.errors, "");
}

#[test]
fn the_sample_config_is_good() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/gateway.yaml");
    let cache = cache();
    let finished = run(&[
        "check",
        "--config",
        sample,
        "--cache",
        cache.to_str().unwrap(),
    ]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

#[test]
fn run_on_a_taken_port_names_listener_address_and_remedy_and_leaves_no_other_port_bound() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for (listeners, metrics, what) in [
        (
            format!("{{ name: one, address: '{free}' }}, {{ name: two, address: '{taken}' }}"),
            "127.0.0.1:0".to_owned(),
            "listener \"two\"",
        ),
        (
            format!("{{ name: one, address: '{free}' }}"),
            taken.to_string(),
            "metrics",
        ),
    ] {
        let config = format!(
            "listeners: [{listeners}]\nmetrics: {{ address: '{metrics}' }}\n\
             upstreams: {{ u: {{ endpoints: [http://127.0.0.1:1] }} }}\nroutes: [{{ name: r, upstream: u }}]\n"
        );
        let finished = run_with_config("run", &config, &cache());
        assert_eq!(finished.code, Some(1), "{finished:?}");
        let message = finished.errors.lines().last().unwrap();
        assert!(
            message.starts_with(&format!("portcullis: {what} {taken}: ")),
            "{message}"
        );
        assert!(
            message.contains("in use") && message.contains("choose another port"),
            "{message}"
        );
        drop(TcpListener::bind(free).unwrap());
    }
}

#[test]
fn a_second_gateway_on_the_same_port_does_not_start() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = "upstreams: { u: { endpoints: ['http://127.0.0.1:1'] } }\nroutes: [{ name: r, upstream: u }]\n";
    let first = runtime.block_on(Portcullis::start(config));
    let second = format!(
        "listeners: [{{ name: http, address: '{}' }}]\n{config}",
        first.address
    );
    let finished = run_with_config("run", &second, &cache());
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.errors.contains("in use"), "{finished:?}");
}

#[test]
fn a_config_that_is_not_named_or_not_there_is_asked_for() {
    let finished = run(&["run"]);
    assert_eq!(finished.code, Some(2));
    assert!(finished.errors.contains("--config <FILE>"), "{finished:?}");
    for name in ["run", "check"] {
        let finished = run(&[name, "--config", "/no/such/gateway.yaml"]);
        assert_eq!(finished.code, Some(1));
        assert!(
            finished.errors.starts_with("/no/such/gateway.yaml: "),
            "{finished:?}"
        );
        assert_eq!(finished.errors.lines().count(), 1, "{finished:?}");
    }
}

#[test]
fn inspect_shows_what_a_policy_is() {
    let finished = run(&["policy", "inspect", "builtin:rate-limit"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    for text in [
        "policy       rate-limit ",
        "digest       sha256:",
        "hooks        on-request, on-response",
        "portcullis:policy/lifecycle@0.1",
        "portcullis:capability/kv@0.1",
        "may use      kv, redis, metrics",
        "config schema",
        "on_store_error",
    ] {
        assert!(
            finished.output.contains(text),
            "{text}\n{}",
            finished.output
        );
    }
    let path = component("retry");
    let finished = run(&["policy", "inspect", path.to_str().unwrap()]);
    assert!(
        finished.output.contains("hooks        on-attempt"),
        "{finished:?}"
    );
}

#[test]
fn inspect_of_what_is_no_policy_says_why() {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes, why) in [
        (
            "text.wasm",
            "no wasm".as_bytes(),
            "not a WebAssembly component",
        ),
        ("module.wasm", b"\0asm\x01\0\0\0", "core WebAssembly module"),
        (
            "empty.wasm",
            b"\0asm\x0d\0\x01\0",
            "does not export portcullis:policy/lifecycle",
        ),
    ] {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let finished = run(&["policy", "inspect", path.to_str().unwrap()]);
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(
            finished.errors.contains(why) && finished.errors.contains(name),
            "{finished:?}"
        );
        assert_eq!(finished.output, "");
    }
    let finished = run(&["policy", "inspect", "builtin:nothing"]);
    assert_eq!(finished.code, Some(1));
    let known = finished.errors.split_once("this gateway carries: ");
    let known: Vec<&str> = known
        .expect("the known ones")
        .1
        .trim()
        .split(", ")
        .collect();
    assert!(
        known.is_sorted() && known.contains(&"rate-limit") && known.contains(&"retry"),
        "{finished:?}"
    );
    let finished = run(&["policy", "inspect", "/no/such.wasm"]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.errors.contains("/no/such.wasm"), "{finished:?}");
}

#[test]
fn schema_is_json_and_help_has_examples() {
    let finished = run(&["schema"]);
    let schema: serde_json::Value = serde_json::from_str(&finished.output).unwrap();
    assert!(schema["properties"]["routes"].is_object(), "{schema:#}");
    let finished = run(&["--help"]);
    assert_eq!(finished.code, Some(0));
    for text in [
        "Examples:",
        "portcullis run --config gateway.yaml",
        "portcullis check",
        "SIGHUP",
    ] {
        assert!(
            finished.output.contains(text),
            "{text}\n{}",
            finished.output
        );
    }
    assert_eq!(run(&[]).code, Some(2));
    assert!(
        run(&["--version"])
            .output
            .contains(env!("CARGO_PKG_VERSION"))
    );
}

const WITH_A_POLICY: &str = "\
listeners: [{ name: http, address: 127.0.0.1:0 }]
upstreams: { u: { endpoints: [http://127.0.0.1:1] } }
policies: { retry: { component: builtin:retry } }
routes: [{ name: r, upstream: u, policies: [{ use: retry, on_failure: open }] }]
";

#[test]
fn the_second_start_finds_the_cache_of_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("made/by/the/gateway");
    for _ in 0..2 {
        let finished = run_with_config("check", WITH_A_POLICY, &cache);
        assert_eq!((finished.code, finished.errors.as_str()), (Some(0), ""));
    }
    let mode = std::fs::metadata(&cache).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert!(std::fs::read_dir(&cache).unwrap().next().is_some());
}

#[test]
fn a_cache_that_can_not_be_used_is_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let shared = directory.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::set_permissions(&shared, PermissionsExt::from_mode(0o777)).unwrap();
    let foreign = directory.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    let mut caches = vec![file.join("cache"), file, shared.clone()];
    // Only root can give a directory away, and only root could use one of somebody else.
    if chown(&foreign, Some(65_534), None).is_ok() {
        caches.push(foreign);
    }
    for cache in caches {
        let finished = run_with_config("check", WITH_A_POLICY, &cache);
        assert_eq!(finished.code, Some(0), "{finished:?}");
        assert!(
            finished.errors.contains("compiled policies are not kept"),
            "{finished:?}"
        );
    }
    assert!(std::fs::read_dir(&shared).unwrap().next().is_none());
}

#[tokio::test]
async fn the_log_says_why_a_request_failed() {
    let upstream = MockService::start().await;
    let gateway = Portcullis::start(&format!(
        "upstreams: {{ u: {{ endpoints: [{}] }} }}\nroutes: [{{ name: r, upstream: u }}]\n",
        upstream.url()
    ))
    .await;
    for path in ["/x", "/reset", "/y"] {
        gateway
            .client()
            .await
            .send(Method::GET, path, &[], "")
            .await;
    }
    gateway.wait_for_log("upstream-reset").await;
    // The client is not told the address; the operator is.
    gateway.wait_for_log(&upstream.address().to_string()).await;
}

#[tokio::test]
async fn ready_is_told_by_the_exit_code_for_health_checks() {
    let upstream = MockService::start().await;
    let config = format!(
        "upstreams: {{ u: {{ endpoints: ['{}'] }} }}\nroutes: [{{ name: all, upstream: u }}]\ndrain_delay: 30s",
        upstream.url()
    );
    let gateway = Portcullis::start(&config).await;
    let address = gateway.metrics_address.to_string();
    let ask = || run(&["ready", "--metrics", &address]);
    assert_eq!(ask().code, Some(0));
    // Still there, and on its way out.
    gateway.signal("TERM");
    gateway.wait_for_log("draining").await;
    eventually("it is not ready", async || ask().code == Some(1)).await;
    let told = ask().errors;
    assert!(told.contains("not ready (503"), "{told}");
    drop(gateway);
    let told = ask();
    assert_eq!(told.code, Some(1));
    assert!(told.errors.starts_with(&format!("portcullis: {address}: ")));
}
