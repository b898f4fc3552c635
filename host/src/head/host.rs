//! Whom a request is for: the field `Host`, wherever the client wrote it.

use http::header::{HOST, HeaderValue};
use http::uri::Authority;
use http::{HeaderMap, Uri, Version};

use crate::error::GatewayError;

/// Leaves exactly one `Host`, which is valid; HTTP/1.0 may have none.
///
/// Of an absolute form the target's authority holds (RFC 9112 §3.2.2); in HTTP/2 `:authority` and
/// `host` must agree (RFC 9113 §8.3.1).
pub(super) fn settle(
    headers: &mut HeaderMap,
    uri: &Uri,
    version: Version,
) -> Result<(), GatewayError> {
    let mut hosts = headers.get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(GatewayError::BadRequest("more than one Host field"));
    }
    let Some(authority) = uri.authority() else {
        return match host {
            Some(host) if is_authority(host.as_bytes()) => Ok(()),
            Some(_) => Err(GatewayError::BadRequest("the Host field is not valid")),
            None if version < Version::HTTP_11 => Ok(()),
            None => Err(GatewayError::BadRequest("the Host field is missing")),
        };
    };
    match host {
        Some(host) if version == Version::HTTP_2 && !is_same(host, authority) => Err(
            GatewayError::BadRequest("the Host field differs from the target's authority"),
        ),
        None if version == Version::HTTP_11 => {
            Err(GatewayError::BadRequest("the Host field is missing"))
        }
        _ => replace(headers, authority),
    }
}

fn replace(headers: &mut HeaderMap, authority: &Authority) -> Result<(), GatewayError> {
    let host = HeaderValue::from_str(authority.as_str());
    match host {
        Ok(host) if is_authority(host.as_bytes()) => {
            headers.insert(HOST, host);
            Ok(())
        }
        _ => Err(GatewayError::BadRequest(
            "the target's authority is not valid",
        )),
    }
}

fn is_same(host: &HeaderValue, authority: &Authority) -> bool {
    host.as_bytes()
        .eq_ignore_ascii_case(authority.as_str().as_bytes())
}

/// A host with or without a port, and no user information (RFC 9110 §7.2, RFC 3986 §3.2.2).
fn is_authority(host: &[u8]) -> bool {
    if is_plain(host) {
        return true;
    }
    let Ok(authority) = Authority::try_from(host) else {
        return false;
    };
    let name = authority.host();
    let port = authority.as_str().strip_prefix(name);
    !name.is_empty()
        && port.is_some_and(|port| {
            let digits = port.strip_prefix(':');
            port.is_empty() || digits.is_some_and(|digits| digits.parse::<u16>().is_ok())
        })
}

/// What most are, and what needs no parser: a name or an IPv4 address alone, or with a port.
fn is_plain(host: &[u8]) -> bool {
    let end = memchr::memchr(b':', host).unwrap_or(host.len());
    let (name, port) = host.split_at(end);
    let is_port = match port {
        [] => true,
        [_, digits @ ..] => {
            (1..=4).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
        }
    };
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    is_port && !name.is_empty() && name.iter().all(is_of_name)
}
