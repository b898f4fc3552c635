//! Where it is known which keys there are: the lists in secrets, then Redis, with what Redis has said of late in kv.
//!
//! What is around comes from outside, so that the order can be tried without a gateway.

use crate::config::RedisConfig;
use crate::digest::Digest;
use crate::list;
use crate::record::Record;

/// What is around.
pub trait World {
    /// The text of a secret, if it is granted and there.
    fn secret(&self, name: &str) -> Option<String>;
    /// A value in Redis.
    ///
    /// # Errors
    ///
    /// Why Redis has not answered.
    fn redis(&self, key: &str) -> Result<Option<Vec<u8>>, String>;
    /// A value that is kept in this process.
    fn kept(&self, key: &str) -> Option<Vec<u8>>;
    /// Keeps a value, if there is room.
    fn keep(&self, key: &str, value: &[u8], ttl_ms: u32);
}

/// What is known of the key with that digest; `None` if it is none.
///
/// # Errors
///
/// Why nobody can tell: for the log, with no part of a key in it.
pub fn find(
    secrets: &[String],
    redis: Option<&RedisConfig>,
    digest: &Digest,
    world: &impl World,
) -> Result<Option<Record>, String> {
    let mut problem = None;
    for name in secrets {
        let Some(text) = world.secret(name) else {
            let why = "is not there or not granted: add it to `grants.secrets`";
            problem = Some(format!("secret {name}: {why}"));
            continue;
        };
        match list::find(&text, digest) {
            Ok(Some(record)) => return Ok(Some(record)),
            Ok(None) => {}
            Err(error) => return Err(format!("secret {name}: {error}")),
        }
    }
    if let Some(redis) = redis
        && let Some(record) = in_redis(redis, digest, world)?
    {
        return Ok(Some(record));
    }
    // It may be in the list that is missing.
    problem.map_or(Ok(None), Err)
}

fn in_redis(
    config: &RedisConfig,
    digest: &Digest,
    world: &impl World,
) -> Result<Option<Record>, String> {
    let key = format!("{}{}", config.prefix, digest.as_str());
    let value = match world.kept(&key) {
        Some(value) => value,
        None => {
            // An empty value stands for a key that is not there.
            let value = world.redis(&key)?.unwrap_or_default();
            let ttl = if value.is_empty() {
                config.cache_unknown
            } else {
                config.cache
            };
            if ttl.as_millis() > 0 {
                world.keep(&key, &value, ttl.as_millis_u32());
            }
            value
        }
    };
    match value.as_slice() {
        b"" => Ok(None),
        json => Record::from_json(json)
            .map(Some)
            .map_err(|error| format!("redis: the value of {key}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::HashMap;

    use portcullis_sdk::Duration;

    use super::*;

    struct Scene {
        secret: Option<String>,
        redis: RefCell<Result<HashMap<String, String>, String>>,
        kept: RefCell<HashMap<String, (Vec<u8>, u32)>>,
        asked: Cell<u32>,
    }

    impl Scene {
        fn new(secret: Option<&str>, values: &[(&str, &str)]) -> Self {
            let digest = |key: &str| format!("k:{}", Digest::of(key).as_str());
            let values = values
                .iter()
                .map(|(key, value)| (digest(key), (*value).to_owned()));
            Self {
                secret: secret.map(|text| text.replace("{a}", Digest::of("a").as_str())),
                redis: RefCell::new(Ok(values.collect())),
                kept: RefCell::default(),
                asked: Cell::new(0),
            }
        }

        fn without_redis(self) -> Self {
            *self.redis.borrow_mut() = Err("timed out".to_owned());
            self
        }

        fn find(&self, key: &str) -> Result<Option<String>, String> {
            let config = RedisConfig {
                prefix: "k:".to_owned(),
                cache: Duration::from_secs(10),
                cache_unknown: Duration::from_secs(2),
            };
            let found = find(&["list".to_owned()], Some(&config), &Digest::of(key), self);
            found.map(|record| record.map(|record| record.name))
        }
    }

    impl World for Scene {
        fn secret(&self, _: &str) -> Option<String> {
            self.secret.clone()
        }

        fn redis(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
            self.asked.set(self.asked.get() + 1);
            let values = self.redis.borrow();
            let values = values.as_ref().map_err(Clone::clone)?;
            Ok(values.get(key).map(|value| value.clone().into_bytes()))
        }

        fn kept(&self, key: &str) -> Option<Vec<u8>> {
            self.kept.borrow().get(key).map(|(value, _)| value.clone())
        }

        fn keep(&self, key: &str, value: &[u8], ttl_ms: u32) {
            self.kept
                .borrow_mut()
                .insert(key.to_owned(), (value.to_vec(), ttl_ms));
        }
    }

    #[test]
    fn a_key_of_a_list_needs_no_redis() {
        let scene = Scene::new(Some("alice sha256:{a}"), &[]).without_redis();
        assert_eq!(scene.find("a"), Ok(Some("alice".to_owned())));
        assert_eq!(scene.asked.get(), 0);
        assert_eq!(scene.find("b"), Err("timed out".to_owned()));
    }

    #[test]
    fn what_redis_has_said_is_kept_for_good_and_for_bad_keys() {
        let scene = Scene::new(Some(""), &[("b", r#"{"name":"bob"}"#)]);
        for _ in 0..2 {
            assert_eq!(scene.find("b"), Ok(Some("bob".to_owned())));
            assert_eq!(scene.find("c"), Ok(None));
        }
        assert_eq!(scene.asked.get(), 2);
        let kept = scene.kept.borrow();
        let ttl = |key: &str| kept[&format!("k:{}", Digest::of(key).as_str())].1;
        assert_eq!((ttl("b"), ttl("c")), (10_000, 2_000));
    }

    #[test]
    fn a_failure_is_not_kept() {
        let scene = Scene::new(Some(""), &[]).without_redis();
        assert!(scene.find("b").is_err() && scene.kept.borrow().is_empty());
    }

    #[test]
    fn a_list_that_is_missing_leaves_the_keys_that_are_elsewhere() {
        let scene = Scene::new(None, &[("b", r#"{"name":"bob"}"#)]);
        assert_eq!(scene.find("b"), Ok(Some("bob".to_owned())));
        let error = scene.find("a").unwrap_err();
        assert!(error.contains("grants.secrets"), "{error}");
    }

    #[test]
    fn a_value_that_is_not_understood_is_a_failure() {
        let scene = Scene::new(Some(""), &[("b", "alice")]);
        let error = scene.find("b").unwrap_err();
        assert!(error.starts_with("redis: the value of k:"), "{error}");
    }
}
