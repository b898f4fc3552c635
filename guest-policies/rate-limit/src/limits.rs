//! The limits of one use, made ready: whatever is the same for every request is worked out here.

use std::fmt::Write;

use portcullis_keys::{self as keys, Facts, Selector};

use crate::cost::Cost;
use crate::decision::Demand;
use crate::fields;
use crate::gcra::Rate;

/// One checked limit.
#[derive(Clone, Debug)]
pub struct Limit {
    /// Unique in its use.
    pub name: String,
    /// How fast its buckets refill and what they hold.
    pub rate: Rate,
    /// The quota as configured.
    pub requests: u32,
    /// The quota's time.
    pub per_seconds: u64,
    /// What may come at once.
    pub burst: u32,
    /// Whose requests are counted together.
    pub key: Vec<Selector>,
    /// What a request is charged.
    pub cost: Cost,
    /// Units that a gateway may take ahead; 0: none.
    pub lease: u32,
    /// Counts and reports, and never refuses.
    pub is_shadow: bool,
}

/// All limits of one use.
#[derive(Debug)]
pub struct Limits {
    limits: Vec<Limit>,
    /// The constant beginning of each limit's keys.
    prefixes: Vec<String>,
    /// For each limit the first one with the same selectors: what they find is looked up once.
    same_key: Vec<usize>,
    policy_field: String,
}

impl Limits {
    /// Makes `limits` ready.
    pub fn new(limits: Vec<Limit>) -> Self {
        let mut policy_field = String::new();
        for limit in limits.iter().filter(|limit| !limit.is_shadow) {
            let separator = if policy_field.is_empty() { "" } else { ", " };
            let item = fields::policy_item(&limit.name, limit.requests, limit.per_seconds);
            // Writing to a string can't fail.
            write!(policy_field, "{separator}{item}").unwrap_or_default();
        }
        let same_key = |limit: &Limit| {
            limits
                .iter()
                .position(|first| first.key == limit.key)
                .unwrap_or_default()
        };
        Self {
            prefixes: limits.iter().map(prefix).collect(),
            same_key: limits.iter().map(same_key).collect(),
            policy_field,
            limits,
        }
    }

    /// In the config's order.
    pub fn as_slice(&self) -> &[Limit] {
        &self.limits
    }

    /// Their names, in the config's order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.limits.iter().map(|limit| limit.name.as_str())
    }

    /// The `RateLimit-Policy` field; empty when all limits only watch.
    pub fn policy_field(&self) -> &str {
        &self.policy_field
    }

    /// What a request asks of each limit, with buckets such as `token:100/60/20:{@192.0.2.7}`.
    ///
    /// Name and numbers stand in the key, so that uses with the same limit share it and others don't meet.
    /// The braces are a Redis Cluster hash tag: limits with the same selectors have their buckets in one slot.
    pub fn demands(&self, facts: &impl Facts) -> Vec<Demand> {
        let mut demands: Vec<Demand> = Vec::with_capacity(self.limits.len());
        for (i, limit) in self.limits.iter().enumerate() {
            let mut key = String::with_capacity(self.prefixes[i].len() + 64);
            key.push_str(&self.prefixes[i]);
            let first = self.same_key[i];
            if first < i {
                key.push_str(&demands[first].key[self.prefixes[first].len()..]);
            } else {
                keys::append(&limit.key, facts, &mut key);
                key.push('}');
            }
            demands.push(Demand {
                key,
                rate: limit.rate,
                cost: limit.cost.of(facts),
                lease: limit.lease,
                is_shadow: limit.is_shadow,
            });
        }
        demands
    }
}

fn prefix(limit: &Limit) -> String {
    format!(
        "{}:{}/{}/{}:{{",
        limit.name, limit.requests, limit.per_seconds, limit.burst
    )
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use portcullis_keys::Source;

    use super::*;
    use crate::cost::HeaderCost;

    #[derive(Default)]
    struct Counted(Cell<u32>);

    impl Facts for Counted {
        fn header(&self, name: &str) -> Option<String> {
            self.0.set(self.0.get() + 1);
            Some(if name == "x-cost" {
                "3".to_owned()
            } else {
                format!("value-of-{name}")
            })
        }

        fn cookie(&self, _: &str) -> Option<String> {
            None
        }

        fn query(&self, _: &str) -> Option<String> {
            None
        }

        fn shared(&self, _: &str) -> Option<String> {
            None
        }

        fn attribute(&self, _: &str) -> Option<String> {
            None
        }
    }

    fn limit(name: &str, per_seconds: u64, header: &str) -> Limit {
        Limit {
            name: name.to_owned(),
            rate: Rate::new(10, per_seconds * 1_000_000, 5),
            requests: 10,
            per_seconds,
            burst: 5,
            key: vec![Selector {
                sources: vec![Source::Header(header.to_owned())],
            }],
            cost: Cost::Fixed(1),
            lease: 0,
            is_shadow: false,
        }
    }

    #[test]
    fn keys_are_looked_up_once_and_share_a_hash_tag() {
        let watching = Limit {
            is_shadow: true,
            ..limit("d", 7, "x-user")
        };
        let limits = Limits::new(vec![
            limit("a", 1, "x-user"),
            limit("b", 60, "x-org"),
            limit("c", 3_600, "x-user"),
            watching,
        ]);
        let facts = Counted::default();
        let demands = limits.demands(&facts);
        let keys: Vec<_> = demands.iter().map(|demand| demand.key.as_str()).collect();
        let expected = [
            "a:10/1/5:{x-user=value-of-x-user}",
            "b:10/60/5:{x-org=value-of-x-org}",
            "c:10/3600/5:{x-user=value-of-x-user}",
            "d:10/7/5:{x-user=value-of-x-user}",
        ];
        assert_eq!(keys, expected);
        assert_eq!(facts.0.get(), 2);
        assert_eq!(
            limits.policy_field(),
            r#""a";q=10;w=1, "b";q=10;w=60, "c";q=10;w=3600"#
        );
    }

    #[test]
    fn each_limit_has_its_cost() {
        let by_header = Limit {
            cost: Cost::Header(HeaderCost {
                name: "x-cost".to_owned(),
                default: 1,
                min: 1,
                max: 5,
            }),
            ..limit("b", 1, "x-user")
        };
        let limits = Limits::new(vec![limit("a", 1, "x-user"), by_header]);
        let demands = limits.demands(&Counted::default());
        assert_eq!((demands[0].cost, demands[1].cost), (1, 3));
    }
}
