//! Bytes on a socket: for what no HTTP library would send, accept or time as a test wants it.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::within;

/// Either end of a connection.
pub(crate) struct RawConnection(BufReader<TcpStream>);

impl RawConnection {
    /// Connects to `address`.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(BufReader::new(
            within(TcpStream::connect(address)).await.unwrap(),
        ))
    }

    /// The same where nobody may listen.
    pub(crate) async fn try_connect(address: SocketAddr) -> Option<Self> {
        let stream = within(TcpStream::connect(address)).await.ok()?;
        Some(Self(BufReader::new(stream)))
    }

    /// Writes the text as it is.
    pub(crate) async fn send(&mut self, text: &str) {
        within(self.0.write_all(text.as_bytes())).await.unwrap();
    }

    /// Ends this side (FIN); the peer may go on.
    pub(crate) async fn end(&mut self) {
        within(self.0.shutdown()).await.unwrap();
    }

    /// The next head with its empty line; what there was of it when the peer has closed.
    pub(crate) async fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            // A reset is an end, too.
            if within(self.0.read_line(&mut head)).await.unwrap_or(0) == 0 {
                break;
            }
        }
        head
    }

    /// The next `count` bytes.
    pub(crate) async fn exactly(&mut self, count: usize) -> String {
        let mut bytes = vec![0; count];
        within(self.0.read_exact(&mut bytes)).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Reads some bytes, whatever they are; how many, 0 at the end.
    pub(crate) async fn some(&mut self) -> usize {
        let read = within(self.0.fill_buf()).await.map_or(0, <[u8]>::len);
        self.0.consume(read);
        read
    }

    /// The next chunk of a chunked body; empty for the last one.
    pub(crate) async fn chunk(&mut self) -> String {
        let mut size = String::new();
        within(self.0.read_line(&mut size)).await.unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or_else(|_| panic!("{size:?}"));
        let chunk = self.exactly(size).await;
        assert_eq!(self.exactly(2).await, "\r\n");
        chunk
    }

    /// The next message whose length its head tells: head and body.
    pub(crate) async fn message(&mut self) -> (String, String) {
        let head = self.head().await;
        let length = field(&head, "content-length").unwrap_or("0");
        let body = self.exactly(length.parse().unwrap()).await;
        (head, body)
    }

    /// All that comes until the peer closes.
    pub(crate) async fn rest(&mut self) -> String {
        String::from_utf8(self.bytes_to_end().await).unwrap()
    }

    /// The same where it need not be text.
    pub(crate) async fn bytes_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A reset is an end, too; what came before it is in `bytes`.
        let _ = within(self.0.read_to_end(&mut bytes)).await;
        bytes
    }
}

/// The value of a field in a head.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields
        .map(|(field, value)| (field, value.trim()))
        .find_map(|(field, value)| field.eq_ignore_ascii_case(name).then_some(value))
}

/// An upstream whose every byte the test writes.
pub(crate) struct RawUpstream(TcpListener);

impl RawUpstream {
    /// On a free port.
    pub(crate) async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// For the config.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> RawConnection {
        RawConnection(BufReader::new(within(self.0.accept()).await.unwrap().0))
    }
}

/// An address that refuses connections as long as this lives: bound, but nobody listens.
pub(crate) struct RefusingAddress(TcpSocket);

impl RefusingAddress {
    /// On a port that nobody else gets.
    pub(crate) fn take() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Self(socket)
    }

    /// For the config.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }
}
