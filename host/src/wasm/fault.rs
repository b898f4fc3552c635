//! What can go wrong in a hook, as the chain, the metrics and the logs name it.

/// A hook that did not end well. Its edits are dropped; the policy's `on_failure` decides the rest.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The guest executed an invalid operation, panicked, or broke the contract.
    #[error("trap: {0}")]
    Trap(String),
    /// The hook did not end within `limits.time`, or before the request's deadline.
    #[error("not done within {0:?}")]
    Deadline(std::time::Duration),
    /// The guest wanted more than `limits.memory`.
    #[error("more memory than limits.memory allows: {0}")]
    Memory(String),
    /// The guest answered with an error.
    #[error("the policy answered an error: {0}")]
    Error(String),
    /// No sandbox was free: too many are live at once.
    #[error("no sandbox is free: {0}")]
    Overloaded(String),
}

/// An error of wasmtime on one line, a backtrace included: for logs and lists of problems.
pub fn one_line(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

impl Fault {
    /// The fault's stable name, in metrics and in the error's code.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Trap(_) => "trap",
            Fault::Deadline(_) => "deadline",
            Fault::Memory(_) => "memory",
            Fault::Error(_) => "error",
            Fault::Overloaded(_) => "overloaded",
        }
    }
}
