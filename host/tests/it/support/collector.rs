//! A collector that takes OTLP over gRPC or HTTP, and does as a test tells it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use super::eventually;

/// What it does with an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mood {
    #[default]
    Takes,
    /// For now it can't.
    Unavailable,
    /// It does not want it.
    Refuses,
    /// It takes all but so many spans.
    Rejects(i64),
    /// It never answers.
    Hangs,
}

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Grpc,
    Http,
}

/// Stops listening when it is dropped.
pub(crate) struct Collector {
    address: SocketAddr,
    speaks: Speaks,
    seen: Arc<Seen>,
    listener: AbortHandle,
}

#[derive(Default)]
struct Seen {
    mood: Mutex<Mood>,
    took: Mutex<Took>,
}

/// What has come.
#[derive(Default)]
struct Took {
    exports: usize,
    spans: Vec<Span>,
    metrics: Vec<ExportMetricsServiceRequest>,
    resource: Option<Resource>,
    headers: HeaderMap,
    paths: Vec<String>,
}

impl Collector {
    /// On a free port.
    pub(crate) async fn start(speaks: Speaks) -> Self {
        Self::on(speaks, "127.0.0.1:0".parse().unwrap(), None).await
    }

    /// At that address, such as the one of a collector that is gone; over TLS if there is an acceptor.
    pub(crate) async fn on(speaks: Speaks, address: SocketAddr, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Seen>::default();
        let task = tokio::spawn(accept(listener, speaks, tls, seen.clone()));
        Self {
            address,
            speaks,
            seen,
            listener: task.abort_handle(),
        }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The section of a config that sends there, with more keys.
    pub(crate) fn config(&self, keys: &str) -> String {
        let protocol = match self.speaks {
            Speaks::Grpc => "grpc",
            Speaks::Http => "http",
        };
        let address = self.address;
        format!("otlp: {{ endpoint: \"http://{address}\", protocol: {protocol}, {keys} }}\n")
    }

    /// From the next export on.
    pub(crate) fn be(&self, mood: Mood) {
        *self.seen.mood.lock().unwrap() = mood;
    }

    /// All spans so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.took().spans.clone()
    }

    /// All spans, once there are so many; panics if there are more.
    pub(crate) async fn wait_for_spans(&self, count: usize) -> Vec<Span> {
        eventually(&format!("{count} spans"), async || {
            self.took().spans.len() >= count
        })
        .await;
        let spans = self.spans();
        let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(spans.len(), count, "{names:?}");
        spans
    }

    /// How often it was sent something, whatever it made of that.
    pub(crate) fn exports(&self) -> usize {
        self.took().exports
    }

    /// Pushed metrics.
    pub(crate) fn metrics(&self) -> Vec<ExportMetricsServiceRequest> {
        self.took().metrics.clone()
    }

    /// Of the last export.
    pub(crate) fn headers(&self) -> HeaderMap {
        self.took().headers.clone()
    }

    /// Of all exports.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.took().paths.clone()
    }

    /// An attribute of who has sent the last export.
    pub(crate) fn resource(&self, key: &str) -> Option<String> {
        let took = self.took();
        find(&took.resource.as_ref()?.attributes, key)
    }

    fn took(&self) -> MutexGuard<'_, Took> {
        self.seen.took.lock().unwrap()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// An attribute's value as text; a number as its digits.
pub(crate) fn attribute(span: &Span, key: &str) -> Option<String> {
    find(&span.attributes, key)
}

/// All attributes as text.
pub(crate) fn attributes(span: &Span) -> Vec<(String, String)> {
    let all = span.attributes.iter();
    all.map(|pair| (pair.key.clone(), text(pair))).collect()
}

fn find(attributes: &[KeyValue], key: &str) -> Option<String> {
    attributes.iter().find(|pair| pair.key == key).map(text)
}

fn text(pair: &KeyValue) -> String {
    let value = pair.value.as_ref().and_then(|value| value.value.as_ref());
    match value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

impl Seen {
    /// What it makes of an export, which it answers with a message if it takes it.
    fn take(&self, path: &str, headers: &HeaderMap, message: &[u8]) -> (Mood, Bytes) {
        let mood = *self.mood.lock().unwrap();
        let mut took = self.took.lock().unwrap();
        took.exports += 1;
        if !matches!(mood, Mood::Takes | Mood::Rejects(_)) {
            return (mood, Bytes::new());
        }
        took.headers = headers.clone();
        took.paths.push(path.to_owned());
        if path.contains("etrics") {
            let metrics = ExportMetricsServiceRequest::decode(message).unwrap();
            took.resource = metrics.resource_metrics[0].resource.clone();
            took.metrics.push(metrics);
            return (mood, Bytes::new());
        }
        let traces = ExportTraceServiceRequest::decode(message).unwrap();
        for resource in traces.resource_spans {
            took.resource = resource.resource;
            for scope in resource.scope_spans {
                took.spans.extend(scope.spans);
            }
        }
        let mut answer = ExportTraceServiceResponse::default();
        if let Mood::Rejects(rejected_spans) = mood {
            answer.partial_success = Some(ExportTracePartialSuccess {
                rejected_spans,
                error_message: "too many".to_owned(),
            });
        }
        (mood, answer.encode_to_vec().into())
    }
}

async fn accept(listener: TcpListener, speaks: Speaks, tls: Option<TlsAcceptor>, seen: Arc<Seen>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, seen) = (tls.clone(), seen.clone());
        connections.spawn(async move {
            match tls {
                None => serve(stream, speaks, seen).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, speaks, seen).await;
                    }
                }
            }
        });
    }
}

async fn serve<S>(stream: S, speaks: Speaks, seen: Arc<Seen>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match speaks {
        Speaks::Grpc => serve_grpc(stream, seen).await,
        Speaks::Http => serve_http(stream, seen).await,
    }
}

async fn serve_http<S>(stream: S, seen: Arc<Seen>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request: Request<Incoming>| {
        let seen = seen.clone();
        async move {
            let (head, body) = request.into_parts();
            let message = body.collect().await.unwrap().to_bytes();
            let (mood, answer) = seen.take(head.uri.path(), &head.headers, &message);
            let status = match mood {
                Mood::Hangs => std::future::pending().await,
                Mood::Unavailable => 503,
                Mood::Refuses => 400,
                Mood::Takes | Mood::Rejects(_) => 200,
            };
            let mut response = Response::new(Full::new(answer));
            *response.status_mut() = status.try_into().unwrap();
            Ok::<_, Infallible>(response)
        }
    });
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn serve_grpc<S>(stream: S, seen: Arc<Seen>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Ok(mut connection) = h2::server::handshake(stream).await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(call(request, respond, seen.clone()));
    }
}

/// One unary call.
async fn call(request: Request<h2::RecvStream>, mut respond: SendResponse<Bytes>, seen: Arc<Seen>) {
    let (head, mut body) = request.into_parts();
    assert_eq!(head.headers["content-type"], "application/grpc");
    let mut framed = BytesMut::new();
    while let Some(Ok(chunk)) = body.data().await {
        let _ = body.flow_control().release_capacity(chunk.len());
        framed.put_slice(&chunk);
    }
    let length = u32::from_be_bytes(framed[1..5].try_into().unwrap());
    assert_eq!((framed[0], length as usize), (0, framed.len() - 5));
    let (mood, answer) = seen.take(head.uri.path(), &head.headers, &framed[5..]);
    let (code, message) = match mood {
        Mood::Hangs => std::future::pending().await,
        Mood::Unavailable => ("14", "later"),
        Mood::Refuses => ("16", "who are you?"),
        Mood::Takes | Mood::Rejects(_) => ("0", ""),
    };
    let mut response = Response::new(());
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", kind);
    let mut stream = respond.send_response(response, false).unwrap();
    if code == "0" {
        let mut framed = BytesMut::new();
        framed.put_u8(0);
        framed.put_u32(answer.len().try_into().unwrap());
        framed.put_slice(&answer);
        stream.send_data(framed.freeze(), false).unwrap();
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(code));
    trailers.insert("grpc-message", HeaderValue::from_static(message));
    stream.send_trailers(trailers).unwrap();
}
