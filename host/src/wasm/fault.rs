//! What can go wrong in a hook, as the chain, the metrics and the logs name it.

use std::time::Duration;

use wasmtime::{Error, PoolConcurrencyLimitError, Trap};

use super::backtrace;
use super::limiter::Refused;

/// A hook that did not end well. Its edits are dropped; the policy's `on_failure` decides the rest.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The guest executed an invalid operation, panicked, or broke the contract.
    #[error("trap: {}", .0.message)]
    Trap(Stopped),
    /// The hook did not end within `limits.time`, or before the request's deadline.
    #[error("not done within {0:?}")]
    Deadline(Duration),
    /// The guest wanted more than `limits.memory`.
    #[error("more memory than limits.memory allows: {}", .0.message)]
    Memory(Stopped),
    /// The hook did more of something than the policy's limits allow.
    #[error("more than the policy may do: {}", .1.message)]
    Limit(&'static str, Stopped),
    /// The guest answered with an error.
    #[error("the policy answered an error: {0}")]
    Error(String),
    /// The gateway could not do its part; a defect of the gateway, not of the policy.
    #[error("the gateway failed: {}", .0.message)]
    Host(Stopped),
    /// What came of a body that its sender did not deliver, or not in time; not the policy's doing.
    #[error("{0} (the body did not come)")]
    PeersBody(Box<Fault>),
    /// No sandbox was free: too many are live at once.
    #[error("no sandbox is free: {0}")]
    Overloaded(String),
}

/// A guest that was stopped: why, and where it was.
#[derive(Debug)]
pub struct Stopped {
    /// Why, on one line.
    pub message: String,
    /// The functions that it was in, innermost first, on one line; `None` when it was in none.
    pub backtrace: Option<String>,
}

impl Stopped {
    fn by(error: &Error) -> Self {
        Self {
            message: backtrace::message_without(error),
            backtrace: backtrace::render(error),
        }
    }
}

/// What a host function answers when the gateway itself is at fault. The guest is stopped.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HostDefect(pub &'static str);

/// What a host function answers when the guest has done too much. The guest is stopped.
#[derive(Debug, thiserror::Error)]
#[error("limits.{limit} is {most}")]
pub struct LimitPassed {
    limit: &'static str,
    most: u64,
}

impl LimitPassed {
    /// `limits.host_calls`.
    pub fn host_calls(most: u32) -> Self {
        Self {
            limit: "host_calls",
            most: most.into(),
        }
    }

    /// `limits.table_elements`.
    pub fn table_elements(most: usize) -> Self {
        Self {
            limit: "table_elements",
            most: most as u64,
        }
    }

    /// The key under `limits`.
    pub fn limit(&self) -> &'static str {
        self.limit
    }
}

/// Whether a guest was stopped for want of a handle, for which wasmtime has words and no type.
fn is_of_handles(error: &Error) -> bool {
    let mut causes = error.chain();
    causes.any(|cause| cause.to_string().ends_with("store handle limit exceeded"))
}

/// An error of wasmtime on one line, a backtrace included: for lists of problems.
pub fn one_line(error: &Error) -> String {
    let text = format!("{error:#}");
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

impl Fault {
    /// The guest has done too much, and was stopped after it.
    pub(super) fn passed(limit: LimitPassed) -> Self {
        let name = limit.limit;
        Self::Limit(name, Stopped::by(&limit.into()))
    }

    /// What stopped a guest; `refused` is what it had asked for and was not given.
    pub(super) fn from_error(error: &Error, refused: Option<Refused>) -> Self {
        if error.is::<PoolConcurrencyLimitError>() {
            Fault::Overloaded(one_line(error))
        } else if error.is::<HostDefect>() {
            Fault::Host(Stopped::by(error))
        } else if let Some(passed) = error.downcast_ref::<LimitPassed>() {
            Fault::Limit(passed.limit, Stopped::by(error))
        } else if is_of_handles(error) {
            Fault::Limit("handles", Stopped::by(error))
        } else if let Some(passed) = refused.and_then(Refused::limit) {
            Fault::Limit(passed.limit, Stopped::by(error))
        } else if refused.is_some() || error.downcast_ref() == Some(&Trap::AllocationTooLarge) {
            Fault::Memory(Stopped::by(error))
        } else {
            Fault::Trap(Stopped::by(error))
        }
    }

    /// The fault's stable name, in metrics and in what the client is told.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Trap(_) => "trap",
            Fault::Deadline(_) => "deadline",
            Fault::Memory(_) => "memory",
            Fault::Limit(..) => "limit",
            Fault::Error(_) => "error",
            Fault::Host(_) => "host",
            Fault::PeersBody(fault) => fault.kind(),
            Fault::Overloaded(_) => "overloaded",
        }
    }

    /// The key under `limits` that was passed, where the kind is `limit`.
    pub fn limit(&self) -> Option<&'static str> {
        match self {
            Fault::Limit(limit, _) => Some(limit),
            Fault::PeersBody(fault) => fault.limit(),
            _ => None,
        }
    }

    /// Where the guest was when it was stopped, innermost function first, on one line.
    pub fn backtrace(&self) -> Option<&str> {
        match self {
            Fault::Trap(stopped)
            | Fault::Memory(stopped)
            | Fault::Limit(_, stopped)
            | Fault::Host(stopped) => stopped.backtrace.as_deref(),
            Fault::PeersBody(fault) => fault.backtrace(),
            Fault::Deadline(_) | Fault::Error(_) | Fault::Overloaded(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_host_is_told_from_a_trap() {
        let defect = Error::from(HostDefect("no exchange is lent")).context("a host function");
        let fault = Fault::from_error(&defect, None);
        assert_eq!(fault.kind(), "host");
        assert_eq!(
            fault.to_string(),
            "the gateway failed: a host function: no exchange is lent"
        );
        let broken = wasmtime::format_err!("invalid utf-8");
        assert_eq!(Fault::from_error(&broken, None).kind(), "trap");
        let refused = Some(Refused::Memory);
        assert_eq!(Fault::from_error(&broken, refused).kind(), "memory");
    }
}
