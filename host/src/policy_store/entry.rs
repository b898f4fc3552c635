//! One change of the store, and its line in the journal: JSON, chained to the line before by its hash.

use std::time::SystemTime;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::timestamp;

/// What the first line is chained to.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Between the hashed part of a line and its hash.
const HASH_KEY: &str = ",\"hash\":\"";
/// After the hash.
const LINE_END: &str = "\"}";

/// A change that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// Counts the changes from 1.
    pub number: u64,
    /// In RFC 3339, in UTC.
    pub time: String,
    /// Who made it.
    pub by: Actor,
    /// The policy's name in the store.
    pub policy: String,
    /// What was done.
    #[serde(flatten)]
    pub action: Action,
    /// Why, in the actor's words.
    pub reason: String,
    /// Hash of the line before; zeros for the first.
    pub previous: String,
    /// SHA-256 of the line up to this field, in hexadecimal. Not part of what is hashed.
    #[serde(default, skip_serializing)]
    pub hash: String,
}

/// Who made a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Actor {
    /// A token's role, `watch` for a file that was found, or `gateway` for what it did by itself.
    pub role: String,
    /// The token's name in the token file, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Address of the client, or the file that was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// What was done to a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// A version was stored.
    Push {
        /// Its number, from 1 for the first of the policy; never given twice.
        version: u64,
        /// SHA-256 of the component, in hexadecimal.
        digest: String,
        /// Of the component.
        size_bytes: u64,
        /// Whether it serves from then on.
        activated: bool,
    },
    /// A stored version serves from then on.
    Activate {
        /// Its number.
        version: u64,
    },
    /// The version serves that did before.
    RollBack {
        /// Its number.
        version: u64,
    },
    /// A version was deleted.
    Delete {
        /// Its number.
        version: u64,
    },
}

impl Actor {
    /// The gateway, which found a file in the watched directory.
    pub fn watch(file: &str) -> Self {
        Self {
            role: "watch".to_owned(),
            name: None,
            from: Some(file.to_owned()),
        }
    }

    /// The gateway by itself.
    pub fn gateway() -> Self {
        Self {
            role: "gateway".to_owned(),
            name: None,
            from: None,
        }
    }

    /// Whether it found a file in the watched directory.
    pub fn is_watch(&self) -> bool {
        self.role == "watch"
    }
}

impl Action {
    /// The version that it speaks of.
    pub fn version(&self) -> u64 {
        match self {
            Self::Push { version, .. }
            | Self::Activate { version }
            | Self::RollBack { version }
            | Self::Delete { version } => *version,
        }
    }
}

/// Why a line is not the next one of its chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Its bytes are not those that were written.
    #[error("the line has been changed, or is none of this gateway's")]
    Hash,
    /// Lines before it are missing or others.
    #[error("the line does not follow the one before: lines have been removed, added or moved")]
    Previous,
    /// It means nothing to this version.
    #[error("the line can't be read: {0}")]
    Text(String),
}

impl Entry {
    /// The change that follows the one with that number and hash.
    pub fn after(
        (number, previous): (u64, &str),
        time: SystemTime,
        by: Actor,
        policy: &str,
        action: Action,
        reason: &str,
    ) -> Self {
        let mut entry = Self {
            number: number + 1,
            time: timestamp::text(time),
            by,
            policy: policy.to_owned(),
            action,
            reason: reason.to_owned(),
            previous: previous.to_owned(),
            hash: String::new(),
        };
        entry.hash = hash(&entry.hashed());
        entry
    }

    /// Its line in the journal, with the end of the line.
    pub fn line(&self) -> String {
        format!("{}{HASH_KEY}{}{LINE_END}\n", self.hashed(), self.hash)
    }

    /// The entry of a line, without its end, that follows the one with that number and hash.
    pub fn read(line: &str, (number, previous): (u64, &str)) -> Result<Self, ChainError> {
        let (hashed, rest) = line.rsplit_once(HASH_KEY).ok_or(ChainError::Hash)?;
        let written = rest.strip_suffix(LINE_END).ok_or(ChainError::Hash)?;
        if hash(hashed) != written {
            return Err(ChainError::Hash);
        }
        let entry: Self =
            serde_json::from_str(line).map_err(|error| ChainError::Text(error.to_string()))?;
        if entry.previous != previous || entry.number != number + 1 {
            return Err(ChainError::Previous);
        }
        Ok(entry)
    }

    /// The line up to its hash.
    fn hashed(&self) -> String {
        // Texts and numbers under texts: nothing in it can fail to be JSON.
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.pop();
        text
    }
}

fn hash(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn actor() -> Actor {
        Actor {
            role: "admin".to_owned(),
            name: Some("ci \"x\"".to_owned()),
            from: None,
        }
    }

    #[test]
    fn a_line_is_read_as_it_was_written_and_nothing_in_it_can_be_changed() {
        let action = Action::Push {
            version: 3,
            digest: "ab".repeat(32),
            size_bytes: 7,
            activated: true,
        };
        let reason = "because,\"hash\":\"} \u{1f600}\n";
        let entry = Entry::after((6, GENESIS), UNIX_EPOCH, actor(), "auth", action, reason);
        let line = entry.line();
        assert!(line.starts_with(r#"{"number":7,"time":"1970-01-01T00:00:00.000000Z","by":{"role":"admin","name":"ci \"x\""},"policy":"auth","action":"push","version":3,"#), "{line}");
        let text = line.strip_suffix('\n').unwrap();
        assert!(!text.contains('\n'));
        assert_eq!(Entry::read(text, (6, GENESIS)), Ok(entry.clone()));
        assert_eq!(Entry::read(text, (5, GENESIS)), Err(ChainError::Previous));
        assert_eq!(
            Entry::read(text, (6, &entry.hash)),
            Err(ChainError::Previous)
        );
        for place in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[place] ^= 1;
            if let Ok(changed) = String::from_utf8(bytes) {
                assert!(Entry::read(&changed, (6, GENESIS)).is_err(), "{changed}");
            }
            if text.is_char_boundary(place) {
                assert!(Entry::read(&text[..place], (6, GENESIS)).is_err());
            }
        }
    }

    #[test]
    fn what_a_newer_gateway_wrote_is_refused_unless_it_is_only_more() {
        let entry = Entry::after(
            (0, GENESIS),
            UNIX_EPOCH,
            actor(),
            "auth",
            Action::Delete { version: 1 },
            "",
        );
        let again = |hashed: String| format!("{hashed}{HASH_KEY}{}{LINE_END}", hash(&hashed));
        let more = again(format!("{},\"more\":1", entry.hashed()));
        assert!(Entry::read(&more, (0, GENESIS)).is_ok());
        let other = again(entry.hashed().replace("delete", "bless"));
        let error = Entry::read(&other, (0, GENESIS)).unwrap_err().to_string();
        assert!(
            error.contains("can't be read: unknown variant `bless`"),
            "{error}"
        );
    }
}
