//! Decisions in Redis: one script call for all limits of a request.

use crate::decision::{Decision, StoreError};
use crate::gcra::{Rate, Standing};

/// The script as it is sent: `rate_limit.lua` without its comments, so that less is hashed and copied.
pub fn script() -> String {
    let lines = include_str!("rate_limit.lua").lines().map(str::trim_start);
    let mut script = String::new();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with("--")) {
        script.push_str(line);
        script.push('\n');
    }
    script
}

/// The script's arguments, the same for every request.
pub fn arguments(rates: impl Iterator<Item = Rate>) -> Vec<Vec<u8>> {
    rates
        .flat_map(|rate| [rate.interval_us(), rate.tolerance_us()])
        .map(|number| number.to_string().into_bytes())
        .collect()
}

/// Reads the script's reply for `len` limits.
pub fn decision(numbers: &[i64], len: usize) -> Result<Decision, StoreError> {
    if numbers.len() != 3 * len || numbers.iter().any(|&number| number < 0) {
        return Err(StoreError::Failed(
            "the script's reply has another shape".to_owned(),
        ));
    }
    Ok(Decision::collect(len, |i| Standing {
        allowed: numbers[3 * i] == 1,
        remaining: u32::try_from(numbers[3 * i + 1]).unwrap_or(u32::MAX),
        wait_us: numbers[3 * i + 2].unsigned_abs(),
    }))
}

#[cfg(test)]
mod script_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_sent_without_comments() {
        let script = script();
        assert!(
            script.starts_with("local clock = redis.call('TIME')\n")
                && script.ends_with("return reply\n")
        );
        assert!(!script.contains("--") && script.is_ascii());
    }

    #[test]
    fn a_reply_of_another_shape_is_a_store_error() {
        for numbers in [&[1, 2][..], &[1, 2, -3], &[1, 2, 3, 4, 5, 6], &[]] {
            assert!(decision(numbers, 1).is_err(), "{numbers:?}");
        }
        let decided = decision(&[1, 19, 5, 0, 0, 7], 2).unwrap();
        assert!(!decided.allowed());
        assert_eq!(
            decided.standings()[1],
            Standing {
                allowed: false,
                remaining: 0,
                wait_us: 7
            }
        );
    }
}
