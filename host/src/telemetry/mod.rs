//! What the gateway tells about itself: metrics and log. Only this folder names OpenTelemetry.

pub mod client;
pub mod downstream;
pub mod log;
pub mod metrics;
pub mod mirror;
pub mod outcall;
pub mod policy;
pub mod policy_use;
pub mod redis;
pub mod upstream;
pub mod use_readings;
