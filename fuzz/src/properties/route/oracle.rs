//! Which route takes a request, said as the config's reference says it: slow and plain, and with nothing
//! of the gateway's own.

use http::HeaderMap;
use http::header::{COOKIE, HOST};
use portcullis_config::{Condition, HostPattern, Match};

use super::input::Request;

/// The most specific route that takes the request; the first of equals.
pub fn best<'a>(routes: &'a [Match], request: &Request) -> Option<&'a Match> {
    let mut best: Option<&Match> = None;
    for route in routes.iter().filter(|route| takes(route, request)) {
        if best.is_none_or(|best| rank(route) > rank(best)) {
            best = Some(route);
        }
    }
    best
}

/// An exact host, the longest wildcard; an exact path, the longest prefix; a method; the most values.
fn rank(route: &Match) -> (usize, usize, bool, usize) {
    let host = match &route.host {
        Some(HostPattern::Exact(_)) => usize::MAX,
        Some(HostPattern::Wildcard(suffix)) => suffix.len(),
        None => 0,
    };
    let path = match &route.path {
        Some(_) => usize::MAX,
        None => route.path_prefix.trim_end_matches('/').len(),
    };
    let values = route.headers.len() + route.cookies.len() + route.query.len();
    (host, path, !route.methods.is_empty(), values)
}

fn takes(route: &Match, request: &Request) -> bool {
    let path = request.target.path();
    let takes_path = match &route.path {
        Some(exact) => path == exact,
        None => takes_segments(&route.path_prefix, path),
    };
    takes_path
        && takes_host(route.host.as_ref(), &request.headers)
        && (route.methods.is_empty() || route.methods.contains(&request.method))
        && takes_values(route, request)
}

fn takes_segments(prefix: &str, path: &str) -> bool {
    let segments = |text: &str| text.split('/').skip(1).map(str::to_owned).collect();
    let mut wanted: Vec<String> = segments(prefix);
    wanted.retain(|name| !name.is_empty());
    let given: Vec<String> = segments(path);
    given.starts_with(&wanted)
}

fn takes_host(pattern: Option<&HostPattern>, headers: &HeaderMap) -> bool {
    let Some(pattern) = pattern else {
        return true;
    };
    let Some(Ok(host)) = headers.get(HOST).map(|host| host.to_str()) else {
        return false;
    };
    let before = host.trim_end_matches(|digit: char| digit.is_ascii_digit());
    let name = match before.strip_suffix(':') {
        Some(name) if !name.is_empty() => name,
        _ => host,
    };
    let name = name.to_ascii_lowercase();
    match pattern {
        HostPattern::Exact(exact) => name == *exact,
        HostPattern::Wildcard(suffix) => name
            .strip_suffix(suffix)
            .is_some_and(|labels| !labels.is_empty()),
    }
}

fn takes_values(route: &Match, request: &Request) -> bool {
    let fields = request.headers.iter();
    let fields = fields.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    let fields: Vec<_> = fields.collect();
    let (cookies, parameters) = (cookies(request), parameters(request));
    route
        .headers
        .iter()
        .all(|(name, condition)| meets(&fields, name.as_str(), condition))
        && route
            .cookies
            .iter()
            .all(|(name, condition)| meets(&cookies, name, condition))
        && route
            .query
            .iter()
            .all(|(name, condition)| meets(&parameters, name, condition))
}

/// One value of several is enough.
fn meets(pairs: &[(String, Vec<u8>)], name: &str, condition: &Condition) -> bool {
    let mut values = pairs.iter().filter(|(given, _)| given == name);
    match condition {
        Condition::Exact(text) => values.any(|(_, value)| value == text.as_bytes()),
        Condition::Prefix(text) => values.any(|(_, value)| value.starts_with(text.as_bytes())),
        Condition::Present => values.count() > 0,
        Condition::Absent => values.count() == 0,
    }
}

/// RFC 6265 §4.2.1.
fn cookies(request: &Request) -> Vec<(String, Vec<u8>)> {
    let mut pairs = Vec::new();
    for field in request.headers.get_all(COOKIE) {
        let field = String::from_utf8_lossy(field.as_bytes());
        for pair in field.split(';') {
            if let Some((name, value)) = pair.trim().split_once('=') {
                pairs.push((name.to_owned(), value.as_bytes().to_vec()));
            }
        }
    }
    pairs
}

fn parameters(request: &Request) -> Vec<(String, Vec<u8>)> {
    let mut pairs = Vec::new();
    for pair in request.target.query().unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = String::from_utf8_lossy(&decoded(name)).into_owned();
        pairs.push((name, decoded(value)));
    }
    pairs
}

/// WHATWG URL §5.1, by way of each place in the text.
fn decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let digits = text.get(at + 1..at + 3).unwrap_or_default();
        let are_digits = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        match text.as_bytes()[at] {
            b'%' if are_digits => {
                decoded.extend(u8::from_str_radix(digits, 16));
                at += 2;
            }
            b'+' => decoded.push(b' '),
            byte => decoded.push(byte),
        }
        at += 1;
    }
    decoded
}
