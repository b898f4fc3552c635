//! What becomes of a request's head.

use super::*;

/// Whose address is trusted.
const TRUSTED: &str = "192.0.2.0/24";

fn rules(trusted: &[&str]) -> HeadRules {
    HeadRules {
        paths: PathNormalisation::default(),
        trusted_proxies: trusted
            .iter()
            .map(|network| network.parse().unwrap())
            .collect(),
        via: Via::new("gw"),
    }
}

fn admitted(request: http::request::Builder) -> Result<RequestHead, GatewayError> {
    admitted_by(&rules(&[]), request).map(|(head, _)| head)
}

fn admitted_by(
    rules: &HeadRules,
    request: http::request::Builder,
) -> Result<(RequestHead, Origin), GatewayError> {
    let client = Client::new(([192, 0, 2, 1], 50_000).into(), "http");
    let request = request.body(()).unwrap();
    let admitted = admit(request, &client, rules, &mut "id-1".to_owned());
    admitted.map(|(head, origin, ())| (head, origin))
}

#[test]
fn connection_takes_the_fields_it_names_and_none_that_the_gateway_sets() {
    let request = Request::builder()
        .uri("/")
        .header("host", "a")
        .header(
            "connection",
            "X-Gone, x-forwarded-for, content-length, host",
        )
        .header("x-gone", "1")
        .header("x-kept", "1")
        .header("content-length", "0")
        .header("te", "trailers")
        .header("x-forwarded-for", "203.0.113.9")
        .header("x-request-id", "spoofed");
    let headers = admitted(request).unwrap().headers;
    assert!(
        !headers.contains_key("x-gone")
            && !headers.contains_key("connection")
            && !headers.contains_key("te")
    );
    assert!(
        headers.contains_key("x-kept")
            && headers.contains_key("host")
            && headers.contains_key("content-length")
    );
    assert_eq!(headers["x-forwarded-for"], "192.0.2.1");
    assert_eq!(headers["x-request-id"], "id-1");
}

#[test]
fn nothing_that_a_client_says_of_itself_is_passed_on() {
    let request = Request::builder()
        .uri("/")
        .header("host", "a")
        .header("x-forwarded-port", "1")
        .header("X-Forwarded-Prefix", "/admin")
        .header("x-real-ip", "203.0.113.9")
        .header("forwarded", "for=203.0.113.9")
        .header(
            "connection",
            HeaderValue::from_bytes(b"\xff, x-secret").unwrap(),
        )
        .header("x-secret", "1");
    let headers = admitted(request).unwrap().headers;
    let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let expected = [
        "host",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-request-id",
    ];
    assert_eq!(names, expected);
}

#[test]
fn the_targets_authority_wins_over_the_host_field() {
    let head = admitted(
        Request::builder()
            .uri("http://right/x?y")
            .header("host", "wrong"),
    )
    .unwrap();
    assert_eq!(head.headers["host"], "right");
    assert_eq!(head.target, "/x?y");
}

#[test]
fn requests_that_can_not_be_forwarded_are_refused() {
    let refused = [
        Request::builder().uri("/"),
        Request::builder()
            .uri("/")
            .header("host", "a")
            .header("host", "b"),
        Request::builder()
            .uri("/")
            .header("host", "a")
            .header("transfer-encoding", "gzip, chunked"),
        Request::builder().uri("/").header("host", ""),
        Request::builder().uri("/").header("host", "a b"),
        Request::builder().uri("/").header("host", "user@a"),
        Request::builder()
            .method("CONNECT")
            .uri("a:443")
            .header("host", "a"),
        Request::builder()
            .method("OPTIONS")
            .uri("*")
            .header("host", "a"),
    ];
    for request in refused {
        let error = admitted(request).unwrap_err();
        assert_eq!(
            (error.status().as_u16(), error.code()),
            (400, "bad-request")
        );
    }
}

#[test]
fn what_a_trusted_proxy_says_is_continued() {
    let request = Request::builder()
        .uri("/")
        .header("host", "inner")
        .header("x-forwarded-for", "1.1.1.1, 203.0.113.9")
        .header("x-forwarded-for", "192.0.2.7")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "shop.example.com")
        .header("x-forwarded-port", "443")
        .header("x-real-ip", "203.0.113.9")
        .header("forwarded", "for=203.0.113.9")
        .header("x-request-id", "of-the-proxy")
        .header("x_forwarded_for", "6.6.6.6")
        .header("via", "1.0 first");
    let (head, origin) = admitted_by(&rules(&[TRUSTED]), request).unwrap();
    assert_eq!(origin.address, "203.0.113.9:0".parse().unwrap());
    assert_eq!(origin.scheme, "https");
    for (name, expected) in [
        (
            "x-forwarded-for",
            &["1.1.1.1, 203.0.113.9, 192.0.2.7, 192.0.2.1"][..],
        ),
        ("x-forwarded-proto", &["https"]),
        ("x-forwarded-host", &["shop.example.com"]),
        ("x-forwarded-port", &["443"]),
        ("x-real-ip", &["203.0.113.9"]),
        (
            "forwarded",
            &["for=203.0.113.9", "for=192.0.2.1;proto=http"],
        ),
        ("x-request-id", &["of-the-proxy"]),
        ("via", &["1.0 first", "1.1 gw"]),
        ("x_forwarded_for", &[]),
    ] {
        let values: Vec<_> = head.headers.get_all(name).iter().collect();
        assert_eq!(values, expected, "{name}");
    }
}

#[test]
fn what_a_trusted_proxy_says_badly_is_replaced() {
    for (name, value, expected) in [
        ("x-forwarded-proto", "gopher", "http"),
        ("x-forwarded-proto", "https, http", "http"),
        ("x-request-id", "a b", "id-1"),
        ("x-request-id", "", "id-1"),
        ("x-forwarded-for", "", "192.0.2.1"),
    ] {
        let request = Request::builder()
            .uri("/")
            .header("host", "a")
            .header(name, value);
        let (head, origin) = admitted_by(&rules(&[TRUSTED]), request).unwrap();
        assert_eq!(head.headers[name], expected, "{name}: {value}");
        assert_eq!(
            head.headers.get_all(name).iter().count(),
            1,
            "{name}: {value}"
        );
        assert_eq!(origin.address, "192.0.2.1:50000".parse().unwrap());
        assert_eq!(origin.scheme, "http");
    }
}

#[test]
fn a_target_is_normal_whatever_its_form() {
    for (uri, target) in [
        ("/a//%62/../c?x=/../", "/a/c?x=/../"),
        ("http://a/x/./y", "/x/y"),
        ("http://a", "/"),
        ("http://a?q", "/?q"),
        ("https://a:8443/%7euser", "/~user"),
    ] {
        let head = admitted(Request::builder().uri(uri).header("host", "a")).unwrap();
        assert_eq!(head.target, target, "{uri}");
    }
}

#[test]
fn targets_of_other_kinds_are_refused() {
    for uri in [
        "ftp://a/",
        "http://user@a/",
        "http://a:x/",
        "http://a:70000/",
        "a:80",
        "/..",
        "/%00",
    ] {
        let request = Request::builder().uri(uri).header("host", "a");
        let refused = admitted(request);
        assert!(matches!(refused, Err(GatewayError::BadRequest(_))), "{uri}");
    }
}

#[test]
fn authority_and_host_agree_in_http_2() {
    let request = |host: Option<&str>, uri: &str| {
        let request = Request::builder().uri(uri).version(Version::HTTP_2);
        match host {
            Some(host) => request.header("host", host),
            None => request,
        }
    };
    let head = admitted(request(None, "http://a/x")).unwrap();
    assert_eq!(
        (&head.headers["host"], head.headers["via"].as_bytes()),
        (&HeaderValue::from_static("a"), &b"2 gw"[..])
    );
    assert!(admitted(request(Some("A"), "http://a/x")).is_ok());
    assert!(admitted(request(Some("b"), "http://a/x")).is_err());
    assert!(admitted(request(None, "/x")).is_err());
}
