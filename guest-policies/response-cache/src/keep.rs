//! Puts a response into the store, where look-ups find it.

use portcullis_sdk::random;

use crate::fields::Fields;
use crate::freshness::Freshness;
use crate::record::{Body, Entry, MAX_INLINE_BYTES, Record, Variants};
use crate::store::Failure;
use crate::{ResponseCache, count_kept, fail, storing, variant};

/// What is in the store stays there a little longer than it is of use: who has asked the upstream about it finds it still there
/// when the answer comes.
const GRACE_MS: u64 = 60_000;

/// A response of a resource, without its body.
#[derive(Clone, Copy, Debug)]
pub struct Resource<'a> {
    /// The resource's key.
    pub key: &'a str,
    /// The request that it answers.
    pub request: &'a Fields,
    /// Its status.
    pub status: u16,
    /// Its fields.
    pub fields: &'a Fields,
    /// What they say about its use.
    pub freshness: &'a Freshness,
}

impl ResponseCache {
    /// Whether it is in the store now.
    pub(crate) fn keep(&self, resource: &Resource, body: &[u8], now_ms: u64) -> bool {
        let useful_ms = self.useful_ms(resource, now_ms);
        if useful_ms == 0 {
            count_kept("not_cacheable");
            return false;
        }
        match self.write(resource, body, now_ms, useful_ms) {
            Ok(()) => {
                count_kept("stored");
                true
            }
            Err(Failure::Full) => {
                count_kept("full");
                false
            }
            Err(failure) => {
                count_kept("failed");
                fail(&failure);
                false
            }
        }
    }

    /// For how long it is of use: fresh, or to be asked about, or instead of an error.
    fn useful_ms(&self, resource: &Resource, now_ms: u64) -> u64 {
        let freshness = resource.freshness;
        let fresh_s = u64::try_from(freshness.remaining_s(now_ms)).unwrap_or(0);
        let asked_s = if storing::has_validator(resource.fields) {
            self.keep_stale_s
        } else {
            0
        };
        // Ages are whole seconds: the last one in which it stands in for an error counts as a whole.
        let stand_in_s = match freshness.stale_if_error_s {
            0 => 0,
            seconds => seconds.saturating_add(1),
        };
        let stale_s = asked_s.max(stand_in_s);
        fresh_s.saturating_add(stale_s).saturating_mul(1_000)
    }

    fn write(
        &self,
        resource: &Resource,
        body: &[u8],
        now_ms: u64,
        useful_ms: u64,
    ) -> Result<(), Failure> {
        let ttl_ms = useful_ms.saturating_add(GRACE_MS);
        let key = self.place(resource)?;
        let body = if body.len() <= MAX_INLINE_BYTES {
            Body::Inline(body.to_vec())
        } else {
            // Before the record that names it, and under a new key: who reads the old record finds its own body.
            let number = random::next();
            self.store
                .set(&Body::key(number), body, ttl_ms.saturating_add(GRACE_MS))?;
            Body::Apart(number)
        };
        let record = Record::Entry(Entry {
            status: resource.status,
            fields: resource.fields.clone(),
            freshness: resource.freshness.clone(),
            useful_until_ms: now_ms.saturating_add(useful_ms),
            body,
        });
        self.store.set(&key, &record.to_bytes(), ttl_ms)
    }

    /// The key for it: the resource's own, or that of a variant (RFC 9111 §4.1).
    fn place(&self, resource: &Resource) -> Result<String, Failure> {
        let names = variant::names(resource.fields);
        if names.is_empty() {
            return Ok(resource.key.to_owned());
        }
        let digest = variant::digest(&names, resource.request);
        if let Some(Record::Variants(variants)) = self.read(resource.key)?
            && variants.names == names
        {
            return Ok(variants.key(&digest));
        }
        let variants = Variants {
            generation: random::next(),
            names,
        };
        let key = variants.key(&digest);
        // As long as any of its variants may be of use.
        let longest_s =
            self.lifetimes.max_s + self.keep_stale_s.max(self.lifetimes.stale_if_error_s);
        let record = Record::Variants(variants).to_bytes();
        self.store
            .set(resource.key, &record, longest_s.saturating_mul(1_000))?;
        Ok(key)
    }
}
