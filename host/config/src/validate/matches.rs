//! What a route matches.

use std::collections::BTreeMap;

use http::{HeaderName, Method};

use super::fields::{by_name, header_value, matchable_name};
use super::{Checks, all, present};
use crate::address;
use crate::condition::Condition;
use crate::file::{ConditionFile, MatchFile};
use crate::part::Part;
use crate::path::{join_index, join_key};
use crate::route::Match;

/// The methods that a text in lower case most likely means: RFC 9110 §9 and RFC 5789.
const COMMON_METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

pub(super) fn matches(path: &str, part: Part<MatchFile>, checks: &mut Checks) -> Option<Match> {
    let file = checks.read(path, part)?;
    let host_path = join_key(path, "host");
    let host = present(
        file.host
            .map(|part| checks.text(&host_path, part, address::host_pattern)),
    );
    let path_prefix = checks.text(
        &join_key(path, "path_prefix"),
        file.path_prefix,
        address::path_prefix,
    );
    let exact_path = join_key(path, "path");
    let exact = present(
        file.path
            .map(|part| checks.text(&exact_path, part, address::whole_path)),
    );
    if let (Some(Some(_)), Some(prefix)) = (&exact, &path_prefix)
        && prefix != "/"
    {
        checks.add(
            exact_path,
            "a match has either this or path_prefix: remove one",
        );
    }
    let methods = methods(
        &join_key(path, "methods"),
        file.methods.unwrap_or_default(),
        checks,
    );
    let at_headers = join_key(path, "headers");
    let headers = by_name(
        &at_headers,
        file.headers,
        checks,
        matchable_name,
        |path, part, checks| condition(path, part, checks, |text| header_value(text).map(drop)),
    );
    let at_cookies = join_key(path, "cookies");
    let cookies = conditions(&at_cookies, file.cookies, checks, cookie_name, cookie_value);
    let at_query = join_key(path, "query");
    let query = conditions(&at_query, file.query, checks, parameter_name, |_| Ok(()));
    Some(Match {
        host: host?,
        path_prefix: path_prefix?,
        path: exact?,
        methods: methods?,
        headers: headers?,
        cookies: cookies?,
        query: query?,
    })
}

fn methods(path: &str, part: Part<Vec<Part<String>>>, checks: &mut Checks) -> Option<Vec<Method>> {
    let parts = checks.read(path, part)?;
    let methods = parts
        .into_iter()
        .enumerate()
        .map(|(index, part)| checks.text(&join_index(path, index), part, method));
    let mut methods: Vec<Method> = all(methods)?;
    methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    methods.dedup();
    Some(methods)
}

fn method(text: &str) -> Result<Method, String> {
    let upper = text.to_ascii_uppercase();
    if text != upper && COMMON_METHODS.contains(&upper.as_str()) {
        return Err(format!("methods are told apart by case: write {upper}"));
    }
    Method::from_bytes(text.as_bytes()).map_err(|_| "not a method such as GET".to_owned())
}

fn conditions<K: Ord>(
    path: &str,
    part: Part<BTreeMap<String, Part<ConditionFile>>>,
    checks: &mut Checks,
    name: impl Fn(&str) -> Result<K, String>,
    value: impl Fn(&str) -> Result<(), String>,
) -> Option<Vec<(K, Condition)>> {
    let parts = checks.read(path, part)?;
    let conditions = parts.into_iter().map(|(text, part)| {
        let path = join_key(path, &text);
        let condition = condition(&path, part, checks, &value);
        let name = checks.accept(&path, name(&text))?;
        Some((name, condition?))
    });
    all(conditions)
}

fn condition(
    path: &str,
    part: Part<ConditionFile>,
    checks: &mut Checks,
    value: impl Fn(&str) -> Result<(), String>,
) -> Option<Condition> {
    match checks.read(path, part)? {
        ConditionFile::Exact(text) => checks
            .accept(path, value(&text))
            .map(|()| Condition::Exact(text)),
        ConditionFile::Named {
            prefix: Some(text),
            present: None,
        } => checks
            .accept(&join_key(path, "prefix"), value(&text))
            .map(|()| Condition::Prefix(text)),
        ConditionFile::Named {
            prefix: None,
            present: Some(present),
        } => Some(if present {
            Condition::Present
        } else {
            Condition::Absent
        }),
        ConditionFile::Named { .. } => {
            checks.add(
                path,
                "expected one key: write { prefix: text } or { present: true }",
            );
            None
        }
    }
}

/// RFC 6265 §4.1.1: a token, as a field's name is, but with its case.
fn cookie_name(text: &str) -> Result<String, String> {
    match HeaderName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("not the name of a cookie".to_owned()),
    }
}

/// RFC 6265 §4.1.1, and what browsers send in spite of it.
fn cookie_value(text: &str) -> Result<(), String> {
    let is_allowed = |b: u8| b.is_ascii_graphic() && b != b';';
    if text.bytes().all(is_allowed) {
        Ok(())
    } else {
        Err("a cookie's value has only visible ASCII characters and no ;".to_owned())
    }
}

fn parameter_name(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("the name of a parameter is missing".to_owned());
    }
    Ok(text.to_owned())
}
