//! Time in RFC 3339, in UTC.

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400;

/// Appends `2026-11-24T16:22:55.000123Z`; times before 1970 are written as its first moment.
pub fn write(out: &mut Vec<u8>, time: SystemTime) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, micros) = (since.as_secs(), since.subsec_micros());
    let (year, month, day) = date(seconds / DAY);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    // A vector takes all bytes.
    let _ = write!(
        out,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z"
    );
}

/// The same as a text of its own.
pub fn text(time: SystemTime) -> String {
    let mut text = Vec::new();
    write(&mut text, time);
    String::from_utf8_lossy(&text).into_owned()
}

/// The date that many days after 1970-01-01, counted in years that begin in March, so that the leap day
/// is their last, and in eras of 400 of them, which all have as many days.
fn date(days: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097;
    // Days from 0000-03-01 to 1970-01-01.
    let days = days + 719_468;
    let (era, day) = (days / ERA, days % ERA);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Months from March have 31, 30, 31, 30, 31 days, and so on again.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let table = [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, "2000-02-28T23:59:59.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (951_868_800, "2000-03-01T00:00:00.000000Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
        ];
        for (seconds, expected) in table {
            let mut out = Vec::new();
            write(&mut out, UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        let mut out = Vec::new();
        write(&mut out, UNIX_EPOCH + Duration::from_micros(7));
        assert_eq!(out, b"1970-01-01T00:00:00.000007Z");
    }
}
