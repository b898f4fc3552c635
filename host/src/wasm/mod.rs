//! Policies as the host sees them: sandboxes that answer hooks.
//!
//! Only this folder and `capability/` know wasmtime. The rest of the gateway gives an exchange
//! to a [`policy::Policy`]'s hook and gets it back with a verdict or a [`fault::Fault`], whatever the guest did.

mod backtrace;
pub mod bindings;
pub mod body_call;
pub mod body_desk;
pub mod body_host;
pub mod call;
pub mod compile;
pub mod component;
pub mod description;
pub mod engine;
pub mod exchange_host;
pub mod fault;
pub mod limiter;
pub mod linker;
pub mod outcall_desk;
pub mod policy;
pub mod prepared;
pub mod sandbox;
pub mod state;
pub mod step_clock;
pub mod stream_desk;

/// A point in a request's life at which policies are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Before the request goes to an upstream.
    OnRequest,
    /// While the request's body passes to the upstream.
    OnRequestBody,
    /// After each attempt.
    OnAttempt,
    /// Before the response goes to the client.
    OnResponse,
    /// While the response's body passes to the client.
    OnResponseBody,
    /// After the response's last byte, or its early end.
    OnLog,
}

impl Phase {
    /// All phases, in the order of a request's life.
    pub const ALL: [Phase; 6] = [
        Phase::OnRequest,
        Phase::OnRequestBody,
        Phase::OnAttempt,
        Phase::OnResponse,
        Phase::OnResponseBody,
        Phase::OnLog,
    ];

    /// The word of the contract, also in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Phase::OnRequest => "on-request",
            Phase::OnRequestBody => "on-request-body",
            Phase::OnAttempt => "on-attempt",
            Phase::OnResponse => "on-response",
            Phase::OnResponseBody => "on-response-body",
            Phase::OnLog => "on-log",
        }
    }
}
