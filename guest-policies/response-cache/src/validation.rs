//! Questions on condition (RFC 9111 §4.3): those that clients put to the cache, and those that it puts to the upstream.

use crate::fields::{self, Fields};
use crate::storing;

/// Fields that a 304 does not change: they tell of the body that is kept (RFC 9111 §3.2).
const OF_THE_BODY: [&str; 5] = [
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "transfer-encoding",
];

/// Fields that tell a client with a 304 what it needs (RFC 9110 §15.4.5).
const OF_A_304: [&str; 6] = [
    "cache-control",
    "content-location",
    "date",
    "etag",
    "expires",
    "vary",
];

/// Whether the client has what a kept response of status 200 would bring it (RFC 9111 §4.3.2).
pub fn is_unchanged(request: &Fields, kept: &Fields) -> bool {
    if fields::has(request, "if-none-match") {
        let tag = fields::text(kept, "etag").map(opaque);
        let tags = fields::members(request, "if-none-match");
        return tags
            .iter()
            .any(|known| known == "*" || tag.is_some_and(|tag| opaque(known) == tag));
    }
    let Some(since_s) = fields::date(request, "if-modified-since") else {
        return false;
    };
    // Without a date of change that of the response stands for it.
    let changed_s = fields::date(kept, "last-modified").or_else(|| fields::date(kept, "date"));
    changed_s.is_some_and(|changed_s| changed_s <= since_s)
}

/// The fields by which the upstream is asked whether the kept response still holds, in place of the client's (RFC 9111 §4.3.1).
/// Empty where it has no validator.
pub fn question(kept: &Fields) -> Vec<(&'static str, Vec<u8>)> {
    let line = |name| fields::lines(kept, name).next().map(<[u8]>::to_vec);
    let is_dated = fields::date(kept, "last-modified").is_some();
    let tag = line("etag").map(|tag| ("if-none-match", tag));
    let since = line("last-modified").filter(|_| is_dated);
    let since = since.map(|since| ("if-modified-since", since));
    tag.into_iter().chain(since).collect()
}

/// Whether a 304 is about the kept response (RFC 9111 §4.3.4): the validators that it names are its.
pub fn selects(answer: &Fields, kept: &Fields) -> bool {
    match (fields::text(answer, "etag"), fields::text(kept, "etag")) {
        (Some(new), Some(old)) => opaque(new) == opaque(old),
        (Some(_), None) => false,
        (None, _) => {
            let (new, old) = (
                fields::date(answer, "last-modified"),
                fields::date(kept, "last-modified"),
            );
            new.is_none() || new == old
        }
    }
}

/// The kept fields with those of a 304 in their place (RFC 9111 §3.2, §4.3.4).
pub fn updated(kept: Fields, answer: &Fields) -> Fields {
    let changes = |name: &str| !OF_THE_BODY.contains(&name) && storing::is_kept(name);
    let mut updated = kept;
    updated.retain(|(name, _)| !changes(name) || !fields::has(answer, name));
    let new = answer.iter().filter(|(name, _)| changes(name));
    updated.extend(new.cloned());
    updated
}

/// What of the kept fields a 304 to the client has.
pub fn of_a_304(kept: &Fields) -> Fields {
    let told = kept
        .iter()
        .filter(|(name, _)| OF_A_304.contains(&name.as_str()));
    told.cloned().collect()
}

/// The part of a tag that the weak comparison looks at (RFC 9110 §8.8.3.2).
fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLIER: &str = "Sun, 06 Nov 1994 08:00:00 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 09:00:00 GMT";

    #[test]
    fn rfc_9110_8_8_3_2_tags_are_compared_weakly() {
        // The table of that section; the third row of its four has no equal tags.
        for (kept, asked, expected) in [
            ("W/\"1\"", "W/\"1\"", true),
            ("W/\"1\"", "W/\"2\"", false),
            ("W/\"1\"", "\"1\"", true),
            ("\"1\"", "\"1\"", true),
            ("\"1\"", "\"2\", \"1\"", true),
            ("\"1\"", "*", true),
            ("\"1\"", "1", false),
        ] {
            let (request, kept) = (
                fields::of(&[("if-none-match", asked)]),
                fields::of(&[("etag", kept)]),
            );
            assert_eq!(is_unchanged(&request, &kept), expected, "{asked}");
        }
    }

    #[test]
    fn rfc_9110_13_1_3_dates_count_where_no_tag_is_named() {
        let kept = fields::of(&[
            ("last-modified", EARLIER),
            ("date", LATER),
            ("etag", "\"1\""),
        ]);
        let dated = fields::of(&[("date", LATER)]);
        for (request, kept, expected) in [
            (&[("if-modified-since", EARLIER)][..], &kept, true),
            (&[("if-modified-since", LATER)], &kept, true),
            (
                &[("if-modified-since", "Sun, 06 Nov 1994 07:59:59 GMT")],
                &kept,
                false,
            ),
            (&[("if-modified-since", "yesterday")], &kept, false),
            (
                &[("if-modified-since", LATER), ("if-none-match", "\"2\"")],
                &kept,
                false,
            ),
            (&[("if-modified-since", LATER)], &dated, true),
            (&[("if-modified-since", EARLIER)], &dated, false),
            (&[("if-modified-since", LATER)], &fields::of(&[]), false),
            (&[], &kept, false),
        ] {
            assert_eq!(
                is_unchanged(&fields::of(request), kept),
                expected,
                "{request:?}"
            );
        }
    }

    #[test]
    fn rfc_9111_4_3_1_the_upstream_is_asked_by_the_kept_validators() {
        let kept = fields::of(&[("etag", "W/\"1\""), ("last-modified", EARLIER)]);
        let expected = [
            ("if-none-match", b"W/\"1\"".to_vec()),
            ("if-modified-since", EARLIER.as_bytes().to_vec()),
        ];
        assert_eq!(question(&kept), expected);
        assert!(question(&fields::of(&[("last-modified", "0")])).is_empty());
    }

    #[test]
    fn rfc_9111_4_3_4_a_304_changes_what_it_names_but_the_body() {
        let kept = fields::of(&[
            ("etag", "\"1\""),
            ("content-type", "text/plain"),
            ("x", "1"),
            ("x", "2"),
            ("y", "1"),
        ]);
        let answer = fields::of(&[
            ("x", "3"),
            ("content-type", "text/html"),
            ("content-length", "0"),
            ("z", "4"),
            ("set-cookie", "a=b"),
        ]);
        let expected = fields::of(&[
            ("etag", "\"1\""),
            ("content-type", "text/plain"),
            ("y", "1"),
            ("x", "3"),
            ("z", "4"),
        ]);
        assert_eq!(updated(kept, &answer), expected);
    }

    #[test]
    fn rfc_9111_4_3_4_a_304_is_about_the_response_with_its_validator() {
        let kept = fields::of(&[("etag", "\"1\""), ("last-modified", EARLIER)]);
        for (answer, expected) in [
            (&[][..], true),
            (&[("etag", "\"1\"")], true),
            (&[("etag", "W/\"1\"")], true),
            (&[("etag", "\"2\"")], false),
            (&[("last-modified", EARLIER)], true),
            (&[("last-modified", LATER)], false),
        ] {
            assert_eq!(selects(&fields::of(answer), &kept), expected, "{answer:?}");
        }
        assert!(!selects(
            &fields::of(&[("etag", "\"1\"")]),
            &fields::of(&[])
        ));
    }
}
