//! Configs of routes with policies, written in a line.

use std::fmt::Write as _;

use crate::support::{Answer, component, metric};

/// A config: every route takes the paths under its name, which the upstream does not see.
pub(crate) fn config(
    upstream: &str,
    policies: &[String],
    routes: &[(&str, Vec<String>)],
) -> String {
    let mut text = format!(
        "\nupstreams: {{ api: {{ endpoints: [{upstream}], timeouts: {{ connect: 10s }} }} }}\npolicies:\n"
    );
    for policy in policies {
        writeln!(text, "  {policy}").unwrap();
    }
    text.push_str("routes:\n");
    for (name, uses) in routes {
        writeln!(text, "  - name: {name}").unwrap();
        writeln!(text, "    match: {{ path_prefix: /{name} }}").unwrap();
        writeln!(text, "    rewrite: {{ strip_prefix: /{name} }}").unwrap();
        writeln!(text, "    upstream: api").unwrap();
        if !uses.is_empty() {
            writeln!(text, "    policies:").unwrap();
        }
        for used in uses {
            writeln!(text, "      - {used}").unwrap();
        }
    }
    text
}

/// A policy of a built component, with time enough for a busy machine.
pub(crate) fn policy(name: &str, built: &str) -> String {
    policy_on(name, built, "limits: { time: 10s }")
}

/// A policy of a built component on these terms.
pub(crate) fn policy_on(name: &str, built: &str, terms: &str) -> String {
    format!(
        "{name}: {{ component: \"file:{}\", {terms} }}",
        component(built).display()
    )
}

/// A policy that the gateway carries, on these terms.
pub(crate) fn builtin(name: &str, terms: &str) -> String {
    format!("{name}: {{ component: \"builtin:{name}\", {terms} }}")
}

/// A use that fails closed.
pub(crate) fn closed(policy: &str, config: &str) -> String {
    format!("{{ use: {policy}, on_failure: closed, config: {config} }}")
}

/// A use that fails open.
pub(crate) fn open(policy: &str, config: &str) -> String {
    format!("{{ use: {policy}, on_failure: open, config: {config} }}")
}

/// What the upstream received in that field, by its echo; empty when it did not get it.
pub(crate) fn received(answer: &Answer, name: &str) -> String {
    let echo = answer.json();
    let value = echo["headers"][name][0].as_str();
    value.unwrap_or_default().to_owned()
}

/// Hooks of a policy on route `route` that ended as `kind`.
pub(crate) fn faults(page: &str, policy: &str, route: &str, phase: &str, kind: &str) -> u64 {
    let labels = [
        ("portcullis_policy", policy),
        ("portcullis_route", route),
        ("portcullis_phase", phase),
        ("portcullis_fault", kind),
    ];
    metric(page, "portcullis_policy_faults_total", &labels) as u64
}
