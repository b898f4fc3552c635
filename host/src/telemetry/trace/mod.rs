//! Traces: which requests are sampled, what is noted of them on their way, and what the fields of W3C Trace Context say.
//!
//! A request that is not sampled has a [`RequestTrace`] that is nothing: it costs two random numbers and one field. What
//! is noted of the others goes, when nothing holds their trace any more, through a bounded queue to whoever exports it
//! (`telemetry/otlp/`).
//!
//! **Whose word is taken.** A trace goes on under the id that a client gave it, whoever the client is: else nobody could
//! follow a request through the gateway. Whether it is recorded is the operator's matter: the sampled flag is followed
//! if it comes from a peer in `trusted_proxies` (or as `tracing.follow` says), and else the gateway draws a number of its
//! own, so that no choice of ids or flags makes it record more than `tracing.sample`. A `traceparent` that is not one
//! begins a trace anew, and its `tracestate` goes.
//!
//! **What is sent on.** Policies see the server span's `traceparent`; an upstream gets that of the attempt's client span.
//! Where a route or a policy has removed the field, it stays removed.

mod attributes;
mod context;
mod facts;
mod render;
mod request_trace;
mod server_span;
mod spans;
mod tracer;
mod tracestate;

pub use self::context::{TRACEPARENT, TRACESTATE};
pub use self::facts::{AttemptEnd, AttemptFacts, Ending};
pub(super) use self::render::render;
pub use self::request_trace::RequestTrace;
pub(super) use self::request_trace::Trace;
pub use self::spans::{AttemptSpan, PolicySpan, SpanId};
pub use self::tracer::Tracer;
