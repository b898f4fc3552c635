//! Turns by weight, spread evenly.

/// Smooth weighted round robin, as nginx has it (`ngx_http_upstream_get_peer`): shares 5, 1, 1 give
/// a a b a c a a and not a a a a a b c.
#[derive(Debug, Default)]
pub struct RoundRobin {
    credits: Vec<i64>,
}

impl RoundRobin {
    /// The next endpoint's turn; one without a share has none. `None`: nobody has a share.
    pub fn pick(&mut self, shares: &[u32]) -> Option<usize> {
        self.credits.resize(shares.len(), 0);
        let mut total = 0;
        let mut best: Option<usize> = None;
        for (index, &share) in shares.iter().enumerate().filter(|(_, share)| **share > 0) {
            self.credits[index] += i64::from(share);
            total += i64::from(share);
            if best.is_none_or(|best| self.credits[index] > self.credits[best]) {
                best = Some(index);
            }
        }
        let best = best?;
        self.credits[best] -= total;
        Some(best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(picker: &mut RoundRobin, shares: &[u32], count: usize) -> Vec<Option<usize>> {
        (0..count).map(|_| picker.pick(shares)).collect()
    }

    #[test]
    fn turns_follow_the_shares_and_are_spread() {
        let table: [(&[u32], &[usize]); 4] = [
            (&[1], &[0, 0, 0]),
            (&[1, 1, 1], &[0, 1, 2, 0, 1, 2]),
            (&[5, 1, 1], &[0, 0, 1, 0, 2, 0, 0]),
            (&[0, 2, 1], &[1, 2, 1, 1, 2, 1]),
        ];
        for (shares, expected) in table {
            let expected: Vec<_> = expected.iter().copied().map(Some).collect();
            let mut picker = RoundRobin::default();
            assert_eq!(
                turns(&mut picker, shares, expected.len()),
                expected,
                "{shares:?}"
            );
        }
    }

    #[test]
    fn nobody_is_picked_of_none() {
        let mut picker = RoundRobin::default();
        assert_eq!(picker.pick(&[]), None);
        assert_eq!(picker.pick(&[0, 0]), None);
    }

    #[test]
    fn who_comes_back_does_not_make_up_for_its_absence() {
        let mut picker = RoundRobin::default();
        turns(&mut picker, &[1, 1], 10);
        turns(&mut picker, &[1, 0], 100);
        let after = turns(&mut picker, &[1, 1], 10);
        assert_eq!(after.iter().filter(|turn| **turn == Some(1)).count(), 5);
    }
}
