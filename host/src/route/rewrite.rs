//! How the target and the host change on the way to the upstream.

use http::HeaderValue;
use http::uri::PathAndQuery;
use portcullis_config::Rewrite as RewriteConfig;

use super::matcher::has_path_prefix;

/// How the path changes on the way to the upstream.
#[derive(Debug, Clone, Default)]
pub struct Rewrite {
    /// Removed from the path's start.
    pub strip_prefix: Option<String>,
    /// Put before what is left.
    pub add_prefix: Option<String>,
    /// In place of the whole path.
    pub path: Option<String>,
    /// The Host field for the upstream; `None`: the client's.
    pub host: Option<HeaderValue>,
}

impl Rewrite {
    /// As the config has it.
    pub fn from_config(config: &RewriteConfig) -> Self {
        Self {
            strip_prefix: config.strip_prefix.clone(),
            add_prefix: config.add_prefix.clone(),
            path: config.path.clone(),
            host: config
                .host
                .as_deref()
                .and_then(|host| HeaderValue::from_str(host).ok()),
        }
    }

    /// The target for the upstream; `None` when it would be longer than 65,534 bytes. A path that
    /// policies have moved out of `strip_prefix` is left whole.
    pub fn apply(&self, target: &PathAndQuery) -> Option<PathAndQuery> {
        if let Some(path) = &self.path {
            return with_path(path, target);
        }
        if self.strip_prefix.is_none() && self.add_prefix.is_none() {
            return Some(target.clone());
        }
        let strip = self
            .strip_prefix
            .as_deref()
            .unwrap_or("")
            .trim_end_matches('/');
        let path = target.path();
        let rest = if has_path_prefix(path, strip) {
            &path[strip.len()..]
        } else {
            path
        };
        let add = self
            .add_prefix
            .as_deref()
            .unwrap_or("")
            .trim_end_matches('/');
        let mut rewritten = String::with_capacity(add.len() + target.as_str().len() + 1);
        rewritten.push_str(add);
        if !rest.starts_with('/') {
            rewritten.push('/');
        }
        rewritten.push_str(rest);
        if let Some(query) = target.query() {
            rewritten.push('?');
            rewritten.push_str(query);
        }
        // Parts of a valid target joined at slashes are valid, unless too long.
        PathAndQuery::try_from(rewritten).ok()
    }
}

fn with_path(path: &str, target: &PathAndQuery) -> Option<PathAndQuery> {
    let rewritten = match target.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    PathAndQuery::try_from(rewritten).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_grows_too_long_is_not_forwarded_without_its_prefix() {
        let rewrite = Rewrite {
            strip_prefix: None,
            add_prefix: Some("/internal/public".to_owned()),
            ..Rewrite::default()
        };
        let long = format!("/{}", "x".repeat(65_520));
        assert_eq!(rewrite.apply(&long.parse().unwrap()), None);
    }

    #[test]
    fn a_whole_path_is_replaced_and_the_query_kept() {
        let rewrite = Rewrite {
            path: Some("/new/".to_owned()),
            ..Rewrite::default()
        };
        for (from, to) in [
            ("/", "/new/"),
            ("/a/b?c=/d", "/new/?c=/d"),
            ("/?", "/new/?"),
        ] {
            assert_eq!(rewrite.apply(&from.parse().unwrap()).unwrap(), to, "{from}");
        }
        let long = format!("/?{}", "x".repeat(65_530));
        assert_eq!(rewrite.apply(&long.parse().unwrap()), None);
    }

    #[test]
    fn a_rewrite_changes_the_path_and_keeps_the_query() {
        let cases = [
            (Some("/api/s1"), None, "/api/s1/hello?a=1", "/hello?a=1"),
            (Some("/api/s1"), None, "/api/s1", "/"),
            (Some("/api/s1/"), None, "/api/s1?x", "/?x"),
            (Some("/api/s1"), None, "/api/s10/hello", "/api/s10/hello"),
            (Some("/"), None, "/hello", "/hello"),
            (Some("/api"), Some("/v2"), "/api/x", "/v2/x"),
            (None, Some("/v2/"), "/x?q", "/v2/x?q"),
            (None, None, "/x", "/x"),
        ];
        for (strip, add, from, to) in cases {
            let rewrite = Rewrite {
                strip_prefix: strip.map(str::to_owned),
                add_prefix: add.map(str::to_owned),
                ..Rewrite::default()
            };
            assert_eq!(
                rewrite.apply(&from.parse().unwrap()).unwrap().as_str(),
                to,
                "{strip:?} {add:?} {from}"
            );
        }
    }
}
