//! The same endpoint for the same key, with as few changes as can be when endpoints come and go.

/// Points of the heaviest endpoint; the others have theirs in proportion. With 256 the loads of equal
/// endpoints differ by about 6 % (1/√256).
const POINTS: u32 = 256;

/// A consistent-hash ring (Karger et al. 1997, in the form of libketama): each endpoint owns points
/// on a circle, a key goes to the next point after its hash. When an endpoint goes, only its keys move,
/// and each to the next available endpoint of its own; so an unavailable one is passed over as if it
/// were gone. Points come from the endpoints' names alone: every gateway and every restart agree.
#[derive(Debug, Default)]
pub struct Ring {
    /// Hash and index of the endpoint, sorted.
    points: Vec<(u64, u32)>,
}

impl Ring {
    /// A ring of these names and weights, by their places.
    pub fn new<'a>(endpoints: impl Iterator<Item = (&'a str, u32)> + Clone) -> Self {
        let heaviest = endpoints
            .clone()
            .map(|(_, weight)| weight)
            .max()
            .unwrap_or(1)
            .max(1);
        let mut points = Vec::new();
        for (index, (name, weight)) in (0_u32..).zip(endpoints) {
            let base = hash(name.as_bytes());
            let count = (POINTS * weight / heaviest).max(1);
            points.extend((0..u64::from(count)).map(|point| (mix(base ^ mix(point + 1)), index)));
        }
        points.sort_unstable();
        Self { points }
    }

    /// The first endpoint with a share, going round from the key's hash. `None`: nobody has a share.
    pub fn pick(&self, shares: &[u32], key: u64) -> Option<usize> {
        let start = self.points.partition_point(|(point, _)| *point < key);
        let (before, after) = self.points.split_at(start);
        let mut passed = usize::MAX;
        after.iter().chain(before).find_map(|(_, index)| {
            let index = *index as usize;
            // Runs of one endpoint's points are frequent when few are left.
            if index == passed {
                return None;
            }
            passed = index;
            shares
                .get(index)
                .is_some_and(|share| *share > 0)
                .then_some(index)
        })
    }
}

/// FNV-1a (64 bits) with a finaliser that spreads it over the circle. The same in every process, which
/// a keyed hash would not be; so a client can choose its endpoint by choosing its key, as with any
/// hash that several gateways must agree on.
pub fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    mix(fnv)
}

/// The finaliser of splitmix64 (Steele, Lea, Flood 2014).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: u64 = 20_000;

    fn ring(weights: &[u32]) -> Ring {
        let names: Vec<String> = (0..weights.len())
            .map(|n| format!("10.0.0.{n}:80"))
            .collect();
        Ring::new(
            names
                .iter()
                .map(String::as_str)
                .zip(weights.iter().copied()),
        )
    }

    fn owners(ring: &Ring, shares: &[u32]) -> Vec<usize> {
        (0..KEYS)
            .map(|key| ring.pick(shares, hash(&key.to_le_bytes())).unwrap())
            .collect()
    }

    fn counts(owners: &[usize], endpoints: usize) -> Vec<usize> {
        (0..endpoints)
            .map(|index| owners.iter().filter(|owner| **owner == index).count())
            .collect()
    }

    #[test]
    fn keys_spread_by_weight() {
        for (weights, tolerance) in [
            (&[1, 1, 1, 1][..], 0.25),
            (&[1, 2, 5], 0.25),
            (&[100, 1], 0.6),
        ] {
            let total: u32 = weights.iter().sum();
            let found = counts(&owners(&ring(weights), weights), weights.len());
            for (count, weight) in found.iter().zip(weights) {
                let fair = KEYS as f64 * f64::from(*weight) / f64::from(total);
                let off = (*count as f64 - fair).abs() / fair;
                assert!(off < tolerance, "{weights:?}: {found:?}");
            }
        }
    }

    #[test]
    fn only_the_keys_of_one_that_goes_move() {
        let before = owners(&ring(&[1; 5]), &[1; 5]);
        let after = owners(&ring(&[1; 4]), &[1; 4]);
        for (before, after) in before.iter().zip(&after) {
            assert!(before == after || *before == 4);
        }
    }

    #[test]
    fn an_unavailable_one_is_passed_over_as_if_it_were_gone() {
        let without = owners(&ring(&[1; 4]), &[1; 4]);
        let unavailable = owners(&ring(&[1; 5]), &[1, 1, 1, 1, 0]);
        assert_eq!(without, unavailable);
    }

    #[test]
    fn nobody_is_picked_of_none() {
        assert_eq!(Ring::default().pick(&[], 1), None);
        assert_eq!(ring(&[1, 1]).pick(&[0, 0], 1), None);
    }
}
