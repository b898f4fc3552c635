//! Values in a query string, percent-decoded.

use std::borrow::Cow;

/// The first value under this name, if the query has the name.
pub(crate) fn query_value<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value)
}
