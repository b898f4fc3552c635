//! Values of this gateway process, in a key space of the policy's own. Needs the grant `kv`.

pub use crate::bindings::capability::kv::{Error, delete, get, increment, set, swap};

impl Error {
    /// Whether the policy may not use kv at all, so that asking again is in vain.
    pub const fn is_denied(&self) -> bool {
        matches!(self, Self::Denied(_))
    }
}

impl From<Error> for String {
    fn from(error: Error) -> Self {
        match error {
            Error::Denied(why) => format!("kv: denied: {why}"),
            Error::Full => "kv: full".to_owned(),
            Error::Invalid(why) => format!("kv: invalid: {why}"),
        }
    }
}
