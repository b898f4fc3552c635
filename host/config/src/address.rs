//! Texts that name places: socket addresses, endpoints, hosts, paths. A message never repeats the text,
//! which may hold a password.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::uri::Authority;

use crate::path_normalisation::{EncodedSlashes, PathNormalisation};
use crate::route::HostPattern;
use crate::upstream::Endpoint;

/// `0.0.0.0:8080`, `[::]:8080`.
pub(crate) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let message = match text.rsplit_once(':') {
        _ if text.contains("${") => {
            "${NAME} is only read in secrets: write an IP address and a port such as 0.0.0.0:8080"
        }
        Some(("", port)) if is_port(port) => {
            return Err(format!(
                "expected an IP address before the port: write 0.0.0.0{text} for all interfaces"
            ));
        }
        Some((host, port)) if is_port(port) && host.parse::<Ipv6Addr>().is_ok() => {
            return Err(format!(
                "an IPv6 address needs brackets: write [{host}]:{port}"
            ));
        }
        Some((_, port)) if is_port(port) => {
            "expected an IP address, not a host name: write 127.0.0.1 for this machine, 0.0.0.0 for all interfaces"
        }
        _ if text.parse::<IpAddr>().is_ok() => {
            "the port is missing: write an IP address and a port such as 0.0.0.0:8080"
        }
        _ => "expected an IP address and a port such as 0.0.0.0:8080",
    };
    Err(message.to_owned())
}

/// How an endpoint's URL begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// `http://host:port` or `https://host:port`.
pub(crate) fn endpoint(text: &str) -> Result<(Scheme, Endpoint), String> {
    const SHAPE: &str = "expected http://host:port or https://host:port";
    let (scheme, rest) = match text.split_once("://") {
        _ if text.contains("${") => {
            return Err(format!("${{NAME}} is only read in secrets: {SHAPE}"));
        }
        Some(("http", rest)) => (Scheme::Http, rest),
        Some(("https", rest)) => (Scheme::Https, rest),
        Some(_) => return Err(format!("no such scheme: {SHAPE}")),
        None => return Err(format!("the scheme is missing: {SHAPE}")),
    };
    if rest.contains('@') {
        return Err(format!("an endpoint has no user and password: {SHAPE}"));
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('/') {
        return Err(format!(
            "an endpoint has no path: {SHAPE}, and set the path with the route's rewrite"
        ));
    }
    if rest.contains(['?', '#']) {
        return Err(format!("an endpoint has no query and no fragment: {SHAPE}"));
    }
    let (host, port) = host_and_port(rest)?;
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_ascii_lowercase();
    // One spelling of an IPv6 address, so that equal endpoints are seen.
    let host = host
        .parse::<Ipv6Addr>()
        .map_or(host, |address| address.to_string());
    let usual = match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    };
    let port = port.unwrap_or(usual);
    Ok((scheme, Endpoint { host, port }))
}

/// The name of a certificate: a DNS name or an IP address, in lower case.
pub(crate) fn server_name(text: &str) -> Result<String, String> {
    if text.contains("://") || text.contains(['/', '*', '@']) {
        return Err("expected a host name such as orders.internal alone".to_owned());
    }
    if text.parse::<IpAddr>().is_err() {
        check_host(text).map_err(|problem| format!("not the name of a server: {problem}"))?;
    }
    Ok(text.to_ascii_lowercase())
}

/// `host[:port]`, as a request names it.
pub(crate) fn authority(text: &str) -> Result<String, String> {
    host_and_port(text).map(|_| text.to_ascii_lowercase())
}

/// A host to match: exact, or with `*.` in front.
pub(crate) fn host_pattern(text: &str) -> Result<HostPattern, String> {
    let host = text.strip_prefix("*.").unwrap_or(text).to_ascii_lowercase();
    if text == "*" {
        return Err("leave host out to match any host".to_owned());
    }
    if text.contains("://") || text.contains('/') {
        return Err(
            "expected a host such as api.example.com, not a URL: a path goes to path_prefix"
                .to_owned(),
        );
    }
    if host.contains('*') {
        return Err("* can only be the first label, as in *.example.com".to_owned());
    }
    if host.starts_with('[') || !host.contains(':') {
        check_host(&host)?;
    } else {
        let written = text.split(':').next().unwrap_or_default();
        return Err(format!(
            "a host is matched without its port: write {written}"
        ));
    }
    if text.starts_with("*.") {
        return Ok(HostPattern::Wildcard(format!(".{host}")));
    }
    Ok(HostPattern::Exact(host))
}

/// A path prefix without the `/` at its end, unless it is `/`.
pub(crate) fn path_prefix(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("must start with /".to_owned());
    }
    if text.contains(['?', '#']) {
        return Err("must be a path alone, without ? and #".to_owned());
    }
    if text.contains('*') {
        return Err("must not hold *: a prefix takes everything below it as it is".to_owned());
    }
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"/-._~!$&'()+,;=:@%".contains(&b);
    if let Some(other) = text
        .chars()
        .find(|c| !u8::try_from(*c).is_ok_and(is_allowed))
    {
        return Err(format!("must not hold {other:?}: percent-encode it"));
    }
    let trimmed = text.strip_suffix('/').unwrap_or(text);
    let mut segments = trimmed.split('/').skip(1);
    if segments.any(|segment| matches!(segment, "" | "." | "..")) {
        return Err("must not hold //, /./ or /../".to_owned());
    }
    if !percent_encodings_are_complete(text) {
        return Err("a % must be followed by two hexadecimal digits".to_owned());
    }
    // What the gateway keeps may be in a prefix, whatever it makes of requests.
    let rules = PathNormalisation {
        merge_slashes: true,
        encoded_slashes: EncodedSlashes::Keep,
    };
    match rules.normalise(text) {
        Ok(None) => {}
        Ok(Some(normal)) => {
            return Err(format!(
                "paths are normalised before they are matched: write {normal}"
            ));
        }
        Err(error) => return Err(error.to_string()),
    }
    Ok(if trimmed.is_empty() {
        "/".to_owned()
    } else {
        trimmed.to_owned()
    })
}

/// A whole path, with its `/` at the end where it has one.
pub(crate) fn whole_path(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err("must not hold *: the path is taken as it is".to_owned());
    }
    path_prefix(text).map(|_| text.to_owned())
}

/// Splits and checks `host[:port]`; an IPv6 address keeps its brackets.
pub(crate) fn host_and_port(text: &str) -> Result<(&str, Option<u16>), String> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("an IPv6 address needs brackets: [{text}]"));
    }
    let authority: Option<Authority> = text.parse().ok();
    if text.is_empty() || text.starts_with(':') || authority.is_none() {
        return Err("the host is missing, or holds a character that no host has".to_owned());
    }
    let end_of_host = text.rfind(']').map_or_else(
        || text.find(':'),
        |end| text[end..].find(':').map(|at| end + at),
    );
    let (host, port) = end_of_host.map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])));
    check_host(host)?;
    match port.map(str::parse::<u16>) {
        None => Ok((host, None)),
        Some(Ok(port)) if port > 0 => Ok((host, Some(port))),
        Some(_) => Err("the port must be a number from 1 to 65535".to_owned()),
    }
}

/// A DNS name, an IPv4 address, or an IPv6 address in brackets.
fn check_host(host: &str) -> Result<(), String> {
    if let Some(inner) = host.strip_prefix('[') {
        let is_address = inner
            .strip_suffix(']')
            .is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok());
        return if is_address {
            Ok(())
        } else {
            Err("not an IPv6 address, or something follows it".to_owned())
        };
    }
    if !host.is_ascii() {
        return Err("write a host name with other than ASCII letters in its xn-- form".to_owned());
    }
    if let Some(name) = host.strip_suffix('.') {
        return Err(format!("a host has no . at its end: write {name}"));
    }
    // RFC 1035 §2.3.4: 63 bytes a label, 253 in all. The underscore is no letter of a host name, but
    // container networks use it.
    let is_label = |label: &str| {
        let has_only_letters = label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (1..=63).contains(&label.len())
            && has_only_letters
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.len() > 253 || !host.split('.').all(is_label) {
        return Err("not a host name or an IP address".to_owned());
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|b| b.is_ascii_digit()) && host.parse::<IpAddr>().is_err() {
        return Err("not an IP address: four numbers from 0 to 255".to_owned());
    }
    Ok(())
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

fn percent_encodings_are_complete(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| {
        let digits = rest.as_bytes();
        digits.len() >= 2 && digits[..2].iter().all(u8::is_ascii_hexdigit)
    })
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
