//! What operators and their tools ask the gateway, apart from its traffic.

mod access;
mod answer;
mod api;
pub mod control_listener;
pub mod role;
pub mod status_listener;
pub mod tokens;
