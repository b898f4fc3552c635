//! Origins as browsers write them (fetch standard, #origin-header; HTML, "ASCII serialisation of an origin"), and the
//! patterns that a config lists.

/// One entry of `origins`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginPattern {
    /// `*`: every origin, `null` included.
    Any,
    /// One origin, or `null`, byte by byte.
    Exact(String),
    /// `https://*.example.com`: one label stands where the `*` is.
    OneLabel {
        /// `https://`.
        before: String,
        /// `.example.com`, with the port if there is one.
        after: String,
    },
}

impl OriginPattern {
    /// Reads an entry.
    ///
    /// # Errors
    ///
    /// A message that says how browsers write such an origin.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "*" => return Ok(Self::Any),
            "null" => return Ok(Self::Exact(text.to_owned())),
            _ => {}
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(format!(
                "{text:?} is no origin: write https://example.com, https://*.example.com, \"null\" or \"*\""
            ));
        };
        check_scheme(scheme)?;
        let (host, port) = split_port(rest);
        check_port(scheme, port)?;
        match host.strip_prefix('*') {
            None => {
                check_host(host)?;
                Ok(Self::Exact(text.to_owned()))
            }
            Some(after) => {
                let domain = after
                    .strip_prefix('.')
                    .ok_or("the * stands for one whole label: write https://*.example.com")?;
                check_host(domain)?;
                Ok(Self::OneLabel {
                    before: format!("{scheme}://"),
                    after: format!(".{}", &rest[2..]),
                })
            }
        }
    }

    /// Whether `origin`, a whole `Origin` field, is meant.
    pub fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(known) => known == origin,
            Self::OneLabel { before, after } => {
                let label = origin
                    .strip_prefix(before.as_str())
                    .and_then(|rest| rest.strip_suffix(after.as_str()));
                label.is_some_and(is_label)
            }
        }
    }
}

/// Letters, digits, `-` and `_`, in lower case as browsers write them: no dot, so that there is one label, and nothing
/// that could begin another part of a URL.
fn is_label(text: &str) -> bool {
    let may_stand = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
    };
    !text.is_empty() && text.bytes().all(may_stand)
}

fn check_scheme(scheme: &str) -> Result<(), String> {
    let may_stand =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    if scheme.starts_with(|c: char| c.is_ascii_lowercase()) && scheme.bytes().all(may_stand) {
        return Ok(());
    }
    Err(format!(
        "{scheme:?} is no scheme: write https or http, in lower case"
    ))
}

/// The host, and the port if there is one. The colons of an IPv6 address are in brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    let end = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    match authority[end..].find(':') {
        Some(colon) => (
            &authority[..end + colon],
            Some(&authority[end + colon + 1..]),
        ),
        None => (authority, None),
    }
}

fn check_port(scheme: &str, port: Option<&str>) -> Result<(), String> {
    let Some(port) = port else { return Ok(()) };
    match (scheme, port) {
        ("https", "443") | ("http", "80") => Err(format!(
            "leave :{port} out: browsers do, as it is the scheme's own port"
        )),
        _ if port
            .parse::<u16>()
            .is_ok_and(|number| number.to_string() == port) =>
        {
            Ok(())
        }
        _ => Err(format!(
            "{port:?} is no port (an origin ends with its host or port, without a path or a slash)"
        )),
    }
}

fn check_host(host: &str) -> Result<(), String> {
    if host.contains(['/', '?', '#', '@']) {
        return Err(
            "an origin has no path, no query and no slash at its end: write https://example.com"
                .to_owned(),
        );
    }
    if host.contains('*') {
        return Err("one * may stand, for the first label: write https://*.example.com".to_owned());
    }
    if host
        .bytes()
        .any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii())
    {
        return Err(
            "browsers write hosts in lower case and ASCII: write xn--… for a name in other letters"
                .to_owned(),
        );
    }
    let is_address = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
    if is_address || host.split('.').all(is_label) {
        return Ok(());
    }
    Err(format!("{host:?} is no host: write https://example.com"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, origin: &str) -> bool {
        OriginPattern::parse(pattern).unwrap().matches(origin)
    }

    #[test]
    fn origins_are_compared_byte_by_byte() {
        assert!(matches("https://a.example", "https://a.example"));
        assert!(matches("http://localhost:3000", "http://localhost:3000"));
        assert!(matches("http://[::1]:3000", "http://[::1]:3000"));
        assert!(matches(
            "chrome-extension://abcdef",
            "chrome-extension://abcdef"
        ));
        for other in [
            "http://a.example",
            "https://a.example:8443",
            "https://A.example",
            "https://a.example/",
            "https://a.example.evil.test",
            "https://xa.example",
            "null",
            "",
        ] {
            assert!(!matches("https://a.example", other), "{other}");
        }
    }

    #[test]
    fn null_is_meant_only_where_it_is_written() {
        assert!(matches("null", "null") && matches("*", "null"));
        assert!(!matches("https://a.example", "null") && !matches("null", "NULL"));
    }

    #[test]
    fn a_star_is_one_whole_label() {
        let pattern = "https://*.example.com";
        for origin in [
            "https://a.example.com",
            "https://xn--4ca.example.com",
            "https://a-b_1.example.com",
        ] {
            assert!(matches(pattern, origin), "{origin}");
        }
        for origin in [
            "https://example.com",
            "https://.example.com",
            "https://a.b.example.com",
            "https://aexample.com",
            "http://a.example.com",
            "https://a.example.com:8443",
            "https://evil.test/.example.com",
            "https://evil.test#.example.com",
            "https://user@a.example.com",
            "https://evil.test:80.example.com",
            "https://a.example.com.evil.test",
            "https://*.example.com",
            "null",
        ] {
            assert!(!matches(pattern, origin), "{origin}");
        }
        assert!(matches(
            "http://*.localhost:3000",
            "http://app.localhost:3000"
        ));
        assert!(!matches(
            "http://*.localhost:3000",
            "http://app.localhost:30000"
        ));
    }

    #[test]
    fn what_no_browser_writes_is_refused_with_what_it_would() {
        for (text, message) in [
            ("", "is no origin"),
            ("example.com", "is no origin"),
            ("HTTPS://example.com", "in lower case"),
            ("https://Example.com", "lower case"),
            ("https://bücher.example", "xn--"),
            ("https://example.com/", "no slash at its end"),
            ("https://example.com/app", "no path"),
            ("https://example.com:443", "leave :443 out"),
            ("http://example.com:80", "leave :80 out"),
            ("https://example.com:443/", "is no port"),
            ("https://example.com:0443", "is no port"),
            ("https://example.com:99999", "is no port"),
            ("https://*example.com", "one whole label"),
            ("https://*", "one whole label"),
            ("https://*.", "is no host"),
            ("https://a.*.example.com", "for the first label"),
            ("https://*.*.example.com", "for the first label"),
            ("https://", "is no host"),
            ("https://user@example.com", "no path"),
            ("https://[::g]", "is no host"),
        ] {
            let error = OriginPattern::parse(text).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_a_pattern_never_matches_another_host(text in ".{0,40}", origin in ".{0,40}") {
            let _ = OriginPattern::parse(&text).map(|pattern| pattern.matches(&origin));
            let pattern = OriginPattern::parse("https://*.example.com").unwrap();
            if pattern.matches(&origin) {
                prop_assert!(origin.ends_with(".example.com") && origin.matches('.').count() == 2);
            }
        }
    }
}
