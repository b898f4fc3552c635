//! A login as it comes in `Authorization: Basic …` (RFC 7617).

use base64ct::{Base64, Encoding};

/// Bytes of `Authorization` that are looked at: a name and a password of a sensible length.
const MAX_VALUE: usize = 2_048;

/// A name and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// Who it says it is.
    pub user: String,
    /// What it knows.
    pub password: String,
}

/// The password stays out of logs and panics.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// What a request has.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// No login of this kind.
    Nothing,
    /// One.
    One(Login),
    /// One that is not as RFC 7617 has it.
    Malformed,
    /// Two lines of `Authorization`: who reads the request next might take the other one.
    Many,
}

/// Looks into the lines of `Authorization`.
pub fn find(lines: &[Vec<u8>]) -> Found {
    let logins: Vec<Option<&[u8]>> = lines.iter().map(|line| encoded(line)).collect();
    match logins.as_slice() {
        [] | [None] => Found::Nothing,
        [Some(encoded)] => decoded(encoded).map_or(Found::Malformed, Found::One),
        several if several.iter().any(Option::is_some) => Found::Many,
        _ => Found::Nothing,
    }
}

/// What stands behind the scheme, whose case is free.
fn encoded(line: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"basic";
    let (scheme, rest) = line.trim_ascii().split_at_checked(SCHEME.len())?;
    let is_whole = rest.first().is_none_or(u8::is_ascii_whitespace);
    (scheme.eq_ignore_ascii_case(SCHEME) && is_whole).then(|| rest.trim_ascii())
}

/// The name ends at the first colon. Both are UTF-8, as the challenge asks for (RFC 7617 §2.1), and hold no control
/// characters (§2).
fn decoded(encoded: &[u8]) -> Option<Login> {
    if encoded.len() > MAX_VALUE {
        return None;
    }
    let bytes = Base64::decode_vec(std::str::from_utf8(encoded).ok()?).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    (!text.chars().any(char::is_control)).then(|| Login {
        user: user.to_owned(),
        password: password.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Found {
        find(&[line.as_bytes().to_vec()])
    }

    fn login(user: &str, password: &str) -> Found {
        Found::One(Login {
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }

    #[test]
    fn the_examples_of_rfc_7617_are_read() {
        let aladdin = login("Aladdin", "open sesame");
        assert_eq!(one("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), aladdin);
        assert_eq!(one("bAsIc  QWxhZGRpbjpvcGVuIHNlc2FtZQ== "), aladdin);
        // §2.1: the password has a pound sign.
        assert_eq!(one("Basic dGVzdDoxMjPCow=="), login("test", "123£"));
    }

    #[test]
    fn a_password_may_have_colons_and_be_empty() {
        let basic = |text: &str| format!("Basic {}", Base64::encode_string(text.as_bytes()));
        assert_eq!(one(&basic("a:b:c")), login("a", "b:c"));
        assert_eq!(one(&basic("a:")), login("a", ""));
        assert_eq!(one(&basic(":a")), login("", "a"));
    }

    #[test]
    fn what_is_no_login_is_malformed() {
        let basic = |bytes: &[u8]| format!("Basic {}", Base64::encode_string(bytes));
        for line in [
            "Basic".to_owned(),
            "Basic !!!".to_owned(),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ".to_owned(), // no padding
            basic(b"no colon"),
            basic(b"a:\xff"),
            basic(b"a\n:b"),
            basic(b"a:\0"),
            basic(&[b'a'; 2_000]),
        ] {
            assert_eq!(one(&line), Found::Malformed, "{line}");
        }
    }

    #[test]
    fn other_schemes_are_no_login_and_two_lines_are_ambiguous() {
        assert_eq!(find(&[]), Found::Nothing);
        for line in ["Bearer a", "Basically a", "QWxhZGRpbjpvcGVu", ""] {
            assert_eq!(one(line), Found::Nothing, "{line}");
        }
        let lines = |lines: &[&str]| {
            lines
                .iter()
                .map(|line| line.as_bytes().to_vec())
                .collect::<Vec<_>>()
        };
        assert_eq!(find(&lines(&["Bearer a", "Basic YTpi"])), Found::Many);
        assert_eq!(find(&lines(&["Bearer a", "Digest b"])), Found::Nothing);
    }

    #[test]
    fn a_password_is_not_shown() {
        let shown = format!("{:?}", one("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        assert!(
            shown.contains("Aladdin") && !shown.contains("sesame"),
            "{shown}"
        );
    }
}
