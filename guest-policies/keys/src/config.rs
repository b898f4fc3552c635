//! Keys and lists as an operator writes them.

mod read;

use portcullis_sdk::ConfigProblem;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{IDENTITY, Selector, Source};

/// Parts of a key, and selectors in a row of `or`: a bound on look-ups and on the key's length.
const MAX_SELECTORS: usize = 4;
/// Of the names of headers, cookies, parameters and shared values.
const MAX_NAME: usize = 64;

/// One selector, or several whose values are combined.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub enum Key {
    /// One value.
    One(SelectorConfig),
    /// The combination of 1 to 4 values.
    Combined(#[schemars(length(min = 1, max = 4))] Vec<SelectorConfig>),
}

/// Where a value comes from.
#[derive(Debug, JsonSchema)]
#[schemars(untagged, deny_unknown_fields)]
pub enum SelectorConfig {
    /// A fact of the exchange.
    Fact(FactName),
    /// A request header's first value.
    Header {
        /// The header's name.
        #[schemars(length(min = 1, max = 64))]
        header: String,
        /// What counts when the header is missing or empty. Without it all such requests share one bucket.
        #[schemars(default)]
        or: Option<Box<SelectorConfig>>,
    },
    /// A cookie's value.
    Cookie {
        /// The cookie's name.
        #[schemars(length(min = 1, max = 64))]
        cookie: String,
        /// What counts when there is no such cookie, or an empty one.
        #[schemars(default)]
        or: Option<Box<SelectorConfig>>,
    },
    /// A parameter of the query, decoded.
    Query {
        /// The parameter's name.
        #[schemars(length(min = 1, max = 64))]
        query: String,
        /// What counts when there is no such parameter, or an empty one.
        #[schemars(default)]
        or: Option<Box<SelectorConfig>>,
    },
    /// A value that an earlier policy of the route has shared.
    Shared {
        /// Its name, such as `identity`.
        #[schemars(length(min = 1, max = 64))]
        shared: String,
        /// What counts when no policy has shared it.
        #[schemars(default)]
        or: Option<Box<SelectorConfig>>,
    },
}

/// Facts of the exchange.
#[derive(Clone, Copy, Debug, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum FactName {
    /// The caller's address; in keys IPv6 counts by its /64.
    ClientAddress,
    /// Who the caller is, as an earlier policy of the route has verified: the shared value `identity`.
    Identity,
    /// The route's name.
    Route,
}

/// Some callers, by one of their values.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListEntry {
    /// Which value; without `or`.
    pub key: SelectorConfig,
    /// The values: exact texts; of `client_address` addresses and networks such as `10.0.0.0/8`.
    #[serde(rename = "in")]
    #[schemars(length(min = 1, max = 1000))]
    pub values: Vec<String>,
}

impl Key {
    /// Its parts in their order.
    pub fn selectors(&self) -> Vec<Selector> {
        self.parts().iter().map(Selector::from).collect()
    }

    /// Reports each problem at `path`, the JSON Pointer of the key.
    pub fn check(&self, path: &str, problems: &mut Vec<ConfigProblem>) {
        if !(1..=MAX_SELECTORS).contains(&self.parts().len()) {
            problems.push(ConfigProblem::new(path, "must combine 1 to 4 selectors"));
        }
        for selector in self.parts() {
            selector.check(path, problems);
        }
    }

    fn parts(&self) -> &[SelectorConfig] {
        match self {
            Self::One(selector) => std::slice::from_ref(selector),
            Self::Combined(selectors) => selectors,
        }
    }
}

impl SelectorConfig {
    /// Reports each problem at `path`, the JSON Pointer of the selector.
    pub(crate) fn check(&self, path: &str, problems: &mut Vec<ConfigProblem>) {
        let mut length = 0;
        for selector in self.row() {
            length += 1;
            let (kind, name) = match selector {
                Self::Fact(_) => continue,
                Self::Header { header, .. } => ("header", header),
                Self::Cookie { cookie, .. } => ("cookie", cookie),
                Self::Query { query, .. } => ("parameter", query),
                Self::Shared { shared, .. } => ("shared value", shared),
            };
            if !is_name(name, kind == "parameter") {
                let message = format!("\"{name}\" is no name of a {kind}");
                problems.push(ConfigProblem::new(path, message));
            }
        }
        if length > MAX_SELECTORS {
            let message = "must have at most 4 selectors in a row of `or`";
            problems.push(ConfigProblem::new(path, message));
        }
    }

    /// It and its fall-backs.
    pub(crate) fn row(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |selector| match selector {
            Self::Fact(_) => None,
            Self::Header { or, .. }
            | Self::Cookie { or, .. }
            | Self::Query { or, .. }
            | Self::Shared { or, .. } => or.as_deref(),
        })
    }

    pub(crate) fn source(&self) -> Source {
        match self {
            Self::Fact(FactName::ClientAddress) => Source::ClientAddress,
            Self::Fact(FactName::Identity) => Source::Shared(IDENTITY.to_owned()),
            Self::Fact(FactName::Route) => Source::Route,
            Self::Header { header, .. } => Source::Header(header.to_ascii_lowercase()),
            Self::Cookie { cookie, .. } => Source::Cookie(cookie.clone()),
            Self::Query { query, .. } => Source::Query(query.clone()),
            Self::Shared { shared, .. } => Source::Shared(shared.clone()),
        }
    }
}

impl From<&SelectorConfig> for Selector {
    fn from(config: &SelectorConfig) -> Self {
        Self {
            sources: config.row().map(SelectorConfig::source).collect(),
        }
    }
}

/// A token (RFC 9110, 5.6.2); parameters may have brackets besides, as in `filter[user]`.
fn is_name(name: &str, is_parameter: bool) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let allowed = |byte: u8| token(byte) || is_parameter && b"[]".contains(&byte);
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn key(value: Value) -> Key {
        serde_json::from_value(value).unwrap()
    }

    fn problems(value: Value) -> Vec<String> {
        let mut problems = Vec::new();
        key(value).check("/key", &mut problems);
        assert!(problems.iter().all(|problem| problem.path == "/key"));
        problems
            .into_iter()
            .map(|problem| problem.message)
            .collect()
    }

    #[test]
    fn every_selector_is_read() {
        let sources = |value| -> Vec<Source> {
            let selectors = key(value).selectors();
            selectors
                .into_iter()
                .flat_map(|selector| selector.sources)
                .collect()
        };
        assert_eq!(
            sources(
                json!({ "header": "X-Api-Key", "or": { "cookie": "Sid", "or": { "query": "f[k]", "or": "identity" } } })
            ),
            [
                Source::Header("x-api-key".to_owned()),
                Source::Cookie("Sid".to_owned()),
                Source::Query("f[k]".to_owned()),
                Source::Shared("identity".to_owned())
            ]
        );
        assert_eq!(
            sources(json!([{ "shared": "tenant" }, "route", "client_address"])),
            [
                Source::Shared("tenant".to_owned()),
                Source::Route,
                Source::ClientAddress
            ]
        );
    }

    #[test]
    fn names_and_numbers_are_checked() {
        for (value, message) in [
            (json!({ "header": "x y" }), "\"x y\" is no name of a header"),
            (
                json!({ "cookie": "a[b]" }),
                "\"a[b]\" is no name of a cookie",
            ),
            (json!({ "query": "" }), "\"\" is no name of a parameter"),
            (
                json!({ "shared": "{x}" }),
                "\"{x}\" is no name of a shared value",
            ),
            (json!([]), "must combine 1 to 4 selectors"),
            (
                json!(["route", "route", "route", "route", "route"]),
                "must combine 1 to 4",
            ),
            (
                json!({ "header": "a", "or": { "cookie": "b", "or": { "query": "c", "or": { "shared": "d", "or": "route" } } } }),
                "at most 4 selectors in a row",
            ),
        ] {
            let found = problems(value.clone());
            assert_eq!(found.len(), 1, "{value} {found:?}");
            assert!(found[0].contains(message), "{value} {found:?}");
        }
        assert_eq!(
            problems(json!([{ "header": "a", "or": "route" }, "identity"])),
            [""; 0]
        );
    }

    #[test]
    fn unknown_words_are_refused_with_what_is_expected() {
        let any = "expected client_address, identity, route, { header";
        for (value, expected) in [
            (json!("client_adress"), any),
            (json!(["x-api-key", "route"]), any),
            (json!(7), any),
            (json!([["route"]]), any),
            (
                json!({}),
                "must have one of header, cookie, query and shared",
            ),
            (
                json!({ "or": "route" }),
                "must have one of header, cookie, query and shared",
            ),
            (
                json!({ "header": "a", "else": "route" }),
                "unknown field `else`",
            ),
            (
                json!({ "header": "a", "cookie": "b" }),
                "must have one of header",
            ),
            (
                json!({ "header": "a", "or": "route", "or2": 1 }),
                "unknown field `or2`",
            ),
            (json!({ "header": 1 }), "expected a string"),
        ] {
            let error = serde_json::from_value::<Key>(value.clone())
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{value}: {error}");
        }
    }
}
