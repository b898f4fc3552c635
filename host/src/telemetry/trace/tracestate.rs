//! The field `tracestate` (W3C Trace Context, level 2, §3.3): whether it can be sent on. The gateway adds nothing to it.

use http::HeaderMap;

use super::context::TRACESTATE;

/// Members of the list.
const MAX_MEMBERS: usize = 32;
/// Bytes of a key or a value.
const MAX_BYTES: usize = 256;

/// Whether all lines of the field together are a list as the standard has it; a field that is not there is.
pub(super) fn is_sound(headers: &HeaderMap) -> bool {
    let mut members = 0;
    headers.get_all(TRACESTATE).iter().all(|line| {
        line.as_bytes().split(|byte| *byte == b',').all(|member| {
            let member = trimmed(member);
            members += usize::from(!member.is_empty());
            members <= MAX_MEMBERS && (member.is_empty() || is_member(member))
        })
    })
}

fn trimmed(member: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = member.iter().position(|byte| !is_space(byte));
    let end = member.iter().rposition(|byte| !is_space(byte));
    match (start, end) {
        (Some(start), Some(end)) => &member[start..=end],
        _ => &[],
    }
}

fn is_member(member: &[u8]) -> bool {
    let Some(at) = member.iter().position(|byte| *byte == b'=') else {
        return false;
    };
    let (key, value) = (&member[..at], &member[at + 1..]);
    let is_key_byte =
        |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(byte);
    let starts_well = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_value_byte = |byte: &u8| matches!(byte, 0x20..=0x7e) && *byte != b'=';
    key.len() <= MAX_BYTES
        && key.first().is_some_and(starts_well)
        && key.iter().all(is_key_byte)
        && (1..=MAX_BYTES).contains(&value.len())
        && value.iter().all(is_value_byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn sound(lines: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(TRACESTATE, HeaderValue::from_str(line).unwrap());
        }
        is_sound(&headers)
    }

    fn members(range: std::ops::Range<u32>) -> String {
        let members = range.map(|n| format!("bar{n:02}={n:02}"));
        members.collect::<Vec<_>>().join(",")
    }

    /// After the cases of the W3C's test suite.
    #[test]
    fn lists_are_sound_or_not() {
        let (long, too_long) = ("z".repeat(256), "z".repeat(257));
        for lines in [
            &[][..],
            &[""],
            &["foo=1", ""],
            &["foo=1,bar=2"],
            &["foo=1,bar=2", "rojo=1,congo=2", "baz=3"],
            &["foo=1 \t , \t bar=2, \t baz=3"],
            &[" foo=1 \t"],
            &[
                "foo@bar=1",
                "foo@@bar=1",
                "0x_-*/@=!#$%&'()*+-./ :;<>?@[]^_`{|}~",
            ],
            &["foo=  1"],
            &[&members(0..16), &members(16..32)],
            &["foo=1", &format!("{long}={long}")],
        ] {
            assert!(sound(lines), "{lines:?}");
        }
        for lines in [
            &["foo =1"][..],
            &["FOO=1"],
            &["foo.bar=1"],
            &["@foo=1,bar=2"],
            &["=1"],
            &["foo"],
            &["foo=bar=baz"],
            &["foo=,bar=3"],
            &["foo=1", &format!("{too_long}=1")],
            &["foo=1", &format!("z={too_long}")],
            &[&members(0..16), &members(16..33)],
            &["a=b\tc"],
        ] {
            assert!(!sound(lines), "{lines:?}");
        }
    }
}
