//! Where a caller puts what proves who it is, and how that is taken away before the upstream sees it.
//!
//! A policy that knows tokens or keys lets its config name the places ([`Source`]), looks into them in order,
//! and strips all of them but the one that it has verified and is to pass on: a credential that nobody has
//! looked at must not reach an upstream that may believe it.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::fields::{self, decoded};
use crate::{EditError, Exchange, FieldOp, Head};

/// A place in a request that may hold a credential.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// `Authorization: Bearer …` (RFC 6750 §2.1); the scheme's case is free.
    Bearer,
    /// The whole value of this request header.
    Header(String),
    /// The value of this cookie.
    Cookie(String),
    /// The value of this query parameter. URLs end up in logs: a last resort.
    Query(String),
}

/// What a place holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing of that kind.
    Nothing,
    /// One credential, perhaps an empty one.
    One(String),
    /// Several: who reads the request next might take another than the one that was checked.
    Many,
}

impl Source {
    /// What is wrong with a name, if anything is.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::Bearer => None,
            Self::Header(name) => fields::editable_header(name).err(),
            Self::Cookie(name) if !fields::is_token(name) => {
                Some(format!("\"{name}\" is no cookie's name"))
            }
            Self::Query(name) if name.is_empty() => Some("a parameter needs a name".to_owned()),
            Self::Cookie(_) | Self::Query(_) => None,
        }
    }

    /// Looks into this place of the request.
    pub fn find(&self, exchange: &Exchange) -> Found {
        match self {
            Self::Bearer => bearer(&exchange.header_values("authorization")),
            Self::Header(name) => one(exchange.header_values(name).iter().map(|v| text(v))),
            Self::Cookie(name) => {
                let lines = exchange.header_values("cookie");
                one(lines.iter().flat_map(|line| fields::cookies(line, name)))
            }
            Self::Query(name) => one(parameters(&exchange.head().path_with_query, name)),
        }
    }
}

/// Takes whatever is in these places out of the request; other cookies, parameters and schemes of
/// `Authorization` stay.
///
/// # Errors
///
/// Those of an edit, for a header that is the gateway's.
pub fn strip<'a>(
    sources: impl IntoIterator<Item = &'a Source>,
    exchange: &Exchange,
) -> Result<(), EditError> {
    let (mut cookies, mut queries) = (Vec::new(), Vec::new());
    for source in sources {
        match source {
            Source::Bearer => {
                if source.find(exchange) != Found::Nothing {
                    exchange.remove_header("authorization")?;
                }
            }
            Source::Header(name) => exchange.remove_header(name)?,
            Source::Cookie(name) => cookies.push(name.as_str()),
            Source::Query(name) => queries.push(name.as_str()),
        }
    }
    strip_cookies(&cookies, exchange)?;
    strip_parameters(&queries, exchange)
}

fn strip_cookies(names: &[&str], exchange: &Exchange) -> Result<(), EditError> {
    let lines = match names {
        [] => return Ok(()),
        _ => exchange.header_values("cookie"),
    };
    let kept: Vec<Vec<u8>> = lines.iter().map(|line| without(line, names)).collect();
    if kept == lines {
        return Ok(());
    }
    let kept = kept.iter().filter(|line| !line.is_empty());
    let mut edits = vec![FieldOp::Remove("cookie")];
    edits.extend(kept.map(|line| FieldOp::Append(("cookie", line.as_slice()))));
    exchange.edit_headers(&edits)
}

fn strip_parameters(names: &[&str], exchange: &Exchange) -> Result<(), EditError> {
    if names.is_empty() {
        return Ok(());
    }
    let head = exchange.head();
    let kept = without_parameters(&head.path_with_query, names);
    if kept == head.path_with_query {
        return Ok(());
    }
    exchange.set_head(&Head {
        path_with_query: kept,
        ..head
    })
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

fn one(mut values: impl Iterator<Item = String>) -> Found {
    match (values.next(), values.next()) {
        (None, _) => Found::Nothing,
        (Some(value), None) => Found::One(value),
        (Some(_), Some(_)) => Found::Many,
    }
}

/// `Authorization` may come once (RFC 9110 §11.6.2): with two lines nobody knows which one counts.
fn bearer(values: &[Vec<u8>]) -> Found {
    let tokens: Vec<Option<String>> = values.iter().map(|value| bearer_token(value)).collect();
    match tokens.as_slice() {
        [Some(token)] => Found::One(token.clone()),
        [] | [None] => Found::Nothing,
        several if several.iter().any(Option::is_some) => Found::Many,
        _ => Found::Nothing,
    }
}

fn bearer_token(value: &[u8]) -> Option<String> {
    const SCHEME: &[u8] = b"bearer";
    let value = value.trim_ascii();
    let (scheme, rest) = value.split_at_checked(SCHEME.len())?;
    let is_whole = rest.first().is_none_or(|byte| byte.is_ascii_whitespace());
    (scheme.eq_ignore_ascii_case(SCHEME) && is_whole).then(|| text(rest.trim_ascii()))
}

/// A `cookie` line without the pairs of these names.
fn without(line: &[u8], names: &[&str]) -> Vec<u8> {
    let is_named = |pair: &[u8]| {
        names
            .iter()
            .any(|name| fields::cookies(pair, name).next().is_some())
    };
    let pairs: Vec<&[u8]> = line.split(|byte| *byte == b';').collect();
    if !pairs.iter().any(|pair| is_named(pair)) {
        return line.to_vec();
    }
    let kept = pairs.iter().filter(|pair| !is_named(pair));
    let kept: Vec<&[u8]> = kept.map(|pair| pair.trim_ascii()).collect();
    kept.join(&b"; "[..])
}

fn parameters(target: &str, name: &str) -> impl Iterator<Item = String> {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    query.split('&').filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key) == name).then(|| decoded(value))
    })
}

/// A path with its query without the parameters of these names; the others as they are written.
fn without_parameters(target: &str, names: &[&str]) -> String {
    let Some((path, query)) = target.split_once('?') else {
        return target.to_owned();
    };
    let is_named = |pair: &&str| {
        let key = pair.split_once('=').map_or(*pair, |(key, _)| key);
        names.contains(&decoded(key).as_str())
    };
    if !query.split('&').any(|pair| is_named(&pair)) {
        return target.to_owned();
    }
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_named(pair)).collect();
    match kept.as_slice() {
        [] => path.to_owned(),
        kept => format!("{path}?{}", kept.join("&")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer_of(lines: &[&str]) -> Found {
        bearer(
            &lines
                .iter()
                .map(|line| line.as_bytes().to_vec())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn a_bearer_token_is_found_whatever_the_case_of_its_scheme() {
        for line in ["Bearer a.b.c", "bearer   a.b.c ", "BEARER\ta.b.c"] {
            assert_eq!(bearer_of(&[line]), Found::One("a.b.c".to_owned()), "{line}");
        }
        assert_eq!(bearer_of(&["Bearer"]), Found::One(String::new()));
        for line in ["Bearerx a", "Basic YTpi", "a.b.c", ""] {
            assert_eq!(bearer_of(&[line]), Found::Nothing, "{line}");
        }
    }

    #[test]
    fn two_lines_of_authorization_are_ambiguous_if_one_is_a_bearer_token() {
        assert_eq!(bearer_of(&["Bearer a", "Bearer b"]), Found::Many);
        assert_eq!(bearer_of(&["Basic YTpi", "Bearer b"]), Found::Many);
        assert_eq!(bearer_of(&["Basic YTpi", "Digest x"]), Found::Nothing);
    }

    #[test]
    fn a_cookie_is_cut_out_of_its_line_and_the_others_stay() {
        let cut = |line: &str| String::from_utf8(without(line.as_bytes(), &["s", "t"])).unwrap();
        assert_eq!(cut("a=1; s=2; ss=3; s=4"), "a=1; ss=3");
        assert_eq!(cut("t=2;s=1"), "");
        assert_eq!(cut("a=1;  b = 2"), "a=1;  b = 2");
        assert_eq!(cut(" s = x=y ;a=1"), "a=1");
    }

    #[test]
    fn parameters_are_found_and_cut_out_in_any_spelling() {
        let found = |target: &str| parameters(target, "key").collect::<Vec<_>>();
        assert_eq!(found("/a?x=1&key=a%20b&%6bey=c&keys=d"), ["a b", "c"]);
        assert_eq!(found("/key=1"), [""; 0]);
        let cut = |target| without_parameters(target, &["key"]);
        assert_eq!(cut("/a?x=1&key=2&y=%20&%6Bey"), "/a?x=1&y=%20");
        assert_eq!(cut("/a?key=2"), "/a");
        assert_eq!(cut("/a?&x"), "/a?&x");
    }

    #[test]
    fn places_are_read_from_a_config_and_their_names_checked() {
        let read = |json: &str| serde_json::from_str::<Source>(json);
        assert_eq!(read("\"bearer\"").unwrap(), Source::Bearer);
        let header = read(r#"{ "header": "X-Token" }"#).unwrap();
        assert_eq!(header, Source::Header("X-Token".to_owned()));
        assert_eq!(header.problem(), None);
        assert!(read(r#"{ "body": "x" }"#).is_err());
        for wrong in [
            r#"{"header":"a b"}"#,
            r#"{"header":"host"}"#,
            r#"{"cookie":"a=b"}"#,
            r#"{"query":""}"#,
        ] {
            assert!(read(wrong).unwrap().problem().is_some(), "{wrong}");
        }
    }
}
