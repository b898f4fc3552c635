//! What policies look for in fields and paths: members of lists, cookies, parameters. Bytes that are no
//! UTF-8 are replaced, never a reason to fail.

use crate::{Exchange, Response};

/// Gives a resource with `header-values` the members of a list.
macro_rules! lists {
    ($resource:ty) => {
        impl $resource {
            /// The members of a field whose value is a list (RFC 9110 §5.6.1), of all its lines: without the
            /// white space around them, and without empty ones. A comma in a quoted string is part of it.
            pub fn header_list(&self, name: &str) -> Vec<String> {
                let lines = self.header_values(name);
                lines.iter().flat_map(|line| members(line)).collect()
            }
        }
    };
}
lists!(Exchange);
lists!(Response);

impl Exchange {
    /// The value of the first cookie of that name (RFC 6265 §4.2), as it is written.
    pub fn cookie(&self, name: &str) -> Option<String> {
        let lines = self.header_values("cookie");
        lines.iter().find_map(|line| cookies(line, name).next())
    }

    /// The value of the first parameter of that name in the query, with `+` and `%XX` decoded as forms
    /// have them; empty for one without a value.
    pub fn query(&self, name: &str) -> Option<String> {
        let target = self.head().path_with_query;
        let (_, query) = target.split_once('?')?;
        query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(key) == name).then(|| decoded(value))
        })
    }
}

/// The name in lower case, for a header that a policy's config wants edited.
///
/// # Errors
///
/// Why it can't be: it is no name of a field (RFC 9110 §5.1), longer than 64 bytes, or the gateway's own, whose
/// edits are `forbidden`.
pub fn editable_header(name: &str) -> Result<String, String> {
    const GATEWAYS: &[&str] = &[
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let lower = name.to_ascii_lowercase();
    if !is_token(name) || name.len() > 64 {
        return Err(format!("\"{name}\" is no name of a header"));
    }
    if GATEWAYS.contains(&lower.as_str()) || lower.starts_with("proxy-") {
        return Err(format!("\"{lower}\" is the gateway's: name another header"));
    }
    Ok(lower)
}

/// Whether it is a token (RFC 9110 §5.6.2).
pub(crate) fn is_token(text: &str) -> bool {
    let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(may_stand)
}

fn members(line: &[u8]) -> Vec<String> {
    let (mut members, mut member) = (Vec::new(), Vec::new());
    let (mut is_quoted, mut is_escaped) = (false, false);
    for byte in line {
        match byte {
            b',' if !is_quoted => members.push(std::mem::take(&mut member)),
            _ => member.push(*byte),
        }
        let is_mark = *byte == b'"' && !is_escaped;
        is_escaped = is_quoted && *byte == b'\\' && !is_escaped;
        is_quoted ^= is_mark;
    }
    members.push(member);
    let members = members.iter().map(|member| trimmed(member));
    members.filter(|member| !member.is_empty()).collect()
}

/// All values of that name in a line of cookies.
pub(crate) fn cookies(line: &[u8], name: &str) -> impl Iterator<Item = String> {
    line.split(|byte| *byte == b';').filter_map(move |pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        (trimmed(&pair[..equals]) == name).then(|| trimmed(&pair[equals + 1..]))
    })
}

fn trimmed(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.trim_ascii()).into_owned()
}

pub(crate) fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped = bytes.get(at + 1..at + 3).and_then(hexadecimal);
        match (byte, escaped) {
            (b'%', Some(byte)) => {
                plain.push(byte);
                at += 2;
            }
            (b'+', _) => plain.push(b' '),
            (byte, _) => plain.push(*byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&plain).into_owned()
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok()?;
    let is_plain = digits.iter().all(u8::is_ascii_hexdigit);
    is_plain.then(|| u8::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_lists_are_found_in_any_bytes() {
        assert_eq!(
            members(b"a, b ,,c;q=\"x,\\\"y\" ,"),
            ["a", "b", "c;q=\"x,\\\"y\""]
        );
        assert_eq!(members(b""), [""; 0]);
        assert_eq!(members(b"\"open, a"), ["\"open, a"]);
        assert_eq!(members(b"\xff, a"), ["\u{fffd}", "a"]);
    }

    #[test]
    fn a_header_that_can_not_be_edited_is_told() {
        assert_eq!(editable_header("X-User"), Ok("x-user".to_owned()));
        for name in ["", "a b", "x:y", "Host", "proxy-x", &"x".repeat(65)] {
            assert!(editable_header(name).is_err(), "{name}");
        }
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let line = b"ab=1; b=2;c = x=y ; b=3; broken; \xff=4";
        let found = |name| cookies(line, name).collect::<Vec<_>>();
        assert_eq!(found("b"), ["2", "3"]);
        assert_eq!(found("c"), ["x=y"]);
        assert_eq!(found("broken"), [""; 0]);
        assert_eq!(cookies(b"", "").next(), None);
    }

    #[test]
    fn parameters_are_decoded_and_broken_escapes_left() {
        assert_eq!(decoded("a+b%20c%2B"), "a b c+");
        assert_eq!(decoded("%"), "%");
        assert_eq!(decoded("%4"), "%4");
        assert_eq!(decoded("%+1%zz%ff"), "% 1%zz\u{fffd}");
        assert_eq!(decoded("ü%"), "ü%");
    }
}
