//! Header fields at the edges: what concerns one connection only goes, what tells of the client comes.
//!
//! Done once, on ingress, before any policy: a client must not be able to delete a field that the
//! gateway or a policy has set by naming it in `Connection` (CVE-2024-45410 and its like).

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Request};

use crate::client::Client;
use crate::error::GatewayError;
use crate::exchange::{Exchange, RequestHead};
use crate::policy::edit::is_hop_by_hop;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// Names the exchange to the upstream, to policies and to the client.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The request's head as routes, policies and the upstream see it.
pub fn admit<B>(
    request: Request<B>,
    client: &Client,
    id: &str,
) -> Result<(RequestHead, B), GatewayError> {
    let (parts, body) = request.into_parts();
    if parts.method == http::Method::CONNECT {
        return Err(GatewayError::BadRequest("CONNECT is not offered"));
    }
    let mut headers = parts.headers;
    let target = match parts.uri.path_and_query() {
        Some(target) if target.as_str().starts_with('/') => target.clone(),
        // `OPTIONS *` and what hyper lets through beside origin and absolute form.
        _ => {
            return Err(GatewayError::BadRequest(
                "the request's target is not a path",
            ));
        }
    };
    if let Some(authority) = parts.uri.authority() {
        // RFC 9112 §3.2.2: of an absolute form the target's authority holds, not the Host field.
        let host = HeaderValue::from_str(authority.as_str())
            .map_err(|_| GatewayError::BadRequest("the target's authority is not valid"))?;
        headers.insert(header::HOST, host);
    }
    one_host(&headers, parts.version)?;
    only_chunked(&headers)?;
    remove_hop_by_hop(&mut headers);
    tell_of_client(&mut headers, client, id);
    Ok((
        RequestHead {
            method: parts.method,
            target,
            headers,
        },
        body,
    ))
}

/// RFC 9112 §3.2: exactly one Host in HTTP/1.1, none or one before.
fn one_host(headers: &HeaderMap, version: http::Version) -> Result<(), GatewayError> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_authority(host) => Ok(()),
        (Some(_), None) => Err(GatewayError::BadRequest("the Host field is not valid")),
        (None, _) if version < http::Version::HTTP_11 => Ok(()),
        (None, _) => Err(GatewayError::BadRequest("the Host field is missing")),
        (Some(_), Some(_)) => Err(GatewayError::BadRequest("more than one Host field")),
    }
}

/// Other codings would be lost on the way: hyper undoes `chunked` alone.
fn only_chunked(headers: &HeaderMap) -> Result<(), GatewayError> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        Ok(())
    } else {
        Err(GatewayError::BadRequest(
            "a transfer coding other than chunked",
        ))
    }
}

/// A host with or without a port, and no user information (RFC 9110 §7.2).
fn is_authority(host: &HeaderValue) -> bool {
    let authority = http::uri::Authority::try_from(host.as_bytes());
    authority.is_ok_and(|authority| !authority.as_str().contains('@'))
}

/// Removes the fields of RFC 9110 §7.6.1 and those that `Connection` names.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| !is_end_to_end(name))
        .collect();
    for name in nominated {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// In one place with [`is_hop_by_hop`], which a test compares it with.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Fields that a message can't do without: naming them in `Connection` is an attack or a mistake
/// (RFC 9110 §7.6.1 forbids it).
fn is_end_to_end(name: &HeaderName) -> bool {
    debug_assert!(!is_hop_by_hop(&header::HOST));
    *name == header::HOST || *name == header::CONTENT_LENGTH
}

/// No peer is trusted to speak for the client: what it said is replaced.
fn tell_of_client(headers: &mut HeaderMap, client: &Client, id: &str) {
    headers.remove(header::FORWARDED);
    headers.remove(REAL_IP);
    let spoken_for: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-forwarded-"))
        .cloned()
        .collect();
    for name in spoken_for {
        headers.remove(name);
    }
    headers.insert(FORWARDED_FOR, client.forwarded_for.clone());
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(client.scheme));
    if let Some(host) = headers.get(header::HOST).cloned() {
        headers.insert(FORWARDED_HOST, host);
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
}

/// The fields that go to the upstream.
pub fn upstream_fields(exchange: &Exchange, has_body: bool) -> HeaderMap {
    let mut headers = exchange.request.headers.clone();
    // Said outright: for a GET without a length hyper would otherwise leave the body out.
    if has_body && !headers.contains_key(header::CONTENT_LENGTH) {
        headers.insert(
            header::TRANSFER_ENCODING,
            HeaderValue::from_static("chunked"),
        );
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(request: http::request::Builder) -> Result<RequestHead, GatewayError> {
        let client = Client::new(([192, 0, 2, 1], 50_000).into(), "http");
        admit(request.body(()).unwrap(), &client, "id-1").map(|(head, ())| head)
    }

    #[test]
    fn both_lists_of_hop_by_hop_fields_agree() {
        assert!(HOP_BY_HOP.iter().all(is_hop_by_hop));
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
            assert!(matches!(
                admitted(request),
                Err(GatewayError::BadRequest(_))
            ));
        }
    }
}
