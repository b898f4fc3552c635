//! Which requests come: a path by its weight, and a key, of which a few are popular. Pure.

use rand::Rng;
use rand::RngExt;
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// With the query.
    pub path: String,
    /// The value of `x-api-key`.
    pub key: Option<String>,
}

/// Chooses requests.
#[derive(Debug, Clone)]
pub struct Mix {
    paths: Vec<String>,
    weights: WeightedIndex<f64>,
    /// Cumulated popularity of the keys; empty without keys.
    popularity: Vec<f64>,
}

/// There is no path with a weight above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoWeight;

impl Mix {
    /// Paths with their weights, and so many keys: the nth is asked with 1/n of the first one's frequency (Zipf's law).
    ///
    /// # Errors
    /// No path has a weight above 0, or one has a weight below.
    pub fn try_new(paths: Vec<(String, f64)>, keys: usize) -> Result<Self, NoWeight> {
        let weights = WeightedIndex::new(paths.iter().map(|(_, weight)| *weight));
        let popularity = (1..=keys).scan(0.0, |sum, rank| {
            *sum += 1.0 / rank as f64;
            Some(*sum)
        });
        Ok(Self {
            weights: weights.map_err(|_| NoWeight)?,
            popularity: popularity.collect(),
            paths: paths.into_iter().map(|(path, _)| path).collect(),
        })
    }

    /// The next request.
    pub fn choose(&self, random: &mut impl Rng) -> Request {
        Request {
            path: self.paths[self.weights.sample(random)].clone(),
            key: self.choose_key(random),
        }
    }

    fn choose_key(&self, random: &mut impl Rng) -> Option<String> {
        let whole = self.popularity.last()?;
        let point = random.random::<f64>() * whole;
        let rank = self.popularity.partition_point(|sum| *sum <= point);
        Some(format!("key-{}", rank + 1))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;

    use super::*;

    fn counts(mix: &Mix, of: impl Fn(Request) -> String) -> BTreeMap<String, f64> {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(5);
        let mut counts = BTreeMap::new();
        for _ in 0..100_000 {
            *counts.entry(of(mix.choose(&mut random))).or_default() += 1.0;
        }
        counts
    }

    #[test]
    fn paths_come_by_their_weights() {
        let paths = [("/a", 8.0), ("/b", 2.0), ("/never", 0.0)];
        let paths = paths.map(|(path, weight)| (path.to_owned(), weight));
        let mix = Mix::try_new(paths.into(), 0).unwrap();
        let counts = counts(&mix, |request| {
            assert_eq!(request.key, None);
            request.path
        });
        assert!(
            (counts["/a"] / counts["/b"] - 4.0).abs() < 0.1,
            "{counts:?}"
        );
        assert_eq!(counts.len(), 2);
    }

    #[test]
    fn the_nth_key_is_asked_for_an_nth_as_often_as_the_first() {
        let mix = Mix::try_new(vec![("/".to_owned(), 1.0)], 10).unwrap();
        let counts = counts(&mix, |request| request.key.unwrap());
        assert_eq!(counts.len(), 10);
        for rank in 2..=10 {
            let ratio = counts["key-1"] / counts[&format!("key-{rank}")];
            assert!(
                (ratio / f64::from(rank) - 1.0).abs() < 0.08,
                "{rank}: {ratio}"
            );
        }
    }

    #[test]
    fn there_must_be_something_to_choose() {
        for paths in [
            vec![],
            vec![("/".to_owned(), 0.0)],
            vec![("/".to_owned(), -1.0)],
        ] {
            assert_eq!(Mix::try_new(paths, 1).err(), Some(NoWeight));
        }
    }
}
