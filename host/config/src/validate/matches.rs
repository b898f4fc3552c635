//! What a route matches, and how it rewrites the path.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue, Method};

use super::fields::matchable_name;
use super::{Checks, all, present};
use crate::address;
use crate::file::{MatchFile, RewriteFile};
use crate::part::Part;
use crate::path::{join_index, join_key};
use crate::route::{Match, Rewrite, has_segments};

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
    let methods = methods(
        &join_key(path, "methods"),
        file.methods.unwrap_or_default(),
        checks,
    );
    let headers = headers(&join_key(path, "headers"), file.headers, checks);
    Some(Match {
        host: host?,
        path_prefix: path_prefix?,
        methods: methods?,
        headers: headers?,
    })
}

/// `path_prefix` is the match's, or `None` when that is broken.
pub(super) fn rewrite(
    path: &str,
    part: Part<RewriteFile>,
    path_prefix: Option<&str>,
    checks: &mut Checks,
) -> Option<Rewrite> {
    let file = checks.read(path, part)?;
    let strip_path = join_key(path, "strip_prefix");
    let strip_prefix = present(
        file.strip_prefix
            .map(|part| checks.text(&strip_path, part, address::path_prefix)),
    );
    let add_path = join_key(path, "add_prefix");
    let add_prefix = present(
        file.add_prefix
            .map(|part| checks.text(&add_path, part, address::path_prefix)),
    );
    if let (Some(Some(strip)), Some(path_prefix)) = (&strip_prefix, path_prefix)
        && !has_segments(path_prefix, strip)
    {
        let message = format!("must be a prefix of match.path_prefix, which is {path_prefix}");
        checks.add(strip_path, message);
    }
    // The prefix / changes nothing.
    Some(Rewrite {
        strip_prefix: strip_prefix?.filter(|prefix| prefix != "/"),
        add_prefix: add_prefix?.filter(|prefix| prefix != "/"),
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

fn headers(
    path: &str,
    part: Part<BTreeMap<String, Part<String>>>,
    checks: &mut Checks,
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let fields = checks.read(path, part)?;
    let mut seen = BTreeMap::new();
    let headers = fields.into_iter().map(|(text, part)| {
        let path = join_key(path, &text);
        let value = checks.text(&path, part, header_value);
        let name = checks.accept(&path, matchable_name(&text))?;
        if let Some(other) = seen.insert(name.as_str().to_owned(), text) {
            checks.add(
                path,
                format!("the same field as {other}: case makes no difference"),
            );
        }
        Some((name, value?))
    });
    let mut headers: Vec<(HeaderName, HeaderValue)> = all(headers)?;
    headers.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
    Some(headers)
}

/// RFC 9110 §5.5: space around a value is not part of it, and only US-ASCII means the same everywhere.
fn header_value(text: &str) -> Result<HeaderValue, String> {
    if text.trim() != text {
        return Err("a header value has no space at its start or end".to_owned());
    }
    if !text.is_ascii() {
        return Err("a header value has only ASCII characters".to_owned());
    }
    HeaderValue::from_str(text).map_err(|_| "a header value has no control characters".to_owned())
}
