//! Conditions on a request's fields, cookies and parameters.

use std::borrow::Cow;

use http::header::{COOKIE, HeaderName};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use portcullis_config::{Condition as Expected, Match};

use super::route_key::RouteKey;

/// What a route asks of a request beside host and path: all of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Conditions {
    methods: Vec<Method>,
    values: Vec<(Place, Expected)>,
}

/// Where a value stands.
#[derive(Debug, Clone, PartialEq)]
enum Place {
    Field(HeaderName),
    Cookie(String),
    Parameter(String),
}

impl Conditions {
    /// As the config has them.
    pub fn from_config(config: &Match) -> Self {
        let fields = config.headers.iter();
        let fields = fields.map(|(name, expected)| (Place::Field(name.clone()), expected.clone()));
        let cookies = config.cookies.iter();
        let cookies =
            cookies.map(|(name, expected)| (Place::Cookie(name.clone()), expected.clone()));
        let query = config.query.iter();
        let query =
            query.map(|(name, expected)| (Place::Parameter(name.clone()), expected.clone()));
        Self {
            methods: config.methods.clone(),
            values: fields.chain(cookies).chain(query).collect(),
        }
    }

    /// Whether all of them hold.
    pub fn hold(&self, key: RouteKey<'_>) -> bool {
        (self.methods.is_empty() || self.methods.contains(key.method))
            && self
                .values
                .iter()
                .all(|(place, expected)| holds(place, expected, key))
    }

    /// More is more specific: a method before any number of values.
    pub fn specificity(&self) -> (bool, usize) {
        (!self.methods.is_empty(), self.values.len())
    }
}

fn holds(place: &Place, expected: &Expected, key: RouteKey<'_>) -> bool {
    match place {
        Place::Field(name) => {
            let values = key.headers.get_all(name).iter();
            any(expected, values.map(|value| value.as_bytes()))
        }
        Place::Cookie(name) => any(expected, cookies(key.headers, name)),
        Place::Parameter(name) => any(expected, parameters(key.target, name)),
    }
}

fn any(expected: &Expected, mut values: impl Iterator<Item: AsRef<[u8]>>) -> bool {
    match expected {
        Expected::Exact(text) => values.any(|value| value.as_ref() == text.as_bytes()),
        Expected::Prefix(text) => values.any(|value| value.as_ref().starts_with(text.as_bytes())),
        Expected::Present => values.next().is_some(),
        Expected::Absent => values.next().is_none(),
    }
}

/// The values of the cookies of that name (RFC 6265 §4.2.1), as sent; HTTP/2 may split the field (RFC
/// 9113 §8.2.3).
fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let fields = headers.get_all(COOKIE).into_iter();
    let pairs = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?;
        value.strip_prefix(b"=")
    })
}

/// The values of the parameters of that name, decoded once; one without `=` has an empty value.
fn parameters<'a>(target: &'a PathAndQuery, name: &'a str) -> impl Iterator<Item = Cow<'a, [u8]>> {
    let pairs = target.query().unwrap_or_default().split('&');
    pairs.filter_map(move |pair| {
        let (given, value) = pair.split_once('=').unwrap_or((pair, ""));
        let is_meant = !pair.is_empty() && *decoded(given) == *name.as_bytes();
        is_meant.then(|| decoded(value))
    })
}

/// A text of a form (WHATWG URL §5.1): `+` is a space, and a `%` that two hexadecimal digits do not
/// follow is itself.
fn decoded(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(bytes);
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'+', _) => decoded.push(b' '),
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    decoded.push(high << 4 | low);
                    rest = after;
                }
                _ => decoded.push(b'%'),
            },
            _ => decoded.push(*byte),
        }
    }
    Cow::Owned(decoded)
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_once() {
        let table: [(&str, &str, &[&str]); 9] = [
            ("/", "a", &[]),
            ("/?a=1&a=2&b=3", "a", &["1", "2"]),
            ("/?a", "a", &[""]),
            ("/?&&", "", &[]),
            ("/?a=%31", "a", &["1"]),
            ("/?%61=1", "a", &["1"]),
            ("/?a=%2531", "a", &["%31"]),
            ("/?a=x+y%zz%", "a", &["x y%zz%"]),
            ("/?b=a=1&a=c=d", "a", &["c=d"]),
        ];
        for (target, name, expected) in table {
            let target = target.parse().unwrap();
            let found: Vec<Cow<[u8]>> = parameters(&target, name).collect();
            let expected: Vec<Cow<[u8]>> = expected
                .iter()
                .map(|text| Cow::Borrowed(text.as_bytes()))
                .collect();
            assert_eq!(found, expected, "{target} {name}");
        }
    }

    #[test]
    fn cookies_are_found_by_the_whole_name_in_all_fields() {
        let mut headers = HeaderMap::new();
        for field in ["a=1; ab=2;a=3;c; =x", "b=\"q=1\"; a=", "A=no"] {
            headers.append(COOKIE, field.parse().unwrap());
        }
        let table: [(&str, &[&str]); 5] = [
            ("a", &["1", "3", ""]),
            ("ab", &["2"]),
            ("b", &["\"q=1\""]),
            ("c", &[]),
            ("q", &[]),
        ];
        for (name, expected) in table {
            let found: Vec<&[u8]> = cookies(&headers, name).collect();
            let expected: Vec<&[u8]> = expected.iter().map(|text| text.as_bytes()).collect();
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn one_value_of_several_is_enough() {
        let values = || ["beta", "stable"].into_iter();
        let exact = |text: &str| Expected::Exact(text.to_owned());
        let prefix = |text: &str| Expected::Prefix(text.to_owned());
        assert!(any(&exact("stable"), values()) && !any(&exact("sta"), values()));
        assert!(any(&prefix("sta"), values()) && !any(&prefix("table"), values()));
        assert!(any(&Expected::Present, values()) && !any(&Expected::Absent, values()));
        let none = || std::iter::empty::<&str>();
        assert!(!any(&Expected::Present, none()) && any(&Expected::Absent, none()));
    }
}
