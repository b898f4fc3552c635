//! HTTP/2 clients that mean harm: their connection ends or their streams are refused, and others are served.

use mock_service::{MockService, Step};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, FrameConnection, GOAWAY, HEADERS, PING, PRIORITY,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, frame,
};
use crate::support::{TestGateway, within};

/// `GET http://a/hang` in HPACK.
const HEAD: &[u8] = b"\x82\x86\x44\x05/hang\x41\x01a";

/// A request of the stream, and its reset.
fn reset_request(stream: u32) -> Vec<u8> {
    let mut frames = frame(HEADERS, END_STREAM | END_HEADERS, stream, HEAD);
    frames.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    frames
}

struct Site {
    _upstream: MockService,
    gateway: TestGateway,
}

/// An upstream that never answers `/hang`, behind a gateway.
async fn site() -> Site {
    let upstream = MockService::start().await;
    upstream.script("/hang", vec![Step::Hang; 100_000]);
    let gateway = TestGateway::start(&format!(
        "upstreams: {{ u: {{ endpoints: [{}] }} }}\nroutes: [{{ name: r, upstream: u }}]",
        upstream.url()
    ))
    .await;
    Site {
        _upstream: upstream,
        gateway,
    }
}

/// What the gateway has sent until it closed, a list of frames' types with their payloads.
struct Received(Vec<(u8, Vec<u8>)>);

impl Received {
    fn has(&self, kind: u8) -> bool {
        self.0.iter().any(|(found, _)| *found == kind)
    }
}

/// A hostile connection.
impl FrameConnection {
    /// Sends what `frames` makes of 0, 1, 2, … until the gateway has closed: what came from there.
    async fn flood(self, frames: impl Fn(u32) -> Vec<u8>) -> Received {
        let (mut reader, mut writer) = self.0.into_split();
        let read = tokio::spawn(async move {
            let mut bytes = Vec::new();
            // A reset is an end, too.
            let _ = reader.read_to_end(&mut bytes).await;
            bytes
        });
        within(async {
            let mut number = 0;
            while !read.is_finished() && writer.write_all(&frames(number)).await.is_ok() {
                number += 1;
                tokio::task::yield_now().await;
            }
        })
        .await;
        Received(parse(&within(read).await.unwrap()))
    }
}

fn parse(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((header, rest)) = bytes.split_at_checked(9) {
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let length = usize::try_from(length).unwrap().min(rest.len());
        frames.push((header[3], rest[..length].to_vec()));
        bytes = &rest[length..];
    }
    frames
}

/// The connection ends with GOAWAY while the flood goes on; another client is served meanwhile and after.
async fn is_stopped(frames: impl Fn(u32) -> Vec<u8>) -> Site {
    let site = site().await;
    let mut other = site.gateway.client().await;
    let hostile = FrameConnection::connect(&site.gateway).await;
    let flood = hostile.flood(frames);
    let served = other.send(http::Method::GET, "/x", &[], "");
    let (received, served) = tokio::join!(flood, served);
    assert!(received.has(GOAWAY), "{:?}", received.0.last());
    assert_eq!(served.status, 200);
    assert_eq!(site.gateway.get("/x").await.status, 200);
    site
}

async fn wait_for_closed(site: &Site, reason: &str) {
    let labels = [("portcullis_reason", reason)];
    site.gateway
        .wait_for_metric("portcullis_connections_closed_total", &labels, 1.0)
        .await;
}

#[tokio::test]
async fn requests_that_are_reset_at_once_end_the_connection() {
    is_stopped(|number| reset_request(2 * number + 1)).await;
}

#[tokio::test]
async fn requests_that_are_reset_after_they_were_taken_up_end_the_connection() {
    let site = site().await;
    let mut hostile = FrameConnection::connect(&site.gateway).await;
    let ping = frame(PING, 0, 0, b"12345678");
    // An answer to the PING says that the request before it was read: h2's own limit is not met.
    let mut closed = false;
    for number in 0..1_000 {
        let stream = 2 * number + 1;
        let mut frames = frame(HEADERS, END_STREAM | END_HEADERS, stream, HEAD);
        frames.extend(&ping);
        if !hostile.answers(&frames).await {
            closed = true;
            break;
        }
        let mut frames = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        frames.extend(&ping);
        if !hostile.answers(&frames).await {
            closed = true;
            break;
        }
    }
    assert!(closed);
    wait_for_closed(&site, "resets").await;
    assert_eq!(site.gateway.get("/x").await.status, 200);
}

#[tokio::test]
async fn requests_that_the_gateway_is_made_to_reset_end_the_connection() {
    // A WINDOW_UPDATE of nothing is an error of the stream (RFC 9113 §6.9).
    is_stopped(|number| {
        let stream = 2 * number + 1;
        let mut frames = frame(HEADERS, END_STREAM | END_HEADERS, stream, HEAD);
        frames.extend(frame(WINDOW_UPDATE, 0, stream, &0_u32.to_be_bytes()));
        frames
    })
    .await;
}

#[tokio::test]
async fn a_ping_flood_ends_the_connection() {
    let site = is_stopped(|_| frame(PING, 0, 0, b"12345678").repeat(100)).await;
    wait_for_closed(&site, "frames").await;
}

#[tokio::test]
async fn a_settings_flood_ends_the_connection() {
    let site = is_stopped(|_| frame(SETTINGS, 0, 0, &[]).repeat(100)).await;
    wait_for_closed(&site, "frames").await;
}

#[tokio::test]
async fn a_priority_flood_ends_the_connection() {
    let site = is_stopped(|_| frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]).repeat(100)).await;
    wait_for_closed(&site, "frames").await;
}

#[tokio::test]
async fn a_flood_of_empty_data_ends_the_connection() {
    is_stopped(|number| {
        let mut frames = Vec::new();
        if number == 0 {
            // POST
            frames = frame(HEADERS, END_HEADERS, 1, b"\x83\x86\x44\x05/hang\x41\x01a");
        }
        frames.extend(frame(DATA, 0, 1, &[]).repeat(100));
        frames
    })
    .await;
}

#[tokio::test]
async fn a_head_that_does_not_end_ends_the_connection() {
    is_stopped(|number| {
        if number == 0 {
            frame(HEADERS, END_STREAM, 1, HEAD)
        } else {
            // A field of the name x and 100 bytes, again and again.
            let field = [&b"\x00\x01x\x64"[..], &[b'v'; 100]].concat();
            frame(CONTINUATION, 0, 1, &field)
        }
    })
    .await;
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused() {
    let site = site().await;
    let mut hostile = FrameConnection::connect(&site.gateway).await;
    let mut frames = Vec::new();
    for number in 0..150_u32 {
        frames.extend(frame(
            HEADERS,
            END_STREAM | END_HEADERS,
            2 * number + 1,
            HEAD,
        ));
    }
    within(hostile.0.write_all(&frames)).await.unwrap();
    let refused = within(async {
        let mut refused = 0;
        while refused < 50 {
            let reason = hostile.until(&[], RST_STREAM).await;
            assert_eq!(reason, 7_u32.to_be_bytes());
            refused += 1;
        }
        refused
    })
    .await;
    assert_eq!(refused, 50);
    assert_eq!(site.gateway.get("/x").await.status, 200);
}
