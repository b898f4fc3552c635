//! The limits of one use, made ready.

use portcullis_keys::{self as keys, Facts, Selector};

use crate::claim::Claim;

/// One checked limit.
#[derive(Clone, Debug)]
pub struct Limit {
    /// Unique in its use.
    pub name: String,
    /// Whose requests are counted together.
    pub key: Vec<Selector>,
    /// Most of them in flight at once.
    pub bound: u32,
    /// Counts and reports, and never refuses.
    pub is_shadow: bool,
}

/// All limits of one use.
#[derive(Debug)]
pub struct Limits {
    limits: Vec<Limit>,
}

impl Limits {
    /// Makes `limits` ready.
    pub fn new(limits: Vec<Limit>) -> Self {
        Self { limits }
    }

    /// In the config's order.
    pub fn as_slice(&self) -> &[Limit] {
        &self.limits
    }

    /// Their names, in the config's order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.limits.iter().map(|limit| limit.name.as_str())
    }

    /// Whether none of them refuses.
    pub fn all_watch(&self) -> bool {
        self.limits.iter().all(|limit| limit.is_shadow)
    }

    /// What a request asks of each limit, under keys such as `db:{@192.0.2.7}`. The braces are a Redis Cluster
    /// hash tag: limits with the same selectors have their keys in one slot.
    pub fn claims(&self, facts: &impl Facts) -> Vec<Claim> {
        let claim = |limit: &Limit| {
            let mut key = String::with_capacity(limit.name.len() + 64);
            key.push_str(&limit.name);
            key.push_str(":{");
            keys::append(&limit.key, facts, &mut key);
            key.push('}');
            Claim {
                key,
                bound: limit.bound,
                is_shadow: limit.is_shadow,
            }
        };
        self.limits.iter().map(claim).collect()
    }
}
