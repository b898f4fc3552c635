//! Telemetry on its way to a collector: OTLP over gRPC or HTTP (opentelemetry.io/docs/specs/otlp, 1.x).
//!
//! The messages are opentelemetry-proto's; they are sent over this gateway's own hyper and rustls. What opentelemetry-otlp
//! would add is a second client stack (tonic, or reqwest), and its exporters make one text of all errors, so that nobody
//! could tell what may be sent again from what was refused, or how much was.
//!
//! All of it runs on the control side. Requests hand over what they have noted without waiting, and what the collector
//! does not take in time is dropped and counted.

mod collector;
mod complaint;
mod connection;
mod exports;
mod grpc;
mod http;
mod metric_push;
mod resource;
mod trace_exporter;
mod trace_queue;

pub use self::exports::{Exporting, Exports};
pub use self::trace_queue::TraceQueue;
