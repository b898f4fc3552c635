//! The example for Kubernetes: as the published schemas have it, and in agreement with itself and the gateway.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::cache;
use crate::support::observability::{files, list, repository, text, yaml};
use crate::support::peers::{python, run};
use crate::support::process::run_with_config;

const FOLDER: &str = "host/deploy/kubernetes";

fn resource(name: &str) -> Value {
    yaml(&format!("{FOLDER}/{name}.yaml"))
}

/// Those of other projects: a ServiceMonitor is the Prometheus operator's.
const NOT_KUBERNETES: [&str; 2] = ["kustomization.yaml", "servicemonitor.yaml"];

#[tokio::test]
async fn the_resources_are_as_the_schemas_have_them() {
    let validate = python().with_file_name("kubernetes-validate");
    let own = files(FOLDER, ".yaml").into_iter();
    let own = own.filter(|file| !NOT_KUBERNETES.iter().any(|other| file.ends_with(other)));
    let places: Vec<String> = own
        .map(|file| repository(&file).display().to_string())
        .collect();
    let words: Vec<&str> = ["--strict"]
        .into_iter()
        .chain(places.iter().map(String::as_str))
        .collect();
    run(&validate, &words).await;
    assert_eq!(places.len(), 6);
}

#[test]
fn all_resources_are_applied_together() {
    let listed: BTreeSet<String> = list(&resource("kustomization")["resources"])
        .iter()
        .map(|name| format!("{FOLDER}/{}", name.as_str().unwrap()))
        .collect();
    let mut all: BTreeSet<String> = files(FOLDER, ".yaml").into_iter().collect();
    all.remove(&format!("{FOLDER}/kustomization.yaml"));
    assert_eq!(listed, all);
}

#[test]
fn the_gateway_takes_the_config() {
    let config = resource("configmap");
    let config = config["data"]["gateway.yaml"].as_str().unwrap();
    let checked = run_with_config("check", config, &cache());
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
}

/// Seconds of a duration such as `20s`.
fn seconds(value: &Value) -> u64 {
    value
        .as_str()
        .unwrap()
        .trim_end_matches('s')
        .parse()
        .unwrap()
}

#[test]
fn pods_have_time_to_drain() {
    let pod = &resource("deployment")["spec"]["template"]["spec"];
    let config = config();
    let sleep = &pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"];
    let needed = seconds(&config["drain_delay"]) + seconds(&config["drain_timeout"]);
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(grace > needed + sleep.as_u64().unwrap(), "{grace}");
}

/// The gateway's config, of the ConfigMap.
fn config() -> Value {
    let map = resource("configmap");
    let text = map["data"]["gateway.yaml"].as_str().unwrap().to_owned();
    portcullis_config::Document::read(&text).unwrap().value
}

#[test]
fn ports_and_labels_lead_to_the_pods() {
    let deployment = resource("deployment");
    let template = &deployment["spec"]["template"];
    let labels = &template["metadata"]["labels"];
    let container = &template["spec"]["containers"][0];
    let port = |name: &str| {
        let ports = list(&container["ports"]);
        let found = ports.iter().find(|port| port["name"] == name);
        found.unwrap_or_else(|| panic!("no port {name}"))["containerPort"].clone()
    };
    let config = config();
    let listens =
        |value: &Value, port: &Value| value.as_str().unwrap().ends_with(&format!(":{port}"));
    assert!(listens(&config["listeners"][0]["address"], &port("http")));
    assert!(listens(&config["metrics"]["address"], &port("metrics")));
    for (name, pointer) in [
        ("deployment", "/spec/selector/matchLabels"),
        ("service", "/spec/selector"),
        ("poddisruptionbudget", "/spec/selector/matchLabels"),
        ("networkpolicy", "/spec/podSelector/matchLabels"),
    ] {
        assert_eq!(resource(name).pointer(pointer), Some(labels), "{name}");
    }
    for served in list(&resource("service")["spec"]["ports"]) {
        port(served["targetPort"].as_str().unwrap());
    }
    for rule in list(&resource("networkpolicy")["spec"]["ingress"]) {
        port(rule["ports"][0]["port"].as_str().unwrap());
    }
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        port(container[probe]["httpGet"]["port"].as_str().unwrap());
    }
    let target = &resource("horizontalpodautoscaler")["spec"]["scaleTargetRef"];
    for key in ["kind", "apiVersion"] {
        assert_eq!(target[key], deployment[key]);
    }
    assert_eq!(target["name"], deployment["metadata"]["name"]);
}

#[test]
fn prometheus_finds_the_gateways_as_the_job_that_the_rules_know() {
    let (monitor, service) = (resource("servicemonitor"), resource("service"));
    assert_eq!(monitor["apiVersion"], "monitoring.coreos.com/v1");
    assert_eq!(monitor["kind"], "ServiceMonitor");
    let selector = &monitor["spec"]["selector"]["matchLabels"];
    assert_eq!(selector, &service["metadata"]["labels"]);
    assert_eq!(service["metadata"]["name"], "portcullis");
    let endpoint = &monitor["spec"]["endpoints"][0];
    assert_eq!(endpoint["path"], "/metrics");
    let mut ports = list(&service["spec"]["ports"]).iter();
    assert!(ports.any(|port| port["name"] == endpoint["port"]));
}

#[test]
fn pods_keep_the_restricted_standard() {
    let pod = &resource("deployment")["spec"]["template"]["spec"];
    let (of_pod, of_container) = (
        &pod["securityContext"],
        &pod["containers"][0]["securityContext"],
    );
    assert_eq!(of_pod["runAsNonRoot"], true);
    assert_eq!(of_pod["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(of_container["allowPrivilegeEscalation"], false);
    assert_eq!(of_container["readOnlyRootFilesystem"], true);
    assert_eq!(of_container["capabilities"]["drop"][0], "ALL");
    // The user of the image.
    let user = format!("USER {}:{}", of_pod["runAsUser"], of_pod["runAsGroup"]);
    assert!(text("host/Dockerfile").contains(&user), "{user}");
}

#[test]
fn the_commands_paths_are_mounted() {
    let deployment = resource("deployment");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let words: Vec<&str> = list(&container["args"])
        .iter()
        .map(|word| word.as_str().unwrap())
        .collect();
    assert_eq!(
        [words[0], words[1], words[3]],
        ["run", "--config", "--cache"]
    );
    let keys = resource("configmap")["data"].as_object().unwrap().len();
    assert_eq!((keys, words[2]), (1, "/etc/portcullis/gateway.yaml"));
    for path in [words[2], words[4]] {
        let mut mounts = list(&container["volumeMounts"]).iter();
        assert!(
            mounts.any(|mount| path.starts_with(mount["mountPath"].as_str().unwrap())),
            "{path}"
        );
    }
}
