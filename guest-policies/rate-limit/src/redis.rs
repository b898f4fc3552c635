//! The script that decides in Redis: what it is told and what it answers.

use crate::decision::{Demand, StoreError};
use crate::gcra::Standing;

/// Integers of the reply for each limit.
const REPLIES: usize = 4;

/// What the script is asked about one limit.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The bucket and the charge.
    pub demand: &'a Demand,
    /// Units wanted besides.
    pub lease: u32,
    /// Microseconds' worth of units that were spent without asking.
    pub owed_us: u64,
}

/// What the script answers about one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Where the bucket stands.
    pub standing: Standing,
    /// Units got besides.
    pub leased: u32,
}

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

/// The script's arguments.
pub fn arguments(asks: &[Ask<'_>]) -> Vec<String> {
    let numbers = asks.iter().flat_map(|ask| {
        let demand = ask.demand;
        [
            demand.rate.interval_us(),
            demand.rate.tolerance_us(),
            demand.rate.charge_us(demand.cost),
            u64::from(ask.lease),
            ask.owed_us,
            u64::from(demand.is_shadow),
        ]
    });
    numbers.map(|number| number.to_string()).collect()
}

/// Reads the script's reply about `len` limits.
pub fn answers(numbers: &[i64], len: usize) -> Result<Vec<Answer>, StoreError> {
    if numbers.len() != REPLIES * len || numbers.iter().any(|&number| number < 0) {
        return Err(StoreError::Failed(
            "the script's reply has another shape".to_owned(),
        ));
    }
    let small = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    let answer = |part: &[i64]| Answer {
        standing: Standing {
            allowed: part[0] == 1,
            remaining: small(part[1]),
            wait_us: part[2].unsigned_abs(),
        },
        leased: small(part[3]),
    };
    Ok(numbers.chunks_exact(REPLIES).map(answer).collect())
}

#[cfg(test)]
pub(crate) mod script_tests;

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
        for numbers in [&[1, 2, 3][..], &[1, 2, -3, 0], &[1; 8], &[]] {
            assert!(answers(numbers, 1).is_err(), "{numbers:?}");
        }
        let read = answers(&[1, 19, 5, 2, 0, 0, 7, 0], 2).unwrap();
        let expected = |allowed, remaining, wait_us, leased| Answer {
            standing: Standing {
                allowed,
                remaining,
                wait_us,
            },
            leased,
        };
        assert_eq!(read, [expected(true, 19, 5, 2), expected(false, 0, 7, 0)]);
    }
}
