//! Asks a running gateway's control API.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::control::tokens;

/// For a gateway on the same machine or nearby; a large policy takes it seconds to compile.
const TIMEOUT: Duration = Duration::from_mins(2);

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
    pub(super) json: bool,
}

/// A call, its path and what is sent with it.
pub(super) struct Call<'a> {
    /// How.
    pub(super) method: Method,
    /// What, from `/api/v1` on.
    pub(super) path: &'a str,
    /// Content and its type.
    pub(super) body: Option<(Bytes, String)>,
}

impl<'a> Call<'a> {
    /// Asks for something.
    pub(super) fn get(path: &'a str) -> Self {
        Self {
            method: Method::GET,
            path,
            body: None,
        }
    }

    /// Sends a JSON document.
    pub(super) fn post(path: &'a str, document: &Value) -> Self {
        let json = Bytes::from(document.to_string());
        Self {
            method: Method::POST,
            path,
            body: Some((json, "application/json".to_owned())),
        }
    }
}

impl ControlArguments {
    /// What the gateway answers, or why there is no answer.
    pub(super) async fn call(&self, call: Call<'_>) -> Result<Value, String> {
        let token =
            tokens::strongest(&self.token_file).map_err(|error| format!("portcullis: {error}"))?;
        let asked = tokio::time::timeout(TIMEOUT, ask(self.control, call, &token));
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
        Err(format!(
            "portcullis: {}: {status}: {}",
            self.control,
            refusal(&answer)
        ))
    }
}

/// The detail of a refusal, and each of its problems on a line of its own.
fn refusal(answer: &Value) -> String {
    let detail = answer["detail"].as_str();
    let mut told = detail.unwrap_or("this is no control API").to_owned();
    for problem in list(&answer["problems"]) {
        let line = problem["line"].as_u64();
        let line = line.map_or_else(String::new, |line| format!("{line}: "));
        let (path, message) = (text(&problem["path"]), text(&problem["message"]));
        told.push_str(&format!("\n  {line}{path}: {message}"));
    }
    told
}

type Error = Box<dyn std::error::Error + Send + Sync>;

async fn ask(
    address: SocketAddr,
    call: Call<'_>,
    token: &str,
) -> Result<(StatusCode, Bytes), Error> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(call.method)
        .uri(call.path)
        .header(HOST, address.to_string())
        .header(AUTHORIZATION, format!("Bearer {token}"));
    let mut body = Bytes::new();
    if let Some((content, content_type)) = call.body {
        request = request.header(CONTENT_TYPE, content_type);
        body = content;
    }
    let answer = sender.send_request(request.body(Full::new(body))?).await?;
    let status = answer.status();
    Ok((status, answer.into_body().collect().await?.to_bytes()))
}

/// The members of a list; none of what is no list.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text; empty for what is none.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
