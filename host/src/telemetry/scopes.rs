//! The scopes that somebody holds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::scope::{Scope, ScopeLabels};

/// All scopes of a process. Who opens one holds it; its series are shown as long as somebody does.
#[derive(Default)]
pub(super) struct Scopes(Mutex<Vec<Weak<Scope>>>);

impl Scopes {
    /// A scope that is new; see [`Scope::new`].
    pub(super) fn open(
        &self,
        labels: ScopeLabels,
        limit: impl Fn(&str) -> usize + Send + Sync + 'static,
    ) -> Arc<Scope> {
        let scope = Scope::new(labels, limit);
        let scope = Arc::new(scope.expect("a registry that is new takes its first exporter"));
        self.add(&scope);
        scope
    }

    /// Shows that one too.
    pub(super) fn add(&self, scope: &Arc<Scope>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() == known.capacity() {
            known.retain(|scope| scope.strong_count() > 0);
        }
        known.push(Arc::downgrade(scope));
    }

    /// Those that somebody holds, the oldest first.
    pub(super) fn held(&self) -> Vec<Arc<Scope>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter_map(Weak::upgrade).collect()
    }
}

/// Things by the names that their series are labelled with, as long as somebody holds them: what stays over a reload
/// is found again, and goes on counting.
pub(super) struct Held<V>(Mutex<HashMap<Vec<String>, Weak<V>>>);

impl<V> Default for Held<V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<V> Held<V> {
    /// The one of these names, or a new one.
    pub(super) fn open(&self, names: &[&str], make: impl FnOnce() -> V) -> Arc<V> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = known.get(&names).and_then(Weak::upgrade) {
            return held;
        }
        if known.len() == known.capacity() {
            known.retain(|_, held| held.strong_count() > 0);
        }
        let made = Arc::new(make());
        known.insert(names, Arc::downgrade(&made));
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_found_again_and_what_is_not_leaves_nothing() {
        let all = Held::<u32>::default();
        let first = all.open(&["a", "b"], || 1);
        assert_eq!(*all.open(&["a", "b"], || 2), 1);
        assert_eq!(*all.open(&["ab"], || 3), 3);
        drop(first);
        assert_eq!(*all.open(&["a", "b"], || 4), 4);
        for n in 0..10_000 {
            all.open(&[&n.to_string()], || n);
        }
        assert!(all.0.lock().unwrap().len() < 100);
    }

    #[test]
    fn a_scope_is_shown_as_long_as_it_is_held() {
        let scopes = Scopes::default();
        let kept = scopes.open(Vec::new(), |_| 10);
        for _ in 0..1_000 {
            scopes.open(Vec::new(), |_| 10);
        }
        assert_eq!(scopes.held().len(), 1);
        assert!(Arc::ptr_eq(&scopes.held()[0], &kept));
        assert!(scopes.0.lock().unwrap().len() < 100);
    }
}
