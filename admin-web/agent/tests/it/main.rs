//! The agent as its users meet it: real processes, real signals, real ports.

#![expect(
    clippy::unwrap_used,
    reason = "this is test code; clippy knows only functions marked as tests"
)]

mod files;
mod healths;
mod lives;
mod orphans;
mod output;
mod stack;
mod stops;
mod support;
