//! Prometheus' configs, rules and their unit tests, as promtool takes them; and what stands beside them.

use std::collections::BTreeSet;

use crate::support::observability::{
    Dashboard, alerts, files, list, metrics_in, repository, rules, text, yaml,
};
use crate::support::peers::run;

const FOLDER: &str = "observability/prometheus";

async fn promtool(words: &[&str], files: &[String]) {
    let places = files
        .iter()
        .map(|file| repository(file).display().to_string());
    let places: Vec<String> = places.collect();
    let places: Vec<&str> = places.iter().map(String::as_str).collect();
    let printed = run("promtool", &[words, &places].concat()).await;
    assert!(!printed.contains("FAILED"), "{printed}");
    assert!(
        printed.matches("SUCCESS").count() >= files.len(),
        "{printed}"
    );
}

#[tokio::test]
async fn promtool_takes_the_configs_with_their_rules() {
    let configs = files(FOLDER, ".yml");
    promtool(&["check", "config"], &configs).await;
    for file in configs {
        // By a path from the file itself, so that it holds wherever the folder is put.
        assert_eq!(yaml(&file)["rule_files"][0], "rules/*.yml", "{file}");
        let jobs = &yaml(&file)["scrape_configs"];
        assert_eq!(jobs[0]["job_name"], "portcullis", "{file}");
    }
    promtool(
        &["check", "rules"],
        &files(&format!("{FOLDER}/rules"), ".yml"),
    )
    .await;
}

#[tokio::test]
async fn the_rules_do_what_their_unit_tests_say() {
    promtool(
        &["test", "rules"],
        &files(&format!("{FOLDER}/tests"), ".yml"),
    )
    .await;
}

/// The unit tests: each with what it expects of alerts, and of expressions.
fn unit_tests() -> Vec<serde_json::Value> {
    let files = files(&format!("{FOLDER}/tests"), ".yml");
    let tests = files
        .iter()
        .flat_map(|file| list(&yaml(file)["tests"]).to_vec());
    tests.collect()
}

#[test]
fn every_alert_has_a_test_that_it_fires_and_one_that_it_does_not() {
    let tests = unit_tests();
    let expectations: Vec<_> = tests
        .iter()
        .flat_map(|test| list(&test["alert_rule_test"]))
        .collect();
    for alert in alerts() {
        let of_it: Vec<_> = expectations
            .iter()
            .filter(|test| test["alertname"] == alert["alert"])
            .collect();
        let quiet = of_it
            .iter()
            .filter(|test| list(&test["exp_alerts"]).is_empty());
        let firing = of_it.len() - quiet.count();
        assert!(firing > 0, "{}: fires in no test", alert["alert"]);
        assert!(firing < of_it.len(), "{}: fires in all", alert["alert"]);
    }
}

#[test]
fn every_recorded_series_is_tested_and_used() {
    let all = rules();
    let expressions = |rules: &[serde_json::Value]| -> String {
        let texts = rules.iter().map(|rule| rule["expr"].as_str().unwrap());
        texts.collect::<Vec<_>>().join("\n")
    };
    let mut used = metrics_in(&expressions(&all));
    for dashboard in Dashboard::all() {
        for (_, expression) in dashboard.expressions() {
            used.extend(metrics_in(&expression));
        }
    }
    let tests = unit_tests();
    let tested: BTreeSet<String> = tests
        .iter()
        .flat_map(|test| list(&test["promql_expr_test"]))
        .flat_map(|test| metrics_in(test["expr"].as_str().unwrap()))
        .collect();
    for rule in &all {
        let Some(record) = rule["record"].as_str() else {
            continue;
        };
        assert!(used.contains(record), "nothing uses {record}");
        // Those of the windows differ in nothing else; the alerts' tests are theirs.
        assert!(
            tested.contains(record) || record.starts_with("job:slo_") || record.starts_with("slo:"),
            "no test tells the value of {record}"
        );
    }
}

#[test]
fn every_alert_says_what_it_means_and_what_to_do() {
    let runbook = text("observability/RUNBOOK.md");
    let headings: Vec<&str> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    let mut names = Vec::new();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let severity = alert["labels"]["severity"].as_str();
        assert!(
            matches!(severity, Some("critical" | "warning")),
            "{name}: {severity:?}"
        );
        let note = |key: &str| alert["annotations"][key].as_str().unwrap_or_default();
        assert!(note("summary").len() > 10, "{name}: no summary");
        assert!(note("description").len() > 20, "{name}: no description");
        let anchor = format!("observability/RUNBOOK.md#{}", name.to_lowercase());
        assert_eq!(note("runbook"), anchor);
        names.push(name.to_owned());
    }
    // One section each, in the alerts' order, and none for what is no alert.
    let by_file: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(by_file.len(), names.len(), "two alerts of one name");
    assert_eq!(headings.iter().copied().collect::<BTreeSet<_>>(), by_file);
    assert_eq!(headings.len(), names.len(), "two sections of one name");
}
