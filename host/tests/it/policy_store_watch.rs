//! The policy store's watched directory: what is put there serves, once, when it is whole.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;

use mock_service::MockService;

use crate::policy_store::{bytes, config, status};
use crate::support::controlled::Controlled;
use crate::support::eventually;
use crate::support::process::Portcullis;

/// A gateway whose guard waits in the watched directory as `noop`, and that directory.
async fn started() -> (MockService, Portcullis, PathBuf, tempfile::TempDir) {
    let upstream = MockService::start().await;
    let drop = tempfile::tempdir().unwrap();
    let watched = drop.path().join("policies");
    fs::create_dir(&watched).unwrap();
    fs::write(watched.join("guard.wasm"), bytes("fixtures/noop")).unwrap();
    fs::write(watched.join("README"), "not a policy").unwrap();
    let store = format!("{{ directory: store, watch: {} }}", watched.display());
    let gateway = Portcullis::start(&config(&upstream, &store, "store:guard")).await;
    // A write that nobody saw begin is not known to be under way.
    gateway.wait_for_log("watched for policies").await;
    (upstream, gateway, watched, drop)
}

async fn wait_for(gateway: &Portcullis, code: u16) {
    eventually(&format!("/guarded answers {code}"), async || {
        status(gateway, "/guarded").await == code
    })
    .await;
}

#[tokio::test]
async fn what_waits_there_serves_from_the_start_and_what_is_put_there_later_too() {
    let (_upstream, gateway, watched, _drop) = started().await;
    assert_eq!(status(&gateway, "/guarded").await, 200);
    fs::write(watched.join("guard.wasm"), bytes("require-header")).unwrap();
    wait_for(&gateway, 401).await;
    // As editors and deployments do it.
    let aside = watched.join(".guard.wasm.swp");
    fs::write(&aside, bytes("fixtures/noop")).unwrap();
    fs::rename(&aside, watched.join("guard.wasm")).unwrap();
    wait_for(&gateway, 200).await;
    let controlled = Controlled::over(gateway).await;
    let stored = controlled.get("/api/v1/store/guard", "viewer").await.json();
    let newest = &stored["versions"][0];
    assert_eq!(
        (&newest["version"], &stored["active"]),
        (&3.into(), &3.into())
    );
    assert_eq!(newest["by"]["role"], "watch");
    let from = newest["by"]["from"].as_str().unwrap();
    assert!(from.ends_with("policies/guard.wasm"), "{from}");
}

#[tokio::test]
async fn a_file_that_is_being_written_is_waited_for() {
    let (_upstream, gateway, watched, _drop) = started().await;
    let whole = bytes("require-header");
    let (half, rest) = whole.split_at(whole.len() / 2);
    let mut file = File::create(watched.join("guard.wasm")).unwrap();
    file.write_all(half).unwrap();
    file.flush().unwrap();
    // Another one, which is whole, is taken meanwhile.
    fs::write(watched.join("other.wasm"), &whole).unwrap();
    gateway
        .wait_for_log("version 1 of \"other\" is active")
        .await;
    assert_eq!(status(&gateway, "/guarded").await, 200);
    file.write_all(rest).unwrap();
    drop(file);
    wait_for(&gateway, 401).await;
    assert!(!gateway.log().contains("refused"), "{}", gateway.log());
}

#[tokio::test]
async fn a_directory_that_is_deleted_and_made_anew_is_watched_on() {
    let (_upstream, gateway, watched, _drop) = started().await;
    fs::remove_dir_all(&watched).unwrap();
    gateway
        .wait_for_log("is no directory; it is watched once it is there")
        .await;
    assert_eq!(status(&gateway, "/guarded").await, 200);
    fs::create_dir(&watched).unwrap();
    fs::write(watched.join("guard.wasm"), bytes("require-header")).unwrap();
    wait_for(&gateway, 401).await;
}

#[tokio::test]
async fn a_bad_file_is_refused_with_its_reasons_and_the_next_good_one_is_taken() {
    let (_upstream, gateway, watched, _drop) = started().await;
    fs::write(watched.join("guard.wasm"), bytes("fixtures/kv-probe")).unwrap();
    gateway
        .wait_for_log("guard.wasm: refused, nothing has changed:")
        .await;
    assert!(
        gateway
            .log()
            .contains("imports \"kv\", which is not granted")
    );
    assert_eq!(status(&gateway, "/guarded").await, 200);
    fs::write(watched.join("guard.wasm"), bytes("require-header")).unwrap();
    wait_for(&gateway, 401).await;
}

#[tokio::test]
async fn a_roll_back_stays_one_though_the_file_is_still_there_also_after_a_restart() {
    let (upstream, gateway, watched, _drop) = started().await;
    fs::write(watched.join("guard.wasm"), bytes("require-header")).unwrap();
    wait_for(&gateway, 401).await;
    let controlled = Controlled::over(gateway).await;
    let rolled_back = controlled.ask(&["policy", "rollback", "guard"]);
    assert_eq!(rolled_back.code, Some(0), "{rolled_back:?}");
    assert_eq!(status(&controlled.gateway, "/guarded").await, 200);
    let mut gateway = controlled.gateway;
    gateway.signal("TERM");
    gateway.ended().await;
    let store = gateway.directory().join("store");
    let store = format!(
        "{{ directory: {}, watch: {} }}",
        store.display(),
        watched.display()
    );
    let again = Portcullis::start(&config(&upstream, &store, "store:guard")).await;
    assert_eq!(status(&again, "/guarded").await, 200);
    // What the watch takes next shows that it has looked at the other one before.
    fs::write(watched.join("other.wasm"), bytes("fixtures/noop")).unwrap();
    again.wait_for_log("version 1 of \"other\" is active").await;
    assert_eq!(status(&again, "/guarded").await, 200);
}

#[tokio::test]
async fn a_bad_file_at_the_start_leaves_the_last_version_serving() {
    let (upstream, mut gateway, watched, _drop) = started().await;
    let store = gateway.directory().join("store");
    gateway.signal("TERM");
    gateway.ended().await;
    fs::write(watched.join("guard.wasm"), "no policy").unwrap();
    let store = format!(
        "{{ directory: {}, watch: {} }}",
        store.display(),
        watched.display()
    );
    let again = Portcullis::start(&config(&upstream, &store, "store:guard")).await;
    assert_eq!(status(&again, "/guarded").await, 200);
    again.wait_for_log("refused, nothing has changed").await;
}
