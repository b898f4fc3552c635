//! How much of the requests each endpoint may have now.

use std::time::Duration;

use crate::upstream::moment::Moment;

/// What one of a weight of 1 has when it is warm, so that a part of it is a whole number.
const WHOLE: u32 = 100;
/// The share that a new endpoint starts with, of [`WHOLE`]: with less, one of weight 1 beside many
/// would see no request for a long time, and none to warm up by.
const COLD: u32 = 10;

/// What shares depend on, beside the endpoints.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// How long the share of a new endpoint grows. Zero: it is whole at once.
    pub warm_up: Duration,
    /// Percent of endpoints; when fewer are available, all are used, since the rest would break down
    /// under the load of all. Zero: never.
    pub panic_threshold: u32,
}

/// One endpoint, as far as its share is concerned.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// The configured weight.
    pub weight: u32,
    /// It is healthy and not ejected.
    pub is_available: bool,
    /// Since when; never: from the start of the gateway, so that it is warm.
    pub since: Moment,
}

/// Writes the candidates' shares: zero for one that is not to be used.
pub fn write(
    shares: &mut Vec<u32>,
    candidates: impl ExactSizeIterator<Item = Candidate> + Clone,
    terms: Terms,
    now: Moment,
) {
    shares.clear();
    shares.extend(candidates.clone().map(|candidate| {
        if candidate.is_available {
            candidate.weight * warmth(candidate.since, terms.warm_up, now)
        } else {
            0
        }
    }));
    let available = shares.iter().filter(|share| **share > 0).count();
    if available * 100 < candidates.len() * terms.panic_threshold as usize {
        shares.clear();
        shares.extend(candidates.map(|candidate| candidate.weight * WHOLE));
    }
}

/// Takes `index` out, if anybody else has a share.
pub fn exclude(shares: &mut [u32], index: usize) {
    let is_another = |(other, share): (usize, &u32)| other != index && *share > 0;
    if shares.iter().enumerate().any(is_another)
        && let Some(share) = shares.get_mut(index)
    {
        *share = 0;
    }
}

/// From [`COLD`] to [`WHOLE`], growing with time.
fn warmth(since: Moment, warm_up: Duration, now: Moment) -> u32 {
    let age = now.since(since);
    if since == Moment::NEVER || age >= warm_up {
        return WHOLE;
    }
    let grown = (age.as_millis() * u128::from(WHOLE) / warm_up.as_millis().max(1)) as u32;
    grown.max(COLD)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(100_000);

    fn candidate(weight: u32, is_available: bool, age_ms: u64) -> Candidate {
        Candidate {
            weight,
            is_available,
            since: Moment(NOW.0 - age_ms),
        }
    }

    fn shares(candidates: &[Candidate], panic_threshold: u32) -> Vec<u32> {
        let terms = Terms {
            warm_up: Duration::from_secs(10),
            panic_threshold,
        };
        let mut shares = vec![7; 9];
        write(&mut shares, candidates.iter().copied(), terms, NOW);
        shares
    }

    #[test]
    fn a_share_grows_with_the_time_since_the_endpoint_came() {
        for (age_ms, share) in [
            (0, 20),
            (999, 20),
            (5_000, 100),
            (9_999, 198),
            (10_000, 200),
            (90_000, 200),
        ] {
            assert_eq!(
                shares(&[candidate(2, true, age_ms)], 50),
                [share],
                "{age_ms}"
            );
        }
        let first = Candidate {
            since: Moment::NEVER,
            ..candidate(1, true, 0)
        };
        assert_eq!(shares(&[first], 50), [100]);
    }

    #[test]
    fn when_too_few_are_available_all_are_used() {
        let (up, down) = (candidate(1, true, 90_000), candidate(2, false, 90_000));
        let table: [(&[Candidate], u32, &[u32]); 7] = [
            (&[up, down], 50, &[100, 0]),
            (&[up, down], 51, &[100, 200]),
            (&[up, down, down], 50, &[100, 200, 200]),
            (&[down], 50, &[200]),
            (&[down], 1, &[200]),
            (&[down], 0, &[0]),
            (&[up, down, down], 0, &[100, 0, 0]),
        ];
        for (candidates, threshold, expected) in table {
            assert_eq!(
                shares(candidates, threshold),
                expected,
                "{candidates:?} {threshold}"
            );
        }
    }

    #[test]
    fn the_only_one_is_not_excluded() {
        for (before, index, after) in [
            ([1, 1], 0, [0, 1]),
            ([1, 0], 0, [1, 0]),
            ([0, 1], 0, [0, 1]),
            ([1, 1], 9, [1, 1]),
        ] {
            let mut shares = before;
            exclude(&mut shares, index);
            assert_eq!(shares, after);
        }
    }
}
