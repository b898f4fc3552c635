//! HTTP/2 frame by frame, for clients that no library would make.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{TestGateway, within};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A frame of that type.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A client's connection.
pub(crate) struct FrameConnection(pub(crate) TcpStream);

impl FrameConnection {
    /// Has said hello.
    pub(crate) async fn connect(gateway: &TestGateway) -> Self {
        Self::connect_to(gateway.address).await
    }

    /// The same with the gateway at `address`.
    pub(crate) async fn connect_to(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(PREFACE).await.unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
        Self(stream)
    }

    /// The next frame: type and payload. `None` when the gateway has closed.
    pub(crate) async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut header = [0; 9];
        self.0.read_exact(&mut header).await.ok()?;
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut payload).await.ok()?;
        Some((header[3], payload))
    }

    /// Sends those frames, and reads until the gateway answers with one of that type.
    pub(crate) async fn until(&mut self, frames: &[u8], kind: u8) -> Vec<u8> {
        within(self.0.write_all(frames)).await.unwrap();
        loop {
            let (found, payload) = within(self.next()).await.unwrap();
            if found == kind {
                return payload;
            }
        }
    }

    /// Sends those frames, the last a PING: whether it is answered.
    pub(crate) async fn answers(&mut self, frames: &[u8]) -> bool {
        if within(self.0.write_all(frames)).await.is_err() {
            return false;
        }
        loop {
            match within(self.next()).await {
                Some((PING, _)) => return true,
                Some((GOAWAY, _)) | None => return false,
                Some(_) => {}
            }
        }
    }
}
