//! Why a client's body could not be read to its end.

use crate::error::GatewayError;
use crate::policy::body_stage::BrokenOff;

/// The client's body could not be read to its end: not the upstream's fault.
#[derive(Debug, thiserror::Error)]
pub enum ClientBodyError {
    /// The connection broke, or its bytes were no body.
    #[error("the client's body ended early: {0}")]
    Broken(#[source] hyper::Error),
    /// It has more bytes than the route takes.
    #[error("the client's body is too large")]
    TooLarge,
    /// Nothing came for `timeouts.body_idle`.
    #[error("the client's body came too slowly")]
    Idle,
    /// The exchange has ended without it.
    #[error("the rest of the client's body is not wanted any more")]
    Unwanted,
    /// A policy through which it passes has failed.
    #[error(transparent)]
    Policy(#[from] BrokenOff),
}

/// Which bound a body has broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFault {
    /// `limits.body`.
    TooLarge,
    /// `timeouts.body_idle`.
    Idle,
}

impl BodyFault {
    /// The config's key.
    pub fn name(self) -> &'static str {
        match self {
            BodyFault::TooLarge => "body",
            BodyFault::Idle => "body_idle",
        }
    }
}

impl From<BodyFault> for GatewayError {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::TooLarge => GatewayError::BodyTooLarge,
            BodyFault::Idle => GatewayError::BodyTimeout,
        }
    }
}

impl From<BodyFault> for ClientBodyError {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::TooLarge => ClientBodyError::TooLarge,
            BodyFault::Idle => ClientBodyError::Idle,
        }
    }
}

impl From<&ClientBodyError> for GatewayError {
    fn from(error: &ClientBodyError) -> Self {
        match error {
            ClientBodyError::TooLarge => BodyFault::TooLarge.into(),
            ClientBodyError::Idle => BodyFault::Idle.into(),
            ClientBodyError::Broken(_) | ClientBodyError::Unwanted | ClientBodyError::Policy(_) => {
                GatewayError::RequestBody
            }
        }
    }
}
