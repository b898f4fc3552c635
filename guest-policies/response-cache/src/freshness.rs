//! How long a response may be used without asking (RFC 9111 §4.2), and what its directives say of the time after.

use crate::cache_control::{Directives, delta_seconds};
use crate::fields::{self, Fields};

/// What the operator says about lifetimes. All in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lifetimes {
    /// Of a response that says nothing itself; 0 for none.
    pub default_s: u64,
    /// Percent of the time since `Last-Modified`, for a response that says nothing itself; 0 for none.
    pub heuristic_percent: u64,
    /// The longest that such a heuristic gives.
    pub heuristic_cap_s: u64,
    /// The longest of all, whatever a response says.
    pub max_s: u64,
    /// How long after its lifetime a response is used where the upstream fails, if it says nothing itself.
    pub stale_if_error_s: u64,
}

/// When a response was asked for and when it came, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    /// The request went out.
    pub requested_ms: u64,
    /// The response's head was there.
    pub received_ms: u64,
}

/// What a response says about its use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// When it was received, in milliseconds since 1970.
    pub received_ms: u64,
    /// Its age at that time, in milliseconds (RFC 9111 §4.2.3, `corrected_initial_age`).
    pub initial_age_ms: u64,
    /// Seconds of age up to which it is fresh.
    pub lifetime_s: u64,
    /// Seconds after that, in which it may stand in for an error (RFC 5861 §4).
    pub stale_if_error_s: u64,
    /// Never to be used without asking (RFC 9111 §5.2.2.4).
    pub no_cache: bool,
    /// Never to be used stale (RFC 9111 §4.2.4).
    pub never_stale: bool,
    /// A fresh one needs no asking on reload (RFC 8246).
    pub immutable: bool,
}

/// Statuses whose responses may be given a lifetime that they don't name (RFC 9110 §15.1), without 206, which is never kept.
const HEURISTICALLY_CACHEABLE: [u16; 11] = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];

impl Freshness {
    /// Reads the fields of a response with this status.
    pub fn of(status: u16, fields: &Fields, moments: Moments, lifetimes: &Lifetimes) -> Self {
        let directives = Directives::of(fields);
        let says = |name: &str| directives.has(name);
        let date_s = fields::date(fields, "date").unwrap_or(moments.received_ms / 1_000);
        let lifetime_s = explicit_s(&directives, fields, date_s)
            .unwrap_or_else(|| implicit_s(status, fields, date_s, lifetimes));
        let stale_if_error_s = directives
            .seconds("stale-if-error")
            .unwrap_or(lifetimes.stale_if_error_s);
        let no_cache = says("no-cache");
        // RFC 9111 §5.2.2.10: for a shared cache s-maxage means proxy-revalidate as well.
        let never_stale = no_cache
            || ["must-revalidate", "proxy-revalidate", "s-maxage"]
                .into_iter()
                .any(says);
        Self {
            received_ms: moments.received_ms,
            initial_age_ms: initial_age_ms(fields, date_s, moments),
            lifetime_s: lifetime_s.min(lifetimes.max_s),
            stale_if_error_s: if never_stale { 0 } else { stale_if_error_s },
            no_cache,
            never_stale,
            immutable: says("immutable"),
        }
    }

    /// Its age now, in whole seconds (RFC 9111 §4.2.3).
    pub fn age_s(&self, now_ms: u64) -> u64 {
        let resident_ms = now_ms.saturating_sub(self.received_ms);
        self.initial_age_ms.saturating_add(resident_ms) / 1_000
    }

    /// Seconds of freshness left; negative once it is stale.
    pub fn remaining_s(&self, now_ms: u64) -> i64 {
        let signed = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
        signed(self.lifetime_s).saturating_sub(signed(self.age_s(now_ms)))
    }

    /// Whether it is fresh (RFC 9111 §4.2: the lifetime is greater than the age).
    pub fn is_fresh(&self, now_ms: u64) -> bool {
        self.remaining_s(now_ms) > 0
    }
}

/// Whether a response says itself how long it is fresh (RFC 9111 §4.2.1), whatever the number.
pub fn is_explicit(fields: &Fields) -> bool {
    let directives = Directives::of(fields);
    directives.has("s-maxage") || directives.has("max-age") || fields::has(fields, "expires")
}

/// Whether a status may be kept without an explicit lifetime (RFC 9110 §15.1).
pub fn is_heuristically_cacheable(status: u16) -> bool {
    HEURISTICALLY_CACHEABLE.contains(&status)
}

/// RFC 9111 §4.2.1: the first of s-maxage, max-age and `Expires`.
fn explicit_s(directives: &Directives, fields: &Fields, date_s: u64) -> Option<u64> {
    let directive = directives
        .seconds("s-maxage")
        .or_else(|| directives.seconds("max-age"));
    directive.or_else(|| {
        let mut lines = fields::lines(fields, "expires");
        let first = lines.next()?;
        // RFC 9111 §5.3: what is no date has expired; so has what contradicts itself.
        let is_one = lines.all(|line| line == first);
        let expires_s = fields::date(fields, "expires").filter(|_| is_one);
        Some(expires_s.map_or(0, |expires_s| expires_s.saturating_sub(date_s)))
    })
}

/// RFC 9111 §4.2.2: a lifetime that the response doesn't name.
fn implicit_s(status: u16, fields: &Fields, date_s: u64, lifetimes: &Lifetimes) -> u64 {
    if !is_heuristically_cacheable(status) {
        return 0;
    }
    let modified_s =
        fields::date(fields, "last-modified").filter(|_| lifetimes.heuristic_percent > 0);
    match modified_s {
        Some(modified_s) => {
            let unchanged_s = date_s.saturating_sub(modified_s);
            let part_s = unchanged_s.saturating_mul(lifetimes.heuristic_percent) / 100;
            part_s.min(lifetimes.heuristic_cap_s)
        }
        None => lifetimes.default_s,
    }
}

/// RFC 9111 §4.2.3, `corrected_initial_age`.
fn initial_age_ms(fields: &Fields, date_s: u64, moments: Moments) -> u64 {
    let Moments {
        requested_ms,
        received_ms,
    } = moments;
    let apparent_ms = received_ms.saturating_sub(date_s.saturating_mul(1_000));
    // RFC 9111 §5.1: of several ages the first counts, and what is no number is passed over.
    let age = fields::members(fields, "age");
    let age_s = age.first().and_then(|age| delta_seconds(age)).unwrap_or(0);
    let delay_ms = received_ms.saturating_sub(requested_ms);
    apparent_ms.max(age_s * 1_000 + delay_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: &str = "Sun, 06 Nov 1994 12:00:00 GMT";
    const NOON_MS: u64 = 784_123_200_000;
    const AT_NOON: Moments = Moments {
        requested_ms: NOON_MS,
        received_ms: NOON_MS,
    };
    const LIFETIMES: Lifetimes = Lifetimes {
        default_s: 0,
        heuristic_percent: 0,
        heuristic_cap_s: 3_600,
        max_s: 1 << 31,
        stale_if_error_s: 0,
    };

    fn read(pairs: &[(&str, &str)], lifetimes: &Lifetimes) -> Freshness {
        Freshness::of(200, &fields::of(pairs), AT_NOON, lifetimes)
    }

    #[test]
    fn rfc_9111_4_2_1_the_first_that_names_a_lifetime_counts() {
        let one = "Sun, 06 Nov 1994 13:00:00 GMT";
        for (pairs, lifetime_s) in [
            (&[("cache-control", "max-age=60, s-maxage=30")][..], 30),
            (&[("cache-control", "max-age=60"), ("expires", one)], 60),
            (&[("date", NOON), ("expires", one)], 3_600),
            // Without a date that of receiving counts (RFC 9110 §6.6.1).
            (&[("expires", one)], 3_600),
            (&[("expires", NOON)], 0),
            (&[("expires", "0")], 0),
            (&[("expires", one), ("expires", NOON)], 0),
            (&[("cache-control", "public")], 0),
            (&[], 0),
        ] {
            assert_eq!(read(pairs, &LIFETIMES).lifetime_s, lifetime_s, "{pairs:?}");
        }
    }

    #[test]
    fn rfc_9111_4_2_2_heuristics_are_for_who_says_nothing() {
        let day_old = ("last-modified", "Sat, 05 Nov 1994 12:00:00 GMT");
        let tenth = Lifetimes {
            default_s: 5,
            heuristic_percent: 10,
            heuristic_cap_s: 86_400,
            ..LIFETIMES
        };
        let status = |status, pairs: &[(&str, &str)]| {
            Freshness::of(status, &fields::of(pairs), AT_NOON, &tenth).lifetime_s
        };
        assert_eq!(status(200, &[day_old]), 8_640);
        assert_eq!(status(404, &[]), 5);
        assert_eq!(status(200, &[day_old, ("cache-control", "max-age=0")]), 0);
        assert_eq!(status(302, &[day_old]), 0);
        assert_eq!(read(&[day_old], &LIFETIMES).lifetime_s, 0);
        let capped = Lifetimes {
            heuristic_cap_s: 60,
            ..tenth
        };
        assert_eq!(read(&[day_old], &capped).lifetime_s, 60);
    }

    #[test]
    fn rfc_9111_4_2_3_the_age_is_the_larger_of_both_reckonings() {
        let moments = Moments {
            requested_ms: NOON_MS - 2_500,
            received_ms: NOON_MS,
        };
        for (pairs, age_ms) in [
            (&[("date", NOON)][..], 2_500),
            (&[("date", "Sun, 06 Nov 1994 11:59:50 GMT")], 10_000),
            (&[("date", NOON), ("age", "30")], 32_500),
            (
                &[("date", "Sun, 06 Nov 1994 11:50:00 GMT"), ("age", "30")],
                600_000,
            ),
            // A date in the future is no negative age.
            (&[("date", "Sun, 06 Nov 1994 12:10:00 GMT")], 2_500),
            (&[("age", "30, 60")], 32_500),
            (&[("age", "-1")], 2_500),
            (&[("age", "old")], 2_500),
        ] {
            let freshness = Freshness::of(200, &fields::of(pairs), moments, &LIFETIMES);
            assert_eq!(freshness.initial_age_ms, age_ms, "{pairs:?}");
            assert_eq!(freshness.age_s(NOON_MS + 1_500), (age_ms + 1_500) / 1_000);
        }
    }

    #[test]
    fn a_response_is_fresh_while_it_is_younger_than_its_lifetime() {
        let freshness = read(
            &[("cache-control", "max-age=60"), ("age", "10")],
            &LIFETIMES,
        );
        for (after_ms, remaining_s, fresh) in [
            (0, 50, true),
            (49_999, 1, true),
            (50_000, 0, false),
            (60_000, -10, false),
        ] {
            assert_eq!(freshness.remaining_s(NOON_MS + after_ms), remaining_s);
            assert_eq!(freshness.is_fresh(NOON_MS + after_ms), fresh, "{after_ms}");
        }
        // A clock that goes back makes nothing older.
        assert_eq!(freshness.age_s(0), 10);
    }

    #[test]
    fn rfc_9111_4_2_4_directives_that_forbid_stale_responses() {
        let lifetimes = Lifetimes {
            stale_if_error_s: 60,
            ..LIFETIMES
        };
        for (value, never_stale, stale_if_error_s) in [
            ("max-age=1", false, 60),
            ("max-age=1, stale-if-error=5", false, 5),
            ("max-age=1, stale-if-error=0", false, 0),
            ("max-age=1, must-revalidate", true, 0),
            ("max-age=1, proxy-revalidate, stale-if-error=5", true, 0),
            ("s-maxage=1", true, 0),
            ("no-cache", true, 0),
            ("no-cache=\"x\"", true, 0),
        ] {
            let freshness = read(&[("cache-control", value)], &lifetimes);
            assert_eq!(
                (freshness.never_stale, freshness.stale_if_error_s),
                (never_stale, stale_if_error_s),
                "{value}"
            );
        }
    }
}
