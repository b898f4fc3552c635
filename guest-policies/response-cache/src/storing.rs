//! Which responses may be kept (RFC 9111 §3), and which of their fields.

use crate::cache_control::Directives;
use crate::fields::{self, Fields};
use crate::freshness::{self, Freshness};

/// A response with more bytes of fields is not kept: the state of an exchange has to hold them.
pub const MAX_FIELD_BYTES: usize = 16 << 10;
/// A response with more lines of fields is not kept: an answer of a policy has at most 256, and gets some beside these.
const MAX_FIELDS: usize = 240;

/// Fields that are not kept: those of one connection (RFC 9111 §3.1), the age, which is worked out anew, and what is told of one
/// request alone.
const NOT_KEPT: [&str; 13] = [
    "age",
    "cache-status",
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "set-cookie",
    "set-cookie2",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];

/// A response to GET that might be kept.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its status.
    pub status: u16,
    /// Its fields.
    pub fields: &'a Fields,
    /// What they say about its use.
    pub freshness: &'a Freshness,
    /// Its request was one person's: it carried `Authorization` or other credentials, or a policy has verified who sent it.
    pub is_personal: bool,
}

/// Why a response is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// RFC 9111 §5.2.2.5.
    NoStore,
    /// RFC 9111 §5.2.2.7; also where it names fields only.
    Private,
    /// RFC 9111 §3.5: the request had credentials, and the response doesn't say that it is for all.
    Personal,
    /// It sets a cookie, which is for one client.
    SetCookie,
    /// RFC 9111 §4.1: `Vary: *` matches no other request.
    VariesAlways,
    /// A status that is never kept, or not without an explicit lifetime.
    Status,
    /// It has no lifetime, and nothing by which it could be validated.
    Useless,
    /// Events that go on and on: waiting for the whole body would hold them back.
    EventStream,
    /// More fields than are kept.
    Fields,
}

impl Candidate<'_> {
    /// Says whether it may be kept, and is worth it.
    ///
    /// # Errors
    ///
    /// The first reason against it.
    pub fn check(&self) -> Result<(), Refusal> {
        let directives = Directives::of(self.fields);
        let says = |name: &str| directives.has(name);
        let is_for_all = ["public", "must-revalidate", "s-maxage"]
            .into_iter()
            .any(says);
        let varies_always = fields::members(self.fields, "vary")
            .iter()
            .any(|name| name == "*");
        let refusals = [
            (says("no-store"), Refusal::NoStore),
            (says("private"), Refusal::Private),
            (self.is_personal && !is_for_all, Refusal::Personal),
            (fields::has(self.fields, "set-cookie"), Refusal::SetCookie),
            (varies_always, Refusal::VariesAlways),
            (!self.has_a_kept_status(), Refusal::Status),
            (!self.is_useful(), Refusal::Useless),
            (is_event_stream(self.fields), Refusal::EventStream),
            (is_too_much(self.fields), Refusal::Fields),
        ];
        let against = refusals.into_iter().find(|(is_so, _)| *is_so);
        against.map_or(Ok(()), |(_, refusal)| Err(refusal))
    }

    /// RFC 9111 §3: 206 and 304 are parts of responses.
    fn has_a_kept_status(&self) -> bool {
        let is_whole = !matches!(self.status, 206 | 304);
        is_whole
            && (freshness::is_heuristically_cacheable(self.status)
                || freshness::is_explicit(self.fields))
    }

    fn is_useful(&self) -> bool {
        let may_be_used = self.freshness.lifetime_s > 0 && !self.freshness.no_cache;
        may_be_used || self.freshness.stale_if_error_s > 0 || has_validator(self.fields)
    }
}

/// Whether a response can be asked for on condition (RFC 9110 §8.8).
pub fn has_validator(fields: &Fields) -> bool {
    fields::has(fields, "etag") || fields::date(fields, "last-modified").is_some()
}

/// The fields that are kept. A response without a date gets that of its receiving (RFC 9110 §6.6.1).
pub fn kept(fields: &Fields, received_ms: u64) -> Fields {
    let mut kept: Fields = fields
        .iter()
        .filter(|(name, _)| is_kept(name))
        .cloned()
        .collect();
    if !fields::has(&kept, "date") {
        let date = fields::written_date(received_ms / 1_000);
        kept.push(("date".to_owned(), date.into_bytes()));
    }
    kept
}

/// Whether a field of this name is kept.
pub fn is_kept(name: &str) -> bool {
    !NOT_KEPT.contains(&name) && !name.starts_with("proxy-")
}

fn is_too_much(fields: &Fields) -> bool {
    fields.len() > MAX_FIELDS || fields::size(fields) > MAX_FIELD_BYTES
}

fn is_event_stream(fields: &Fields) -> bool {
    let media_type = fields::text(fields, "content-type").unwrap_or_default();
    media_type
        .to_ascii_lowercase()
        .starts_with("text/event-stream")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::freshness::{Lifetimes, Moments};

    fn check(status: u16, is_personal: bool, pairs: &[(&str, &str)]) -> Result<(), Refusal> {
        let moments = Moments {
            requested_ms: 0,
            received_ms: 0,
        };
        let lifetimes = Lifetimes {
            max_s: 1 << 31,
            ..Lifetimes::default()
        };
        let fields = fields::of(pairs);
        let freshness = Freshness::of(status, &fields, moments, &lifetimes);
        let (fields, freshness) = (&fields, &freshness);
        Candidate {
            status,
            fields,
            freshness,
            is_personal,
        }
        .check()
    }

    #[test]
    fn rfc_9111_3_what_may_be_kept() {
        let minute = ("cache-control", "max-age=60");
        for (status, pairs, expected) in [
            (200, &[minute][..], Ok(())),
            (200, &[("etag", "\"a\"")], Ok(())),
            (
                200,
                &[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")],
                Ok(()),
            ),
            (200, &[], Err(Refusal::Useless)),
            (
                200,
                &[("last-modified", "yesterday")],
                Err(Refusal::Useless),
            ),
            (
                200,
                &[("cache-control", "max-age=60, no-cache")],
                Err(Refusal::Useless),
            ),
            (
                200,
                &[("cache-control", "no-cache"), ("etag", "\"a\"")],
                Ok(()),
            ),
            (
                200,
                &[("cache-control", "Max-Age=60, No-Store")],
                Err(Refusal::NoStore),
            ),
            (
                200,
                &[("cache-control", "max-age=60, private=\"x\"")],
                Err(Refusal::Private),
            ),
            (
                200,
                &[minute, ("set-cookie", "a=b")],
                Err(Refusal::SetCookie),
            ),
            (
                200,
                &[minute, ("vary", "accept, *")],
                Err(Refusal::VariesAlways),
            ),
            (404, &[minute], Ok(())),
            (302, &[minute], Ok(())),
            (302, &[("etag", "\"a\"")], Err(Refusal::Status)),
            (503, &[minute], Ok(())),
            (206, &[minute], Err(Refusal::Status)),
            (304, &[minute], Err(Refusal::Status)),
            (
                200,
                &[minute, ("content-type", "text/event-stream;x")],
                Err(Refusal::EventStream),
            ),
        ] {
            assert_eq!(check(status, false, pairs), expected, "{status} {pairs:?}");
        }
        let long = "x".repeat(MAX_FIELD_BYTES);
        assert_eq!(
            check(200, false, &[minute, ("x", &long)]),
            Err(Refusal::Fields)
        );
    }

    #[test]
    fn rfc_9111_3_5_what_was_asked_for_with_credentials_is_kept_by_permission_only() {
        for (value, expected) in [
            ("max-age=60", Err(Refusal::Personal)),
            ("max-age=60, public", Ok(())),
            ("max-age=60, must-revalidate", Ok(())),
            ("s-maxage=60", Ok(())),
            ("max-age=60, proxy-revalidate", Err(Refusal::Personal)),
        ] {
            assert_eq!(
                check(200, true, &[("cache-control", value)]),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn rfc_9111_3_1_fields_of_a_connection_and_of_one_request_are_not_kept() {
        let fields = fields::of(&[
            ("etag", "\"a\""),
            ("connection", "x"),
            ("set-cookie", "a=b"),
            ("age", "3"),
            ("x", "1"),
        ]);
        let expected = fields::of(&[
            ("etag", "\"a\""),
            ("x", "1"),
            ("date", "Thu, 01 Jan 1970 00:00:09 GMT"),
        ]);
        assert_eq!(kept(&fields, 9_999), expected);
    }
}
