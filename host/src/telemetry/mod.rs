//! What the gateway tells about itself: metrics, traces and log. Only this folder names OpenTelemetry.

pub mod attempt;
pub mod client;
pub mod config;
pub mod downstream;
mod families;
pub mod log;
pub mod metrics;
pub mod mirror;
mod openmetrics;
pub mod otlp;
pub mod outcall;
pub mod page;
pub mod policy;
pub mod policy_use;
mod process;
pub mod redis;
pub mod route;
mod scope;
mod scopes;
mod slots;
pub mod trace;
pub mod trace_metrics;
pub mod upstream;
pub mod use_readings;
mod words;
