//! `portcullis policy push` and its like: the versions of a running gateway's policies.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::control_client::{Call, ControlArguments, list, text};
use crate::policy_store::store::PolicyStore;

/// Between the parts of an upload; random enough not to be in a component.
const BOUNDARY: &str = "portcullis-7d3f0a52c1e84b6f9a";

/// Why something is changed.
#[derive(Debug, clap::Args)]
pub(super) struct Why {
    /// Why, for the journal
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    gateway: ControlArguments,
}

/// What is pushed.
#[derive(Debug, clap::Args)]
pub(super) struct Push {
    /// Its name in the store, as in `component: store:NAME`
    name: String,
    /// The component, a .wasm file
    file: PathBuf,
    /// Store it only; `policy activate` has it serve
    #[arg(long)]
    inactive: bool,
    #[command(flatten)]
    why: Why,
}

/// Which version is to serve.
#[derive(Debug, clap::Args)]
pub(super) struct Activate {
    /// The policy's name in the store
    name: String,
    /// The version
    version: u64,
    #[command(flatten)]
    why: Why,
}

/// Which policy is rolled back.
#[derive(Debug, clap::Args)]
pub(super) struct RollBack {
    /// The policy's name in the store
    name: String,
    #[command(flatten)]
    why: Why,
}

/// What is deleted.
#[derive(Debug, clap::Args)]
pub(super) struct Delete {
    /// The policy's name in the store
    name: String,
    /// The version
    #[arg(required_unless_present = "unused", conflicts_with = "unused")]
    version: Option<u64>,
    /// All versions but the active one and the one before it
    #[arg(long)]
    unused: bool,
    #[command(flatten)]
    why: Why,
}

/// Whose versions are shown.
#[derive(Debug, clap::Args)]
pub(super) struct Versions {
    /// One policy of the store; all if left out
    name: Option<String>,
    #[command(flatten)]
    gateway: ControlArguments,
}

/// Whose journal is shown.
#[derive(Debug, clap::Args)]
pub(super) struct Journal {
    /// Read the store in this directory, and ask no gateway
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    #[command(flatten)]
    gateway: ControlArguments,
}

/// Uploads a component.
pub(super) async fn push(push: &Push) -> Result<(), String> {
    let component = std::fs::read(&push.file)
        .map_err(|error| format!("portcullis: {}: {error}", push.file.display()))?;
    let path = format!("/api/v1/store/{}/versions", push.name);
    let call = Call {
        method: Method::POST,
        path: &path,
        body: Some((
            form(&component, &push.why.reason, !push.inactive),
            format!("multipart/form-data; boundary={BOUNDARY}"),
        )),
    };
    tell(&push.why.gateway, &push.name, call).await
}

/// Has a stored version serve.
pub(super) async fn activate(activate: &Activate) -> Result<(), String> {
    let path = format!("/api/v1/store/{}/activate", activate.name);
    let asked = json!({ "version": activate.version, "reason": activate.why.reason });
    let call = Call::post(&path, &asked);
    tell(&activate.why.gateway, &activate.name, call).await
}

/// Has the version serve that did before.
pub(super) async fn roll_back(roll_back: &RollBack) -> Result<(), String> {
    let path = format!("/api/v1/store/{}/rollback", roll_back.name);
    let call = Call::post(&path, &json!({ "reason": roll_back.why.reason }));
    tell(&roll_back.why.gateway, &roll_back.name, call).await
}

/// Deletes versions that do not serve.
pub(super) async fn delete(delete: &Delete) -> Result<(), String> {
    let version = delete
        .version
        .map_or_else(String::new, |version| format!("/{version}"));
    let reason: String = form_urlencoded(&delete.why.reason);
    let path = format!(
        "/api/v1/store/{}/versions{version}?reason={reason}",
        delete.name
    );
    let call = Call {
        method: Method::DELETE,
        path: &path,
        body: None,
    };
    let answer = delete.why.gateway.call(call).await?;
    if delete.why.gateway.json {
        println!("{answer:#}");
    } else {
        println!("{}: {} version(s) deleted", delete.name, answer["deleted"]);
    }
    Ok(())
}

/// Prints what the store holds.
pub(super) async fn versions(versions: &Versions) -> Result<(), String> {
    let answer = match &versions.name {
        Some(name) => {
            let path = format!("/api/v1/store/{name}");
            json!({ "policies": [versions.gateway.call(Call::get(&path)).await?] })
        }
        None => versions.gateway.call(Call::get("/api/v1/store")).await?,
    };
    if versions.gateway.json {
        println!("{answer:#}");
        return Ok(());
    }
    for policy in list(&answer["policies"]) {
        let users: Vec<&str> = list(&policy["used_by"]).iter().map(text).collect();
        println!("{} (used by {})", text(&policy["name"]), or_none(&users));
        for version in list(&policy["versions"]) {
            let active = if version["version"] == policy["active"] {
                "active"
            } else {
                ""
            };
            println!(
                "  {:>4} {active:6} {} {} {} {}",
                number(&version["version"]),
                text(&version["digest"]).get(..12).unwrap_or_default(),
                text(&version["time"]),
                actor(&version["by"]),
                text(&version["reason"])
            );
        }
    }
    Ok(())
}

/// Prints every change of the store; one whose chain does not hold is an error.
pub(super) async fn journal(journal: &Journal) -> Result<(), String> {
    let entries = match &journal.store {
        Some(directory) => entries_in(directory)?,
        None => entries_of(&journal.gateway).await?,
    };
    if journal.gateway.json {
        println!("{:#}", Value::Array(entries));
        return Ok(());
    }
    for entry in &entries {
        println!(
            "{:>5} {} {:9} {} {} {} {}",
            number(&entry["number"]),
            text(&entry["time"]),
            text(&entry["action"]),
            text(&entry["policy"]),
            entry["version"],
            actor(&entry["by"]),
            text(&entry["reason"])
        );
    }
    println!("{} change(s); the chain holds", entries.len());
    Ok(())
}

fn entries_in(directory: &Path) -> Result<Vec<Value>, String> {
    let entries = PolicyStore::entries_in(directory);
    let entries = entries.map_err(|error| format!("portcullis: {error}"))?;
    let entries = entries.iter();
    let entries = entries.map(|entry| serde_json::from_str(&entry.line()));
    entries
        .collect::<Result<_, _>>()
        .map_err(|error| format!("portcullis: {error}"))
}

async fn entries_of(gateway: &ControlArguments) -> Result<Vec<Value>, String> {
    let mut entries: Vec<Value> = Vec::new();
    loop {
        let after = entries.last().map_or(0, |entry| number(&entry["number"]));
        let path = format!("/api/v1/journal?after={after}");
        let answer = gateway.call(Call::get(&path)).await?;
        entries.extend_from_slice(list(&answer["entries"]));
        let known = entries.last().map_or(0, |entry| number(&entry["number"]));
        if known <= after || known >= number(&answer["last"]) {
            return Ok(entries);
        }
    }
}

async fn tell(gateway: &ControlArguments, name: &str, call: Call<'_>) -> Result<(), String> {
    let answer = gateway.call(call).await?;
    if gateway.json {
        println!("{answer:#}");
        return Ok(());
    }
    let (version, revision) = (&answer["version"], &answer["revision"]);
    let users: Vec<&str> = list(&answer["used_by"]).iter().map(text).collect();
    let outcome = match (&answer["changed"], &answer["active"]) {
        (Value::Bool(false), _) => "is the active one already; nothing has changed".to_owned(),
        (_, Value::Bool(false)) => {
            format!("is stored; `portcullis policy activate {name} {version}` has it serve")
        }
        _ if users.is_empty() => format!(
            "is active, but no policy of the config has `component: store:{name}`; name it there"
        ),
        _ => format!("serves {} from revision {revision} on", users.join(", ")),
    };
    println!("{name}: version {version} {outcome}");
    Ok(())
}

/// The form of an upload (RFC 7578).
fn form(component: &[u8], reason: &str, activate: bool) -> Bytes {
    let mut form = Vec::with_capacity(component.len() + 1024);
    for (name, value) in [
        ("reason", reason),
        ("activate", if activate { "true" } else { "false" }),
    ] {
        let part = format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
        form.extend_from_slice(part.as_bytes());
    }
    let head = format!(
        "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"component\"; filename=\"component.wasm\"\r\n\
         content-type: application/wasm\r\n\r\n"
    );
    form.extend_from_slice(head.as_bytes());
    form.extend_from_slice(component);
    form.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    form.into()
}

/// A value of a query: every byte that is not a letter, digit or one of `-._~` in hexadecimal.
fn form_urlencoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}

fn actor(by: &Value) -> String {
    let name = by["name"].as_str();
    let from = by["from"].as_str();
    let mut actor = text(&by["role"]).to_owned();
    actor.extend(name.map(|name| format!(" {name}")));
    actor.extend(from.map(|from| format!(" ({from})")));
    actor
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn or_none(names: &[&str]) -> String {
    match names {
        [] => "no policy".to_owned(),
        names => names.join(", "),
    }
}
