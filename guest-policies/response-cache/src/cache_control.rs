//! The directives of `Cache-Control` (RFC 9111 §5.2), of a request or a response.

use crate::fields::{self, Fields};

/// A number of seconds that is larger counts as this (RFC 9111 §1.2.2).
const MAX_SECONDS: u64 = 1 << 31;

/// Directives in the order of the field, with names in lower case.
#[derive(Debug, Default)]
pub struct Directives(Vec<(String, Option<String>)>);

impl Directives {
    /// Reads the field. What is no directive is passed over, and does no harm to the others.
    pub fn of(fields: &Fields) -> Self {
        let members = fields::members(fields, "cache-control");
        Self(members.iter().map(|member| directive(member)).collect())
    }

    /// Of a request. `Pragma: no-cache` stands for the directive where there are none (RFC 9111 §5.4).
    pub fn of_request(fields: &Fields) -> Self {
        if fields::has(fields, "cache-control") {
            return Self::of(fields);
        }
        let pragmas = fields::members(fields, "pragma");
        let asks = |pragma: &String| pragma.eq_ignore_ascii_case("no-cache");
        let directive = ("no-cache".to_owned(), None);
        Self(
            pragmas
                .iter()
                .any(asks)
                .then_some(directive)
                .into_iter()
                .collect(),
        )
    }

    /// Whether the directive is there, with an argument or without.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(found, _)| found == name)
    }

    /// The seconds of a directive; `None` where it is absent. 0 where its argument is no such number, or where it is there
    /// twice and not with the same: then what it is about is taken to be stale (RFC 9111 §4.2.1).
    pub fn seconds(&self, name: &str) -> Option<u64> {
        let mut arguments = self.0.iter().filter(|(found, _)| found == name);
        let (_, first) = arguments.next()?;
        if arguments.any(|(_, other)| other != first) {
            return Some(0);
        }
        Some(first.as_deref().and_then(delta_seconds).unwrap_or(0))
    }

    /// Whether the directive is there without an argument.
    pub fn is_bare(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|(found, argument)| found == name && argument.is_none())
    }
}

fn directive(member: &str) -> (String, Option<String>) {
    let (name, argument) = match member.split_once('=') {
        Some((name, argument)) => (name, Some(unquoted(argument.trim_ascii()))),
        None => (member, None),
    };
    (name.trim_ascii().to_ascii_lowercase(), argument)
}

/// Both forms of an argument are read, whichever the directive's definition has (RFC 9111 §5.2).
fn unquoted(argument: &str) -> String {
    let inner = argument
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner.map_or_else(|| argument.to_owned(), |inner| inner.replace('\\', ""))
}

/// Seconds as RFC 9111 §1.2.2 has them: digits alone.
pub fn delta_seconds(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than fit are more than the highest that counts.
    is_number.then(|| text.parse().unwrap_or(u64::MAX).min(MAX_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directives(lines: &[&str]) -> Directives {
        let pairs: Vec<_> = lines.iter().map(|line| ("cache-control", *line)).collect();
        Directives::of(&fields::of(&pairs))
    }

    #[test]
    fn names_are_read_in_any_case_and_over_lines() {
        let read = directives(&["Max-Age=60, NO-STORE", "private=\"set-cookie, x\""]);
        assert!(read.has("no-store") && read.has("private") && !read.has("x"));
        assert!(read.is_bare("no-store") && !read.is_bare("private"));
        assert_eq!(read.seconds("max-age"), Some(60));
        assert_eq!(read.seconds("s-maxage"), None);
    }

    #[test]
    fn rfc_9111_1_2_2_seconds_are_digits_and_bounded() {
        for (line, expected) in [
            ("max-age=60", 60),
            ("max-age=\"60\"", 60),
            ("max-age = 60", 60),
            ("max-age=060", 60),
            ("max-age=2147483648", MAX_SECONDS),
            ("max-age=99999999999999999999999", MAX_SECONDS),
            ("max-age=-1", 0),
            ("max-age=1.5", 0),
            ("max-age=+1", 0),
            ("max-age", 0),
            ("max-age=", 0),
            ("max-age=60 no-store", 0),
        ] {
            assert_eq!(
                directives(&[line]).seconds("max-age"),
                Some(expected),
                "{line}"
            );
        }
    }

    #[test]
    fn rfc_9111_4_2_1_contradictions_are_stale() {
        assert_eq!(
            directives(&["max-age=60, max-age=60"]).seconds("max-age"),
            Some(60)
        );
        assert_eq!(
            directives(&["max-age=60", "max-age=30"]).seconds("max-age"),
            Some(0)
        );
        assert_eq!(
            directives(&["max-age=60, max-age"]).seconds("max-age"),
            Some(0)
        );
    }

    #[test]
    fn rfc_9111_5_4_pragma_stands_in_for_no_cache() {
        let pragma = fields::of(&[("pragma", "No-Cache")]);
        assert!(Directives::of_request(&pragma).has("no-cache"));
        assert!(!Directives::of(&pragma).has("no-cache"));
        let both = fields::of(&[("pragma", "no-cache"), ("cache-control", "max-age=1")]);
        assert!(!Directives::of_request(&both).has("no-cache"));
    }
}
