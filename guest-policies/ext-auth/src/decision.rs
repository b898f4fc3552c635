//! What an answer of the service comes to.

use serde::{Deserialize, Serialize};

use crate::config::Config;

/// Bytes of a decision that is kept: more would drive others out of a small store.
const MAX_KEPT: usize = 16 << 10;

type Fields = Vec<(String, Vec<u8>)>;

/// What an answer comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// The request passes, with these fields for its upstream.
    Allowed {
        /// Fields for the upstream.
        headers: Fields,
        /// Whose request it is.
        identity: Option<String>,
    },
    /// The client gets this answer.
    Refused {
        /// Its status.
        status: u16,
        /// Its fields.
        headers: Fields,
        /// Its body.
        body: Vec<u8>,
    },
}

impl Decision {
    /// Of an answer.
    ///
    /// # Errors
    ///
    /// For a status 5xx, which says that the service could not decide, and for one that no answer has.
    pub fn of(
        status: u16,
        headers: &[(String, Vec<u8>)],
        body: Vec<u8>,
        config: &Config,
    ) -> Result<Self, String> {
        let listed = |list: &[String]| -> Fields {
            let is_listed =
                |name: &str| list.iter().any(|listed| listed.eq_ignore_ascii_case(name));
            headers
                .iter()
                .filter(|(name, _)| is_listed(name))
                .cloned()
                .collect()
        };
        match status {
            200..=299 => Ok(Self::Allowed {
                headers: listed(&config.upstream_headers),
                identity: config.identity_header.as_ref().and_then(|wanted| {
                    let (_, value) = headers
                        .iter()
                        .find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
                    let value = std::str::from_utf8(value).ok()?;
                    (!value.is_empty()).then(|| value.to_owned())
                }),
            }),
            300..=499 => Ok(Self::Refused {
                status,
                headers: listed(&config.client_headers),
                body,
            }),
            status => Err(format!("status {status}")),
        }
    }

    /// As it is kept for requests that are the same to the service; `None` for one that must not be: a redirect or a
    /// cookie is for one client, other statuses are for the moment.
    pub fn kept(&self) -> Option<Vec<u8>> {
        match self {
            Self::Refused {
                status: 401 | 403,
                headers,
                ..
            } if !sets_cookie(headers) => {}
            Self::Refused { .. } => return None,
            Self::Allowed { .. } => {}
        }
        let kept = serde_json::to_vec(self).ok()?;
        (kept.len() <= MAX_KEPT).then_some(kept)
    }

    /// From what was kept.
    pub fn from_kept(kept: &[u8]) -> Option<Self> {
        serde_json::from_slice(kept).ok()
    }
}

fn sets_cookie(headers: &Fields) -> bool {
    headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let config = serde_json::json!({
            "upstream": "auth",
            "upstream_headers": ["x-user", "x-role"],
            "identity_header": "x-id",
        });
        let config: Config = serde_json::from_value(config).unwrap();
        config.checked().unwrap()
    }

    fn fields(fields: &[(&str, &str)]) -> Fields {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        fields.iter().map(owned).collect()
    }

    fn of(status: u16, headers: &[(&str, &str)]) -> Result<Decision, String> {
        Decision::of(status, &fields(headers), b"body".to_vec(), &config())
    }

    #[test]
    fn an_answer_2xx_allows_with_its_listed_fields() {
        let answer = [
            ("X-User", "a"),
            ("x-role", "r"),
            ("x-role", "s"),
            ("x-id", "7"),
            ("set-cookie", "c"),
        ];
        let expected = Decision::Allowed {
            headers: fields(&[("X-User", "a"), ("x-role", "r"), ("x-role", "s")]),
            identity: Some("7".to_owned()),
        };
        assert_eq!(of(200, &answer), Ok(expected.clone()));
        assert_eq!(of(204, &answer), Ok(expected));
        let Ok(Decision::Allowed { identity, .. }) = of(200, &[("x-id", "")]) else {
            panic!("refused");
        };
        assert_eq!(identity, None);
    }

    #[test]
    fn other_answers_are_the_clients_and_5xx_are_none() {
        for status in [301, 302, 400, 401, 403, 404, 429] {
            let answer = [
                ("location", "/login"),
                ("x-user", "a"),
                ("set-cookie", "c=1"),
            ];
            let expected = Decision::Refused {
                status,
                headers: fields(&[("location", "/login"), ("set-cookie", "c=1")]),
                body: b"body".to_vec(),
            };
            assert_eq!(of(status, &answer), Ok(expected));
        }
        for status in [100, 199, 500, 503, 599] {
            assert!(of(status, &[]).is_err(), "{status}");
        }
    }

    #[test]
    fn what_is_for_one_client_or_for_the_moment_is_not_kept() {
        for (status, headers, is_kept) in [
            (200, &[][..], true),
            (401, &[("www-authenticate", "Basic")], true),
            (403, &[], true),
            (401, &[("set-cookie", "state=1")], false),
            (302, &[("location", "/login")], false),
            (429, &[("retry-after", "1")], false),
        ] {
            let decision = of(status, headers).unwrap();
            let kept = decision.kept();
            assert_eq!(kept.is_some(), is_kept, "{status} {headers:?}");
            if let Some(kept) = kept {
                assert_eq!(Decision::from_kept(&kept), Some(decision));
            }
        }
        let large = Decision::of(403, &[], vec![b'x'; MAX_KEPT], &config()).unwrap();
        assert_eq!(large.kept(), None);
        assert_eq!(Decision::from_kept(b"{}"), None);
    }
}
