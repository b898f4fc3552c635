//! Header fields as the contract has them: names in lower case, values as bytes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use portcullis_sdk::Fields;

/// The values of a field, line by line.
pub fn lines<'a>(fields: &'a Fields, name: &str) -> impl Iterator<Item = &'a [u8]> {
    fields
        .iter()
        .filter(move |(found, _)| found == name)
        .map(|(_, value)| value.as_slice())
}

/// Whether the field is there.
pub fn has(fields: &Fields, name: &str) -> bool {
    lines(fields, name).next().is_some()
}

/// The value of the first line, without white space around it; `None` where it is absent or no UTF-8.
pub fn text<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    let value = lines(fields, name).next()?;
    Some(std::str::from_utf8(value).ok()?.trim_ascii())
}

/// The members of a field that is a list (RFC 9110 §5.6.1), of all its lines, without empty ones. A comma in a quoted string
/// is part of its member.
pub fn members(fields: &Fields, name: &str) -> Vec<String> {
    let mut members = Vec::new();
    for line in lines(fields, name) {
        let (mut start, mut is_quoted, mut is_escaped) = (0, false, false);
        for (at, byte) in line.iter().enumerate() {
            match byte {
                b',' if !is_quoted => {
                    members.push(&line[start..at]);
                    start = at + 1;
                }
                b'"' if !is_escaped => is_quoted = !is_quoted,
                _ => {}
            }
            is_escaped = is_quoted && *byte == b'\\' && !is_escaped;
        }
        members.push(&line[start..]);
    }
    members
        .into_iter()
        .map(|member| String::from_utf8_lossy(member.trim_ascii()).into_owned())
        .filter(|member| !member.is_empty())
        .collect()
}

/// The moment that the field names (RFC 9110 §5.6.7), in seconds since 1970; `None` for one that names none.
pub fn date(fields: &Fields, name: &str) -> Option<u64> {
    let date = httpdate::parse_http_date(text(fields, name)?).ok()?;
    Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// That moment as a field writes it.
pub fn written_date(unix_s: u64) -> String {
    // The last moment that has four digits for its year; httpdate knows no later one.
    const LAST: u64 = 253_402_300_799;
    let moment: SystemTime = UNIX_EPOCH + Duration::from_secs(unix_s.min(LAST));
    httpdate::fmt_http_date(moment)
}

/// Takes all lines of the field away.
pub fn remove(fields: &mut Fields, name: &str) {
    fields.retain(|(found, _)| found != name);
}

/// Bytes of names and values.
pub fn size(fields: &Fields) -> usize {
    fields
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum()
}

/// Fields of names and texts, for tests.
#[cfg(test)]
pub fn of(pairs: &[(&str, &str)]) -> Fields {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
    pairs.iter().map(owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_over_lines_and_past_quoted_commas() {
        let fields = of(&[
            ("vary", "a, b ,,"),
            ("x", "1"),
            ("vary", r#"c="x,\",y", d"#),
        ]);
        assert_eq!(members(&fields, "vary"), ["a", "b", r#"c="x,\",y""#, "d"]);
        assert_eq!(members(&fields, "none"), [""; 0]);
    }

    #[test]
    fn dates_are_read_and_written() {
        // The example of RFC 9110 §5.6.7.
        let fields = of(&[
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("expires", "0"),
            ("old", "Mon, 01 Jan 1900 00:00:00 GMT"),
        ]);
        assert_eq!(date(&fields, "date"), Some(784_111_777));
        assert_eq!(date(&fields, "expires"), None);
        assert_eq!(date(&fields, "old"), None);
        assert_eq!(written_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(written_date(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
