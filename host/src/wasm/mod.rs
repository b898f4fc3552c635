//! Policies as the host sees them: sandboxes that answer hooks.
//!
//! Only this folder and `capability/` know wasmtime. The rest of the gateway gives an exchange
//! to a [`policy::Policy`]'s hook and gets it back with a verdict or a [`fault::Fault`], whatever the guest did.

mod backtrace;
pub mod bindings;
pub mod body_desk;
pub mod call;
pub mod component;
pub mod engine;
pub mod exchange_host;
pub mod fault;
pub mod linker;
pub mod outcall_desk;
pub mod policy;
pub mod sandbox;
pub mod state;

/// A point in a request's life at which policies are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Before the request goes to an upstream.
    OnRequest,
    /// After each attempt.
    OnAttempt,
    /// Before the response goes to the client.
    OnResponse,
    /// After the response's last byte, or its early end.
    OnLog,
}

impl Phase {
    /// All phases, in the order of a request's life.
    pub const ALL: [Phase; 4] = [
        Phase::OnRequest,
        Phase::OnAttempt,
        Phase::OnResponse,
        Phase::OnLog,
    ];

    /// The word of the contract, also in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Phase::OnRequest => "on-request",
            Phase::OnAttempt => "on-attempt",
            Phase::OnResponse => "on-response",
            Phase::OnLog => "on-log",
        }
    }
}
