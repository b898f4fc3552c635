//! docker-compose.yml and the images' files: what they name exists, and agrees with the configs and binaries.
//!
//! No Docker engine is needed: the file is read as the Compose specification has it, and the services' commands and
//! configs are run as they are, with other addresses.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use mock_service::MockService;

use crate::support::observability::{list, repository, text, yaml};
use crate::support::peers::{Peer, python, run, run_script};
use crate::support::process::Portcullis;
use crate::support::redis::RedisServer;
use crate::support::{TestClient, eventually};

/// The file with its merges, and its variables at their defaults.
async fn compose() -> Value {
    let file = repository("docker-compose.yml").display().to_string();
    serde_json::from_str(&run_script("compose.py", &[&file]).await).unwrap()
}

fn services(compose: &Value) -> impl Iterator<Item = (&String, &Value)> {
    compose["services"].as_object().unwrap().iter()
}

fn texts(value: &Value) -> Vec<&str> {
    list(value)
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect()
}

/// `source:target[:ro]` of a service's mounts.
fn mounts(service: &Value) -> Vec<(&str, &str)> {
    texts(&service["volumes"])
        .into_iter()
        .map(|mount| {
            let mut parts = mount.split(':');
            (parts.next().unwrap(), parts.next().unwrap())
        })
        .collect()
}

/// Another program of the workspace.
fn mock_service() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_portcullis")).with_file_name("mock-service");
    assert!(path.exists(), "cargo test --workspace builds it");
    path
}

#[tokio::test]
async fn every_service_is_confined() {
    let compose = compose().await;
    for (name, service) in services(&compose) {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(texts(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(
            texts(&service["security_opt"]),
            ["no-new-privileges:true"],
            "{name}"
        );
        let user = service["user"].as_str().unwrap_or_default();
        assert!(!user.is_empty() && !user.starts_with('0'), "{name}: {user}");
        let limits = &service["deploy"]["resources"]["limits"];
        for resource in ["cpus", "memory", "pids"] {
            assert!(!limits[resource].is_null(), "{name}: {resource}");
        }
        assert!(service["privileged"].is_null(), "{name}");
        for (source, _) in mounts(service) {
            assert!(!source.contains("docker.sock"), "{name}");
        }
        // By a version's name at least.
        let (_, tag) = service["image"].as_str().unwrap().split_once(':').unwrap();
        let pinned = tag == "local" || tag.matches('.').count() >= 2;
        assert!(pinned, "{name}: {}", service["image"]);
    }
}

#[tokio::test]
async fn only_three_ports_are_published_and_on_this_machine_alone() {
    let compose = compose().await;
    let published: BTreeSet<&str> = services(&compose)
        .flat_map(|(_, service)| texts(&service["ports"]))
        .collect();
    let expected = [
        "127.0.0.1:3000:3000",
        "127.0.0.1:8080:8080",
        "127.0.0.1:9090:9090",
    ];
    assert_eq!(published, BTreeSet::from(expected));
    // The gateway's metrics and control listeners meet nobody who is not on the inner network.
    assert_eq!(compose["networks"]["inner"]["internal"], true);
    let on_outer: Vec<_> = services(&compose)
        .filter(|(_, service)| texts(&service["networks"]).contains(&"outer"))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(on_outer, ["gateway"]);
    for (name, service) in services(&compose) {
        let networks = texts(&service["networks"]);
        assert!(
            networks.contains(&"inner") || service["network_mode"] == "none",
            "{name}"
        );
    }
}

#[tokio::test]
async fn services_start_in_order_and_are_asked_how_they_are() {
    let compose = compose().await;
    for (name, service) in services(&compose) {
        let waits = service["depends_on"].as_object();
        for (other, terms) in waits.into_iter().flatten() {
            let other_service = &compose["services"][other];
            assert!(other_service.is_object(), "{name} waits for {other}");
            let condition = terms["condition"].as_str().unwrap();
            let is_checked = !other_service["healthcheck"]["test"].is_null();
            let expected = if is_checked {
                "service_healthy"
            } else {
                "service_completed_successfully"
            };
            assert_eq!(condition, expected, "{name} waits for {other}");
        }
        let ends = service["restart"] == "on-failure";
        assert_eq!(service["healthcheck"]["test"].is_null(), ends, "{name}");
    }
}

#[tokio::test]
async fn what_is_mounted_exists_where_commands_and_configs_look_for_it() {
    let compose = compose().await;
    for (name, service) in services(&compose) {
        for (source, _) in mounts(service) {
            if let Some(path) = source.strip_prefix("./") {
                assert!(repository(path).exists(), "{name}: {source}");
            } else {
                assert!(compose["volumes"][source].is_object(), "{name}: {source}");
            }
        }
        // Whatever a command names by a path is in a mount, or in the image.
        for word in texts(&service["command"]) {
            let path = word.split_once('=').map_or(word, |(_, path)| path);
            if path.starts_with('/') && !path.contains(char::is_whitespace) {
                let mounted = mounts(service)
                    .iter()
                    .any(|(_, target)| path.starts_with(target));
                assert!(mounted, "{name}: {word}");
            }
        }
    }
    for volume in compose["volumes"].as_object().unwrap().keys() {
        let used = services(&compose)
            .any(|(_, service)| mounts(service).iter().any(|(source, _)| source == volume));
        assert!(used, "nothing uses the volume {volume}");
    }
    let grafana = mounts(&compose["services"]["grafana"]);
    let providers = yaml("observability/grafana/provisioning/dashboards/portcullis.yml");
    let folder = providers["providers"][0]["options"]["path"]
        .as_str()
        .unwrap();
    assert!(grafana.contains(&("./observability/grafana/dashboards", folder)));
    let home =
        &compose["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"];
    let home = home.as_str().unwrap().strip_prefix(folder).unwrap();
    assert!(repository(&format!("observability/grafana/dashboards{home}")).exists());
}

#[tokio::test]
async fn ports_and_names_are_those_of_the_configs() {
    let compose = compose().await;
    let config = yaml("host/deploy/compose/gateway.yaml");
    let port_of = |value: &Value| {
        let (_, port) = value.as_str().unwrap().rsplit_once(':').unwrap();
        port.trim_end_matches('/').to_owned()
    };
    assert_eq!(port_of(&config["listeners"][0]["address"]), "8080");
    let metrics = port_of(&config["metrics"]["address"]);
    let asked = texts(&compose["services"]["gateway"]["healthcheck"]["test"]);
    assert_eq!(asked.last().unwrap(), &format!("127.0.0.1:{metrics}"));
    let prometheus = yaml("observability/prometheus/compose.yml");
    let target = &prometheus["scrape_configs"][0]["static_configs"][0]["targets"][0];
    assert_eq!(target, &Value::from(format!("gateway:{metrics}")));
    let source = yaml("observability/grafana/provisioning/datasources/prometheus.yml");
    assert_eq!(source["datasources"][0]["url"], "http://prometheus:9090");
    // Each endpoint is a service, and listens there.
    for endpoint in texts(&config["upstreams"]["mock-service"]["endpoints"]) {
        let (name, port) = endpoint["http://".len()..].split_once(':').unwrap();
        let service = &compose["services"][name];
        let listen = format!("0.0.0.0:{port}");
        assert!(
            texts(&service["command"]).contains(&listen.as_str()),
            "{name}"
        );
        let asked = texts(&service["healthcheck"]["test"]);
        assert_eq!(asked.last().unwrap(), &format!("127.0.0.1:{port}"));
    }
    for (file, ports) in [
        ("host/Dockerfile", format!("EXPOSE 8080 {metrics}")),
        ("mock-service/Dockerfile", "EXPOSE 8001".to_owned()),
    ] {
        assert!(text(file).lines().any(|line| line == ports), "{file}");
    }
}

/// What the service `redis-secret` makes, in a folder of the test's.
fn make_secret(compose: &Value, folder: &Path) {
    let command = texts(&compose["services"]["redis-secret"]["command"]);
    let script = command[2].replace("/data", &folder.display().to_string());
    let status = Command::new(command[0])
        .args([command[1], &script])
        .status();
    assert!(status.unwrap().success());
}

#[tokio::test]
async fn the_password_of_redis_is_made_once() {
    let compose = compose().await;
    let folder = tempfile::tempdir().unwrap();
    make_secret(&compose, folder.path());
    let password = std::fs::read_to_string(folder.path().join("password")).unwrap();
    assert!(password.len() > 30, "{}", password.len());
    let config = std::fs::read_to_string(folder.path().join("redis.conf")).unwrap();
    assert_eq!(config, format!("requirepass {password}\n"));
    make_secret(&compose, folder.path());
    let again = std::fs::read_to_string(folder.path().join("password")).unwrap();
    assert_eq!(again, password);
}

/// A mock-service as the file starts it, at a free port; with its address.
async fn start_mock(compose: &Value, name: &str) -> (Peer, String) {
    let service = &compose["services"][name];
    let words = texts(&service["command"]);
    let words = words
        .iter()
        .map(|word| word.replace("0.0.0.0:8001", "127.0.0.1:0"));
    let peer = Peer::start(Command::new(mock_service()).args(words));
    peer.wait_for("listens on http://").await;
    let address = peer.printed().trim().rsplit('/').next().unwrap().to_owned();
    let check = texts(&service["healthcheck"]["test"]);
    assert_eq!(check[..2], ["CMD", "/usr/local/bin/mock-service"]);
    let check = check[2..]
        .iter()
        .map(|word| word.replace("127.0.0.1:8001", &address));
    let answer = Command::new(mock_service()).args(check).status().unwrap();
    assert!(answer.success());
    (peer, address)
}

#[tokio::test]
async fn the_gateway_serves_by_its_config_and_is_found_healthy() {
    let compose = compose().await;
    let secret = tempfile::tempdir().unwrap();
    make_secret(&compose, secret.path());
    let password = std::fs::read_to_string(secret.path().join("password")).unwrap();
    let redis = RedisServer::start().await;
    redis
        .ask(&["CONFIG", "SET", "requirepass", &password])
        .await;
    let (_one, one) = start_mock(&compose, "mock-service-1").await;
    let (_two, two) = start_mock(&compose, "mock-service-2").await;
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().display().to_string();
    let config = text("host/deploy/compose/gateway.yaml")
        .replace("0.0.0.0:8080", "127.0.0.1:0")
        .replace("0.0.0.0:9464", "127.0.0.1:0")
        .replace("0.0.0.0:9901", "127.0.0.1:0")
        .replace("/var/lib/portcullis", &state)
        .replace("/run/redis", &secret.path().display().to_string())
        .replace("redis://redis:6379", &redis.url())
        .replace("mock-service-1:8001", &one)
        .replace("mock-service-2:8001", &two);
    let path = directory.path().join("gateway.yaml");
    std::fs::write(&path, config).unwrap();
    let gateway = Portcullis::start_at(path, directory).await;
    let mut served = BTreeSet::new();
    let mut limited = 0;
    for _ in 0..30 {
        let mut client = TestClient::connect(gateway.address).await;
        let answer = client
            .send(
                http::Method::GET,
                "/api/service1/hello",
                &[("x-api-key", "alice")],
                "",
            )
            .await;
        if answer.status == 429 {
            limited += 1;
        } else {
            assert_eq!(answer.status, 200, "{}", answer.text());
            served.insert(answer.json()["service"].to_string());
        }
    }
    assert!(limited > 0, "the burst is 20");
    assert_eq!(served.len(), 2, "{served:?}");
    let keys = async || !is_empty(&redis, &password).await;
    eventually("the limits are in Redis", keys).await;
    let check = texts(&compose["services"]["gateway"]["healthcheck"]["test"]);
    assert_eq!(check[..2], ["CMD", "/usr/local/bin/portcullis"]);
    let metrics = gateway.metrics_address.to_string();
    let check = check[2..]
        .iter()
        .map(|word| word.replace("127.0.0.1:9464", &metrics));
    let answer = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(check)
        .status();
    assert!(answer.unwrap().success());
}

async fn is_empty(redis: &RedisServer, password: &str) -> bool {
    let size = redis
        .ask(&["-a", password, "--no-auth-warning", "DBSIZE"])
        .await;
    size == "0"
}

#[tokio::test]
async fn the_images_are_built_as_a_linter_likes_it() {
    let hadolint = python().with_file_name("hadolint");
    for (file, binary, package) in [
        ("host/Dockerfile", "portcullis", "host/Cargo.toml"),
        (
            "mock-service/Dockerfile",
            "mock-service",
            "mock-service/Cargo.toml",
        ),
    ] {
        let place = repository(file).display().to_string();
        run(&hadolint, &["--failure-threshold", "style", &place]).await;
        let dockerfile = text(file);
        let manifest = text(package);
        assert!(
            manifest.contains(&format!("\nname = \"{binary}\"")),
            "{package}"
        );
        for needed in [
            format!("--package {binary}"),
            format!("ENTRYPOINT [\"/usr/local/bin/{binary}\"]"),
            "USER 65532:65532".to_owned(),
            "FROM rust:${RUST} AS build".to_owned(),
        ] {
            assert!(dockerfile.contains(&needed), "{file}: {needed}");
        }
        // The toolchain is one that the workspace takes.
        let version = dockerfile
            .lines()
            .find_map(|line| line.strip_prefix("ARG RUST="));
        let (version, _) = version.unwrap().split_once('-').unwrap();
        let minimum = format!("rust-version = \"{version}\"");
        assert!(text("Cargo.toml").contains(&minimum), "{file}: {minimum}");
    }
    assert!(repository("scripts/build-guests.sh").exists());
}

#[tokio::test]
async fn the_images_commands_are_those_of_the_binaries() {
    let command = |file: &str, instruction: &str| -> Vec<String> {
        let text = text(file);
        let line = text
            .lines()
            .find(|line| line.starts_with(instruction))
            .unwrap();
        serde_json::from_str(&line[line.find('[').unwrap()..]).unwrap()
    };
    let mock = MockService::start().await;
    let address = mock.address().to_string();
    let health = command("mock-service/Dockerfile", "HEALTHCHECK");
    let words = health[1..]
        .iter()
        .map(|word| word.replace("127.0.0.1:8001", &address));
    assert!(
        Command::new(mock_service())
            .args(words)
            .status()
            .unwrap()
            .success()
    );
    let words = command("mock-service/Dockerfile", "CMD");
    assert_eq!(words, ["--listen", "0.0.0.0:8001"]);
    let compose = compose().await;
    // The image does by itself what the file has it do.
    let service = &compose["services"]["gateway"];
    assert_eq!(
        command("host/Dockerfile", "CMD"),
        texts(&service["command"])
    );
    let health = command("host/Dockerfile", "HEALTHCHECK");
    assert_eq!(health, texts(&service["healthcheck"]["test"])[1..]);
}
