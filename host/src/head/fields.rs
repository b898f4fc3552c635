//! Fields that concern one connection only, and fields that pass for the gateway's own.
//!
//! They are removed on ingress, before any policy: a client must not be able to delete a field that the
//! gateway or a policy has set by naming it in `Connection` (CVE-2024-45410 and its like).

use http::HeaderMap;
use http::header::{self, HeaderName};

/// Fields of RFC 9110 §7.6.1, and two of old. Compared as text: the compiler looks at the length first.
fn is_connections(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Whether a field concerns one connection only (RFC 9110 §7.6.1), or tells of a message's framing: not
/// a policy's to set, nor a trailer. `Trailer` passes all the same, as the fields that it tells of do.
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    is_connections(name.as_str()) || *name == header::TRAILER
}

/// Removes the fields of RFC 9110 §7.6.1 and those that `Connection` names.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        remove_nominated(headers);
    }
    // One look at the fields that are there, which are few, costs less than a search for each of these.
    remove_where(headers, |name| is_connections(name.as_str()));
}

fn remove_nominated(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter(|option| !is_about_persistence(option))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| !is_indispensable(name))
        .collect();
    for name in nominated {
        headers.remove(name);
    }
}

/// What most messages say, and no field's name (`Keep-Alive` goes in any case).
fn is_about_persistence(option: &[u8]) -> bool {
    option.eq_ignore_ascii_case(b"keep-alive") || option.eq_ignore_ascii_case(b"close")
}

/// Fields that a message can't do without: naming them in `Connection` is an attack or a mistake
/// (RFC 9110 §7.6.1 forbids it).
fn is_indispensable(name: &HeaderName) -> bool {
    *name == header::HOST || *name == header::CONTENT_LENGTH
}

/// Removes what only the gateway may say, and what a server that takes `_` for `-` (CGI, WSGI) would
/// take for it.
pub fn remove_claims(headers: &mut HeaderMap, may_forward: bool) {
    remove_where(headers, |name| {
        let name = name.as_str();
        let is_claim = is_own(name) || (!may_forward && is_forwarding(name));
        is_claim || (name.contains('_') && passes_for_ours(&name.replace('_', "-")))
    });
}

fn remove_where(headers: &mut HeaderMap, mut unwanted: impl FnMut(&HeaderName) -> bool) {
    // Nothing is collected, and so no memory taken, where nothing is to be removed.
    let names: Vec<HeaderName> = headers
        .keys()
        .filter(|name| unwanted(name))
        .cloned()
        .collect();
    for name in names {
        headers.remove(name);
    }
}

/// What the gateway alone says.
fn is_own(name: &str) -> bool {
    name.starts_with("x-portcullis-")
}

/// What a proxy says of its client.
fn is_forwarding(name: &str) -> bool {
    name.starts_with("x-forwarded-") || name == "x-real-ip" || name == "forwarded"
}

fn passes_for_ours(name: &str) -> bool {
    is_own(name)
        || is_forwarding(name)
        || matches!(name, "x-request-id" | "content-length")
        || is_connections(name)
}

#[cfg(test)]
mod tests {
    use http::header::HeaderValue;

    use super::*;

    fn fields(lines: &[(&str, &str)]) -> HeaderMap {
        let lines = lines.iter().map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        });
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value);
        }
        headers
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn connection_takes_what_it_names_whatever_the_case_and_leaves_what_is_indispensable() {
        let mut headers = fields(&[
            ("Connection", "X-Gone, close,,"),
            ("connection", "x-also , host, Content-Length"),
            ("host", "a"),
            ("content-length", "0"),
            ("x-gone", "1"),
            ("X-Also", "1"),
            ("x-kept", "1"),
            ("te", "trailers"),
            ("Proxy-Connection", "keep-alive"),
        ]);
        remove_hop_by_hop(&mut headers);
        assert_eq!(names(&headers), ["content-length", "host", "x-kept"]);
    }

    #[test]
    fn what_passes_for_the_gateways_own_is_removed() {
        let lies = [
            ("x-portcullis-error", "1"),
            ("x_portcullis_error", "1"),
            ("X_Forwarded_For", "1"),
            ("x-forwarded_for", "1"),
            ("x_real-ip", "1"),
            ("x_request_id", "1"),
            ("transfer_encoding", "chunked"),
            ("content_length", "5"),
            ("proxy_authorization", "1"),
        ];
        let kept = [("x_custom", "1"), ("x-portcullisx", "1")];
        let forwarding = [
            ("x-forwarded-for", "1"),
            ("forwarded", "1"),
            ("x-real-ip", "1"),
        ];
        let all = [&lies[..], &kept[..], &forwarding[..]].concat();
        let mut headers = fields(&all);
        remove_claims(&mut headers, true);
        assert_eq!(
            names(&headers),
            [
                "forwarded",
                "x-forwarded-for",
                "x-portcullisx",
                "x-real-ip",
                "x_custom"
            ]
        );
        remove_claims(&mut headers, false);
        assert_eq!(names(&headers), ["x-portcullisx", "x_custom"]);
    }
}
