//! The config's files change while the gateway serves: what is noticed, and what is not taken.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::time::Duration;

use http::Method;
use mock_service::MockService;

use crate::support::process::Portcullis;
use crate::support::{complete, component, eventually, metric};

const RELOADS: &str = "portcullis_config_reloads_total";
const REVISION: &str = "portcullis_config_revision";
const REJECTED: [(&str, &str); 1] = [("portcullis_result", "rejected")];

/// A config whose one route is called `route`.
fn config(url: &str, route: &str) -> String {
    format!(
        "upstreams: {{ u: {{ endpoints: [{url}] }} }}\nroutes: [{{ name: {route}, upstream: u }}]\n"
    )
}

/// Returns once a request is served by that route.
async fn wait_for_route(gateway: &Portcullis, route: &str) {
    eventually(&format!("route {route:?} serves"), async || {
        gateway
            .client()
            .await
            .send(Method::GET, "/x", &[], "")
            .await;
        let page = gateway.metrics().await;
        metric(
            &page,
            "http_server_request_duration_seconds_count",
            &[("portcullis_route", route)],
        ) > 0.0
    })
    .await;
}

async fn started() -> (MockService, Portcullis) {
    let upstream = MockService::start().await;
    let gateway = Portcullis::start(&config(&upstream.url(), "first")).await;
    (upstream, gateway)
}

#[tokio::test]
async fn a_file_that_is_written_or_replaced_is_served_without_a_signal() {
    let (upstream, gateway) = started().await;
    gateway.write_config(&config(&upstream.url(), "written"));
    wait_for_route(&gateway, "written").await;
    let aside = gateway.directory().join(".gateway.yaml.swp");
    fs::write(&aside, complete(&config(&upstream.url(), "renamed"))).unwrap();
    fs::rename(&aside, gateway.config_path()).unwrap();
    wait_for_route(&gateway, "renamed").await;
    gateway.wait_for_metric(REVISION, &[], 3.0).await;
}

#[tokio::test]
async fn a_config_map_of_kubernetes_is_followed_through_its_links() {
    let upstream = MockService::start().await;
    let directory = tempfile::tempdir().unwrap();
    let publish = |version: &str, route: &str| {
        let data = directory.path().join(version);
        fs::create_dir(&data).unwrap();
        fs::write(
            data.join("gateway.yaml"),
            complete(&config(&upstream.url(), route)),
        )
        .unwrap();
        symlink(version, directory.path().join("..data_tmp")).unwrap();
        fs::rename(
            directory.path().join("..data_tmp"),
            directory.path().join("..data"),
        )
        .unwrap();
    };
    publish("..1", "first");
    let path = directory.path().join("gateway.yaml");
    symlink("..data/gateway.yaml", &path).unwrap();
    let root = directory.path().to_owned();
    publish("..2", "second");
    fs::remove_dir_all(root.join("..1")).unwrap();
    publish("..3", "third");
    let gateway = Portcullis::start_at(path, tempfile::tempdir().unwrap()).await;
    wait_for_route(&gateway, "third").await;
    publish("..4", "fourth");
    fs::remove_dir_all(root.join("..3")).unwrap();
    wait_for_route(&gateway, "fourth").await;
    publish("..5", "fifth");
    wait_for_route(&gateway, "fifth").await;
    assert_eq!(metric(&gateway.metrics().await, RELOADS, &REJECTED), 0.0);
}

#[tokio::test]
async fn files_and_directories_that_vanish_and_come_back_are_watched_on() {
    let upstream = MockService::start().await;
    let directory = tempfile::tempdir().unwrap();
    let (home, away) = (directory.path().join("etc"), directory.path().join("old"));
    fs::create_dir(&home).unwrap();
    let path = home.join("gateway.yaml");
    fs::write(&path, complete(&config(&upstream.url(), "first"))).unwrap();
    let gateway = Portcullis::start_at(path.clone(), directory).await;
    fs::remove_file(&path).unwrap();
    gateway.wait_for_log("no such file").await;
    wait_for_route(&gateway, "first").await;
    fs::write(&path, complete(&config(&upstream.url(), "second"))).unwrap();
    wait_for_route(&gateway, "second").await;
    fs::rename(&home, &away).unwrap();
    gateway.wait_for_metric(RELOADS, &REJECTED, 2.0).await;
    fs::create_dir(&home).unwrap();
    fs::write(&path, complete(&config(&upstream.url(), "third"))).unwrap();
    wait_for_route(&gateway, "third").await;
    // The new directory is watched, not the one that has gone away.
    fs::write(&path, complete(&config(&upstream.url(), "fourth"))).unwrap();
    wait_for_route(&gateway, "fourth").await;
}

#[tokio::test]
async fn a_slow_writer_makes_one_revision_and_no_refusal() {
    let (upstream, gateway) = started().await;
    let mut text = complete(&config(&upstream.url(), "second"));
    for number in 0..6 {
        text += &format!("  # route {number}\n");
    }
    let mut file = fs::File::create(gateway.config_path()).unwrap();
    for part in text.as_bytes().chunks(text.len().div_ceil(6)) {
        file.write_all(part).unwrap();
        // Longer than content must rest: the pause is what is tested.
        tokio::time::sleep(Duration::from_millis(350)).await;
    }
    assert_eq!(
        metric(&gateway.metrics().await, RELOADS, &[]),
        0.0,
        "{}",
        gateway.log()
    );
    drop(file);
    wait_for_route(&gateway, "second").await;
    let page = gateway.metrics().await;
    assert_eq!(metric(&page, REVISION, &[]), 2.0);
    assert_eq!(metric(&page, RELOADS, &[]), 1.0);
}

#[tokio::test]
async fn what_is_no_config_changes_nothing_and_is_named_and_counted() {
    let (upstream, gateway) = started().await;
    let sound = complete(&config(&upstream.url(), "first"));
    let bad: [(&[u8], &str); 5] = [
        (b"", "gateway.yaml:"),
        (&sound.as_bytes()[..sound.len() - 20], "gateway.yaml:"),
        (b"listeners: [{ name: http", "gateway.yaml:1: "),
        (b"listeners: []\n\xff", "not UTF-8 on line 2"),
        (b"listeners: [{ name: http, address: '127.0.0.1:0' }]\nroutes: [{ name: r, upstream: gone }]", "gateway.yaml:2: routes[0].upstream: "),
    ];
    for (number, (content, problem)) in bad.into_iter().enumerate() {
        fs::write(gateway.config_path(), content).unwrap();
        gateway
            .wait_for_metric(RELOADS, &REJECTED, (number + 1) as f64)
            .await;
        gateway.wait_for_log(problem).await;
        let mut client = gateway.client().await;
        assert_eq!(client.send(Method::GET, "/x", &[], "").await.status, 200);
    }
    fs::remove_file(gateway.config_path()).unwrap();
    fs::create_dir(gateway.config_path()).unwrap();
    gateway.wait_for_log("this is a directory").await;
    let mut ready = crate::support::TestClient::connect(gateway.metrics_address).await;
    assert_eq!(
        ready.send(Method::GET, "/readyz", &[], "").await.status,
        200
    );
    fs::remove_dir(gateway.config_path()).unwrap();
    fs::write(
        gateway.config_path(),
        complete(&config(&upstream.url(), "next")),
    )
    .unwrap();
    wait_for_route(&gateway, "next").await;
    assert_eq!(metric(&gateway.metrics().await, REVISION, &[]), 2.0);
}

#[tokio::test]
async fn a_component_that_was_missing_is_served_when_it_comes_and_when_it_changes() {
    let (upstream, gateway) = started().await;
    gateway.write_config(&format!(
        "upstreams: {{ u: {{ endpoints: [{}] }} }}\npolicies: {{ p: {{ component: 'file:p.wasm' }} }}\n\
         routes: [{{ name: guarded, upstream: u, policies: [{{ use: p, on_failure: closed, config: {{ header: x-key }} }}] }}]\n",
        upstream.url()
    ));
    gateway.wait_for_metric(RELOADS, &REJECTED, 1.0).await;
    gateway.wait_for_log("policies.p.component").await;
    let file = gateway.directory().join("p.wasm");
    fs::copy(component("fixtures/noop"), &file).unwrap();
    gateway.wait_for_metric(REVISION, &[], 2.0).await;
    wait_for_route(&gateway, "guarded").await;
    fs::write(&file, "no component").unwrap();
    gateway.wait_for_metric(RELOADS, &REJECTED, 2.0).await;
    wait_for_route(&gateway, "guarded").await;
}

#[tokio::test]
async fn what_means_the_same_makes_no_revision() {
    let (upstream, gateway) = started().await;
    let unchanged = [("portcullis_result", "unchanged")];
    gateway.signal("HUP");
    gateway.wait_for_metric(RELOADS, &unchanged, 1.0).await;
    gateway.write_config(&format!(
        "# a comment\n{}",
        config(&upstream.url(), "first")
    ));
    gateway.wait_for_metric(RELOADS, &unchanged, 2.0).await;
    gateway.write_config(&config(&upstream.url(), "second"));
    wait_for_route(&gateway, "second").await;
    let page = gateway.metrics().await;
    assert_eq!(metric(&page, RELOADS, &[]), 3.0);
    assert_eq!(metric(&page, REVISION, &[]), 2.0);
}

#[tokio::test]
async fn files_are_left_alone_where_the_config_says_so_until_a_signal() {
    let upstream = MockService::start().await;
    let unwatched = |route: &str| format!("watch: false\n{}", config(&upstream.url(), route));
    let gateway = Portcullis::start(&unwatched("first")).await;
    gateway.write_config(&unwatched("second"));
    // Nothing tells that nothing was noticed; another gateway of the same binary that does watch has
    // had its time.
    let other = Portcullis::start(&config(&upstream.url(), "first")).await;
    other.write_config(&config(&upstream.url(), "second"));
    wait_for_route(&other, "second").await;
    assert_eq!(metric(&gateway.metrics().await, RELOADS, &[]), 0.0);
    gateway.write_config(&config(&upstream.url(), "third"));
    gateway.signal("HUP");
    wait_for_route(&gateway, "third").await;
    // The new config wants to be watched.
    gateway.write_config(&unwatched("fourth"));
    wait_for_route(&gateway, "fourth").await;
    assert_eq!(metric(&gateway.metrics().await, REVISION, &[]), 3.0);
}
