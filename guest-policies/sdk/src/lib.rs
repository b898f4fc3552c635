//! What a Portcullis policy is written with.
//!
//! A policy is a type that implements [`Policy`] and one trait for each hook that it wants, and is
//! handed to [`export!`]. The component exports those hooks and imports what the policy calls, no more:
//! a hook that is not exported costs the gateway nothing, and an import needs the operator's grant.
//!
//! ```standalone_crate
//! use portcullis_sdk::{
//!     ConfigProblem, Exchange, LocalResponse, Manifest, OnRequest, Policy, RequestVerdict,
//! };
//! use schemars::JsonSchema;
//! use serde::Deserialize;
//!
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     /// Name of the header that a request must carry.
//!     header: String,
//! }
//!
//! struct RequireHeader { header: String }
//!
//! impl Policy for RequireHeader {
//!     type Config = Config;
//!     const MANIFEST: Manifest = Manifest {
//!         name: "require-header",
//!         version: env!("CARGO_PKG_VERSION"),
//!         description: "Answers 401 unless a header is there",
//!         annotations: &[],
//!     };
//!     fn configure(config: Config) -> Result<Self, Vec<ConfigProblem>> {
//!         Ok(Self { header: config.header })
//!     }
//! }
//!
//! impl OnRequest for RequireHeader {
//!     fn on_request(&self, exchange: &Exchange) -> Result<RequestVerdict, String> {
//!         Ok(match exchange.header(&self.header) {
//!             Some(_) => RequestVerdict::Next,
//!             None => RequestVerdict::Respond(LocalResponse::problem(401, "a header is missing")),
//!         })
//!     }
//! }
//!
//! portcullis_sdk::export!(RequireHeader: on_request);
//! ```
//!
//! A policy that works without a capability says so in its manifest, by the annotation
//! `("optional-imports", "redis,kv")`: where the operator does not grant one of them, the host links a
//! version that answers `denied`. Without the annotation a missing grant is a load error.
//!
//! An instance serves one call at a time, so a policy may keep `Cell`s; but by default each request gets
//! a fresh instance, so what must last belongs to [`Exchange::set_state`], [`kv`] or [`redis`].
//!
//! The derives want `serde` and `schemars` among the policy's own dependencies, in the versions that are
//! re-exported here. A panic's message goes to the log at level error before the instance is lost.

pub mod clock;
pub mod credential;
pub mod kv;
pub mod log;
pub mod metrics;
pub mod outcall;
pub mod random;
pub mod redis;
pub mod schema;
pub mod secrets;
pub mod stream;

mod address_set;
mod body;
mod byte_size;
mod config;
mod duration;
mod export;
mod field_name;
mod fields;
#[cfg(target_arch = "wasm32")]
mod heap;
mod http;
mod media_range;
mod policy;

#[doc(hidden)] // for the code that `export!` writes
pub mod bindings;

pub use address_set::AddressSet;
pub use bindings::body::{Reader as BodyReader, Writer as BodyWriter};
pub use bindings::http::{
    BodyError, EditError, Exchange, FieldOp, Fields, Head, LocalResponse, Response, ResponseSource,
};
pub use bindings::lifecycle::ConfigProblem;
pub use bindings::on_attempt::{Attempt, EndpointChoice, Failure, Plan, Verdict as AttemptVerdict};
pub use bindings::on_log::Summary;
pub use bindings::on_request::Verdict as RequestVerdict;
pub use bindings::on_response::Verdict as ResponseVerdict;
pub use byte_size::{ByteSize, ParseByteSizeError};
pub use duration::{Duration, ParseDurationError};
#[doc(hidden)]
pub use export::{Component, Kept, Slot};
pub use field_name::FieldName;
pub use media_range::MediaRange;
pub use policy::{
    Manifest, OnAttempt, OnLog, OnRequest, OnRequestBody, OnResponse, OnResponseBody, Policy,
};

pub use fields::editable_header;

pub use {schemars, serde, serde_json};

/// Compiles the guide's example.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod guide {}
