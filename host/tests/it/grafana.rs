//! Grafana's files: what provisioning finds, and dashboards without the slips that only show in a browser.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::observability::{Dashboard, list, rules, yaml};

const FOLDER: &str = "observability/grafana";

#[test]
fn provisioning_leads_to_the_dashboards_and_to_prometheus() {
    let sources = yaml(&format!("{FOLDER}/provisioning/datasources/prometheus.yml"));
    let source = &sources["datasources"][0];
    assert_eq!(source["type"], "prometheus");
    assert_eq!(source["uid"], "portcullis-prometheus");
    let config = yaml("observability/prometheus/compose.yml");
    // $__rate_interval is made of it.
    assert_eq!(
        source["jsonData"]["timeInterval"],
        config["global"]["scrape_interval"]
    );
    let providers = yaml(&format!("{FOLDER}/provisioning/dashboards/portcullis.yml"));
    assert_eq!(providers["providers"][0]["type"], "file");
    let uids: Vec<_> = Dashboard::all()
        .iter()
        .map(|dashboard| dashboard.value["uid"].clone())
        .collect();
    assert_eq!(
        uids,
        [
            "portcullis-overview",
            "portcullis-policies",
            "portcullis-upstreams"
        ]
    );
}

#[test]
fn panels_say_what_they_show_and_in_which_unit() {
    for dashboard in Dashboard::all() {
        let mut titles = BTreeSet::new();
        for panel in dashboard.panels() {
            let place = format!("{}, {}", dashboard.name, panel["title"]);
            let description = panel["description"].as_str().unwrap_or_default();
            assert!(description.len() > 10, "{place}: no description");
            let unit = panel["fieldConfig"]["defaults"]["unit"].as_str();
            assert!(
                unit.is_some_and(|unit| !unit.is_empty()),
                "{place}: no unit"
            );
            assert!(!list(&panel["targets"]).is_empty(), "{place}: no query");
            assert!(titles.insert(panel["title"].to_string()), "{place}: twice");
        }
    }
}

#[test]
fn panels_have_places_and_numbers_of_their_own() {
    for dashboard in Dashboard::all() {
        let panels = list(&dashboard.value["panels"]);
        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
        assert_eq!(ids.len(), panels.len(), "{}", dashboard.name);
        let mut taken = BTreeSet::new();
        for panel in panels {
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(at("x") + at("w") <= 24, "{}", panel["title"]);
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    assert!(taken.insert((x, y)), "{} overlaps", panel["title"]);
                }
            }
        }
    }
}

#[test]
fn every_query_goes_to_the_chosen_data_source() {
    for dashboard in Dashboard::all() {
        each_object(&dashboard.value, &mut |object| {
            let source = &object["datasource"];
            // Grafana's own annotations are the exception.
            let own = source["type"] == "grafana";
            assert!(
                source.is_null() || own || source["uid"] == "${datasource}",
                "{}: {source}",
                dashboard.name
            );
        });
        for panel in dashboard.panels() {
            for target in list(&panel["targets"]) {
                assert_eq!(target["datasource"]["uid"], "${datasource}");
            }
        }
    }
}

#[test]
fn variables_are_there_and_used() {
    let builtin = [
        "__all",
        "__rate_interval",
        "__range",
        "__url_time_range",
        "__field",
        "__value",
    ];
    for dashboard in Dashboard::all() {
        let known: BTreeSet<String> = dashboard
            .variables()
            .iter()
            .map(|variable| variable["name"].as_str().unwrap().to_owned())
            .collect();
        let mut used = BTreeSet::new();
        each_text(&dashboard.value, &mut |text| {
            used.extend(variables_in(text));
        });
        for variable in &used {
            assert!(
                known.contains(variable) || builtin.contains(&variable.as_str()),
                "{}: there is no ${variable}",
                dashboard.name
            );
        }
        for variable in &known {
            assert!(used.contains(variable), "{}: ${variable}", dashboard.name);
        }
    }
}

#[test]
fn links_lead_to_dashboards_that_have_the_variable() {
    let all = Dashboard::all();
    let mut links = 0;
    for dashboard in &all {
        assert_eq!(dashboard.value["links"][0]["tags"][0], "portcullis");
        assert_eq!(dashboard.value["tags"][0], "portcullis");
        each_text(&dashboard.value, &mut |text| {
            let Some(rest) = text.strip_prefix("/d/") else {
                return;
            };
            links += 1;
            let (uid, query) = rest.split_once('?').unwrap();
            let target = all.iter().find(|other| other.value["uid"] == uid);
            let target = target.unwrap_or_else(|| panic!("{}: {text}", dashboard.name));
            for (_, variable) in query.match_indices("var-").map(|(at, _)| {
                let rest = &query[at + 4..];
                (at, &rest[..rest.find('=').unwrap()])
            }) {
                let mut variables = target.variables().iter();
                assert!(
                    variables.any(|known| known["name"] == variable),
                    "{}: {text}",
                    dashboard.name
                );
            }
        });
    }
    assert!(links > 5);
}

/// Names that end so are counted up: shown as they are, they say nothing.
const COUNTED: [&str; 4] = ["_total", "_count", "_sum", "_bucket"];

#[test]
fn counters_are_shown_as_rates_and_gauges_are_not() {
    let mut all: Vec<(String, String)> = Dashboard::all()
        .iter()
        .flat_map(Dashboard::expressions)
        .collect();
    for rule in rules() {
        let name = format!("{}{}", rule["record"], rule["alert"]);
        all.push((name, rule["expr"].as_str().unwrap().to_owned()));
    }
    for (place, expression) in all {
        let text = without_braces(&expression);
        for word in words(&text) {
            let (before, after) = (&text[..word.start], text[word.end..].trim_start());
            let counted = COUNTED.iter().any(|end| text[word.clone()].ends_with(end));
            let is_rate = before.ends_with("rate(") || before.ends_with("increase(");
            // That a counter is there at all, and was not before, is an event as well.
            let begins = place.contains("Portcullis") && before.ends_with("sum by (_) (");
            if counted && text[word.clone()].contains('_') {
                assert!(is_rate || begins, "{place}: {word:?} of {text}");
                assert!(after.starts_with('[') || begins, "{place}: {text}");
            } else {
                assert!(!is_rate, "{place}: a rate of {}", &text[word]);
            }
        }
        if let Some((_, rest)) = expression.split_once("histogram_quantile(") {
            let grouping = rest
                .split_once("sum by (")
                .expect("a quantile is of sums")
                .1;
            let labels = &grouping[..grouping.find(')').unwrap()];
            assert!(labels.ends_with("le"), "{place}: {expression}");
        }
    }
}

/// The places of words that are names of series.
fn words(text: &str) -> Vec<std::ops::Range<usize>> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (is_part(c), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                let word = &text[from..at];
                // `sum_over_time(` is a function, `0.99` a number, `[5m]` a time.
                if word.contains(['_', ':'])
                    && word.len() > 1
                    && c != '('
                    && !word.starts_with("__")
                {
                    found.push(from..at);
                }
                start = None;
            }
            _ => {}
        }
    }
    found
}

/// Matchers away, and lists of labels short: `sum by (_) (rate(x_total[5m]))`.
fn without_braces(expression: &str) -> String {
    let mut text = expression.to_owned();
    while let Some(start) = text.find('{') {
        let mut quoted = false;
        let end = text[start..].find(|c| {
            quoted ^= c == '"';
            c == '}' && !quoted
        });
        text.replace_range(start..start + end.unwrap() + 1, "");
    }
    let mut short = String::new();
    let mut rest = text.as_str();
    while let Some(at) = ["by (", "on (", "group_left ("]
        .iter()
        .filter_map(|list| rest.find(list).map(|at| at + list.len()))
        .min()
    {
        short += &rest[..at];
        short.push('_');
        rest = &rest[at + rest[at..].find(')').unwrap()..];
    }
    short + rest
}

fn variables_in(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in text.split('$').skip(1) {
        let name = part.trim_start_matches('{');
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = name.find(|c| !is_part(c)).unwrap_or(name.len());
        found.push(name[..end].to_owned());
    }
    found.retain(|name| !name.is_empty());
    found
}

fn each_object(value: &Value, take: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(members) => {
            take(value);
            members
                .values()
                .for_each(|member| each_object(member, take));
        }
        Value::Array(members) => members.iter().for_each(|member| each_object(member, take)),
        _ => {}
    }
}

fn each_text(value: &Value, take: &mut impl FnMut(&str)) {
    match value {
        Value::Object(members) => members.values().for_each(|member| each_text(member, take)),
        Value::Array(members) => members.iter().for_each(|member| each_text(member, take)),
        Value::String(text) => take(text),
        _ => {}
    }
}
