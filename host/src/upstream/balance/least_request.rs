//! The less busy of two.

/// Draws two endpoints by their shares and takes the one with fewer requests in flight for its share:
/// the power of two choices (Mitzenmacher 2001), with weights as nginx's `random two least_conn`
/// compares them. A worker that looks for the very least would, with others doing the same at the
/// same time, send them all to one. `random` are 64 uniform bits. `None`: nobody has a share.
pub fn pick(shares: &[u32], in_flight: impl Fn(usize) -> u32, random: u64) -> Option<usize> {
    let total: u64 = shares.iter().map(|share| u64::from(*share)).sum();
    let first = draw(shares, total, random >> 32, None)?;
    let rest = total - u64::from(shares[first]);
    let Some(second) = draw(shares, rest, random & 0xFFFF_FFFF, Some(first)) else {
        return Some(first);
    };
    let load = |index: usize, other: usize| u64::from(in_flight(index)) * u64::from(shares[other]);
    Some(if load(second, first) < load(first, second) {
        second
    } else {
        first
    })
}

/// The endpoint at the point `bits` / 2³² of the line of shares, without `except`.
fn draw(shares: &[u32], total: u64, bits: u64, except: Option<usize>) -> Option<usize> {
    if total == 0 {
        return None;
    }
    let mut point = (u128::from(bits) * u128::from(total)) >> 32;
    let others = shares
        .iter()
        .enumerate()
        .filter(|(index, _)| Some(*index) != except);
    for (index, &share) in others {
        match point.checked_sub(u128::from(share)) {
            Some(rest) => point = rest,
            None => return Some(index),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOW: u64 = 0;
    const HIGH: u64 = u64::MAX;

    #[test]
    fn the_less_busy_for_its_share_is_taken() {
        type Case = (&'static [u32], &'static [u32], u64, Option<usize>);
        let table: [Case; 9] = [
            (&[], &[], LOW, None),
            (&[0, 0], &[0, 0], HIGH, None),
            (&[1], &[7], HIGH, Some(0)),
            (&[0, 1], &[0, 9], LOW, Some(1)),
            (&[1, 1], &[3, 2], LOW, Some(1)),
            (&[1, 1], &[2, 3], HIGH, Some(0)),
            // As many for its share: the one that was drawn first.
            (&[2, 1], &[4, 2], LOW, Some(0)),
            (&[2, 1], &[3, 2], HIGH, Some(0)),
            (&[100, 1], &[99, 1], HIGH, Some(0)),
        ];
        for (shares, in_flight, random, expected) in table {
            let picked = pick(shares, |index| in_flight[index], random);
            assert_eq!(picked, expected, "{shares:?} {in_flight:?} {random}");
        }
    }

    #[test]
    fn idle_endpoints_are_drawn_by_their_shares() {
        let shares = [1, 0, 2];
        let mut counts = [0_u32; 3];
        for step in 0..3_000_u64 {
            let random = step * (u64::MAX / 3_000);
            counts[pick(&shares, |_| 0, random).unwrap()] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((990..=1010).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn the_busiest_of_three_is_left_alone() {
        for step in 0..1_000_u64 {
            let random = step.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let picked = pick(&[1, 1, 1], |index| [5, 9, 5][index], random);
            assert_ne!(picked, Some(1));
        }
    }
}
