//! As in the gateway.

#[path = "../../host/src/head/fields.rs"]
pub mod fields;
