//! Requests that two readers could understand differently: each is refused, or exactly one well-formed
//! request for each reaches the upstream, and what follows on the connection is nobody's but its own.
//!
//! The upstream records bytes and understands nothing; what it has got is read strictly here.

mod chunks;
mod fields;
mod framing;
mod http_2;
mod lines;
mod paths;
mod recorder;
mod strict;

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use self::Expect::{Closed, Cut, Forwarded, Refused};
use self::recorder::RecordingUpstream;
use crate::support::TestGateway;

/// What becomes of one request of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// The upstream gets this method, target and body, and no more.
    Forwarded(&'static str, &'static str, &'static str),
    /// Answered with this status; the connection can be used on.
    Refused(u16),
    /// Answered with this status and closed; the upstream has got no whole request.
    Closed(u16),
    /// The client ends here in the middle: closed, and the upstream has got no whole request.
    Cut,
}

/// The case's name, the bytes that a client sends at once, and what comes of them in order.
pub(crate) type Case = (&'static str, &'static [u8], &'static [Expect]);

const CANARY: &[u8] = b"GET /canary HTTP/1.1\r\nhost: canary\r\n\r\n";
const CANARY_SEEN: Expect = Forwarded("GET", "/canary", "");

#[tokio::test]
async fn a_request_has_one_end_or_is_refused() {
    run(framing::CASES).await;
}

#[tokio::test]
async fn chunks_are_read_strictly() {
    run(chunks::CASES).await;
}

#[tokio::test]
async fn lines_of_a_head_are_read_strictly() {
    run(lines::CASES).await;
}

#[tokio::test]
async fn fields_of_a_head_mean_one_thing() {
    run(fields::CASES).await;
}

#[tokio::test]
async fn a_path_has_one_spelling_or_is_refused() {
    run(paths::CASES).await;
}

#[test]
fn there_are_at_least_150_cases_each_with_a_name_of_its_own() {
    let groups = [
        framing::CASES,
        chunks::CASES,
        lines::CASES,
        fields::CASES,
        paths::CASES,
    ];
    let mut names: Vec<&str> = groups.concat().iter().map(|case| case.0).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "a name is there twice");
    assert!(all >= 150, "{all}");
    assert!(paths::CASES.len() >= 40, "{}", paths::CASES.len());
}

async fn run(cases: &[Case]) {
    let upstream = RecordingUpstream::start().await;
    let gateway = TestGateway::start(&format!(
        "upstreams: {{ u: {{ endpoints: [{}] }} }}\nroutes: [{{ name: r, upstream: u }}]\n",
        upstream.url()
    ))
    .await;
    let mut failures = Vec::new();
    for (name, bytes, expected) in cases {
        let played = play(&gateway, &upstream, bytes, expected);
        let (seen, found) = within(played, name).await;
        if let Err(reason) = judge(&seen, &found, expected) {
            failures.push(format!("{name}: {reason}\n    {seen:?}\n    {found:?}"));
        }
    }
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
}

async fn within<F: Future>(played: F, name: &str) -> F::Output {
    let ended = tokio::time::timeout(Duration::from_secs(30), played).await;
    ended.unwrap_or_else(|_| panic!("{name}: it takes for ever"))
}

/// What the client has got: statuses in order, and whether the connection was closed at the end.
#[derive(Debug, Default)]
struct Seen {
    statuses: Vec<u16>,
    closed: bool,
}

/// Sends the case, then a canary where the connection stays open: what the client saw, and the
/// requests that reached the upstream.
async fn play(
    gateway: &TestGateway,
    upstream: &RecordingUpstream,
    bytes: &[u8],
    expected: &[Expect],
) -> (Seen, Vec<strict::Request>) {
    upstream.forget();
    let mut client = TcpStream::connect(gateway.address).await.unwrap();
    let mut seen = Seen::default();
    // The gateway may have closed the connection before it has read all.
    let _ = client.write_all(bytes).await;
    let is_cut = expected.last() == Some(&Cut);
    if is_cut {
        let _ = client.shutdown().await;
    }
    let answers = if is_cut { usize::MAX } else { expected.len() };
    read_answers(&mut client, upstream, answers, &mut seen).await;
    if !seen.closed {
        let _ = client.write_all(CANARY).await;
        read_answers(&mut client, upstream, answers + 1, &mut seen).await;
    }
    (seen, upstream.requests())
}

/// Reads final answers until there are `count`, or the connection ends; lets the upstream answer
/// whatever reaches it whole.
async fn read_answers(
    client: &mut TcpStream,
    upstream: &RecordingUpstream,
    count: usize,
    seen: &mut Seen,
) {
    let mut unread = Vec::new();
    let mut bytes = [0; 4096];
    while seen.statuses.len() < count && !seen.closed {
        tokio::select! {
            read = client.read(&mut bytes) => match read {
                // A reset is an end, too.
                Ok(0) | Err(_) => seen.closed = true,
                Ok(length) => {
                    unread.extend_from_slice(&bytes[..length]);
                    while let Some((status, last)) = strict::take_answer(&mut unread) {
                        seen.statuses.push(status);
                        seen.closed |= last;
                    }
                }
            },
            () = upstream.changed() => upstream.answer_what_is_whole().await,
        }
    }
}

fn judge(seen: &Seen, found: &[strict::Request], expected: &[Expect]) -> Result<(), String> {
    let stays_open = !matches!(expected.last(), Some(Closed(_) | Cut)) && !seen.closed;
    let canary = [CANARY_SEEN];
    let expected = expected.iter().chain(canary.iter().filter(|_| stays_open));
    let mut statuses = seen.statuses.iter();
    let mut requests = found.iter();
    for expect in expected {
        let status = statuses.next().copied();
        match expect {
            Forwarded(method, target, body) => {
                let Some(request) = requests.next() else {
                    return Err(format!("{expect:?} did not reach the upstream"));
                };
                if !request.is(method, target, body) || status != Some(200) {
                    return Err(format!("expected {expect:?}, found {request:?} {status:?}"));
                }
            }
            Refused(code) if status == Some(*code) && !seen.closed => {}
            Closed(code) if status == Some(*code) && seen.closed => {}
            Cut if seen.closed => {}
            _ => return Err(format!("expected {expect:?}, found {status:?}")),
        }
    }
    match (requests.next(), statuses.next()) {
        (Some(more), _) => Err(format!("smuggled: {more:?}")),
        (None, Some(more)) => Err(format!("one answer too many: {more}")),
        (None, None) => Ok(()),
    }
}
