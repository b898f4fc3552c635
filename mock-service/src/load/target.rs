//! Where requests go.

use std::str::FromStr;

use http::Uri;

/// A server, by its URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `host:port`.
    pub authority: String,
    /// What every path begins with; without a slash at its end.
    pub base: String,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected a URL such as http://127.0.0.1:8080".to_owned();
        let uri: Uri = text.parse().map_err(|_| expected())?;
        let authority = uri.authority().ok_or_else(expected)?;
        if uri.scheme_str() != Some("http")
            || uri.query().is_some()
            || authority.as_str().contains('@')
        {
            return Err(expected());
        }
        Ok(Self {
            authority: format!("{}:{}", authority.host(), uri.port_u16().unwrap_or(80)),
            base: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_http_urls() {
        let table = [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", ""),
            ("http://shop.example/", "shop.example:80", ""),
            ("http://[::1]:1/api/", "[::1]:1", "/api"),
        ];
        for (text, authority, base) in table {
            let target: Target = text.parse().unwrap();
            assert_eq!(
                (target.authority.as_str(), target.base.as_str()),
                (authority, base)
            );
        }
        for text in [
            "",
            "localhost:8080",
            "https://a",
            "http://a@b",
            "http://a/?b",
            "/a",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text:?}");
        }
    }
}
