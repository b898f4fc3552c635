//! Which of several upstreams gets a request: by weight, and the same one for the same client where
//! that is asked for. Keeps no state: all workers and gateways with the same config choose alike.

use std::net::IpAddr;

use portcullis_config::{HashKey, Split as SplitConfig};

use super::destination::Target;
use crate::exchange::RequestHead;
use crate::upstream::balance::key;

/// Upstreams with their weights.
#[derive(Debug)]
pub struct Split {
    /// With the sum of the weights up to and with their own; those without a weight are left out.
    shares: Vec<(u64, Target)>,
    total: u64,
    sticky: Option<HashKey>,
}

impl Split {
    /// As the config has it, where at least one weight is above 0.
    pub fn from_config(config: &SplitConfig, target: impl Fn(&str) -> Target) -> Self {
        let mut total = 0;
        let weighted = config.shares.iter().filter(|share| share.weight > 0);
        let shares = weighted.map(|share| {
            total += u64::from(share.weight);
            (total, target(&share.upstream))
        });
        Self {
            shares: shares.collect(),
            total,
            sticky: config.sticky.clone(),
        }
    }

    /// The place of the upstream for this request: by its sticky part, or by chance.
    pub fn choose(
        &self,
        head: &RequestHead,
        client: IpAddr,
        random: impl FnOnce() -> u64,
    ) -> usize {
        let sticky = self.sticky.as_ref();
        let hash = sticky.and_then(|sticky| key::hash(sticky, &head.headers, client));
        self.at(hash.map_or_else(random, spread))
    }

    /// The upstreams that can be chosen.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.shares.iter().map(|(_, target)| target)
    }

    /// The upstream at a point of the line from 0 to 2^64, on which each has a stretch by its weight,
    /// in the order of the file: who is at the last one stays there when its weight grows.
    fn at(&self, point: u64) -> usize {
        let scaled = (u128::from(point) * u128::from(self.total)) >> 64;
        let share = self
            .shares
            .iter()
            .find(|(end, _)| scaled < u128::from(*end));
        share.map_or(0, |(_, target)| target.place)
    }
}

/// The finalizer of MurmurHash3. Without it, the clients of one upstream would all be in the same part of
/// the ring where that upstream hashes by the same key.
fn spread(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_config::Share;

    fn split(weights: &[u32], sticky: Option<HashKey>) -> Split {
        let shares = weights.iter().enumerate().map(|(place, weight)| Share {
            upstream: place.to_string(),
            weight: *weight,
        });
        let config = SplitConfig {
            shares: shares.collect(),
            sticky,
        };
        Split::from_config(&config, |name| Target {
            place: name.parse().unwrap(),
            name: name.into(),
        })
    }

    fn user(name: &str) -> RequestHead {
        let mut headers = http::HeaderMap::new();
        headers.insert("x-user", name.parse().unwrap());
        RequestHead {
            accepts_trailers: false,
            upgrade: None,
            method: http::Method::GET,
            target: "/".parse().unwrap(),
            headers,
        }
    }

    #[test]
    fn each_upstream_has_its_stretch_of_the_line() {
        let split = split(&[90, 0, 10], None);
        let tenth = u64::MAX / 10;
        let table = [
            (0, 0),
            (tenth * 9 - 1, 0),
            (tenth * 9 + 10, 2),
            (u64::MAX, 2),
        ];
        for (point, place) in table {
            assert_eq!(split.at(point), place, "{point}");
        }
        assert_eq!(split.targets().count(), 2);
    }

    #[test]
    fn users_are_spread_by_weight_and_those_of_the_canary_stay_when_it_grows() {
        let sticky = || Some(HashKey::Header(http::HeaderName::from_static("x-user")));
        let (small, large) = (split(&[90, 10], sticky()), split(&[60, 40], sticky()));
        let address = IpAddr::from([192, 0, 2, 1]);
        let mut canaries = (0, 0);
        for number in 0..10_000 {
            let head = user(&format!("user-{number}"));
            let chosen = |split: &Split| split.choose(&head, address, || panic!("no chance"));
            canaries.0 += chosen(&small);
            canaries.1 += chosen(&large);
            assert!(chosen(&large) >= chosen(&small), "user-{number}");
        }
        // Four standard deviations around 1,000 and 4,000.
        assert!((880..=1120).contains(&canaries.0), "{canaries:?}");
        assert!((3800..=4200).contains(&canaries.1), "{canaries:?}");
    }

    #[test]
    fn who_lacks_the_sticky_part_is_shared_by_chance() {
        let split = split(&[1, 1], Some(HashKey::Cookie("user".to_owned())));
        let address = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(split.choose(&user("a"), address, || 0), 0);
        assert_eq!(split.choose(&user("a"), address, || u64::MAX), 1);
    }
}
