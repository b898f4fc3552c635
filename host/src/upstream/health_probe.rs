//! One question of a health check, over a connection of its own.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use bytes::{Buf, Bytes};
use http::header::{CONTENT_TYPE, HOST, TE, USER_AGENT};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis_config::Probe;
use tokio::net::TcpStream;

const AGENT: &str = concat!("portcullis/", env!("CARGO_PKG_VERSION"), " health-check");
const GRPC_PATH: &str = "/grpc.health.v1.Health/Check";
/// `grpc.health.v1.HealthCheckResponse` is two bytes long; more is something else.
const MAX_GRPC_ANSWER: usize = 1 << 10;

/// What is wrong, for the log.
type Reason = String;

/// Asks the endpoint at these addresses. Has no time limit of its own.
pub async fn probe(probe: &Probe, addresses: &[SocketAddr], authority: &str) -> Result<(), Reason> {
    let stream = connect(addresses).await?;
    match probe {
        Probe::Tcp => Ok(()),
        Probe::Http { path, expect } => ask_http(stream, authority, path, expect).await,
        Probe::Grpc { service } => ask_grpc(stream, authority, service).await,
    }
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, Reason> {
    let mut reason = "no address".to_owned();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => reason = format!("connect: {error}"),
        }
    }
    Err(reason)
}

async fn ask_http(
    stream: TcpStream,
    authority: &str,
    path: &str,
    expect: &[RangeInclusive<u16>],
) -> Result<(), Reason> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    let request = Request::get(path)
        .header(HOST, authority)
        .header(USER_AGENT, AGENT)
        .body(Empty::<Bytes>::new())
        .map_err(text)?;
    // The connection is driven here and dropped at the end, so that nothing is left to care for.
    let answer = tokio::select! {
        biased;
        answer = sender.send_request(request) => answer.map_err(text)?,
        ended = connection => return Err(ended.map_or_else(text, |()| "closed without an answer".to_owned())),
    };
    let status = answer.status().as_u16();
    if expect.iter().any(|range| range.contains(&status)) {
        Ok(())
    } else {
        Err(format!("status {status}"))
    }
}

/// <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>
async fn ask_grpc(stream: TcpStream, authority: &str, service: &str) -> Result<(), Reason> {
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(text)?;
    let request = Request::post(format!("http://{authority}{GRPC_PATH}"))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .header(USER_AGENT, AGENT)
        .body(Full::new(grpc_question(service)))
        .map_err(text)?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(text)?;
        grpc_answer(answer).await
    };
    tokio::select! {
        biased;
        answer = exchange => answer,
        ended = connection => Err(ended.map_or_else(text, |()| "closed without an answer".to_owned())),
    }
}

/// A length-prefixed `HealthCheckRequest { service: string = 1 }`.
fn grpc_question(service: &str) -> Bytes {
    const SERVICE: u8 = 1 << 3 | 2;
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(SERVICE);
        let mut length = service.len();
        while length >= 0x80 {
            message.push(length as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(&message);
    framed.into()
}

async fn grpc_answer(answer: Response<Incoming>) -> Result<(), Reason> {
    let (head, body) = answer.into_parts();
    if head.status != 200 {
        return Err(format!("status {}", head.status.as_u16()));
    }
    let body = Limited::new(body, MAX_GRPC_ANSWER)
        .collect()
        .await
        .map_err(text)?;
    // Without a message the status comes in the head.
    let trailers = body.trailers().cloned().unwrap_or(head.headers);
    grpc_status(&trailers)?;
    serving(body.to_bytes())
}

fn grpc_status(trailers: &HeaderMap) -> Result<(), Reason> {
    let status = trailers.get("grpc-status").map(|status| status.as_bytes());
    match status {
        Some(b"0") => Ok(()),
        Some(status) => Err(format!("grpc-status {}", String::from_utf8_lossy(status))),
        None => Err("no grpc-status".to_owned()),
    }
}

/// A length-prefixed `HealthCheckResponse { status: enum = 1 }` whose status is `SERVING` (1).
fn serving(mut message: Bytes) -> Result<(), Reason> {
    const PREFIX: usize = 5;
    const STATUS: u8 = 1 << 3;
    if message.len() < PREFIX || message[0] != 0 {
        return Err("not a message of grpc.health.v1".to_owned());
    }
    message.advance(PREFIX);
    match &message[..] {
        [STATUS, 1] => Ok(()),
        [] => Err("status UNKNOWN".to_owned()),
        [STATUS, 2] => Err("status NOT_SERVING".to_owned()),
        _ => Err("status of another kind".to_owned()),
    }
}

fn text(error: impl std::fmt::Display) -> Reason {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_its_service() {
        assert_eq!(&grpc_question("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&grpc_question("ab")[..], b"\0\0\0\0\x04\x0a\x02ab");
        let long = grpc_question(&"x".repeat(200));
        assert_eq!(&long[..8], [0, 0, 0, 0, 203, 0x0A, 0xC8, 1]);
    }

    #[test]
    fn only_serving_is_good() {
        for (message, is_good) in [
            (&b"\0\0\0\0\x02\x08\x01"[..], true),
            (b"\0\0\0\0\x02\x08\x02", false),
            (b"\0\0\0\0\x02\x08\x03", false),
            (b"\0\0\0\0\0", false),
            (b"\x01\0\0\0\x02\x08\x01", false),
            (b"", false),
        ] {
            assert_eq!(serving(Bytes::from_static(message)).is_ok(), is_good);
        }
    }
}
