//! The same in HTTP/2, by raw frames over cleartext: bytes that would be framing in the HTTP/1.1 that the
//! request becomes on its way to the upstream.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::recorder::RecordingUpstream;
use super::{strict, within};
use crate::support::TestGateway;

type Fields = Vec<(&'static str, &'static str)>;

struct Case {
    name: &'static str,
    head: Fields,
    body: &'static str,
    /// What reaches the upstream: method, target, body. What does not is answered with 400, or its stream
    /// or its connection is ended.
    forwarded: Option<(&'static str, &'static str, &'static str)>,
}

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";

fn forwarded(name: &'static str, head: Fields, body: &'static str) -> Case {
    let method = if body.is_empty() { "GET" } else { "POST" };
    let forwarded = Some((method, "/x", body));
    Case {
        name,
        head,
        body,
        forwarded,
    }
}

fn refused(name: &'static str, head: Fields, body: &'static str) -> Case {
    Case {
        name,
        head,
        body,
        forwarded: None,
    }
}

/// A request with further fields; its method goes by whether it has a body.
fn request(method: &'static str, fields: &[(&'static str, &'static str)]) -> Fields {
    let head = [
        (":method", method),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/x"),
    ];
    [&head[..], fields].concat()
}

fn get(fields: &[(&'static str, &'static str)]) -> Fields {
    request("GET", fields)
}

fn post(fields: &[(&'static str, &'static str)]) -> Fields {
    request("POST", fields)
}

/// A GET with one of its pseudo-fields replaced, or left out where the value is empty.
fn with(name: &'static str, value: &'static str) -> Fields {
    let replaced = |field: (&'static str, &'static str)| {
        if field.0 == name {
            (name, value)
        } else {
            field
        }
    };
    let fields = get(&[]).into_iter().map(replaced);
    fields.filter(|(_, value)| !value.is_empty()).collect()
}

fn cases() -> Vec<Case> {
    let mut cases = vec![
        forwarded("a sound request", get(&[]), ""),
        forwarded("a sound body without a length", post(&[]), "hello"),
        forwarded(
            "a sound body with its length",
            post(&[("content-length", "5")]),
            "hello",
        ),
        forwarded("TE that asks for trailers", get(&[("te", "trailers")]), ""),
        forwarded("a Host that agrees", get(&[("host", "A")]), ""),
        forwarded("a body that is a request", post(&[]), SMUGGLED),
        refused(
            "h2.CL: a length of zero and a body",
            post(&[("content-length", "0")]),
            SMUGGLED,
        ),
        refused(
            "h2.CL: a length that is too short",
            post(&[("content-length", "2")]),
            "hello",
        ),
        refused(
            "h2.CL: a length that is too long",
            post(&[("content-length", "50")]),
            "hello",
        ),
        refused(
            "h2.CL: two lengths",
            post(&[("content-length", "5"), ("content-length", "6")]),
            "hello",
        ),
        refused(
            "h2.CL: two equal lengths",
            post(&[("content-length", "5"), ("content-length", "5")]),
            "hello",
        ),
        refused(
            "h2.CL: a length with a plus",
            post(&[("content-length", "+5")]),
            "hello",
        ),
        refused(
            "h2.CL: a list of lengths",
            post(&[("content-length", "5, 5")]),
            "hello",
        ),
        refused(
            "h2.TE: chunked",
            post(&[("transfer-encoding", "chunked")]),
            "0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
        ),
        refused(
            "h2.TE: identity",
            post(&[("transfer-encoding", "identity")]),
            "hello",
        ),
        refused("TE of another kind", get(&[("te", "gzip")]), ""),
        refused("Connection", get(&[("connection", "close")]), ""),
        refused("Keep-Alive", get(&[("keep-alive", "1")]), ""),
        refused(
            "Proxy-Connection",
            get(&[("proxy-connection", "close")]),
            "",
        ),
        refused("Upgrade", get(&[("upgrade", "h2c")]), ""),
        refused(
            "a line end in a value",
            get(&[("x-a", "1\r\ntransfer-encoding: chunked")]),
            "",
        ),
        refused("a line feed in a value", get(&[("x-a", "1\nx-b: 2")]), ""),
        refused(
            "a carriage return in a value",
            get(&[("x-a", "1\rx-b: 2")]),
            "",
        ),
        refused("a NUL in a value", get(&[("x-a", "1\0")]), ""),
        refused("a name in upper case", get(&[("X-A", "1")]), ""),
        refused("a name with a line end", get(&[("x-a\r\nx-b", "1")]), ""),
        refused("a name with a space", get(&[("x a", "1")]), ""),
        refused(
            "a name with a colon",
            get(&[("transfer-encoding:chunked\r\nx", "1")]),
            "",
        ),
        refused("an empty name", get(&[("", "1")]), ""),
        refused("a Host that differs", get(&[("host", "b")]), ""),
        refused("two Hosts", get(&[("host", "a"), ("host", "a")]), ""),
        refused("a pseudo-field twice", get(&[(":path", "/y")]), ""),
        refused("a method twice", get(&[(":method", "POST")]), ""),
        refused(
            "a pseudo-field after a field",
            [get(&[("x-a", "1")]), vec![(":path", "/y")]].concat(),
            "",
        ),
        refused(
            "a pseudo-field that is unknown",
            get(&[(":smuggled", "1")]),
            "",
        ),
        refused("a pseudo-field of answers", get(&[(":status", "200")]), ""),
        refused(
            "CONNECT",
            vec![(":method", "CONNECT"), (":authority", "a:443")],
            "",
        ),
        refused(
            "CONNECT with a protocol",
            request("CONNECT", &[(":protocol", "websocket")]),
            "",
        ),
    ];
    for (name, value) in [
        (":method", ""),
        (":scheme", ""),
        (":path", ""),
        (":authority", ""),
        (":method", "GET /smuggled HTTP/1.1\r\nx:"),
        (":method", "GE T"),
        (":path", "/x HTTP/1.1\r\nhost: b\r\n\r\n"),
        (":path", "/x\r\nx-a: 1"),
        (":path", "/x y"),
        (":path", "*"),
        (":path", "x"),
        (":path", "http://b/x"),
        (":path", "/../x"),
        (":path", "/a%2fb"),
        (":path", "/%00"),
        (":path", "/a\\b"),
        (":authority", "a\r\nx-a: 1"),
        (":authority", "a/b"),
        (":authority", "u@a"),
        (":authority", "a b"),
        (":scheme", "http\r\nx-a: 1"),
        (":scheme", "ftp"),
    ] {
        let what: &'static str = Box::leak(format!("{name} {value:?}").into_boxed_str());
        cases.push(refused(what, with(name, value), ""));
    }
    cases
}

#[tokio::test]
async fn what_is_framing_elsewhere_is_refused_in_http_2() {
    let upstream = RecordingUpstream::start().await;
    let gateway = TestGateway::start(&format!(
        "upstreams: {{ u: {{ endpoints: [{}] }} }}\nroutes: [{{ name: r, upstream: u }}]\n",
        upstream.url()
    ))
    .await;
    for case in cases() {
        upstream.forget();
        let name = case.name;
        let statuses = within(play(&gateway, &upstream, &case), name).await;
        let requests = upstream.requests();
        let canary = requests
            .iter()
            .filter(|request| request.is("GET", "/canary", ""));
        assert!(canary.count() <= 1, "{name}: {requests:?}");
        let others: Vec<&strict::Request> = requests
            .iter()
            .filter(|request| !request.is("GET", "/canary", ""))
            .collect();
        match (case.forwarded, &others[..]) {
            (Some((method, target, body)), [only]) => {
                assert!(only.is(method, target, body), "{name}: {only:?}");
                assert_eq!(statuses, [Some(200), Some(200)], "{name}");
            }
            (None, []) => assert!(
                matches!(statuses[0], None | Some(400)),
                "{name}: {statuses:?}"
            ),
            _ => panic!("{name}: {statuses:?} {requests:?}"),
        }
    }
}

/// The statuses of the case and of a canary on the same connection; `None` for one that was reset or
/// closed.
async fn play(
    gateway: &TestGateway,
    upstream: &RecordingUpstream,
    case: &Case,
) -> [Option<u16>; 2] {
    let mut client = TcpStream::connect(gateway.address).await.unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut bytes, SETTINGS, 0, 0, &[]);
    exchange(&mut bytes, 1, &case.head, case.body);
    let canary = vec![
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/canary"),
    ];
    let _ = client.write_all(&bytes).await;
    let mut unread = Vec::new();
    let first = answer(&mut client, upstream, &mut unread, 1).await;
    let mut bytes = Vec::new();
    exchange(&mut bytes, 3, &canary, "");
    let _ = client.write_all(&bytes).await;
    let second = answer(&mut client, upstream, &mut unread, 3).await;
    [first, second]
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// RFC 9113 §4.1.
fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap();
    bytes.extend_from_slice(&length.to_be_bytes()[1..]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}

/// Field lines as literals that are not indexed (RFC 7541 §6.2.2), so that any byte can be said.
fn exchange(bytes: &mut Vec<u8>, stream: u32, head: &Fields, body: &str) {
    let mut block = Vec::new();
    for (name, value) in head {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            assert!(text.len() < 127, "one byte holds the length");
            block.extend_from_slice(text.as_bytes());
        }
    }
    let end = if body.is_empty() { END_STREAM } else { 0 };
    frame(bytes, HEADERS, END_HEADERS | end, stream, &block);
    if !body.is_empty() {
        frame(bytes, DATA, END_STREAM, stream, body.as_bytes());
    }
}

/// Reads until the stream has a head or an end; lets the upstream answer whatever reaches it whole.
async fn answer(
    client: &mut TcpStream,
    upstream: &RecordingUpstream,
    unread: &mut Vec<u8>,
    stream: u32,
) -> Option<u16> {
    let mut bytes = [0; 4096];
    loop {
        while let Some((kind, id, payload)) = take_frame(unread) {
            match kind {
                HEADERS if id == stream => return Some(status(&payload)),
                RST_STREAM if id == stream => return None,
                GOAWAY => return None,
                _ => {}
            }
        }
        tokio::select! {
            read = client.read(&mut bytes) => match read {
                Ok(0) | Err(_) => return None,
                Ok(length) => unread.extend_from_slice(&bytes[..length]),
            },
            () = upstream.changed() => upstream.answer_what_is_whole().await,
        }
    }
}

fn take_frame(unread: &mut Vec<u8>) -> Option<(u8, u32, Vec<u8>)> {
    let head = unread.get(..9)?;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    let (kind, id) = (
        head[3],
        u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
    );
    let payload = unread.get(9..9 + length)?.to_vec();
    unread.drain(..9 + length);
    Some((kind, id, payload))
}

/// The static table's statuses (RFC 7541, appendix A), behind a change of the table's size if there is one.
fn status(block: &[u8]) -> u16 {
    let first = block.iter().find(|byte| **byte & 0xe0 != 0x20);
    match first {
        Some(0x88) => 200,
        Some(0x8c) => 400,
        // Any other is not expected.
        _ => 0,
    }
}
