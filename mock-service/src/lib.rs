//! A scripted upstream: it echoes, fails, delays, truncates and streams on request.
//!
//! The binary serves people who try the gateway; [`MockService`] serves tests, which can also write
//! a [script](MockService::script) per path and look at the [requests](MockService::requests).
//!
//! ```
//! use mock_service::{MockService, Step};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let upstream = MockService::start().await;
//! upstream.script("/orders", vec![Step::Status(503), Step::Close, Step::respond(200, "done")]);
//! // Requests to upstream.url() go here.
//! assert!(upstream.requests_to("/orders").is_empty());
//! # }
//! ```
//!
//! One request goes `connection` → `exchange` → (a script, or else `path`) → a [`Step`] → `answer`.

pub mod load;

mod answer;
mod body;
mod connection;
mod control;
mod exchange;
mod flaky;
mod path;
mod query;
mod ready;
mod record;
mod script;
mod service;
mod step;
mod thread;

pub use ready::ready;
pub use record::{Outcome, RecordedRequest};
pub use service::{MockService, Settings};
pub use step::Step;
