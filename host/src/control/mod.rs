//! What operators and their tools ask the gateway, apart from its traffic.

pub mod status_listener;
