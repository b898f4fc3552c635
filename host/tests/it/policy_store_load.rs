//! Many changes of the policy store: under load, and with a gateway that is killed at any moment.

use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use mock_service::MockService;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinHandle;

use crate::policy_store::{bytes, config, status};
use crate::support::controlled::Controlled;
use crate::support::load::Load;
use crate::support::process::{Portcullis, run};

/// A number that the environment may raise, for who wants to see more than a test's share.
fn number<T: FromStr<Err: Debug>>(name: &str, default: T) -> T {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// A component like `noop`, and no other: with that number in a custom section.
fn numbered(number: u32) -> Vec<u8> {
    let mut bytes = bytes("fixtures/noop");
    bytes.extend_from_slice(&[0, 6, 1, b'v']);
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes
}

async fn push(controlled: &Controlled, component: &[u8]) -> serde_json::Value {
    let fields = [("component", component)];
    let pushed = controlled.upload("guard", "admin", &fields).await;
    assert_eq!(pushed.status, 200, "{}", pushed.text());
    pushed.json()
}

/// `SWAPS=1000` is what the issue asks for; each swap is a component that the gateway has never seen.
#[tokio::test]
async fn hot_swaps_under_load_fail_no_request_and_leave_nothing_behind() {
    let swaps = number("SWAPS", 40);
    let upstream = MockService::start().await;
    let open = crate::support::component("fixtures/noop");
    let first = format!("file:{}", open.display());
    let store = "{ directory: store, keep: 3 }";
    let controlled = Controlled::start(&config(&upstream, store, &first)).await;
    push(&controlled, &numbered(0)).await;
    let gateway = &controlled.gateway;
    gateway.write_config(&config(&upstream, store, "store:guard"));
    gateway
        .wait_for_log("revision 2 of the config serves")
        .await;
    let load = Load::start(gateway.address, "/guarded", 6);
    let mut before = (0, 0, 0);
    let mut times = Vec::new();
    for swap in 1..=swaps {
        let started = Instant::now();
        let pushed = push(&controlled, &numbered(swap)).await;
        assert_eq!(pushed["version"], swap + 1);
        times.push(started.elapsed());
        load.goes_on().await;
        if swap == swaps / 4 {
            before = figures(gateway);
        }
    }
    let served = load.served();
    load.stop().await;
    gateway
        .wait_for_metric("portcullis_config_revisions", &[], 1.0)
        .await;
    let after = figures(gateway);
    times.sort_unstable();
    println!(
        "{swaps} swaps, {served} requests; push to answer: median {:?}, 99 % {:?}; KiB, files, threads: {before:?}, then {after:?}",
        times[times.len() / 2],
        times[times.len() * 99 / 100]
    );
    let grown = after.0.saturating_sub(before.0);
    assert!(grown < 24 << 10, "{grown} KiB of memory have come");
    assert!(after.1 <= before.1, "files: {before:?}, then {after:?}");
    assert!(
        after.2 <= before.2 + 4,
        "threads: {before:?}, then {after:?}"
    );
}

fn figures(gateway: &Portcullis) -> (usize, usize, usize) {
    (
        gateway.figure("VmRSS"),
        gateway.open_files(),
        gateway.figure("Threads"),
    )
}

/// Pushes until the gateway is gone; the number of the last version that it has answered for.
fn push_on(controlled: &Controlled, from: u32) -> JoinHandle<u64> {
    let (address, token) = (controlled.address, controlled.token("admin"));
    tokio::spawn(async move {
        let mut last = 0;
        for number in from.. {
            match crate::support::controlled::try_upload(address, &token, &numbered(number)).await {
                Some(answer) => last = answer["version"].as_u64().unwrap(),
                None => break,
            }
        }
        last
    })
}

fn journal(store: &Path) -> (usize, u64) {
    let finished = run(&["journal", "--json", "--store", store.to_str().unwrap()]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let entries: Vec<serde_json::Value> = serde_json::from_str(&finished.output).unwrap();
    let pushes = entries.iter().filter(|entry| entry["action"] == "push");
    let newest = pushes.filter_map(|entry| entry["version"].as_u64()).max();
    (entries.len(), newest.unwrap_or_default())
}

/// `KILLS=200` is what the issue asks for.
#[tokio::test]
async fn a_gateway_that_is_killed_while_it_publishes_serves_the_last_complete_version() {
    let kills: u32 = number("KILLS", 10);
    let upstream = MockService::start().await;
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store");
    let watched = home.path().join("drop");
    fs::create_dir(&watched).unwrap();
    fs::write(watched.join("guard.wasm"), bytes("fixtures/noop")).unwrap();
    let terms = format!(
        "{{ directory: {}, watch: {}, keep: 4 }}",
        store.display(),
        watched.display()
    );
    let text = config(&upstream, &terms, "store:guard");
    let mut random = StdRng::seed_from_u64(7);
    let (mut answered, mut entries) = (1, 0);
    for kill in 0..kills {
        let mut controlled = Controlled::start(&text).await;
        assert_eq!(status(&controlled.gateway, "/guarded").await, 200);
        let stored = controlled.get("/api/v1/store/guard", "viewer").await.json();
        let (now, newest) = journal(&store);
        assert_eq!(stored["active"], newest, "kill {kill}");
        assert!(
            newest >= answered && now >= entries,
            "kill {kill}: version {answered} was answered for, {newest} serves"
        );
        entries = now;
        let components = fs::read_dir(store.join("components")).unwrap().count();
        let versions = stored["versions"].as_array().unwrap().len();
        assert_eq!(
            components, versions,
            "kill {kill}: something is left behind"
        );
        let pushing = push_on(&controlled, 1_000 * (kill + 1));
        // The moment is what is tested, not waited for.
        tokio::time::sleep(Duration::from_millis(random.random_range(0..1_500))).await;
        controlled.gateway.signal("KILL");
        controlled.gateway.ended().await;
        answered = pushing.await.unwrap().max(answered);
    }
    println!("{kills} kills, {entries} changes; the chain holds");
    assert!(entries > 1, "nothing was published");
}

#[tokio::test]
async fn who_hangs_up_while_pushing_leaves_no_half_change() {
    let upstream = MockService::start().await;
    let open = crate::support::component("fixtures/noop");
    let (store, open) = ("{ directory: store }", format!("file:{}", open.display()));
    let controlled = Controlled::start(&config(&upstream, store, &open)).await;
    push(&controlled, &numbered(0)).await;
    let gateway = &controlled.gateway;
    gateway.write_config(&config(&upstream, store, "store:guard"));
    gateway
        .wait_for_log("revision 2 of the config serves")
        .await;
    let (address, token) = (controlled.address, controlled.token("admin"));
    let mut random = StdRng::seed_from_u64(11);
    for number in 1..=25 {
        let component = numbered(number);
        let upload = crate::support::controlled::try_upload(address, &token, &component);
        // The moment is what is tested, not waited for.
        let moment = Duration::from_millis(random.random_range(0..150));
        let _ = tokio::time::timeout(moment, upload).await;
    }
    // The next change is made after those that are under way.
    push(&controlled, &numbered(1_000)).await;
    let rolled_back = controlled.ask(&["policy", "rollback", "guard"]);
    assert_eq!(rolled_back.code, Some(0), "{rolled_back:?}");
    let stored = controlled.get("/api/v1/store/guard", "viewer").await.json();
    let serving = controlled.get("/api/v1/policies", "viewer").await.json();
    assert_eq!(serving["policies"][0]["stored_version"], stored["active"]);
    assert!(stored["active"].as_u64().unwrap() > 1, "{stored}");
}
