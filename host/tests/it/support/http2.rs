//! An upstream that speaks HTTP/2 stream by stream, as a test wants it.

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::within;

/// One request and what answers it.
pub(crate) struct Exchange {
    /// Its head and what comes of its body.
    pub(crate) request: Request<RecvStream>,
    /// For its response.
    pub(crate) respond: SendResponse<Bytes>,
}

/// An upstream on a free port.
pub(crate) struct H2Upstream(TcpListener);

/// One connection to it.
pub(crate) struct H2Connection(mpsc::UnboundedReceiver<Exchange>);

impl H2Upstream {
    /// On a free port.
    pub(crate) async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// For the config.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    /// The next connection before its first byte.
    pub(crate) async fn accept_raw(&self) -> TcpStream {
        within(self.0.accept()).await.unwrap().0
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> H2Connection {
        self.accept_with(&h2::server::Builder::new()).await
    }

    /// The next connection, with these settings.
    pub(crate) async fn accept_with(&self, settings: &h2::server::Builder) -> H2Connection {
        H2Connection::over(self.accept_raw().await, settings).await
    }
}

impl H2Connection {
    /// Speaks over that stream.
    pub(crate) async fn over<S>(stream: S, settings: &h2::server::Builder) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let handshake = settings.handshake::<_, Bytes>(stream);
        let mut connection = within(handshake).await.unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok((request, respond))) = connection.accept().await {
                if sender.send(Exchange { request, respond }).is_err() {
                    return;
                }
            }
        });
        Self(requests)
    }

    /// The next request; panics if the connection ends first.
    pub(crate) async fn request(&mut self) -> Exchange {
        within(self.0.recv()).await.expect("a request")
    }

    /// Returns when the gateway has closed the connection.
    pub(crate) async fn closed(&mut self) {
        assert!(within(self.0.recv()).await.is_none(), "a request came");
    }
}

impl Exchange {
    /// The whole body and the trailers.
    pub(crate) async fn body(&mut self) -> (String, Option<HeaderMap>) {
        let body = self.request.body_mut();
        let mut bytes = Vec::new();
        while let Some(data) = within(body.data()).await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            bytes.extend_from_slice(&data);
        }
        let trailers = within(body.trailers()).await.unwrap();
        (String::from_utf8(bytes).unwrap(), trailers)
    }

    /// Answers 200 with that body.
    pub(crate) fn answer(mut self, body: &str) {
        let mut stream = self
            .respond
            .send_response(Response::new(()), false)
            .unwrap();
        let body = Bytes::copy_from_slice(body.as_bytes());
        stream.send_data(body, true).unwrap();
    }
}
