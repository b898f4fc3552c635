//! What went wrong with a request, as far as the gateway is concerned: status and stable code.

use std::sync::Arc;

use http::StatusCode;

use crate::policy::verdict::Failure;
use crate::wasm::{Phase, fault::Fault};

/// A request that the gateway answers itself. Rendered in `respond.rs`, and only there.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// No route matches.
    #[error("no route for this request")]
    NoRoute,
    /// The request is not one that the gateway forwards.
    #[error("{0}")]
    BadRequest(&'static str),
    /// Two readers could find different ends of the request, so that its connection can't be used on.
    #[error("{0}")]
    Framing(&'static str),
    /// A policy did not end well, and its `on_failure` is `closed`.
    #[error("policy {policy:?} failed in {}: {fault}", phase.name())]
    PolicyFailed {
        /// The policy's name in the config.
        policy: Arc<str>,
        /// The hook.
        phase: Phase,
        /// What happened.
        fault: Fault,
    },
    /// A policy is left alone because it kept failing, and its `on_failure` is `closed`.
    #[error("policy {policy:?} is not called in {}: its fault circuit is open", phase.name())]
    PolicyCircuitOpen {
        /// The policy's name in the config.
        policy: Arc<str>,
        /// The hook.
        phase: Phase,
    },
    /// No attempt brought a response.
    #[error("upstream {upstream:?}: {} ({detail})", failure.name())]
    Upstream {
        /// The upstream's name.
        upstream: Arc<str>,
        /// Why the last attempt failed.
        failure: Failure,
        /// The cause, for the log.
        detail: String,
    },
    /// The route's deadline passed.
    #[error("upstream {upstream:?}: the route's deadline passed")]
    DeadlineExceeded {
        /// The upstream's name.
        upstream: Arc<str>,
    },
    /// The target is longer than `limits.uri_bytes`, or with the route's rewrite than any may be.
    #[error("the request's target is too long")]
    TargetTooLong,
    /// The head has more fields than `limits.headers`.
    #[error("the request's head is too large")]
    HeadTooLarge,
    /// The body has more bytes than the route takes.
    #[error("the request's body is too large")]
    BodyTooLarge,
    /// Nothing of the body came for `timeouts.body_idle`.
    #[error("the request's body came too slowly")]
    BodyTimeout,
    /// As many requests are in flight as `limits.requests` allows.
    #[error("the gateway is overloaded")]
    Overloaded,
    /// The client's body could not be read.
    #[error("the request's body ended early")]
    RequestBody,
}

impl GatewayError {
    /// Status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            GatewayError::NoRoute => StatusCode::NOT_FOUND,
            GatewayError::TargetTooLong => StatusCode::URI_TOO_LONG,
            GatewayError::BadRequest(_) | GatewayError::Framing(_) | GatewayError::RequestBody => {
                StatusCode::BAD_REQUEST
            }
            GatewayError::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            GatewayError::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            GatewayError::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            GatewayError::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            GatewayError::PolicyFailed { .. } | GatewayError::PolicyCircuitOpen { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            GatewayError::DeadlineExceeded { .. } => StatusCode::GATEWAY_TIMEOUT,
            GatewayError::Upstream { failure, .. } => match failure {
                Failure::NoEndpoint | Failure::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
                Failure::ConnectTimeout | Failure::ResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
                _ => StatusCode::BAD_GATEWAY,
            },
        }
    }

    /// Stable name of the error: the header `x-portcullis-error`, logs, `response.source`.
    pub fn code(&self) -> &'static str {
        match self {
            GatewayError::NoRoute => "no-route",
            GatewayError::BadRequest(_) | GatewayError::Framing(_) => "bad-request",
            GatewayError::PolicyFailed { .. } => "policy-failed",
            GatewayError::PolicyCircuitOpen { .. } => "policy-circuit-open",
            GatewayError::DeadlineExceeded { .. } => "deadline-exceeded",
            GatewayError::TargetTooLong => "target-too-long",
            GatewayError::HeadTooLarge => "head-too-large",
            GatewayError::BodyTooLarge => "body-too-large",
            GatewayError::BodyTimeout => "request-body-timeout",
            GatewayError::Overloaded => "overloaded",
            GatewayError::RequestBody => "request-body",
            GatewayError::Upstream { failure, .. } => match failure {
                Failure::NoEndpoint => "upstream-no-endpoint",
                Failure::Overloaded => "upstream-circuit-open",
                Failure::Dns => "upstream-dns",
                Failure::ConnectRefused => "upstream-connect-refused",
                Failure::ConnectTimeout => "upstream-connect-timeout",
                Failure::Tls => "upstream-tls",
                Failure::Send => "upstream-send",
                Failure::Reset => "upstream-reset",
                Failure::ResponseTimeout => "upstream-response-timeout",
                Failure::Protocol => "upstream-protocol",
                Failure::RequestBody | Failure::Other => "upstream-other",
            },
        }
    }

    /// What the client is told: no addresses, no causes.
    pub fn public_detail(&self) -> String {
        match self {
            GatewayError::PolicyFailed {
                policy,
                phase,
                fault,
            } => {
                format!(
                    "policy {policy:?} failed in {} ({})",
                    phase.name(),
                    fault.kind()
                )
            }
            GatewayError::Upstream {
                upstream, failure, ..
            } => format!("upstream {upstream:?}: {}", failure.name()),
            other => other.to_string(),
        }
    }
}
