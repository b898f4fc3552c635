//! The load generator, against a service that knows what came.

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use mock_service::{MockService, RecordedRequest, Step};

fn command(target: &str, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mock-service"));
    command
        .args(["load", "--target", target])
        .args(arguments.split(' '));
    command
}

/// Runs it to its end, on a thread of its own.
async fn load(target: &str, arguments: &str) -> (Output, String) {
    let mut command = command(target, arguments);
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap();
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    (output, printed)
}

/// The number behind a word of the summary.
fn number(printed: &str, word: &str) -> u64 {
    let summary = printed.lines().last().unwrap();
    let mut words = summary
        .split_whitespace()
        .skip_while(|other| *other != word)
        .skip(1);
    words.next().map_or(0, |number| number.parse().unwrap())
}

fn key(request: &RecordedRequest) -> &str {
    request.headers["x-api-key"].to_str().unwrap()
}

#[tokio::test]
async fn what_it_says_it_sent_is_what_came() {
    let upstream = MockService::start().await;
    let arguments = "--rate 300 --duration 2500ms --keys 5 --path /hello=8 --path /status/404=2";
    let (output, printed) = load(&upstream.url(), arguments).await;
    assert!(output.status.success(), "{printed}");
    let requests = upstream.requests();
    assert_eq!(number(&printed, "sent"), requests.len() as u64, "{printed}");
    let of = |path: &str| {
        requests
            .iter()
            .filter(|request| request.path == path)
            .count() as u64
    };
    assert_eq!(
        (number(&printed, "200"), number(&printed, "404")),
        (of("/hello"), of("/status/404")),
        "{printed}"
    );
    // Six standard deviations around 750; what is skipped on a busy machine counts too.
    let due = requests.len() as u64 + number(&printed, "skipped");
    assert!((585..=915).contains(&due), "{printed}");
    let mut keys = BTreeMap::<_, u32>::new();
    for request in &requests {
        *keys.entry(key(request)).or_default() += 1;
    }
    assert_eq!(keys.len(), 5);
    assert!(keys["key-1"] > 2 * keys["key-5"], "{keys:?}");
    let lines: Vec<_> = printed.lines().collect();
    assert!(
        lines.len() >= 3 && lines[0].trim_start().starts_with("1s  sent "),
        "{printed}"
    );
    assert!(
        lines[0].contains("  p50 ") && lines[0].contains("ms p99 "),
        "{printed}"
    );
}

#[tokio::test]
async fn a_seed_gives_the_same_requests() {
    let mut runs = Vec::new();
    for seed in ["1", "1", "2"] {
        let upstream = MockService::start().await;
        let arguments = format!("--rate 100 --duration 1s --connections 1000 --seed {seed}");
        load(&upstream.url(), &arguments).await;
        let mut requests: Vec<_> = upstream
            .requests()
            .iter()
            .map(|request| format!("{} {}", request.path, key(request)))
            .collect();
        // They may overtake each other, and the last one may be due just at the end.
        requests.truncate(40);
        requests.sort();
        runs.push(requests);
    }
    let differ = |one: &[String], other: &[String]| {
        one.iter()
            .filter(|request| !other.contains(request))
            .count()
    };
    assert!(differ(&runs[0], &runs[1]) <= 3, "{:?}", &runs[..2]);
    assert!(differ(&runs[0], &runs[2]) > 3, "{runs:?}");
}

#[tokio::test]
async fn it_does_not_wait_for_answers_and_counts_what_it_skips() {
    let upstream = MockService::start().await;
    let arguments = "--rate 200 --duration 2s --path /delay/60000 --connections 10 --timeout 200ms";
    let begun = Instant::now();
    let (_, printed) = load(&upstream.url(), arguments).await;
    // A closed loop would have sent ten in each 200 ms, and so does this; but it knows how many there should have been.
    let (sent, skipped) = (number(&printed, "sent"), number(&printed, "skipped"));
    assert!((260..=540).contains(&(sent + skipped)), "{printed}");
    assert!(skipped > sent, "{printed}");
    assert_eq!(number(&printed, "timeout"), sent, "{printed}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(
        upstream.connections() as u64 >= sent,
        "a connection that timed out is not used again"
    );
}

#[tokio::test]
async fn targets_take_turns_and_failures_have_names() {
    let (one, two) = (MockService::start().await, MockService::start().await);
    two.script("/x", vec![Step::Close; 10_000]);
    let also = format!(
        "--rate 200 --duration 1s --path /x --keys 0 --target {} --target http://127.0.0.1:1",
        two.url()
    );
    let (_, printed) = load(&one.url(), &also).await;
    let (answered, broken) = (number(&printed, "200"), number(&printed, "broken"));
    assert!(answered.abs_diff(broken) <= 1 && answered > 20, "{printed}");
    assert!(
        number(&printed, "not-connected").abs_diff(broken) <= 1,
        "{printed}"
    );
    assert!(
        one.requests()
            .iter()
            .all(|request| !request.headers.contains_key("x-api-key"))
    );
}

#[tokio::test]
async fn bursts_come_in_bursts() {
    let upstream = MockService::start().await;
    let arguments = "--rate 100 --duration 4s --pattern burst --path /x";
    let (_, printed) = load(&upstream.url(), arguments).await;
    let sent: Vec<u64> = printed
        .lines()
        .filter(|line| !line.starts_with("summary"))
        .map(|line| line.split_whitespace().nth(2).unwrap().parse().unwrap())
        .collect();
    // 250 a second for two seconds, then 62.
    assert!(sent[0] > 2 * sent[2].min(sent[sent.len() - 1]), "{printed}");
}

#[tokio::test]
async fn a_signal_ends_it_with_the_summary() {
    let upstream = MockService::start().await;
    for signal in ["-INT", "-TERM"] {
        upstream.script("/x", vec![]);
        let mut child = command(&upstream.url(), "--rate 100 --path /x")
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let before = upstream.requests().len() as u64;
        upstream.wait_for_requests(before + 10).await;
        let kill = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .unwrap();
        assert!(kill.success());
        let mut printed = String::new();
        std::io::Read::read_to_string(child.stdout.as_mut().unwrap(), &mut printed).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let sent = number(&printed, "sent");
        assert!(sent >= 10 && sent == number(&printed, "200"), "{printed}");
    }
}

#[tokio::test]
async fn mistakes_are_answered_with_what_is_expected() {
    for (arguments, expected) in [
        ("--rate 0", "expected requests a second"),
        ("--path x", "expected a path and its weight"),
        ("--path /x=0", "give one --path a weight above 0"),
        ("--duration 5", "expected a duration such as"),
        ("--target https://a", "expected a URL such as"),
        (
            "--pattern waves",
            "[possible values: steady, burst, diurnal]",
        ),
    ] {
        let (output, _) = load("http://127.0.0.1:1", arguments).await;
        assert!(!output.status.success(), "{arguments}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(expected), "{arguments}: {error}");
    }
}
