//! Logins that were good a moment ago, so that the next request of one is cheap.
//!
//! What is kept is an HMAC under a key that this process has drawn and tells nobody: who could read the store would
//! have no password, nor anything to try passwords on. It covers the hash as well, so that a changed password is
//! checked anew at once.

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::login::Login;

/// Where the process's key is kept.
const KEY: &str = "key";

/// What is around: a store that may be missing, and randomness.
pub trait World {
    /// A value that is kept in this process.
    fn kept(&self, name: &str) -> Option<Vec<u8>>;
    /// Keeps a value if there is none; whether it has.
    fn keep_new(&self, name: &str, value: &[u8], ttl_ms: Option<u32>) -> bool;
    /// 64 random bits.
    fn random(&self) -> u64;
}

/// The name under which a login is remembered; `None` if nothing can be.
pub fn name(login: &Login, hash: &str, world: &impl World) -> Option<String> {
    let key = key(world)?;
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&key).ok()?;
    for part in [&login.user, &login.password, hash] {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part.as_bytes());
    }
    let mut name = String::from("login:");
    for byte in mac.finalize().into_bytes() {
        // Writing to a text does not fail.
        let _ = write!(name, "{byte:02x}");
    }
    Some(name)
}

/// Whether that login is remembered.
pub fn knows(name: &str, world: &impl World) -> bool {
    world.kept(name).is_some()
}

/// Remembers it for so long.
pub fn remember(name: &str, ttl_ms: u32, world: &impl World) {
    world.keep_new(name, b"", Some(ttl_ms));
}

/// The process's key: drawn by the first request, the same for all workers.
fn key(world: &impl World) -> Option<Vec<u8>> {
    if let Some(key) = world.kept(KEY) {
        return Some(key);
    }
    let drawn: Vec<u8> = (0..4).flat_map(|_| world.random().to_le_bytes()).collect();
    if world.keep_new(KEY, &drawn, None) {
        return Some(drawn);
    }
    // Another worker was faster, or there is no store.
    world.kept(KEY)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::HashMap;

    use super::*;

    #[derive(Default)]
    struct Scene {
        store: Option<RefCell<HashMap<String, Vec<u8>>>>,
        drawn: Cell<u64>,
    }

    impl Scene {
        fn with_store() -> Self {
            Self {
                store: Some(RefCell::default()),
                drawn: Cell::new(0),
            }
        }
    }

    impl World for Scene {
        fn kept(&self, name: &str) -> Option<Vec<u8>> {
            self.store.as_ref()?.borrow().get(name).cloned()
        }

        fn keep_new(&self, name: &str, value: &[u8], _: Option<u32>) -> bool {
            let is_new = self.kept(name).is_none();
            if let Some(store) = self.store.as_ref().filter(|_| is_new) {
                store.borrow_mut().insert(name.to_owned(), value.to_vec());
            }
            is_new && self.store.is_some()
        }

        fn random(&self) -> u64 {
            self.drawn.set(self.drawn.get() + 1);
            self.drawn.get()
        }
    }

    fn login(user: &str, password: &str) -> Login {
        Login {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    #[test]
    fn a_login_is_known_by_its_name_password_and_hash_together() {
        let scene = Scene::with_store();
        let known = name(&login("ab", "c"), "hash", &scene).unwrap();
        assert!(!knows(&known, &scene));
        remember(&known, 1_000, &scene);
        assert!(knows(&known, &scene));
        assert_eq!(scene.drawn.get(), 4, "one key for the process");
        for (user, password, hash) in [
            ("a", "bc", "hash"),
            ("ab", "d", "hash"),
            ("ab", "c", "hash2"),
        ] {
            let other = name(&login(user, password), hash, &scene).unwrap();
            assert!(!knows(&other, &scene), "{user} {password} {hash}");
        }
    }

    #[test]
    fn what_is_kept_depends_on_the_process() {
        let first = name(&login("a", "b"), "h", &Scene::with_store());
        let other = Scene::with_store();
        other.drawn.set(100);
        assert_ne!(first, name(&login("a", "b"), "h", &other));
    }

    #[test]
    fn without_a_store_nothing_is_remembered() {
        assert_eq!(name(&login("a", "b"), "h", &Scene::default()), None);
    }
}
