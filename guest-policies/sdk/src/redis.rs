//! The Redis binding that the operator gave this policy. Needs the grant `redis`; [`eval`] its `scripts` too.

pub use crate::bindings::capability::redis::{
    Condition, Error, Item, Reply, delete, eval, get, increment, set,
};

impl Error {
    /// Whether the policy may not use Redis at all, so that asking again is in vain.
    pub const fn is_denied(&self) -> bool {
        matches!(self, Self::Denied(_))
    }
}

impl From<Error> for String {
    fn from(error: Error) -> Self {
        match error {
            Error::Denied(why) => format!("redis: denied: {why}"),
            Error::Unavailable(why) => format!("redis: unavailable: {why}"),
            Error::TimedOut => "redis: timed out".to_owned(),
            Error::Server(answer) => format!("redis: {answer}"),
        }
    }
}
