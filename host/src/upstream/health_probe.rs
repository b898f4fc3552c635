//! One question of a health check, over a connection of its own.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use http::header::{CONTENT_TYPE, HOST, TE, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis_config::{HealthCheck, Probe, Protocol};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{Transport, Wire};
use super::endpoint_set::Member;
use super::endpoint_state::EndpointState;

const AGENT: &str = concat!("portcullis/", env!("CARGO_PKG_VERSION"), " health-check");
/// <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>
const GRPC_PATH: &str = "/grpc.health.v1.Health/Check";
/// `grpc.health.v1.HealthCheckResponse` is two bytes long; more is something else.
const MAX_GRPC_ANSWER: usize = 1 << 10;

/// What is wrong, for the log.
type Reason = String;

/// Whom a health check asks, and how.
pub struct Questioned {
    state: Arc<EndpointState>,
    /// Who should be there.
    host: String,
    /// The `Host` or `:authority` of the question.
    authority: String,
    transport: Arc<Transport>,
}

impl Questioned {
    /// That endpoint, spoken to as requests are.
    pub fn new(member: &Member, check: &HealthCheck, transport: Arc<Transport>) -> Self {
        let own = || member.endpoint.authority();
        Self {
            state: member.state.clone(),
            host: member.endpoint.host.clone(),
            authority: check.host.clone().unwrap_or_else(own),
            transport,
        }
    }

    /// Asks once; `Err` says what is wrong. Has no time limit of its own.
    pub async fn probe(&self, probe: &Probe) -> Result<(), Reason> {
        let wire = self.transport.dial(&self.host, &self.state.addresses).await;
        match wire.map_err(text)? {
            Wire::Plain(stream) => self.ask(stream, probe).await,
            Wire::Tls(stream) => self.ask(*stream, probe).await,
        }
    }

    async fn ask<S>(&self, stream: S, probe: &Probe) -> Result<(), Reason>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match (probe, self.transport.protocol) {
            (Probe::Tcp, _) => Ok(()),
            (Probe::Http { path, expect }, Protocol::Http1) => {
                let request = Request::get(path).header(HOST, &self.authority);
                let request = request.header(USER_AGENT, AGENT).body(Full::default());
                let status = over_http1(stream, request.map_err(text)?).await?;
                expected(status, expect)
            }
            (Probe::Http { path, expect }, Protocol::Http2) => {
                let request = self.http2_request(Method::GET, path);
                let request = request.body(Full::default()).map_err(text)?;
                let status = async |answer: Response<Incoming>| expected(answer.status(), expect);
                over_http2(stream, request, status).await
            }
            (Probe::Grpc { service }, _) => {
                let request = self
                    .http2_request(Method::POST, GRPC_PATH)
                    .header(CONTENT_TYPE, "application/grpc")
                    .header(TE, "trailers")
                    .body(Full::new(grpc_question(service)))
                    .map_err(text)?;
                over_http2(stream, request, grpc_answer).await
            }
        }
    }

    fn http2_request(&self, method: Method, path: &str) -> http::request::Builder {
        let (scheme, authority) = (self.transport.scheme(), &self.authority);
        let request = Request::builder().method(method);
        request
            .uri(format!("{scheme}://{authority}{path}"))
            .header(USER_AGENT, AGENT)
    }
}

async fn over_http1<S>(stream: S, request: Request<Full<Bytes>>) -> Result<StatusCode, Reason>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    let answer = async { sender.send_request(request).await.map_err(text) };
    drive(connection, answer)
        .await
        .map(|answer| answer.status())
}

async fn over_http2<S>(
    stream: S,
    request: Request<Full<Bytes>>,
    judge: impl AsyncFnOnce(Response<Incoming>) -> Result<(), Reason>,
) -> Result<(), Reason>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(text)?;
    let judged = async {
        let answer = sender.send_request(request).await.map_err(text)?;
        judge(answer).await
    };
    drive(connection, judged).await
}

/// What comes over the connection while that lives. It is dropped at the end, so that nothing is left
/// to care for.
async fn drive<T>(
    connection: impl Future<Output = hyper::Result<()>>,
    exchange: impl Future<Output = Result<T, Reason>>,
) -> Result<T, Reason> {
    tokio::select! {
        biased;
        answer = exchange => answer,
        ended = connection => Err(ended.map_or_else(text, |()| "closed without an answer".to_owned())),
    }
}

fn expected(status: StatusCode, expect: &[RangeInclusive<u16>]) -> Result<(), Reason> {
    let status = status.as_u16();
    if expect.iter().any(|range| range.contains(&status)) {
        Ok(())
    } else {
        Err(format!("status {status}"))
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
