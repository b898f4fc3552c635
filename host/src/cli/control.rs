//! `portcullis status` and `portcullis policy list`: asks a running gateway's control API.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::control::tokens;

/// For a gateway on the same machine or nearby.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Which gateway is asked.
#[derive(Debug, clap::Args)]
pub(super) struct ControlArguments {
    /// Address of its control listener (`control.address` in its config)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9901")]
    control: SocketAddr,
    /// The file with its tokens (`control.token_file`); the strongest one is used
    #[arg(long, value_name = "FILE", default_value = "control.token")]
    token_file: PathBuf,
    /// Print the answer as it is, in JSON
    #[arg(long)]
    json: bool,
}

/// Prints what the gateway is doing.
pub(super) async fn status(arguments: &ControlArguments) -> Result<(), String> {
    let status = arguments.get("/api/v1/status").await?;
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
        let policies = list(&route["policies"])
            .iter()
            .map(|used| text(&used["policy"]));
        let policies: Vec<&str> = policies.collect();
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
    Ok(())
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
    let answer = arguments.get("/api/v1/policies").await?;
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

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn or_none(names: &[&str]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}

impl ControlArguments {
    async fn get(&self, path: &str) -> Result<Value, String> {
        let token =
            tokens::strongest(&self.token_file).map_err(|error| format!("portcullis: {error}"))?;
        let asked = tokio::time::timeout(TIMEOUT, ask(self.control, path, &token));
        let (status, body) = match asked.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                return Err(format!(
                    "portcullis: {}: {error}; is the gateway running, with `control` in its config?",
                    self.control
                ));
            }
            Err(_) => {
                return Err(format!(
                    "portcullis: {}: no answer within {TIMEOUT:?}",
                    self.control
                ));
            }
        };
        let answer = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if status.is_success() && !answer.is_null() {
            return Ok(answer);
        }
        let detail = answer["detail"]
            .as_str()
            .unwrap_or("this is no control API");
        Err(format!("portcullis: {}: {status}: {detail}", self.control))
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

async fn ask(
    address: SocketAddr,
    path: &str,
    token: &str,
) -> Result<(http::StatusCode, Bytes), Error> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(Method::GET)
        .uri(path)
        .header(HOST, address.to_string())
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    Ok((status, answer.into_body().collect().await?.to_bytes()))
}
