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
        lines.iter().find_map(|line| cookie(line, name))
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

fn cookie(line: &[u8], name: &str) -> Option<String> {
    line.split(|byte| *byte == b';').find_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        (trimmed(&pair[..equals]) == name).then(|| trimmed(&pair[equals + 1..]))
    })
}

fn trimmed(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.trim_ascii()).into_owned()
}

fn decoded(text: &str) -> String {
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
    fn cookies_are_found_by_their_whole_name() {
        let line = b"ab=1; b=2;c = x=y ; b=3; broken; \xff=4";
        assert_eq!(cookie(line, "b").as_deref(), Some("2"));
        assert_eq!(cookie(line, "c").as_deref(), Some("x=y"));
        assert_eq!(cookie(line, "broken"), None);
        assert_eq!(cookie(b"", ""), None);
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
