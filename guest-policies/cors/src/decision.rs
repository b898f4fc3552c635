//! What `on-request` has found out, kept for `on-response`: what follows in the chain may change the request's fields.

use crate::rules::Kind;

/// How an exchange's answer is marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A script of this origin may read it.
    Allowed(Kind, String),
    /// Nobody's script may, or none has asked.
    Refused {
        /// The request was a preflight.
        is_preflight: bool,
    },
}

/// First bytes of a kept decision.
const ACTUAL: u8 = b'a';
const PREFLIGHT: u8 = b'p';
const PREFLIGHT_PRIVATE: u8 = b'n';
const REFUSED_PREFLIGHT: u8 = b'r';

impl Decision {
    /// As it is kept; nothing for what needs no keeping.
    pub fn to_state(&self) -> Option<Vec<u8>> {
        let (first, origin) = match self {
            Self::Allowed(Kind::Actual, origin) => (ACTUAL, origin.as_str()),
            Self::Allowed(
                Kind::Preflight {
                    private_network: false,
                },
                origin,
            ) => (PREFLIGHT, origin.as_str()),
            Self::Allowed(
                Kind::Preflight {
                    private_network: true,
                },
                origin,
            ) => (PREFLIGHT_PRIVATE, origin.as_str()),
            Self::Refused { is_preflight: true } => (REFUSED_PREFLIGHT, ""),
            Self::Refused {
                is_preflight: false,
            } => return None,
        };
        Some([&[first], origin.as_bytes()].concat())
    }

    /// As it was kept.
    pub fn from_state(state: Option<&[u8]>) -> Self {
        let Some((first, origin)) = state.and_then(<[u8]>::split_first) else {
            return Self::Refused {
                is_preflight: false,
            };
        };
        let origin = String::from_utf8_lossy(origin).into_owned();
        match *first {
            ACTUAL => Self::Allowed(Kind::Actual, origin),
            PREFLIGHT => Self::Allowed(
                Kind::Preflight {
                    private_network: false,
                },
                origin,
            ),
            PREFLIGHT_PRIVATE => Self::Allowed(
                Kind::Preflight {
                    private_network: true,
                },
                origin,
            ),
            first => Self::Refused {
                is_preflight: first == REFUSED_PREFLIGHT,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_are_kept_as_they_are() {
        let origin = || "https://a.example".to_owned();
        for decision in [
            Decision::Allowed(Kind::Actual, origin()),
            Decision::Allowed(
                Kind::Preflight {
                    private_network: false,
                },
                origin(),
            ),
            Decision::Allowed(
                Kind::Preflight {
                    private_network: true,
                },
                origin(),
            ),
            Decision::Refused { is_preflight: true },
            Decision::Refused {
                is_preflight: false,
            },
        ] {
            assert_eq!(
                Decision::from_state(decision.to_state().as_deref()),
                decision
            );
        }
    }
}
