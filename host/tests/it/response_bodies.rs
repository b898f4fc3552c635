//! Policies that read a response's body and put another in its place.

use http::{Method, Request, Version};
use mock_service::{MockService, Step};
use tokio::net::TcpStream;

use crate::policy_config::{closed, config, faults, open, policy_on};
use crate::support::raw::{RawConnection, RawUpstream, RefusingAddress, field};
use crate::support::{Answer, TestGateway, eventually, freed_within_a_second, within};

const TERMS: &str = "limits: { time: 30s, body: 8B }";

/// One route `r` with these uses of the probe.
async fn gateway(url: &str, terms: &str, uses: &[String]) -> TestGateway {
    let probe = policy_on("probe", "fixtures/probe", terms);
    TestGateway::start(&format!(
        "
upstreams: {{ api: {{ endpoints: [\"{url}\"] }} }}
policies:
  {probe}
routes: [{{ name: r, upstream: api, upgrades: [websocket], policies: [{}] }}]
",
        uses.join(", ")
    ))
    .await
}

fn reads(work: &str) -> String {
    closed("probe", &format!("{{ response_body: {{ {work} }} }}"))
}

fn notes(answer: &Answer) -> Vec<&str> {
    let values = answer.headers.get_all("x-probe-body").iter();
    values.map(|value| value.to_str().unwrap()).collect()
}

fn chunked(body: &str) -> String {
    let (first, second) = body.split_at(body.len() / 2);
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{}{}0\r\n\r\n",
        chunk(first),
        chunk(second)
    )
}

fn with_length(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What the client gets of an upstream that writes this.
async fn answered(gateway: &TestGateway, upstream: &RawUpstream, written: &str) -> Answer {
    let serve = async {
        let mut service = upstream.accept().await;
        service.head().await;
        service.send(written).await;
        service
    };
    let (answer, _service) = tokio::join!(gateway.get("/x"), serve);
    answer
}

#[tokio::test]
async fn a_body_is_read_up_to_the_limit_and_arrives_whole_in_any_case() {
    let upstream = RawUpstream::start().await;
    // The last is asked first.
    let uses = [reads("read: 4, times: 2"), reads("read: 1000")];
    let gateway = gateway(&upstream.url(), TERMS, &uses).await;
    let table = [
        ("1234", ["4:1234"; 3]),
        ("12345", ["5:12345", "too-large", "too-large"]),
        ("12345678", ["8:12345678", "too-large", "too-large"]),
        ("123456789", ["too-large"; 3]),
    ];
    for (body, expected) in table {
        for written in [with_length(body), chunked(body)] {
            let answer = answered(&gateway, &upstream, &written).await;
            assert_eq!(answer.text(), body);
            assert_eq!(notes(&answer), expected);
            if written.contains("content-length") {
                assert_eq!(answer.header("content-length"), body.len().to_string());
            }
        }
    }
}

#[tokio::test]
async fn a_long_body_beyond_the_limit_streams_on() {
    let upstream = MockService::start().await;
    let gateway = gateway(&upstream.url(), TERMS, &[reads("read: 8")]).await;
    let answer = within(gateway.get("/bytes/3000000")).await;
    assert_eq!(
        (notes(&answer), answer.body.len()),
        (vec!["too-large"], 3_000_000)
    );
    let answer = within(gateway.get("/stream/20?interval_ms=1")).await;
    assert_eq!(notes(&answer), ["too-large"]);
    assert_eq!(answer.text().lines().count(), 20, "{}", answer.text());
}

#[tokio::test]
async fn a_replaced_body_is_what_the_policies_before_and_the_client_see() {
    let upstream = RawUpstream::start().await;
    let uses = [reads("read: 8"), reads("read: 8, replace: '123456'")];
    let gateway = gateway(&upstream.url(), TERMS, &uses).await;
    for written in [with_length("hello"), chunked("hello")] {
        let answer = answered(&gateway, &upstream, &written).await;
        assert_eq!(answer.text(), "123456");
        assert_eq!(answer.header("content-length"), "6");
        assert_eq!(answer.header("transfer-encoding"), "");
        assert_eq!(notes(&answer), ["5:hello", "6:123456"]);
    }
}

#[tokio::test]
async fn a_client_of_http_2_gets_the_replaced_body() {
    let upstream = MockService::start().await;
    let uses = [reads("replace: '123456'")];
    let gateway = gateway(&upstream.url(), TERMS, &uses).await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (client, connection) = within(h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().uri("http://a/stream/3?interval_ms=1");
    let request = request.version(Version::HTTP_2).body(()).unwrap();
    let mut ready = within(client.ready()).await.unwrap();
    let (response, _) = ready.send_request(request, true).unwrap();
    let (head, mut body) = within(response).await.unwrap().into_parts();
    assert_eq!(head.headers["content-length"], "6");
    assert_eq!(within(body.data()).await.unwrap().unwrap(), "123456");
    assert!(within(body.data()).await.is_none());
}

#[tokio::test]
async fn trailers_follow_a_body_that_was_read_and_not_one_that_was_replaced() {
    for (work, body) in [
        ("read: 8", "5\r\nhello\r\n0\r\nx-sum: 5\r\n\r\n"),
        ("read: 8, replace: other", "other"),
    ] {
        let upstream = RawUpstream::start().await;
        let gateway = gateway(&upstream.url(), TERMS, &[reads(work)]).await;
        let mut client = RawConnection::connect(gateway.address).await;
        client
            .send("GET /x HTTP/1.1\r\nhost: a\r\nte: trailers\r\n\r\n")
            .await;
        let mut service = upstream.accept().await;
        service.head().await;
        service
            .send(
                "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n\
                 2\r\nhe\r\n3\r\nllo\r\n0\r\nx-sum: 5\r\n\r\n",
            )
            .await;
        let head = client.head().await;
        assert_eq!(field(&head, "trailer").is_some(), body != "other", "{head}");
        assert_eq!(client.exactly(body.len()).await, body);
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_aborted_for_the_guest() {
    let upstream = MockService::start().await;
    let terms = "limits: { time: 30s, body: 1KiB }";
    let reading = gateway(&upstream.url(), terms, &[reads("read: 1000, times: 2")]).await;
    let mut client = RawConnection::connect(reading.address).await;
    client
        .send("GET /truncate HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    let head = client.head().await;
    assert_eq!(field(&head, "x-probe-body"), Some("aborted"), "{head}");
    assert_eq!(client.rest().await, "0123456789");
    let replacing = gateway(
        &upstream.url(),
        terms,
        &[reads("read: 1000, replace: other")],
    )
    .await;
    let answer = replacing.get("/truncate").await;
    assert_eq!(
        (notes(&answer), &*answer.body),
        (vec!["aborted"], &b"other"[..])
    );
}

#[tokio::test]
async fn answers_of_policies_and_of_the_gateway_are_read_and_replaced() {
    let refusing = RefusingAddress::take();
    let terms = "limits: { time: 30s, body: 1KiB }";
    let uses = [
        reads("read: 1000, replace: other"),
        closed("probe", "{ respond: 202 }"),
    ];
    let answer = gateway(&refusing.url(), terms, &uses).await.get("/x").await;
    assert_eq!(
        (answer.status.as_u16(), &*answer.body),
        (202, &b"other"[..])
    );
    assert_eq!(notes(&answer), ["14:probe responds"]);
    assert_eq!(answer.header("content-length"), "5");
    let answer = gateway(&refusing.url(), terms, &uses[..1])
        .await
        .get("/x")
        .await;
    assert_eq!(
        (answer.status.as_u16(), &*answer.body),
        (502, &b"other"[..])
    );
    assert!(notes(&answer)[0].contains(":{"), "{:?}", notes(&answer));
    assert_eq!(
        answer.header("x-portcullis-error"),
        "upstream-connect-refused"
    );
}

#[tokio::test]
async fn a_grpc_client_gets_a_sound_message_in_place_of_a_replaced_one() {
    let refusing = RefusingAddress::take();
    let uses = [reads("replace: other")];
    let gateway = gateway(&refusing.url(), TERMS, &uses).await;
    let grpc = [("content-type", "application/grpc")];
    let mut client = gateway.client().await;
    for _ in 0..2 {
        let answer = client.send(Method::POST, "/x", &grpc, "").await;
        assert_eq!((answer.header("grpc-status"), answer.body.len()), ("14", 0));
    }
}

#[tokio::test]
async fn a_response_that_has_no_body_reads_as_empty_and_gets_none() {
    let upstream = MockService::start().await;
    upstream.script("/cached", vec![Step::respond(304, "")]);
    let uses = [reads("read: 8, replace: other")];
    let gateway = gateway(&upstream.url(), TERMS, &uses).await;
    for (method, path, what) in [
        (Method::HEAD, "/bytes/1000", "a response to HEAD"),
        (Method::GET, "/status/204", "a response of status 204"),
        (Method::GET, "/cached", "a response of status 304"),
    ] {
        let mut client = gateway.client().await;
        let answer = client.send(method, path, &[], "").await;
        let refusal = format!("edit refused: forbidden: {what} has no body");
        assert_eq!(notes(&answer), ["0:", &refusal]);
        assert_eq!(answer.body.len(), 0);
        if path == "/bytes/1000" {
            assert_eq!(answer.header("content-length"), "1000");
        }
        assert_eq!(client.send(Method::GET, "/x", &[], "").await.status, 200);
    }
}

#[tokio::test]
async fn a_status_of_the_same_hook_tells_whether_there_is_a_body() {
    let upstream = MockService::start().await;
    let given = "{ set_status: 200, response_body: { replace: other } }";
    let giving = gateway(&upstream.url(), TERMS, &[closed("probe", given)]).await;
    let answer = giving.get("/status/204").await;
    assert_eq!(
        (answer.status.as_u16(), &*answer.body),
        (200, &b"other"[..])
    );
    assert_eq!(answer.header("content-length"), "5");
    let taken = "{ set_status: 204, response_body: { replace: other } }";
    let taking = gateway(&upstream.url(), TERMS, &[closed("probe", taken)]).await;
    let answer = taking.get("/bytes/5").await;
    assert_eq!(
        notes(&answer),
        ["edit refused: forbidden: a response of status 204 has no body"]
    );
}

#[tokio::test]
async fn a_trap_after_reading_and_replacing_leaves_the_body_as_it_was() {
    let upstream = RawUpstream::start().await;
    let trap = "{ response_body: { read: 8, replace: gone, trap: true } }";
    let uses = [reads("read: 8"), open("probe", trap)];
    let gateway = gateway(&upstream.url(), TERMS, &uses).await;
    for written in [with_length("hello"), chunked("hello")] {
        let answer = answered(&gateway, &upstream, &written).await;
        assert_eq!(
            (answer.text(), notes(&answer)),
            ("hello".into(), vec!["5:hello"])
        );
    }
}

#[tokio::test]
async fn a_policy_that_fails_open_amid_its_reading_leaves_the_body_whole() {
    let upstream = RawUpstream::start().await;
    let terms = "limits: { time: 200ms, body: 8B }";
    let uses = [open("probe", "{ response_body: { read: 8 } }")];
    let gateway = gateway(&upstream.url(), terms, &uses).await;
    let serve = async {
        let mut service = upstream.accept().await;
        service.head().await;
        service
            .send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe")
            .await;
        eventually("the hook has run out of time", async || {
            let page = gateway.metrics().await;
            faults(&page, "probe", "r", "on-response", "deadline") == 1
        })
        .await;
        service.send("llo").await;
        service
    };
    let (answer, _service) = tokio::join!(gateway.get("/x"), serve);
    assert_eq!(
        (answer.status.as_u16(), answer.text()),
        (200, "hello".into())
    );
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_wait() {
    let upstream = MockService::start().await;
    let gateway = gateway(
        &upstream.url(),
        "limits: { time: 30s }",
        &[reads("read: 100000")],
    )
    .await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("GET /stream/1000?interval_ms=100 HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    upstream.wait_for_requests(1).await;
    drop(client);
    freed_within_a_second(&upstream).await;
}

#[tokio::test]
async fn a_tunnel_passes_a_policy_that_reads() {
    let upstream = RawUpstream::start().await;
    let uses = [reads("read: 8, replace: other")];
    let gateway = gateway(&upstream.url(), TERMS, &uses).await;
    let mut client = RawConnection::connect(gateway.address).await;
    client
        .send("GET /x HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .await;
    let mut service = upstream.accept().await;
    service.head().await;
    service
        .send(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        )
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(
        head.contains("a response of status 101 has no body"),
        "{head}"
    );
    client.send("ping").await;
    assert_eq!(service.exactly(4).await, "ping");
    service.send("pong").await;
    assert_eq!(client.exactly(4).await, "pong");
}

#[tokio::test]
async fn without_a_grant_there_is_no_body() {
    let upstream = MockService::start().await;
    let terms = "limits: { time: 30s, body: 0B }";
    let uses = [reads("read: 8, replace: new")];
    let gateway = gateway(&upstream.url(), terms, &uses).await;
    let answer = gateway.get("/bytes/5").await;
    let refusal = "edit refused: forbidden: no body: limits.body of the policy is 0";
    assert_eq!(notes(&answer), ["not-granted", refusal]);
    assert_eq!(answer.text(), "xxxxx");
}

#[tokio::test]
async fn the_example_takes_members_away_and_lets_nothing_unseen_pass() {
    let upstream = MockService::start().await;
    let secret = r#"{"user":{"name":"a","password":"p"},"list":[{"password":"q"},1]}"#;
    let json = |body: &str| {
        Step::respond(200, body.to_owned()).with_header("content-type", "application/json")
    };
    upstream.script("/json", vec![json(secret).with_header("etag", "\"1\"")]);
    upstream.script("/broken", vec![json("\u{1f}\u{8b}")]);
    let policies = [policy_on("redact", "redact-json", "limits: { time: 30s }")];
    let uses = vec![closed("redact", "{ members: [password] }")];
    let gateway = TestGateway::start(&config(&upstream.url(), &policies, &[("r", uses)])).await;
    let answer = gateway.get("/r/json").await;
    let expected = serde_json::json!({ "user": { "name": "a" }, "list": [{}, 1] });
    assert_eq!((answer.json(), answer.header("etag")), (expected, ""));
    assert_eq!(gateway.get("/r/broken").await.status, 503);
    assert_eq!(gateway.get("/r/bytes/3").await.text(), "xxx");
}
