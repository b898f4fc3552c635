//! Whether a kept response answers a request without asking the upstream (RFC 9111 §4), as both sides' directives have it.

use crate::cache_control::Directives;
use crate::freshness::Freshness;

/// What to do with a kept response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// It answers; fresh.
    Fresh,
    /// It answers although it is stale: the request allows it.
    Stale,
    /// The upstream must be asked, since it is stale or may never be used without asking.
    Expired,
    /// The upstream must be asked, since the request wants it.
    Asked,
}

/// Decides by what the response says and, unless the operator passes it over, by what the request says.
pub fn decide(freshness: &Freshness, request: &Directives, now_ms: u64) -> Reuse {
    if freshness.no_cache {
        return Reuse::Expired;
    }
    let remaining_s = freshness.remaining_s(now_ms);
    if remaining_s <= 0 {
        return stale(freshness, request, remaining_s);
    }
    if is_refused(freshness, request, remaining_s, now_ms) {
        Reuse::Asked
    } else {
        Reuse::Fresh
    }
}

/// RFC 9111 §5.2.1.2: max-stale, where nothing forbids it.
fn stale(freshness: &Freshness, request: &Directives, remaining_s: i64) -> Reuse {
    let stale_s = remaining_s.unsigned_abs();
    let allows = request.is_bare("max-stale")
        || request
            .seconds("max-stale")
            .is_some_and(|most_s| stale_s <= most_s && most_s > 0);
    let is_wanted = allows && !request.has("no-cache") && !freshness.never_stale;
    // A limit of age holds for stale responses as well (RFC 9111 §5.2.1.1).
    if is_wanted && !request.has("max-age") && !request.has("min-fresh") {
        Reuse::Stale
    } else {
        Reuse::Expired
    }
}

/// RFC 9111 §5.2.1.1, §5.2.1.3, §5.2.1.4: no-cache, min-fresh and max-age of a request.
fn is_refused(freshness: &Freshness, request: &Directives, remaining_s: i64, now_ms: u64) -> bool {
    let wants_freshness = |least_s: u64| remaining_s.unsigned_abs() < least_s;
    let is_too_old = |most_s: u64| freshness.age_s(now_ms) > most_s || most_s == 0;
    // RFC 8246 §2.1: a reload says max-age=0, and an immutable response is not asked for again on a reload.
    let is_reload = request.seconds("max-age") == Some(0) && freshness.immutable;
    request.has("no-cache")
        || request.seconds("min-fresh").is_some_and(wants_freshness)
        || (!is_reload && request.seconds("max-age").is_some_and(is_too_old))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields;

    /// Received at 0 with a lifetime of 60 s.
    fn minute() -> Freshness {
        Freshness {
            lifetime_s: 60,
            ..Freshness::default()
        }
    }

    fn decided(freshness: &Freshness, directives: &str, age_s: u64) -> Reuse {
        let fields = fields::of(&[("cache-control", directives)]);
        decide(freshness, &Directives::of_request(&fields), age_s * 1_000)
    }

    #[test]
    fn rfc_9111_4_2_a_fresh_response_answers_and_a_stale_one_does_not() {
        assert_eq!(decided(&minute(), "", 59), Reuse::Fresh);
        assert_eq!(decided(&minute(), "", 60), Reuse::Expired);
        let no_cache = Freshness {
            no_cache: true,
            ..minute()
        };
        assert_eq!(decided(&no_cache, "max-stale", 0), Reuse::Expired);
    }

    #[test]
    fn rfc_9111_5_2_1_directives_of_the_request() {
        for (directives, age_s, expected) in [
            ("no-cache", 1, Reuse::Asked),
            ("max-age=10", 10, Reuse::Fresh),
            ("max-age=10", 11, Reuse::Asked),
            ("max-age=0", 0, Reuse::Asked),
            ("max-age=soon", 0, Reuse::Asked),
            ("min-fresh=20", 40, Reuse::Fresh),
            ("min-fresh=20", 41, Reuse::Asked),
            ("max-stale", 1_000, Reuse::Stale),
            ("max-stale=10", 70, Reuse::Stale),
            ("max-stale=10", 71, Reuse::Expired),
            ("max-stale=soon", 60, Reuse::Expired),
            ("max-stale, max-age=10", 70, Reuse::Expired),
            ("max-stale, no-cache", 70, Reuse::Expired),
        ] {
            assert_eq!(
                decided(&minute(), directives, age_s),
                expected,
                "{directives} {age_s}"
            );
        }
    }

    #[test]
    fn rfc_9111_4_2_4_what_may_never_be_stale_is_not() {
        let strict = Freshness {
            never_stale: true,
            ..minute()
        };
        assert_eq!(decided(&strict, "max-stale", 61), Reuse::Expired);
    }

    #[test]
    fn rfc_8246_2_1_a_reload_does_not_ask_for_what_is_immutable() {
        let immutable = Freshness {
            immutable: true,
            ..minute()
        };
        assert_eq!(decided(&immutable, "max-age=0", 30), Reuse::Fresh);
        assert_eq!(decided(&immutable, "no-cache", 30), Reuse::Asked);
        assert_eq!(decided(&immutable, "max-age=0", 60), Reuse::Expired);
    }
}
