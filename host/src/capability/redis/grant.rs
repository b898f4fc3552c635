//! What a policy may do with a binding.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::binding::RedisBinding;
use super::call::Script;

/// More scripts than this are not remembered: a policy that builds them by the request pays itself.
const MAX_KNOWN_SCRIPTS: usize = 32;

/// One policy's use of a binding.
#[derive(Clone)]
pub struct RedisGrant {
    /// Where it goes.
    pub binding: Arc<RedisBinding>,
    /// Put before every key.
    pub prefix: String,
    /// Whether `eval` is allowed.
    pub scripts: bool,
    /// The scripts seen so far, with their digests; a policy has one or two.
    known_scripts: Arc<Mutex<HashMap<String, Arc<Script>>>>,
}

impl RedisGrant {
    /// A grant on that binding.
    pub fn new(binding: Arc<RedisBinding>, prefix: String, scripts: bool) -> Self {
        Self {
            binding,
            prefix,
            scripts,
            known_scripts: Arc::default(),
        }
    }

    /// That key as the server knows it.
    pub(super) fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// That script with its digest, which is computed once.
    pub(super) fn script(&self, text: &str) -> Arc<Script> {
        let mut known = self
            .known_scripts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(script) = known.get(text) {
            return script.clone();
        }
        let script = Arc::new(Script::new(text));
        if known.len() < MAX_KNOWN_SCRIPTS {
            known.insert(text.to_owned(), script.clone());
        }
        script
    }
}
