//! Under which key a resource's responses are kept (RFC 9111 §2: the cache key).

use sha2::{Digest, Sha256};

use crate::variant::hexadecimal;

/// A longer key is kept as its digest; stores bound their keys.
const MAX_PLAIN_BYTES: usize = 200;

/// Which parameters of a query are part of the key.
#[derive(Clone, Debug, Default)]
pub struct QueryRules {
    /// These alone; all where there are none.
    pub keep: Option<Vec<String>>,
    /// All but these.
    pub drop: Vec<String>,
    /// In the order of their names and values.
    pub sort: bool,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The route's name: two routes may serve one URI from different upstreams.
    pub route: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and port.
    pub authority: &'a str,
    /// In its one spelling.
    pub path_with_query: &'a str,
}

impl QueryRules {
    /// The key of the target, such as `u:shop|https://example.com/a?b=1`; 128 bits of SHA-256 where that is long.
    pub fn key(&self, target: &Target) -> String {
        let (path, query) = match target.path_with_query.split_once('?') {
            Some((path, query)) => (path, self.query(query)),
            None => (target.path_with_query, String::new()),
        };
        let Target { route, scheme, .. } = target;
        let authority = normal_authority(scheme, target.authority);
        let mark = if query.is_empty() { "" } else { "?" };
        let plain = format!("u:{route}|{scheme}://{authority}{path}{mark}{query}");
        if plain.len() <= MAX_PLAIN_BYTES {
            return plain;
        }
        format!("u:#{}", hexadecimal(&Sha256::digest(&plain)[..16]))
    }

    fn query(&self, query: &str) -> String {
        if self.keep.is_none() && self.drop.is_empty() && !self.sort {
            return query.to_owned();
        }
        let is_part = |pair: &&str| {
            let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
            let is_kept = self
                .keep
                .as_ref()
                .is_none_or(|keep| keep.iter().any(|kept| kept == name));
            is_kept && !self.drop.iter().any(|dropped| dropped == name)
        };
        let mut pairs: Vec<&str> = query.split('&').filter(is_part).collect();
        if self.sort {
            pairs.sort_unstable();
        }
        pairs.join("&")
    }
}

/// RFC 9110 §4.2.3: hosts know no case, and the default port need not be there.
fn normal_authority(scheme: &str, authority: &str) -> String {
    let port = if scheme == "https" { ":443" } else { ":80" };
    let authority = authority.strip_suffix(port).unwrap_or(authority);
    authority.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target = Target {
        route: "r",
        scheme: "http",
        authority: "example.com",
        path_with_query: "/a?b=1&a=2&utm=x",
    };

    fn key(rules: &QueryRules, path_with_query: &str) -> String {
        rules.key(&Target {
            path_with_query,
            ..TARGET
        })
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn rfc_9110_4_2_3_equal_uris_have_one_key() {
        let rules = QueryRules::default();
        assert_eq!(rules.key(&TARGET), "u:r|http://example.com/a?b=1&a=2&utm=x");
        for (scheme, authority) in [("http", "EXAMPLE.com:80"), ("http", "example.com")] {
            let same = Target {
                scheme,
                authority,
                ..TARGET
            };
            assert_eq!(rules.key(&same), rules.key(&TARGET), "{authority}");
        }
        for other in [
            Target {
                route: "s",
                ..TARGET
            },
            Target {
                scheme: "https",
                ..TARGET
            },
            Target {
                authority: "example.com:443",
                ..TARGET
            },
            Target {
                authority: "example.org",
                ..TARGET
            },
            Target {
                path_with_query: "/A?b=1&a=2&utm=x",
                ..TARGET
            },
            Target {
                path_with_query: "/a?a=2&b=1&utm=x",
                ..TARGET
            },
        ] {
            assert_ne!(rules.key(&other), rules.key(&TARGET), "{other:?}");
        }
    }

    #[test]
    fn parameters_are_dropped_kept_and_sorted() {
        let dropped = QueryRules {
            drop: words(&["utm"]),
            ..QueryRules::default()
        };
        assert_eq!(
            key(&dropped, "/a?b=1&utm=x&a=2"),
            "u:r|http://example.com/a?b=1&a=2"
        );
        assert_eq!(key(&dropped, "/a?utm=x"), key(&dropped, "/a"));
        let kept = QueryRules {
            keep: Some(words(&["a"])),
            ..QueryRules::default()
        };
        assert_eq!(
            key(&kept, "/a?b=1&a=2&a=1"),
            "u:r|http://example.com/a?a=2&a=1"
        );
        let none = QueryRules {
            keep: Some(Vec::new()),
            ..QueryRules::default()
        };
        assert_eq!(key(&none, "/a?b=1"), key(&none, "/a"));
        let sorted = QueryRules {
            sort: true,
            ..QueryRules::default()
        };
        assert_eq!(key(&sorted, "/a?b=1&a=2"), key(&sorted, "/a?a=2&b=1"));
        assert_ne!(key(&sorted, "/a?b=1&a=2"), key(&sorted, "/a?b=2&a=1"));
    }

    #[test]
    fn long_keys_are_digests() {
        let rules = QueryRules::default();
        let long = format!("/{}", "x".repeat(300));
        assert_eq!(key(&rules, &long).len(), 3 + 32);
        assert_ne!(key(&rules, &long), key(&rules, &format!("{long}y")));
    }
}
