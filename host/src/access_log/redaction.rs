//! Takes the values of secrets out of queries.

use std::borrow::Cow;
use std::collections::BTreeSet;

/// In place of a value.
pub(super) const REDACTED: &str = "[redacted]";

/// The query with the values of the parameters in `names` (lower case) replaced, however the client has
/// encoded their names.
pub fn query<'a>(query: &'a str, names: &BTreeSet<String>) -> Cow<'a, str> {
    if !query.split(['&', ';']).any(|pair| is_secret(pair, names)) {
        return Cow::Borrowed(query);
    }
    let pairs = query.split_inclusive(['&', ';']).map(|pair| {
        let (end, bare) = match pair.strip_suffix(['&', ';']) {
            Some(bare) => (&pair[bare.len()..], bare),
            None => ("", pair),
        };
        match bare.split_once('=') {
            Some((name, _)) if is_secret(bare, names) => format!("{name}={REDACTED}{end}"),
            _ => pair.to_owned(),
        }
    });
    Cow::Owned(pairs.collect())
}

/// A URL with its query redacted.
pub(super) fn url(url: &str, names: &BTreeSet<String>) -> String {
    match url.split_once('?') {
        Some((before, rest)) => format!("{before}?{}", query(rest, names)),
        None => url.to_owned(),
    }
}

fn is_secret(pair: &str, names: &BTreeSet<String>) -> bool {
    let Some((name, _)) = pair.split_once('=') else {
        return false;
    };
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_' || byte == b'-';
    if name.bytes().all(is_plain) {
        return names.contains(name);
    }
    let name = decoded(name);
    // `user[password]`, `user.password`, `token[]`
    let mut parts = name.split(['[', ']', '.']);
    names.contains(&name) || parts.any(|part| names.contains(part))
}

/// Percent-decoded, in lower case; a `+` is a space.
fn decoded(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.first_chunk().and_then(|digits| hex_byte(*digits));
        let (byte, after) = match (first, hex) {
            (b'%', Some(byte)) => (byte, &after[2..]),
            (b'+', _) => (b' ', after),
            _ => (*first, after),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).trim().to_lowercase()
}

fn hex_byte(digits: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let value = digit(digits[0])? * 16 + digit(digits[1])?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secrets_are_taken_out_and_nothing_else() {
        let names = BTreeSet::from(["token", "pass-word"].map(str::to_owned));
        let table = [
            ("", ""),
            ("a=1&b", "a=1&b"),
            ("token=x", "token=[redacted]"),
            ("a=1&token=x=y&b=2", "a=1&token=[redacted]&b=2"),
            ("a=1;token=x;b=2", "a=1;token=[redacted];b=2"),
            (
                "TOKEN=x&Pass-Word=",
                "TOKEN=[redacted]&Pass-Word=[redacted]",
            ),
            ("%74ok%65n=x", "%74ok%65n=[redacted]"),
            (
                "token[]=x&user[token]=y",
                "token[]=[redacted]&user[token]=[redacted]",
            ),
            (
                "user%5Btoken%5D=x&user.token=y",
                "user%5Btoken%5D=[redacted]&user.token=[redacted]",
            ),
            ("tokens=x&mytoken=y&token", "tokens=x&mytoken=y&token"),
            ("%zz=1&%=2&%7=3", "%zz=1&%=2&%7=3"),
        ];
        for (given, expected) in table {
            assert_eq!(query(given, &names), expected, "{given}");
        }
        assert_eq!(
            url("http://a/?token=1", &names),
            "http://a/?token=[redacted]"
        );
        assert_eq!(url("http://a/token", &names), "http://a/token");
    }
}
