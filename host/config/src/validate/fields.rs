//! Names and values of header fields, and what a route changes of them.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue, header};

use super::{Checks, all};
use crate::field_edits::{FieldEdits, FieldText};
use crate::file::FieldEditsFile;
use crate::part::Part;
use crate::path::{join_index, join_key};

/// Framing and hop-by-hop fields (RFC 9110 §7.6.1): the gateway's own, on both sides.
const RESERVED: [&str; 10] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(super) fn field_edits(
    path: &str,
    part: Part<FieldEditsFile>,
    checks: &mut Checks,
) -> Option<FieldEdits> {
    let file = checks.read(path, part)?;
    let set = values(&join_key(path, "set"), file.set, checks);
    let append = values(&join_key(path, "append"), file.append, checks);
    let at_remove = join_key(path, "remove");
    let names = checks.read(&at_remove, file.remove).map(|parts| {
        let names = parts.into_iter().enumerate();
        all(names
            .map(|(index, part)| checks.text(&join_index(&at_remove, index), part, editable_name)))
    });
    Some(FieldEdits {
        remove: names??,
        set: set?,
        append: append?,
    })
}

/// Fields with their values, by name.
pub(super) fn values(
    path: &str,
    part: Part<BTreeMap<String, Part<String>>>,
    checks: &mut Checks,
) -> Option<Vec<(HeaderName, FieldText)>> {
    by_name(path, part, checks, editable_name, |path, part, checks| {
        checks.text(path, part, |text| {
            header_value(text)?;
            FieldText::parse(text)
        })
    })
}

/// The fields of a mapping, sorted by name; two spellings of one name are a problem.
pub(super) fn by_name<F, T>(
    path: &str,
    part: Part<BTreeMap<String, Part<F>>>,
    checks: &mut Checks,
    name: impl Fn(&str) -> Result<HeaderName, String>,
    mut value: impl FnMut(&str, Part<F>, &mut Checks) -> Option<T>,
) -> Option<Vec<(HeaderName, T)>> {
    let fields = checks.read(path, part)?;
    let mut seen = BTreeMap::new();
    let fields = fields.into_iter().map(|(text, part)| {
        let path = join_key(path, &text);
        let value = value(&path, part, checks);
        let name = checks.accept(&path, name(&text))?;
        if let Some(other) = seen.insert(name.as_str().to_owned(), text) {
            checks.add(
                path,
                format!("the same field as {other}: case makes no difference"),
            );
        }
        Some((name, value?))
    });
    let mut fields: Vec<(HeaderName, T)> = all(fields)?;
    fields.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
    Some(fields)
}

/// The name of a field that a route may match. Of the host, there is a key of its own.
pub(super) fn matchable_name(text: &str) -> Result<HeaderName, String> {
    let name = field_name(text)?;
    if name == header::HOST {
        return Err("match the host with match.host instead".to_owned());
    }
    Ok(name)
}

/// Whether a field belongs to one connection, or to a message's framing.
pub(super) fn is_reserved(name: &HeaderName) -> bool {
    RESERVED.contains(&name.as_str())
}

/// The name of a field that a route may change.
fn editable_name(text: &str) -> Result<HeaderName, String> {
    let name = field_name(text)?;
    if name == header::HOST {
        return Err("the host is changed with rewrite.host instead".to_owned());
    }
    if is_reserved(&name) {
        return Err("belongs to one connection and is the gateway's: remove it here".to_owned());
    }
    Ok(name)
}

pub(super) fn field_name(text: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| "not a header name".to_owned())
}

/// RFC 9110 §5.5: space around a value is not part of it, and only US-ASCII means the same everywhere.
pub(super) fn header_value(text: &str) -> Result<HeaderValue, String> {
    if text.trim() != text {
        return Err("a header value has no space at its start or end".to_owned());
    }
    if !text.is_ascii() {
        return Err("a header value has only ASCII characters".to_owned());
    }
    HeaderValue::from_str(text).map_err(|_| "a header value has no control characters".to_owned())
}
