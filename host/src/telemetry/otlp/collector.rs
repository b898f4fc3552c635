//! One collector: a message goes there, and its answer comes back, or the reason why there is none.

use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use portcullis_config::{Otlp, OtlpProtocol, Protocol};

use super::connection::Connection;
use super::{grpc, http};
use crate::upstream::connection::tls::{Tls, TlsProblem};

/// An answer has a handful of bytes, and perhaps a message.
const MAX_ANSWER_BYTES: usize = 64 << 10;
const USER_AGENT: &str = concat!("portcullis/", env!("CARGO_PKG_VERSION"));

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Metrics,
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExportError {
    /// It may be taken when it is sent again, but not before that time.
    #[error("{1}")]
    Later(Option<Duration>, String),
    /// It will never be.
    #[error("{0}")]
    Refused(String),
}

impl ExportError {
    pub(super) fn later(why: impl ToString) -> Self {
        Self::Later(None, why.to_string())
    }
}

/// A collector, and the connection to it.
pub(super) struct Collector {
    otlp: Otlp,
    tls: Option<Tls>,
    headers: HeaderMap,
    connection: Option<Connection>,
}

impl Collector {
    /// Reads the files of its TLS; connects when there is something to send.
    pub(super) fn new(otlp: &Otlp) -> Result<Self, TlsProblem> {
        let protocol = match otlp.protocol {
            OtlpProtocol::Grpc => Protocol::Http2,
            OtlpProtocol::Http => Protocol::Http1,
        };
        let tls = otlp.tls.as_ref();
        let tls = tls.map(|tls| Tls::from_config(tls, protocol));
        Ok(Self {
            tls: tls.transpose()?,
            headers: headers(otlp),
            connection: None,
            otlp: otlp.clone(),
        })
    }

    /// Equal for collectors to which the connections can stand for each other.
    pub(super) fn identity(&self) -> String {
        let tls = self.tls.as_ref().map_or("plain", Tls::identity);
        format!("{:?} {tls}", self.otlp.endpoint)
    }

    /// Sends a message, and takes no longer than the config allows.
    pub(super) async fn send(
        &mut self,
        signal: Signal,
        message: Bytes,
    ) -> Result<Bytes, ExportError> {
        let limit = self.otlp.timeout;
        let answered = tokio::time::timeout(limit, self.exchange(signal, message)).await;
        answered.unwrap_or_else(|_| Err(ExportError::later(format!("no answer within {limit:?}"))))
    }

    async fn exchange(&mut self, signal: Signal, message: Bytes) -> Result<Bytes, ExportError> {
        let kept = self.connection.take().filter(Connection::is_open);
        if let Some(mut connection) = kept {
            // It may have been closed just now, which says nothing of the collector.
            let answer = self.exchange_over(&mut connection, signal, message.clone());
            if let Ok(answer) = answer.await {
                self.connection = Some(connection);
                return answer;
            }
        }
        let mut connection = Connection::open(&self.otlp, self.tls.as_ref()).await?;
        let answer = self.exchange_over(&mut connection, signal, message).await?;
        self.connection = Some(connection);
        answer
    }

    /// An answer, whatever it says; an error where the connection failed.
    async fn exchange_over(
        &self,
        connection: &mut Connection,
        signal: Signal,
        message: Bytes,
    ) -> Result<Result<Bytes, ExportError>, ExportError> {
        let response = connection.send(self.request(signal, message)).await?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| ExportError::later(format!("its answer: {error}")))?;
        let trailers = body.trailers().cloned();
        let bytes = body.to_bytes();
        Ok(match self.otlp.protocol {
            OtlpProtocol::Grpc => grpc::read(&head, &bytes, trailers.as_ref()),
            OtlpProtocol::Http => http::read(&head, bytes),
        })
    }

    fn request(&self, signal: Signal, message: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(match self.otlp.protocol {
            OtlpProtocol::Grpc => grpc::framed(&message),
            OtlpProtocol::Http => message,
        }));
        *request.method_mut() = Method::POST;
        *request.headers_mut() = self.headers.clone();
        let authority = self.otlp.endpoint.authority();
        match self.otlp.protocol {
            OtlpProtocol::Grpc => {
                let scheme = if self.tls.is_some() { "https" } else { "http" };
                let uri = format!("{scheme}://{authority}{}", grpc::path(signal));
                *request.uri_mut() = uri.parse().unwrap_or_default();
                *request.version_mut() = Version::HTTP_2;
            }
            OtlpProtocol::Http => {
                let uri = format!("{}{}", self.otlp.path, http::path(signal));
                *request.uri_mut() = uri.parse::<Uri>().unwrap_or_default();
                if let Ok(host) = HeaderValue::try_from(authority) {
                    request.headers_mut().insert(header::HOST, host);
                }
            }
        }
        request
    }
}

/// What every request has.
fn headers(otlp: &Otlp) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &otlp.headers {
        // The config was checked.
        if let Ok(mut value) = HeaderValue::from_str(value.expose()) {
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
        }
    }
    let agent = HeaderValue::from_static(USER_AGENT);
    headers.entry(header::USER_AGENT).or_insert(agent);
    match otlp.protocol {
        OtlpProtocol::Grpc => grpc::describe(&mut headers, otlp.timeout),
        OtlpProtocol::Http => http::describe(&mut headers),
    }
    headers
}
