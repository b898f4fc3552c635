//! `portcullis status` and `portcullis policy list`: asks a running gateway's control API.

use serde_json::Value;

use super::control_client::{Call, ControlArguments, list, text};

/// Prints what the gateway is doing.
pub(super) async fn status(arguments: &ControlArguments) -> Result<(), String> {
    let status = arguments.call(Call::get("/api/v1/status")).await?;
    if arguments.json {
        println!("{status:#}");
        return Ok(());
    }
    let ready = if status["ready"] == true {
        "ready"
    } else {
        "draining"
    };
    println!(
        "portcullis {} {ready}, revision {}, up {} s, {} worker(s)",
        text(&status["version"]),
        status["revision"],
        status["uptime_seconds"],
        status["workers"]
    );
    for listener in list(&status["listeners"]) {
        println!(
            "listener {:16} {}",
            text(&listener["name"]),
            text(&listener["address"])
        );
    }
    for route in list(&status["routes"]) {
        let policies: Vec<String> = list(&route["policies"]).iter().map(used).collect();
        let policies: Vec<&str> = policies.iter().map(String::as_str).collect();
        let upstreams: Vec<&str> = list(&route["upstreams"]).iter().map(text).collect();
        println!(
            "route    {:16} to {:16} policies {}",
            text(&route["name"]),
            or_none(&upstreams),
            or_none(&policies)
        );
    }
    for upstream in list(&status["upstreams"]) {
        print_upstream(upstream);
    }
    for redis in list(&status["redis"]) {
        println!(
            "redis    {:16} circuit {}",
            text(&redis["name"]),
            text(&redis["circuit"])
        );
    }
    Ok(())
}

/// A policy of a route, and what is wrong with it.
fn used(policy: &Value) -> String {
    let mut words = Vec::new();
    let faults = policy["faults"].as_object();
    let faults = faults.map_or(0, |kinds| kinds.values().filter_map(Value::as_u64).sum());
    if faults > 0 {
        words.push(format!("{faults} fault(s)"));
    }
    if let Some(state @ ("open" | "half-open")) = policy["fault_circuit"].as_str() {
        words.push(format!("circuit {state}"));
    }
    match &words[..] {
        [] => text(&policy["policy"]).to_owned(),
        words => format!("{} ({})", text(&policy["policy"]), words.join(", ")),
    }
}

fn print_upstream(upstream: &Value) {
    let name = text(&upstream["name"]);
    for endpoint in list(&upstream["endpoints"]) {
        let state = match (&endpoint["healthy"], &endpoint["ejected_for_ms"]) {
            (Value::Bool(false), _) => "unhealthy".to_owned(),
            (_, Value::Number(left)) => format!("ejected for {left} ms"),
            _ => "healthy".to_owned(),
        };
        println!(
            "upstream {name:16} {:22} {state}, {} in flight",
            text(&endpoint["name"]),
            endpoint["in_flight"]
        );
    }
    if list(&upstream["endpoints"]).is_empty() {
        println!("upstream {name:16} no endpoint: its names have not been resolved");
    }
}

/// Prints the policies that serve.
pub(super) async fn list_policies(arguments: &ControlArguments) -> Result<(), String> {
    let answer = arguments.call(Call::get("/api/v1/policies")).await?;
    if arguments.json {
        println!("{answer:#}");
        return Ok(());
    }
    for policy in list(&answer["policies"]) {
        let routes: Vec<&str> = list(&policy["routes"]).iter().map(text).collect();
        println!(
            "{:20} {:10} {:12} {:12} routes {}",
            text(&policy["name"]),
            text(&policy["version"]),
            text(&policy["digest"]).get(..12).unwrap_or_default(),
            text(&policy["isolation"]),
            or_none(&routes)
        );
    }
    Ok(())
}

fn or_none(names: &[&str]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}
