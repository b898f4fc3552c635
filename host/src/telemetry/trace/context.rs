//! The field `traceparent` (W3C Trace Context, level 2): which trace a request belongs to, and who called.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// Carries the trace and the span that a request comes from (W3C Trace Context §3.2).
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Carries what tracing systems add to it, in their own words.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The caller may have recorded it.
const SAMPLED: u8 = 0x01;
/// The right-most 7 bytes of the trace's id are random.
const RANDOM: u8 = 0x02;

/// Version, two ids, flags, and what is between them.
const LENGTH: usize = 55;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// A place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TraceContext {
    /// Of the whole trace; not 0.
    pub(super) trace_id: u128,
    /// Of the span that is, or would be, the parent of what comes next; not 0.
    pub(super) span_id: u64,
    flags: u8,
}

impl TraceContext {
    /// The beginning of a trace, from two numbers that were drawn at random.
    pub(super) fn begin(trace_id: u128, span_id: u64, is_sampled: bool) -> Self {
        Self {
            trace_id: trace_id.max(1),
            span_id: span_id.max(1),
            flags: RANDOM | u8::from(is_sampled),
        }
    }

    /// The next span of the same trace.
    pub(super) fn next(self, span_id: u64, is_sampled: bool) -> Self {
        Self {
            trace_id: self.trace_id,
            span_id: span_id.max(1),
            flags: self.flags & RANDOM | u8::from(is_sampled),
        }
    }

    /// Whether the caller says that it is recorded.
    pub(super) fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The flags as they are sent on: those that mean something.
    pub(super) fn flags(self) -> u8 {
        self.flags
    }

    /// What the request says; `None` if it says nothing, or nothing that could be relied on (§3.2.2): then the trace
    /// begins anew.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(TRACEPARENT).iter();
        match (lines.next(), lines.next()) {
            (Some(line), None) => Self::parse(line.as_bytes()),
            _ => None,
        }
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let (known, rest) = value.split_at_checked(LENGTH)?;
        let [version, trace_id, span_id, flags] = [(0, 2), (3, 35), (36, 52), (53, 55)]
            .map(|(start, end)| hexadecimal(&known[start..end]));
        let dashes = [2, 35, 52].iter().all(|at| known[*at] == b'-');
        // Later versions may have more fields (§3.2.4), but ff is none.
        let is_whole = match version? {
            0x00 => rest.is_empty(),
            0xff => false,
            _ => rest.first().is_none_or(|byte| *byte == b'-'),
        };
        let span_id = u64::try_from(span_id?).ok()?;
        let context = Self {
            trace_id: trace_id?,
            span_id,
            flags: u8::try_from(flags?).ok()? & (SAMPLED | RANDOM),
        };
        (dashes && is_whole && context.trace_id != 0 && span_id != 0).then_some(context)
    }

    /// As a field's value.
    pub(super) fn to_field(self) -> HeaderValue {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(&mut text[3..35], self.trace_id);
        write_hex(&mut text[36..52], self.span_id.into());
        write_hex(&mut text[53..55], self.flags.into());
        HeaderValue::from_bytes(&text).expect("digits and dashes are visible text")
    }
}

/// Lower-case digits only.
fn hexadecimal(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

fn write_hex(out: &mut [u8], mut number: u128) {
    for digit in out.iter_mut().rev() {
        *digit = HEX[(number & 0xf) as usize];
        number >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "12345678901234567890123456789012";
    const SPAN: &str = "1234567890123456";

    fn parsed(value: &str) -> Option<TraceContext> {
        TraceContext::parse(value.as_bytes())
    }

    /// After the cases of the W3C's test suite (trace-context/test/test.py).
    #[test]
    fn what_is_no_traceparent_is_refused() {
        for value in [
            "",
            "00",
            &format!("00-{TRACE}-{SPAN}-01."),
            &format!("00-{TRACE}-{SPAN}-01-what-the-future-will-be-like"),
            &format!("cc-{TRACE}-{SPAN}-01.what-the-future-will-be-like"),
            &format!("ff-{TRACE}-{SPAN}-01"),
            &format!(".0-{TRACE}-{SPAN}-01"),
            &format!("0.-{TRACE}-{SPAN}-01"),
            &format!("000-{TRACE}-{SPAN}-01"),
            &format!("0-{TRACE}-{SPAN}-01"),
            &format!("00-{}-{SPAN}-01", "0".repeat(32)),
            &format!("00-.{}-{SPAN}-01", &TRACE[1..]),
            &format!("00-{}.-{SPAN}-01", &TRACE[1..]),
            &format!("00-{TRACE}3-{SPAN}-01"),
            &format!("00-{}-{SPAN}-01", &TRACE[1..]),
            &format!("00-{TRACE}-0000000000000000-01"),
            &format!("00-{TRACE}-.{}-01", &SPAN[1..]),
            &format!("00-{TRACE}-{SPAN}7-01"),
            &format!("00-{TRACE}-{}-01", &SPAN[1..]),
            &format!("00-{TRACE}-{SPAN}-.0"),
            &format!("00-{TRACE}-{SPAN}-0."),
            &format!("00-{TRACE}-{SPAN}-001"),
            &format!("00-{TRACE}-{SPAN}-1"),
            &format!("00-{TRACE}-{SPAN}_01"),
            &format!("00-{}-{SPAN}-01", "A".repeat(32)),
        ] {
            assert_eq!(parsed(value), None, "{value}");
        }
    }

    #[test]
    fn known_and_later_versions_are_read() {
        for (value, sent_on) in [
            (format!("00-{TRACE}-{SPAN}-01"), "01"),
            (format!("00-{TRACE}-{SPAN}-00"), "00"),
            (format!("00-{TRACE}-{SPAN}-02"), "02"),
            // What other flags mean is not known.
            (format!("00-{TRACE}-{SPAN}-ff"), "03"),
            (format!("cc-{TRACE}-{SPAN}-01"), "01"),
            (
                format!("cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like"),
                "01",
            ),
        ] {
            let context = parsed(&value).unwrap();
            let expected = format!("00-{TRACE}-{SPAN}-{sent_on}");
            assert_eq!(context.to_field(), *expected, "{value}");
        }
    }

    #[test]
    fn two_fields_are_none() {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::try_from(format!("00-{TRACE}-{SPAN}-01")).unwrap();
        headers.append(TRACEPARENT, value.clone());
        assert!(TraceContext::of(&headers).is_some());
        headers.append(TRACEPARENT, value);
        assert_eq!(TraceContext::of(&headers), None);
    }

    #[test]
    fn a_trace_goes_on_under_its_own_id_and_says_whether_it_is_random() {
        let parent = parsed(&format!("00-{TRACE}-{SPAN}-01")).unwrap();
        let next = parent.next(0xabc, false);
        assert_eq!(next.to_field(), *format!("00-{TRACE}-0000000000000abc-00"));
        let root = TraceContext::begin(0, 0, true);
        let expected = format!("00-{}1-{}1-03", "0".repeat(31), "0".repeat(15));
        assert_eq!(root.to_field(), *expected);
        assert_eq!(root.next(2, false).flags(), RANDOM);
    }
}
