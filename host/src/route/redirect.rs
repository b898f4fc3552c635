//! Where a redirect sends the client.

use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderValue, StatusCode};
use portcullis_config::{Redirect as RedirectConfig, RedirectPath};

use super::matcher::has_path_prefix;
use crate::exchange::RequestHead;

/// Another place for the client to go to.
#[derive(Debug)]
pub struct Redirect {
    /// 3xx.
    pub status: StatusCode,
    config: RedirectConfig,
    /// What a new prefix replaces; without a slash at its end.
    matched_prefix: String,
}

impl Redirect {
    /// As the config has it, on a route with this `path_prefix`.
    pub fn from_config(config: &RedirectConfig, path_prefix: &str) -> Self {
        Self {
            status: StatusCode::from_u16(config.status).unwrap_or(StatusCode::FOUND),
            config: config.clone(),
            matched_prefix: path_prefix.trim_end_matches('/').to_owned(),
        }
    }

    /// The Location field (RFC 9110 §10.2.2): relative where neither scheme nor host changes, since a
    /// proxy before the gateway may know others than the gateway does. `scheme` is the request's.
    /// `None` when it is too long or holds what a field can't.
    pub fn location(&self, head: &RequestHead, scheme: &str) -> Option<HeaderValue> {
        let mut location = String::with_capacity(head.target.as_str().len() + 64);
        let authority = self.authority(head);
        match authority {
            Some(host) => {
                location.push_str(self.config.scheme.as_deref().unwrap_or(scheme));
                location.push_str("://");
                location.push_str(host);
                self.push_path(&mut location, &head.target);
            }
            None => {
                // `//host` and `/\host` would lead to another host (RFC 3986 §4.2, WHATWG URL §4.4).
                location.push('/');
                let mut path = String::new();
                self.push_path(&mut path, &head.target);
                location.push_str(path.trim_start_matches(['/', '\\']));
            }
        }
        if let Some(query) = head.target.query().filter(|_| self.config.keep_query) {
            location.push('?');
            location.push_str(query);
        }
        HeaderValue::try_from(location).ok()
    }

    /// The host of an absolute location; `None` for a relative one.
    fn authority<'a>(&'a self, head: &'a RequestHead) -> Option<&'a str> {
        if let Some(host) = &self.config.host {
            return Some(host);
        }
        self.config.scheme.as_ref()?;
        let host = head.headers.get(HOST)?.to_str().ok()?;
        // The port is the other scheme's.
        let name = host.rsplit_once(':').filter(|(_, port)| {
            let mut digits = port.bytes();
            digits.all(|byte| byte.is_ascii_digit())
        });
        Some(name.map_or(host, |(name, _)| name))
    }

    fn push_path(&self, location: &mut String, target: &PathAndQuery) {
        let path = target.path();
        match &self.config.path {
            Some(RedirectPath::Whole(whole)) => location.push_str(whole),
            Some(RedirectPath::Prefix(prefix)) if has_path_prefix(path, &self.matched_prefix) => {
                let rest = &path[self.matched_prefix.len()..];
                let prefix = prefix.trim_end_matches('/');
                location.push_str(prefix);
                if prefix.is_empty() && !rest.starts_with('/') {
                    location.push('/');
                }
                location.push_str(rest);
            }
            _ => location.push_str(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: RedirectConfig = RedirectConfig {
        status: 302,
        scheme: None,
        host: None,
        path: None,
        keep_query: true,
    };

    fn location(config: RedirectConfig, host: &str, target: &str) -> String {
        let mut headers = http::HeaderMap::new();
        if !host.is_empty() {
            headers.insert(HOST, host.parse().unwrap());
        }
        let head = RequestHead {
            accepts_trailers: false,
            upgrade: None,
            method: http::Method::GET,
            target: target.parse().unwrap(),
            headers,
        };
        let redirect = Redirect::from_config(&config, "/old");
        let location = redirect.location(&head, "http").unwrap();
        location.to_str().unwrap().to_owned()
    }

    #[test]
    fn what_is_not_said_is_the_requests() {
        let scheme = |scheme: &str| RedirectConfig {
            scheme: Some(scheme.to_owned()),
            ..NOTHING
        };
        let host = |host: &str| RedirectConfig {
            host: Some(host.to_owned()),
            ..NOTHING
        };
        for (config, from, to) in [
            (scheme("https"), "a:8080", "https://a/old/x?q=1"),
            (scheme("https"), "[::1]:8080", "https://[::1]/old/x?q=1"),
            (scheme("https"), "[::1]", "https://[::1]/old/x?q=1"),
            (host("b:81"), "a:8080", "http://b:81/old/x?q=1"),
            // An HTTP/1.0 client that names no host.
            (scheme("https"), "", "/old/x?q=1"),
        ] {
            assert_eq!(location(config, from, "/old/x?q=1"), to, "{from}");
        }
    }

    #[test]
    fn the_path_or_its_prefix_is_replaced() {
        let whole = |path: &str| RedirectConfig {
            path: Some(RedirectPath::Whole(path.to_owned())),
            keep_query: false,
            ..NOTHING
        };
        let prefix = |path: &str| RedirectConfig {
            path: Some(RedirectPath::Prefix(path.to_owned())),
            ..NOTHING
        };
        for (config, from, to) in [
            (whole("/new/"), "/old/x?q", "/new/"),
            (prefix("/new"), "/old/x?q", "/new/x?q"),
            (prefix("/new"), "/old", "/new"),
            (prefix("/"), "/old", "/"),
            (prefix("/"), "/old/x", "/x"),
            (prefix("/new"), "/moved/by/a/policy", "/moved/by/a/policy"),
        ] {
            assert_eq!(location(config, "a", from), to, "{from}");
        }
    }

    #[test]
    fn no_path_becomes_another_host() {
        let prefix = || RedirectConfig {
            path: Some(RedirectPath::Prefix("/".to_owned())),
            ..NOTHING
        };
        for target in ["/old//evil.example", "/old///evil.example"] {
            assert_eq!(location(prefix(), "a", target), "/evil.example", "{target}");
        }
    }
}
