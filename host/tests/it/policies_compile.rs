//! Policies are compiled and tried in a child process, within limits, and kept.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use mock_service::MockService;
use portcullis::server::{self, StartError};
use portcullis::wasm::compile::compiler::CompilerSettings;
use portcullis::wasm::compile::confinement::ChildBounds;
use portcullis::wasm::engine::Engines;

use crate::policy_config::{closed, config, policy, received};
use crate::support::process::{Portcullis, gone};
use crate::support::text_guest::TextGuest;
use crate::support::{TestGateway, bombs, compiling, complete, component, eventually};

/// What [`check`] says of a policy that is all right.
const SOUND: &str = "sound";

fn engines(settings: CompilerSettings) -> Arc<Engines> {
    Arc::new(Engines::start(settings, 100).unwrap())
}

/// A config with one use of the component at `path`.
fn using(upstream: &str, path: &Path, used: &str) -> String {
    let policies = [format!(
        "p: {{ component: \"file:{}\", limits: {{ time: 10s }} }}",
        path.display()
    )];
    config(upstream, &policies, &[("r", vec![closed("p", used)])])
}

/// What is wrong with that use.
async fn check(engines: Arc<Engines>, path: &Path, used: &str) -> String {
    let text = complete(&using("http://127.0.0.1:1", path, used));
    let config = portcullis_config::parse(&text, Path::new("test.yaml")).unwrap();
    match server::check(&config, engines).await {
        Ok(_) => SOUND.to_owned(),
        Err(StartError::Config(problems)) => {
            let problems: Vec<String> = problems.into_iter().map(|one| one.message).collect();
            problems.join("\n")
        }
        Err(other) => panic!("{other}"),
    }
}

/// What is wrong with a component of these bytes, and how long that took to find.
async fn refusal(bytes: &[u8], settings: CompilerSettings) -> (String, Duration) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.wasm");
    std::fs::write(&path, bytes).unwrap();
    let start = Instant::now();
    let refusal = check(engines(settings), &path, "{}").await;
    assert!(
        refusal.starts_with(&format!("file:{}: ", path.display())),
        "{refusal}"
    );
    (refusal, start.elapsed())
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_compiled() {
    let bombs = [
        (
            bombs::huge_function(),
            "bytes of code in its largest function, and may have 524288",
        ),
        (
            bombs::many_functions(),
            "300000 functions, and may have 250000",
        ),
        (
            bombs::many_exports(),
            "100000 imports and exports, and may have 50000",
        ),
        (
            bombs::nested_components(),
            "levels of nested components, and may have 16",
        ),
        (
            bombs::many_components(),
            "components and modules, and may have 500",
        ),
        (
            bombs::huge_memory(),
            "1073741824 bytes of memory from the start, and may have 268435456",
        ),
        (
            bombs::huge_tables(),
            "100000000 table elements, and may have 1000000",
        ),
        (
            bombs::many_data_segments(),
            "90000 data segments, and may have 50000",
        ),
    ];
    for (bytes, words) in bombs {
        let (refusal, took) = refusal(&bytes, compiling(None)).await;
        assert!(
            refusal.contains("too large for a policy: it has "),
            "{refusal}"
        );
        assert!(refusal.contains(words), "{refusal}");
        assert!(refusal.contains("make it smaller"), "no remedy: {refusal}");
        assert!(took < Duration::from_secs(10), "{refusal}: {took:?}");
    }
}

/// ChildBounds that an honest policy needs more than, in one respect.
fn bounded(cpu_seconds: u64, memory_bytes: u64, wall: Duration) -> ChildBounds {
    ChildBounds {
        cpu_seconds,
        memory_bytes,
        wall,
    }
}

#[tokio::test]
async fn a_component_that_takes_too_much_time_to_compile_is_refused() {
    let mut settings = compiling(None);
    settings.bounds = |_, _| bounded(1, 4 << 30, Duration::from_secs(100));
    for bytes in [
        bombs::slow(60),
        bombs::slow_behind(&std::fs::read(component("fixtures/noop")).unwrap(), 60),
    ] {
        let (refusal, _) = refusal(&bytes, settings.clone()).await;
        assert!(
            refusal.contains("took more than 1 s of CPU time"),
            "{refusal}"
        );
        assert!(refusal.contains("make the component smaller"), "{refusal}");
    }
}

#[tokio::test]
async fn a_component_that_takes_too_much_memory_to_compile_is_refused() {
    let mut settings = compiling(None);
    settings.bounds = |_, _| bounded(100, 150 << 20, Duration::from_secs(100));
    let (refusal, _) = refusal(&bombs::slow(60), settings).await;
    assert!(
        refusal.contains("takes more than 150 MiB of memory"),
        "{refusal}"
    );
}

#[tokio::test]
async fn a_child_that_does_not_come_to_an_end_is_given_up() {
    let mut settings = compiling(None);
    settings.bounds = |_, _| bounded(100, 4 << 30, Duration::from_millis(300));
    let (refusal, took) = refusal(&bombs::slow(60), settings).await;
    assert!(refusal.contains("was not done within 300ms"), "{refusal}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

/// A program that does this instead of compiling.
fn program(folder: &Path, script: &str) -> PathBuf {
    let path = folder.join("program");
    let mut file = std::fs::File::create(&path).unwrap();
    write!(file, "#!/bin/sh\n{script}\n").unwrap();
    file.set_permissions(std::fs::Permissions::from_mode(0o700))
        .unwrap();
    path
}

#[tokio::test]
async fn each_way_in_which_a_child_can_end_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let ways = [
        ("exit 0", "did not answer as it should"),
        ("echo {}", "did not answer as it should"),
        ("cat /dev/zero", "did not answer as it should"),
        ("kill -KILL $$", "was killed (SIGKILL)"),
        ("kill -SEGV $$", "the compiler broke off on it (signal 11)"),
        (
            "echo the reason >&2; exit 3",
            "the compiler broke off on it (exit status: 3: the reason)",
        ),
        ("kill -XCPU $$", "of CPU time"),
        (
            "echo memory allocation of 7 bytes failed >&2; kill -ABRT $$",
            "MiB of memory",
        ),
    ];
    for (script, words) in ways {
        let settings = CompilerSettings::new(program(folder.path(), script), None);
        let problems = check(engines(settings), &component("fixtures/noop"), "{}").await;
        assert!(problems.contains(words), "{script}: {problems}");
    }
    let nowhere = CompilerSettings::new("/nowhere/portcullis", None);
    let problems = check(engines(nowhere), &component("fixtures/noop"), "{}").await;
    assert!(problems.contains("does not start"), "{problems}");
    let me = std::process::id();
    eventually("no zombie is left", async || zombies_of(me) == 0).await;
}

#[tokio::test]
async fn a_child_ends_with_who_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("pid");
    let script = format!(
        "echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000",
        note.display()
    );
    let settings = CompilerSettings::new(program(folder.path(), &script), None);
    let waiting = tokio::spawn(async move {
        check(engines(settings), &component("fixtures/noop"), "{}").await;
    });
    eventually("it has started", async || note.exists()).await;
    waiting.abort();
    let child = std::fs::read_to_string(&note).unwrap();
    gone(child.trim().parse().unwrap()).await;
}

/// Children of that process that nobody has reaped.
fn zombies_of(parent: u32) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let stats =
        processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    stats
        .filter(|stat| {
            let fields = stat.rsplit(") ").next().unwrap_or_default();
            fields.starts_with(&format!("Z {parent} "))
        })
        .count()
}

/// Writes a policy that takes minutes to compile where the gateway's config can name it.
fn slow_policy(gateway: &Portcullis) -> PathBuf {
    let path = gateway.directory().join("slow.wasm");
    std::fs::write(&path, bombs::slow(100)).unwrap();
    path
}

#[tokio::test]
async fn traffic_goes_on_while_a_bomb_is_compiled() {
    const REQUESTS: usize = 400;
    let upstream = MockService::start().await;
    let good = using(
        &upstream.url(),
        &component("fixtures/noop"),
        "{ header: x-a }",
    );
    let gateway = Portcullis::start(&good).await;
    let alone = slowest_of(&gateway, REQUESTS).await;
    let before = gateway.memory_mib("VmHWM");
    let bomb = using(&upstream.url(), &slow_policy(&gateway), "{}");
    gateway.write_config(&bomb);
    gateway.signal("HUP");
    let child = gateway.busy_child().await;
    let beside = slowest_of(&gateway, REQUESTS).await;
    assert_eq!(gateway.children(), [child], "the child has ended too early");
    println!("p99 {alone:?} alone, {beside:?} beside a child that compiles");
    // Twice, and the grain of a busy machine's scheduler.
    assert!(
        beside < 2 * alone + Duration::from_millis(20),
        "{beside:?} after {alone:?}"
    );
    std::process::Command::new("kill")
        .args(["-KILL", &child.to_string()])
        .status()
        .unwrap();
    gateway.wait_for_log("policies.p.component: file:").await;
    gateway.wait_for_log("was killed (SIGKILL)").await;
    gone(child).await;
    assert_eq!(
        gateway
            .client()
            .await
            .send(Method::GET, "/r", &[], "")
            .await
            .status,
        200
    );
    // The file itself, fifty MiB, is held while it is compiled.
    let grown = gateway.memory_mib("VmHWM") - before;
    assert!(grown < 200, "{grown} MiB");
}

/// The time that 99 of 100 requests do not take.
async fn slowest_of(gateway: &Portcullis, count: usize) -> Duration {
    let mut client = gateway.client().await;
    let mut times = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        assert_eq!(client.send(Method::GET, "/r", &[], "").await.status, 200);
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times[count * 99 / 100]
}

#[tokio::test]
async fn a_child_does_not_outlive_its_gateway() {
    let upstream = MockService::start().await;
    let quiet = config(&upstream.url(), &[], &[("r", vec![])]).replace("policies:\n", "");
    let mut gateway = Portcullis::start(&quiet).await;
    let bomb = using(&upstream.url(), &slow_policy(&gateway), "{}");
    gateway.write_config(&bomb);
    gateway.signal("HUP");
    let child = gateway.busy_child().await;
    gateway.signal("KILL");
    gateway.ended().await;
    gone(child).await;
}

#[tokio::test]
async fn a_child_has_its_pipes_its_limits_and_nothing_else() {
    // Inherited by the shell, and by whom it starts.
    let script = "exec 7</etc/passwd; export SECRET=x; exec \"$0\" compile-policy --cpu-seconds 5 --memory-bytes 100000000";
    let mut child = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_portcullis")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let place = PathBuf::from(format!("/proc/{}", child.id()));
    eventually("it is confined", async || {
        std::fs::read_to_string(place.join("status"))
            .unwrap()
            .contains("NoNewPrivs:\t1")
    })
    .await;
    let files: Vec<_> = std::fs::read_dir(place.join("fd"))
        .unwrap()
        .flatten()
        .collect();
    assert_eq!(files.len(), 3, "{files:?}");
    let limits = std::fs::read_to_string(place.join("limits")).unwrap();
    let limit = |name: &str| {
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        line.split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!(limit("Max cpu time"), "5");
    assert_eq!(limit("Max data size"), "100000000");
    assert_eq!(limit("Max core file size"), "0");
    assert_eq!(limit("Max open files"), "64");
    let stat = std::fs::read_to_string(place.join("stat")).unwrap();
    let niceness = stat
        .rsplit(") ")
        .next()
        .unwrap()
        .split(' ')
        .nth(16)
        .unwrap();
    assert_eq!(niceness, "10");
    // Its input ends before it has a job.
    drop(child.stdin.take());
    assert!(!child.wait().unwrap().success());
}

#[tokio::test]
async fn a_second_start_starts_no_child() {
    let cache = tempfile::tempdir().unwrap();
    let settings = || compiling(Some(cache.path().to_owned()));
    let path = component("require-header");
    let first = engines(settings());
    assert_eq!(
        check(first.clone(), &path, "{ header: x-key }").await,
        SOUND
    );
    assert_eq!(first.compiler.children(), 1);
    let second = engines(settings());
    assert_eq!(
        check(second.clone(), &path, "{ header: x-key }").await,
        SOUND
    );
    assert_eq!(second.compiler.children(), 0);
    // Another config is other code.
    assert_eq!(
        check(second.clone(), &path, "{ header: x-other }").await,
        SOUND
    );
    assert_eq!(second.compiler.children(), 1);
}

#[tokio::test]
async fn what_is_broken_in_the_cache_is_compiled_anew() {
    let cache = tempfile::tempdir().unwrap();
    let settings = || compiling(Some(cache.path().to_owned()));
    let path = component("require-header");
    check(engines(settings()), &path, "{ header: x-key }").await;
    let files: Vec<PathBuf> = std::fs::read_dir(&cache)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert_eq!(files.len(), 2, "a description and a use: {files:?}");
    for file in &files {
        let whole = std::fs::read(file).unwrap();
        let mut changed = whole.clone();
        changed[whole.len() / 2] ^= 1;
        for broken in [&whole[..whole.len() / 2], &changed, b"".as_slice()] {
            std::fs::write(file, broken).unwrap();
            let again = engines(settings());
            assert_eq!(
                check(again.clone(), &path, "{ header: x-key }").await,
                SOUND
            );
            assert_eq!(again.compiler.children(), 1);
            assert_eq!(
                std::fs::read(file).unwrap().len(),
                whole.len(),
                "not written anew"
            );
        }
    }
}

#[tokio::test]
async fn another_component_under_the_same_name_is_not_served_from_the_cache() {
    let upstream = MockService::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.wasm");
    let text = using(&upstream.url(), &path, "{}");
    std::fs::copy(component("fixtures/probe"), &path).unwrap();
    let gateway = TestGateway::start(&text).await;
    assert_eq!(received(&gateway.get("/r").await, "x-probe-calls"), "1");
    std::fs::copy(component("fixtures/wasi-clock"), &path).unwrap();
    gateway.reload(&text).await.unwrap();
    let answer = gateway.get("/r").await;
    assert_eq!(received(&answer, "x-probe-calls"), "");
    assert_ne!(received(&answer, "x-wasi-now"), "");
}

#[tokio::test]
async fn what_the_quick_compiler_does_not_know_is_compiled_by_the_other() {
    // Winch has no tail calls.
    let guest = TextGuest {
        declares: "(func $end) (func $tail (return_call $end))",
        hook: "(call $tail)",
    };
    let folder = tempfile::tempdir().unwrap();
    let path = guest.write(folder.path());
    assert_eq!(check(engines(compiling(None)), &path, "{}").await, SOUND);
}

#[tokio::test]
async fn a_reload_makes_only_what_is_new() {
    let engines = engines(compiling(None));
    let upstream = MockService::start().await;
    let text = |header: &str| {
        let policies = [
            policy("probe", "fixtures/probe"),
            policy("key", "require-header"),
        ];
        let routes = [
            (
                "a",
                vec![closed("probe", "{}"), closed("key", "{ header: host }")],
            ),
            ("b", vec![closed("key", &format!("{{ header: {header} }}"))]),
        ];
        complete(&config(&upstream.url(), &policies, &routes))
    };
    let parsed =
        |header: &str| portcullis_config::parse(&text(header), Path::new("test.yaml")).unwrap();
    let running = server::start(&parsed("host"), engines.clone())
        .await
        .unwrap();
    assert_eq!(engines.compiler.children(), 2, "one for each component");
    running.reload(&parsed("host")).await.unwrap();
    assert_eq!(engines.compiler.children(), 2);
    running.reload(&parsed("x-other")).await.unwrap();
    assert_eq!(engines.compiler.children(), 3);
    running.stop().await;
}

#[tokio::test]
async fn a_policy_that_fails_in_the_smoke_call_is_refused() {
    let ways = [
        (
            "trap",
            "trap: wasm trap: wasm `unreachable` instruction executed",
        ),
        (
            "panic",
            "trap: wasm trap: wasm `unreachable` instruction executed",
        ),
        ("grow_memory", "more memory than limits.memory allows"),
        ("loop", "not done within 10s"),
    ];
    let engines = engines(compiling(None));
    for (mode, words) in ways {
        let used = format!("{{ hook: on_request, mode: {mode}, smoke: true }}");
        let problems = check(engines.clone(), &component("fixtures/hostile"), &used).await;
        let head = "policy \"p\": the smoke call, a made-up GET / to smoke.invalid, failed: ";
        assert!(
            problems.starts_with(&format!("{head}{words}")),
            "{problems}"
        );
    }
    // An error is an answer; and a header that is not there leaves it in peace.
    for used in [
        "{ hook: on_request, mode: error, smoke: true }",
        "{ hook: on_request, mode: trap, smoke: true, when_header: x-bad }",
    ] {
        assert_eq!(
            check(engines.clone(), &component("fixtures/hostile"), used).await,
            SOUND
        );
    }
}
