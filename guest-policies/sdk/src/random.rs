//! Random bits, fit for cryptographic use. During `describe` and `configure` they are 0.

pub use crate::bindings::capability::random::next;

/// A number that is uniformly distributed over `0..bound`, or 0 when `bound` is 0.
pub fn below(bound: u64) -> u64 {
    scale(next(), bound)
}

/// The high half of the product: off from uniform by at most `bound` in 2^64, which no policy can see.
fn scale(bits: u64, bound: u64) -> u64 {
    ((u128::from(bits) * u128::from(bound)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::scale;

    #[test]
    fn scaled_bits_stay_below_the_bound() {
        for (bits, bound, expected) in [
            (u64::MAX, 10, 9),
            (0, 10, 0),
            (1 << 63, 10, 5),
            (u64::MAX, 0, 0),
            (u64::MAX, 1, 0),
        ] {
            assert_eq!(scale(bits, bound), expected);
        }
    }
}
