//! The mock service over real sockets: what its paths do, what tests can script, and the binary.

#![expect(
    clippy::unwrap_used,
    reason = "this is test code; clippy knows only functions marked as tests"
)]

mod behaviours;
mod binary;
mod control;
mod library;
mod load;
mod support;
