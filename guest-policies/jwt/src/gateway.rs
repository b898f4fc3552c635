//! The gateway as the policy uses it: its clock, its store, its secrets and its way to issuers.

use portcullis_sdk::{clock, kv, metrics, outcall, secrets};

use crate::jwks::{Jwks, World};
use crate::verifier::Surroundings;

/// The gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gateway;

impl World for Gateway {
    fn now_us(&self) -> u64 {
        clock::monotonic_us()
    }

    fn get(&self, key: &str) -> Option<Vec<u8>> {
        kv::get(key).ok().flatten()
    }

    fn set(&self, key: &str, value: &[u8], ttl_ms: u32) {
        // Without the grant, or when the space is full, the keys are fetched again.
        let _ = kv::set(key, value, Some(ttl_ms));
    }

    fn claim(&self, key: &str, value: &[u8], ttl_ms: u32) -> bool {
        kv::swap(key, None, value, Some(ttl_ms)).unwrap_or(true)
    }

    fn fetch(&self, jwks: &Jwks) -> Result<Vec<u8>, String> {
        let answer = outcall::get(&jwks.path)
            .header("accept", "application/json")
            .timeout_ms(jwks.timeout_ms)
            .send(&jwks.upstream);
        let body = match answer {
            Ok(answer) if answer.status == 200 => Ok(answer.body),
            Ok(answer) => Err(format!("status {}", answer.status)),
            Err(error) => Err(error.into()),
        };
        let outcome = if body.is_ok() { "fetched" } else { "failed" };
        metrics::count(
            "jwt.fetches",
            1.0,
            &[("outcome", outcome), ("upstream", &jwks.upstream)],
        );
        body
    }
}

impl Surroundings for Gateway {
    fn secret(&self, name: &str) -> Option<String> {
        secrets::get(name)
    }
}
