//! Texts that name Redis servers. A message never repeats the text, which may hold a password.

use http::Uri;

use crate::address::host_and_port;
use crate::upstream::Endpoint;

/// How a server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RedisScheme {
    /// `redis://`
    Plain,
    /// `rediss://`
    Tls,
    /// `unix://`
    Unix,
}

/// What a URL says beside its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RedisUrl {
    pub(crate) scheme: RedisScheme,
    pub(crate) has_login: bool,
    pub(crate) has_database: bool,
}

/// `redis://[user:password@]host[:port][/database]`, the same with `rediss://`, or `unix:///path`.
pub(crate) fn redis_url(text: &str) -> Result<RedisUrl, String> {
    const SHAPE: &str = "expected redis://[user:password@]host[:port][/database], rediss:// for TLS, or unix:///path";
    let scheme = match text.split_once("://") {
        Some(("redis", _)) => RedisScheme::Plain,
        Some(("rediss", _)) => RedisScheme::Tls,
        Some(("unix", path)) => return unix_path(path),
        Some(_) => return Err(format!("no such scheme: {SHAPE}")),
        None => return Err(format!("the scheme is missing: {SHAPE}")),
    };
    let unreadable =
        || format!("not a URL: {SHAPE}, with special characters of the password percent-encoded");
    // http::Uri drops a fragment without a word, and with it the rest of a password that holds #.
    if text.contains('#') {
        return Err(unreadable());
    }
    let uri: Uri = text.parse().map_err(|_| unreadable())?;
    let authority = uri.authority().ok_or_else(unreadable)?.as_str();
    let (login, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    host_and_port(host)?;
    if !login.is_empty()
        && login
            .split_once(':')
            .is_none_or(|(_, password)| password.is_empty())
    {
        return Err("a user needs a password: redis://user:password@host".to_owned());
    }
    let database = uri.path().trim_start_matches('/');
    if !database.is_empty() && database.parse::<u32>().is_err() {
        return Err("the database must be a number: redis://host:6379/0".to_owned());
    }
    Ok(RedisUrl {
        scheme,
        has_login: !login.is_empty(),
        has_database: !database.is_empty(),
    })
}

fn unix_path(path: &str) -> Result<RedisUrl, String> {
    if !path.starts_with('/') || path.len() == 1 {
        return Err("expected the whole path of a socket: unix:///run/redis/redis.sock".to_owned());
    }
    if path.contains(['?', '#', '%']) {
        return Err("the path of a socket stands alone, without ?, # and %: write username, password and database beside the url".to_owned());
    }
    Ok(RedisUrl {
        scheme: RedisScheme::Unix,
        has_login: false,
        has_database: false,
    })
}

/// `redis://host[:port]` or `rediss://host[:port]`: a Sentinel, or a node of a cluster.
pub(crate) fn redis_node(text: &str, usual_port: u16) -> Result<(RedisScheme, Endpoint), String> {
    const SHAPE: &str = "expected redis://host[:port], or rediss:// for TLS";
    let (scheme, rest) = match text.split_once("://") {
        _ if text.contains("${") => {
            return Err(format!("${{NAME}} is only read in secrets: {SHAPE}"));
        }
        Some(("redis", rest)) => (RedisScheme::Plain, rest),
        Some(("rediss", rest)) => (RedisScheme::Tls, rest),
        Some(_) => return Err(format!("no such scheme: {SHAPE}")),
        None => return Err(format!("the scheme is missing: {SHAPE}")),
    };
    if rest.contains('@') {
        return Err(format!(
            "a node has no user and password: {SHAPE}, and write username and password"
        ));
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err(format!("a node has nothing behind its port: {SHAPE}"));
    }
    let (host, port) = host_and_port(rest)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok((
        scheme,
        Endpoint {
            host: host.to_ascii_lowercase(),
            port: port.unwrap_or(usual_port),
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let table = [
            ("redis://127.0.0.1:6379", RedisScheme::Plain, false, false),
            ("redis://redis", RedisScheme::Plain, false, false),
            ("redis://:pw@redis:6379/0", RedisScheme::Plain, true, true),
            (
                "rediss://user:p%40w@[::1]:6379/15?protocol=resp3",
                RedisScheme::Tls,
                true,
                true,
            ),
            ("unix:///run/redis.sock", RedisScheme::Unix, false, false),
        ];
        for (text, scheme, has_login, has_database) in table {
            let expected = RedisUrl {
                scheme,
                has_login,
                has_database,
            };
            assert_eq!(redis_url(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn broken_urls() {
        let shape = "expected redis://[user:password@]host[:port][/database], rediss:// for TLS, or unix:///path";
        let unreadable =
            format!("not a URL: {shape}, with special characters of the password percent-encoded");
        let table = [
            ("redis:6379", format!("the scheme is missing: {shape}")),
            ("http://redis", format!("no such scheme: {shape}")),
            ("redis://:p#w@h", unreadable.clone()),
            ("rediss://h#insecure", unreadable.clone()),
            ("redis://:p w@h", unreadable),
            ("redis://h:x", "the port must be a number from 1 to 65535".to_owned()),
            ("redis://h/db", "the database must be a number: redis://host:6379/0".to_owned()),
            ("redis://user@h", "a user needs a password: redis://user:password@host".to_owned()),
            ("unix://run/redis", "expected the whole path of a socket: unix:///run/redis/redis.sock".to_owned()),
            ("unix:///run/redis?db=1", "the path of a socket stands alone, without ?, # and %: write username, password and database beside the url".to_owned()),
        ];
        for (text, message) in table {
            assert_eq!(redis_url(text), Err(message), "{text}");
        }
    }

    #[test]
    fn nodes() {
        let node = |host: &str, port| Endpoint {
            host: host.to_owned(),
            port,
        };
        let table = [
            (
                "redis://Sentinel-1",
                RedisScheme::Plain,
                node("sentinel-1", 26379),
            ),
            ("rediss://[::1]:7000/", RedisScheme::Tls, node("::1", 7000)),
        ];
        for (text, scheme, node) in table {
            assert_eq!(redis_node(text, 26379), Ok((scheme, node)), "{text}");
        }
        let shape = "expected redis://host[:port], or rediss:// for TLS";
        let table = [
            ("sentinel:26379", format!("the scheme is missing: {shape}")),
            ("unix:///run/redis", format!("no such scheme: {shape}")),
            (
                "redis://${HOST}",
                format!("${{NAME}} is only read in secrets: {shape}"),
            ),
            (
                "redis://:pw@h",
                format!(
                    "a node has no user and password: {shape}, and write username and password"
                ),
            ),
            (
                "redis://h/1",
                format!("a node has nothing behind its port: {shape}"),
            ),
        ];
        for (text, message) in table {
            assert_eq!(redis_node(text, 6379), Err(message), "{text}");
        }
    }
}
