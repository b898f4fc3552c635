//! The limits of one use, made ready: whatever is the same for every request is worked out here.

use std::fmt::Write;

use crate::fields;
use crate::gcra::Rate;
use crate::key::{self, Facts, Selector};

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
}

/// All limits of one use.
#[derive(Debug)]
pub struct Limits {
    limits: Vec<Limit>,
    rates: Vec<Rate>,
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
        for limit in &limits {
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
            rates: limits.iter().map(|limit| limit.rate).collect(),
            prefixes: limits.iter().map(prefix).collect(),
            same_key: limits.iter().map(same_key).collect(),
            policy_field,
            limits,
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.limits.len()
    }

    /// Their names, in the config's order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.limits.iter().map(|limit| limit.name.as_str())
    }

    /// Their rates, in the config's order.
    pub fn rates(&self) -> &[Rate] {
        &self.rates
    }

    /// The `RateLimit-Policy` field.
    pub fn policy_field(&self) -> &str {
        &self.policy_field
    }

    /// The buckets of a request, one for each limit, such as `token:100/60/20:{@192.0.2.7}`.
    ///
    /// Name and numbers stand in the key, so that uses with the same limit share it and others don't meet.
    /// The braces are a Redis Cluster hash tag: limits with the same selectors have their buckets in one slot.
    pub fn keys(&self, facts: &impl Facts) -> Vec<String> {
        let mut keys: Vec<String> = Vec::with_capacity(self.limits.len());
        for (i, limit) in self.limits.iter().enumerate() {
            let mut bucket = String::with_capacity(self.prefixes[i].len() + 64);
            bucket.push_str(&self.prefixes[i]);
            let first = self.same_key[i];
            if first < i {
                bucket.push_str(&keys[first][self.prefixes[first].len()..]);
            } else {
                key::append(&limit.key, facts, &mut bucket);
                bucket.push('}');
            }
            keys.push(bucket);
        }
        keys
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

    use super::*;

    #[derive(Default)]
    struct Counted(Cell<u32>);

    impl Facts for Counted {
        fn header(&self, name: &str) -> Option<String> {
            self.0.set(self.0.get() + 1);
            Some(format!("value-of-{name}"))
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
            key: vec![Selector::Header {
                name: header.to_owned(),
                or: None,
            }],
        }
    }

    #[test]
    fn keys_are_looked_up_once_and_share_a_hash_tag() {
        let limits = Limits::new(vec![
            limit("a", 1, "x-user"),
            limit("b", 60, "x-org"),
            limit("c", 3_600, "x-user"),
        ]);
        let facts = Counted::default();
        let expected = [
            "a:10/1/5:{x-user=value-of-x-user}",
            "b:10/60/5:{x-org=value-of-x-org}",
            "c:10/3600/5:{x-user=value-of-x-user}",
        ];
        assert_eq!(limits.keys(&facts), expected);
        assert_eq!(facts.0.get(), 2);
        assert_eq!(
            limits.policy_field(),
            r#""a";q=10;w=1, "b";q=10;w=60, "c";q=10;w=3600"#
        );
    }
}
