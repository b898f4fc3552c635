//! What stands in `observability/`: rules, dashboards and the expressions in them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use portcullis_config::Document;
use serde_json::Value;

/// A file or folder of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// What a text file of the repository says.
pub(crate) fn text(path: &str) -> String {
    let place = repository(path);
    std::fs::read_to_string(&place).unwrap_or_else(|error| panic!("{}: {error}", place.display()))
}

/// A YAML file of the repository.
pub(crate) fn yaml(path: &str) -> Value {
    let read = Document::read(&text(path));
    read.unwrap_or_else(|problems| panic!("{path}: {problems:?}"))
        .value
}

/// The files of a folder of the repository that end so, by name.
pub(crate) fn files(folder: &str, ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(repository(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(ending)).collect();
    names.sort();
    assert!(!names.is_empty(), "{folder} has no *{ending}");
    names
        .into_iter()
        .map(|name| format!("{folder}/{name}"))
        .collect()
}

/// The members of a list; none of what is no list.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// All recording rules and alerts.
pub(crate) fn rules() -> Vec<Value> {
    let files = files("observability/prometheus/rules", ".yml");
    let groups = files
        .iter()
        .flat_map(|file| list(&yaml(file)["groups"]).to_vec());
    groups
        .flat_map(|group| list(&group["rules"]).to_vec())
        .collect()
}

/// The alerts alone.
pub(crate) fn alerts() -> Vec<Value> {
    let mut rules = rules();
    rules.retain(|rule| rule["alert"].is_string());
    rules
}

/// A dashboard, by its file's name.
pub(crate) struct Dashboard {
    pub(crate) name: String,
    pub(crate) value: Value,
}

impl Dashboard {
    /// All of them.
    pub(crate) fn all() -> Vec<Self> {
        files("observability/grafana/dashboards", ".json")
            .into_iter()
            .map(|name| Self {
                value: serde_json::from_str(&text(&name)).unwrap(),
                name,
            })
            .collect()
    }

    /// What it shows, without the rows' headings.
    pub(crate) fn panels(&self) -> impl Iterator<Item = &Value> {
        let panels = list(&self.value["panels"]).iter();
        panels.filter(|panel| panel["type"] != "row")
    }

    /// Its variables.
    pub(crate) fn variables(&self) -> &[Value] {
        list(&self.value["templating"]["list"])
    }

    /// Every expression of it, with where it stands.
    pub(crate) fn expressions(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for panel in self.panels() {
            for target in list(&panel["targets"]) {
                let place = format!("{}, {}, {}", self.name, panel["title"], target["refId"]);
                found.push((place, target["expr"].as_str().unwrap().to_owned()));
            }
        }
        for annotation in list(&self.value["annotations"]["list"]) {
            if let Some(expression) = annotation["expr"].as_str() {
                let place = format!("{}, annotation {}", self.name, annotation["name"]);
                found.push((place, expression.to_owned()));
            }
        }
        found
    }
}

/// The names of metrics and recorded series in an expression.
pub(crate) fn metrics_in(expression: &str) -> BTreeSet<String> {
    const OURS: [&str; 8] = [
        "http_",
        "portcullis_",
        "policy_",
        "process_",
        "job:",
        "job_",
        "instance_",
        "slo:",
    ];
    let mut names = BTreeSet::new();
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    for word in without_labels(expression).split(|c| !is_part(c)) {
        if word == "up" || word == "ALERTS" || OURS.iter().any(|ours| word.starts_with(ours)) {
            names.insert(word.to_owned());
        }
    }
    names
}

/// Without matchers, texts and lists of labels, which may be called like metrics.
fn without_labels(expression: &str) -> String {
    let mut left = String::new();
    let (mut rest, mut depth) = (expression, 0);
    while let Some(c) = rest.chars().next() {
        let listing = [
            "by (",
            "on (",
            "ignoring (",
            "group_left (",
            "group_right (",
        ];
        if let Some(opening) = listing.iter().find(|opening| rest.starts_with(**opening)) {
            let end = rest.find(')').unwrap();
            assert!(end >= opening.len() - 1);
            rest = &rest[end + 1..];
            left.push(' ');
            continue;
        }
        if c == '"' {
            let end = rest[1..].find('"').unwrap() + 2;
            rest = &rest[end..];
            continue;
        }
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ if depth == 0 => left.push(c),
            _ => {}
        }
        rest = &rest[c.len_utf8()..];
    }
    left
}

#[test]
fn names_of_metrics_are_told_from_labels() {
    let expression = r#"sum by (job, policy_x) (rate(http_a_total{job_b="portcullis_c", d!~"{1}|e"}[5m])) / on (slo) group_left () slo:budget"#;
    let names: Vec<String> = metrics_in(expression).into_iter().collect();
    assert_eq!(names, ["http_a_total", "slo:budget"]);
}
