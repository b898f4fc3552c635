//! What the gateway and a compile child write to each other: a head in JSON, then bytes as they are.

use std::collections::BTreeMap;
use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::wasm::description::Description;
use crate::wasm::limiter::Bounds;

/// A head is a component's manifest with its schema, and the problems of its configs.
const MAX_HEAD_BYTES: usize = 16 << 20;

/// What a child is to do. The component's bytes follow. Holds secrets, so it can't be printed.
#[derive(Serialize, Deserialize)]
pub(super) struct Job {
    /// Uses to make ready; none: the component is only described.
    pub(super) uses: Vec<UseTerms>,
}

/// One use of a component, as far as its code and its trial depend on it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseTerms {
    /// For `configure`: JSON.
    pub config: String,
    /// Its limits.
    pub bounds: Bounds,
    /// How it is tried before it may serve; `None`: only its config is checked, and nothing is compiled.
    pub trial: Option<Trial>,
}

/// What the smoke call may use.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Whether `kv` is granted.
    pub kv: bool,
    /// Whether scripts are granted, if `redis` is.
    pub redis_scripts: Option<bool>,
    /// Upstreams that it may choose.
    pub upstreams: Vec<String>,
    /// What `outcall` grants, if it is.
    pub outcall: Option<OutcallTrial>,
    /// Granted secrets by name. Their values are no part of what the code is kept by.
    pub secrets: BTreeMap<String, String>,
}

/// Requests that a policy may send, none of which leaves the compile child.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcallTrial {
    /// Granted upstreams.
    pub upstreams: Vec<String>,
    /// `limits.outcalls`.
    pub calls: u32,
    /// `limits.outcall_body`.
    pub body_bytes: usize,
}

/// What came of it.
#[derive(Serialize, Deserialize)]
pub(super) enum Answer {
    /// The component is no policy for this gateway: why, in words that follow its name.
    Refused(String),
    /// It is; the code of each use that is ready follows, in order.
    Accepted {
        /// What it is.
        description: Description,
        /// One for each use of the job.
        uses: Vec<UseAnswer>,
    },
}

/// What came of a use.
#[derive(Serialize, Deserialize)]
pub(super) enum UseAnswer {
    /// It may serve.
    Ready {
        /// The configured state is in the code; otherwise each instance is to be configured.
        configured: bool,
        /// Length of its code.
        code_bytes: usize,
    },
    /// Its config is right; that was all that was asked.
    Checked,
    /// The config is wrong: JSON Pointer and message of each problem.
    Config(Vec<(String, String)>),
    /// `configure` did not end well.
    Configure(String),
    /// Bytes that an instance needs from its start, which are more than `limits.memory`.
    Memory(usize),
    /// Elements that its largest table has from its start, which are more than `limits.table_elements`.
    TableElements(u64),
    /// It can't be compiled, or not be instantiated.
    Compile(String),
    /// The smoke call did not end well.
    Smoke(String),
}

/// The head, with its length before it.
pub(super) fn head(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend(json);
    Ok(bytes)
}

/// Splits what [`head`] has made from the bytes behind it. `None`: it is no such message.
pub(super) fn split<M: DeserializeOwned>(bytes: &[u8]) -> Option<(M, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > MAX_HEAD_BYTES {
        return None;
    }
    let (json, rest) = rest.split_at_checked(length)?;
    Some((serde_json::from_slice(json).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let mut bytes = head(&UseAnswer::Memory(7)).unwrap();
        bytes.extend(b"code");
        let (answer, rest) = split::<UseAnswer>(&bytes).unwrap();
        assert!(matches!(answer, UseAnswer::Memory(7)));
        assert_eq!(rest, b"code");
    }

    #[test]
    fn what_is_no_message_is_told() {
        let whole = head(&UseAnswer::Checked).unwrap();
        for length in 0..whole.len() {
            assert!(split::<UseAnswer>(&whole[..length]).is_none(), "{length}");
        }
        assert!(split::<UseAnswer>(b"\xff\xff\xff\xff").is_none());
        assert!(split::<UseAnswer>(b"\x02\0\0\0{}").is_none());
    }
}
