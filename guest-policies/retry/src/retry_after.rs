//! When a response asks to be tried again (RFC 9110 §10.2.3).

use std::time::UNIX_EPOCH;

/// The value of a `Retry-After` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// After so many seconds.
    Seconds(u64),
    /// At that moment, in milliseconds since 1970.
    At(u64),
}

impl RetryAfter {
    /// Reads seconds or an HTTP date in any of its three forms (RFC 9110 §5.6.7); `None` for anything else.
    pub fn parse(value: &str) -> Option<Self> {
        let value = value.trim();
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            // More digits than fit are longer than any cap.
            return Some(Self::Seconds(value.parse().unwrap_or(u64::MAX)));
        }
        let date = httpdate::parse_http_date(value).ok()?;
        let since = date.duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(Self::At(since.as_secs().saturating_mul(1_000)))
    }

    /// Milliseconds from `now_ms` (since 1970) on; 0 for a date that has passed. Only a date asks for the time.
    pub fn delay_ms(self, now_ms: impl FnOnce() -> u64) -> u64 {
        match self {
            Self::Seconds(seconds) => seconds.saturating_mul(1_000),
            Self::At(at_ms) => at_ms.saturating_sub(now_ms()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 9110 §5.6.7, Sun, 06 Nov 1994 08:49:37 GMT.
    const EXAMPLE_MS: u64 = 784_111_777_000;

    #[test]
    fn seconds_and_the_three_forms_of_a_date_are_read() {
        for (value, expected) in [
            ("0", Some(RetryAfter::Seconds(0))),
            // The examples of RFC 9110 §10.2.3.
            ("120", Some(RetryAfter::Seconds(120))),
            (
                "Fri, 31 Dec 1999 23:59:59 GMT",
                Some(RetryAfter::At(946_684_799_000)),
            ),
            (" 10 ", Some(RetryAfter::Seconds(10))),
            (
                "99999999999999999999999",
                Some(RetryAfter::Seconds(u64::MAX)),
            ),
            (
                "Sun, 06 Nov 1994 08:49:37 GMT",
                Some(RetryAfter::At(EXAMPLE_MS)),
            ),
            (
                "Sunday, 06-Nov-94 08:49:37 GMT",
                Some(RetryAfter::At(EXAMPLE_MS)),
            ),
            ("Sun Nov  6 08:49:37 1994", Some(RetryAfter::At(EXAMPLE_MS))),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(RetryAfter::parse(value), expected, "{value:?}");
        }
    }

    #[test]
    fn a_date_is_waited_for_and_one_that_has_passed_is_not() {
        let at = RetryAfter::At(EXAMPLE_MS);
        assert_eq!(at.delay_ms(|| EXAMPLE_MS - 2_500), 2_500);
        assert_eq!(at.delay_ms(|| EXAMPLE_MS + 1), 0);
        let seconds = RetryAfter::Seconds(3);
        assert_eq!(
            seconds.delay_ms(|| unreachable!("no date, no clock")),
            3_000
        );
    }
}
