//! What the entries of a journal come to: each policy's versions, and which one serves. Knows no file.

use std::collections::BTreeMap;

use super::entry::{Action, Actor, Entry};

/// The policies of a store, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histories(BTreeMap<String, History>);

/// The versions of one policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    versions: BTreeMap<u64, Version>,
    /// Versions that served, the present one last; each once.
    trail: Vec<u64>,
    /// The highest number that was given.
    last: u64,
    /// Digest of the component that was last found in the watched directory.
    found: Option<String>,
}

/// A stored version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// Of the component.
    pub size_bytes: u64,
    /// When it was pushed, in RFC 3339.
    pub time: String,
    /// Who pushed it.
    pub by: Actor,
    /// Why.
    pub reason: String,
}

/// An entry that can't be: it speaks of a version that is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the entry speaks of version {version} of {policy:?}, which {why}")]
pub struct Contradiction {
    policy: String,
    version: u64,
    why: &'static str,
}

impl Histories {
    /// The policies by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &History)> {
        self.0
            .iter()
            .map(|(name, history)| (name.as_str(), history))
    }

    /// The policy of that name, if a version of it was ever pushed.
    pub fn get(&self, policy: &str) -> Option<&History> {
        self.0.get(policy)
    }

    /// Whether a version of any policy has that component.
    pub fn has_digest(&self, digest: &str) -> bool {
        let mut histories = self.0.values();
        histories.any(|history| {
            history
                .versions
                .values()
                .any(|known| known.digest == digest)
        })
    }

    /// Takes the next entry in, or says why it can't be.
    pub(super) fn apply(&mut self, entry: &Entry) -> Result<(), Contradiction> {
        let history = self.0.entry(entry.policy.clone()).or_default();
        let version = entry.action.version();
        let is_new = version > history.last;
        let is_there = history.versions.contains_key(&version);
        let why = match &entry.action {
            Action::Push { .. } if !is_new => Some("was there before"),
            Action::Push { .. } => None,
            _ if !is_there => Some("is not there"),
            Action::Delete { .. } if history.active() == Some(version) => Some("serves"),
            _ => None,
        };
        if let Some(why) = why {
            let policy = entry.policy.clone();
            return Err(Contradiction {
                policy,
                version,
                why,
            });
        }
        match &entry.action {
            Action::Push {
                digest,
                size_bytes,
                activated,
                ..
            } => {
                history.push(version, Version::of(entry, digest, *size_bytes));
                if entry.by.is_watch() {
                    history.found = Some(digest.clone());
                }
                if *activated {
                    history.activate(version);
                }
            }
            Action::Activate { .. } => history.activate(version),
            Action::RollBack { .. } => history.roll_back(version),
            Action::Delete { .. } => history.delete(version),
        }
        Ok(())
    }
}

impl Version {
    fn of(entry: &Entry, digest: &str, size_bytes: u64) -> Self {
        Self {
            digest: digest.to_owned(),
            size_bytes,
            time: entry.time.clone(),
            by: entry.by.clone(),
            reason: entry.reason.clone(),
        }
    }
}

impl History {
    /// The stored versions by number.
    pub fn versions(&self) -> &BTreeMap<u64, Version> {
        &self.versions
    }

    /// The version that serves, if any does.
    pub fn active(&self) -> Option<u64> {
        self.trail.last().copied()
    }

    /// The version that served before the active one and is still there.
    pub fn before(&self) -> Option<u64> {
        self.trail.iter().rev().nth(1).copied()
    }

    /// The number for the next version.
    pub fn next(&self) -> u64 {
        self.last + 1
    }

    /// Digest of the component that was last found in the watched directory.
    pub fn found(&self) -> Option<&str> {
        self.found.as_deref()
    }

    /// The oldest versions beyond `keep` that neither serve nor would after a roll back.
    pub fn beyond(&self, keep: usize) -> Vec<u64> {
        let spare = self.versions.len().saturating_sub(keep);
        let needed = [self.active(), self.before()];
        let unused = self.versions.keys().copied();
        let unused = unused.filter(|version| !needed.contains(&Some(*version)));
        unused.take(spare).collect()
    }

    fn push(&mut self, number: u64, version: Version) {
        self.last = number;
        self.versions.insert(number, version);
    }

    fn activate(&mut self, version: u64) {
        self.trail.retain(|served| *served != version);
        self.trail.push(version);
    }

    fn roll_back(&mut self, version: u64) {
        self.trail.pop();
        self.activate(version);
    }

    fn delete(&mut self, version: u64) {
        self.versions.remove(&version);
        self.trail.retain(|served| *served != version);
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::super::entry::GENESIS;
    use super::*;

    fn apply(histories: &mut Histories, action: Action) -> Result<(), Contradiction> {
        let by = Actor::watch("auth.wasm");
        let entry = Entry::after((0, GENESIS), UNIX_EPOCH, by, "auth", action, "");
        histories.apply(&entry)
    }

    fn push(version: u64, activated: bool) -> Action {
        Action::Push {
            version,
            digest: format!("digest {version}"),
            size_bytes: 1,
            activated,
        }
    }

    #[test]
    fn rolling_back_goes_on_to_what_served_before() {
        let mut all = Histories::default();
        for version in 1..=4 {
            apply(&mut all, push(version, version != 3)).unwrap();
        }
        let auth = |all: &Histories| {
            let auth = all.get("auth").unwrap();
            (auth.active(), auth.before())
        };
        assert_eq!(auth(&all), (Some(4), Some(2)));
        apply(&mut all, Action::Activate { version: 1 }).unwrap();
        assert_eq!(auth(&all), (Some(1), Some(4)));
        apply(&mut all, Action::RollBack { version: 4 }).unwrap();
        assert_eq!(auth(&all), (Some(4), Some(2)));
        apply(&mut all, Action::RollBack { version: 2 }).unwrap();
        assert_eq!(auth(&all), (Some(2), None));
        let auth = all.get("auth").unwrap();
        assert_eq!((auth.next(), auth.found()), (5, Some("digest 4")));
        assert!(all.has_digest("digest 3") && !all.has_digest("digest 5"));
    }

    #[test]
    fn what_serves_or_served_before_is_not_spare() {
        let mut all = Histories::default();
        for version in 1..=5 {
            apply(&mut all, push(version, true)).unwrap();
        }
        apply(&mut all, Action::Activate { version: 1 }).unwrap();
        let auth = all.get("auth").unwrap();
        assert_eq!(auth.beyond(5), [0; 0]);
        assert_eq!(auth.beyond(3), [2, 3]);
        assert_eq!(auth.beyond(0), [2, 3, 4]);
    }

    #[test]
    fn an_entry_that_contradicts_the_others_is_refused() {
        let mut all = Histories::default();
        apply(&mut all, push(2, true)).unwrap();
        for (action, why) in [
            (
                push(2, true),
                "version 2 of \"auth\", which was there before",
            ),
            (
                push(1, true),
                "version 1 of \"auth\", which was there before",
            ),
            (Action::Activate { version: 3 }, "which is not there"),
            (Action::RollBack { version: 3 }, "which is not there"),
            (Action::Delete { version: 3 }, "which is not there"),
            (
                Action::Delete { version: 2 },
                "version 2 of \"auth\", which serves",
            ),
        ] {
            let before = all.clone();
            let error = apply(&mut all, action).unwrap_err().to_string();
            assert!(error.ends_with(why), "{error}");
            assert_eq!(all, before);
        }
    }
}
