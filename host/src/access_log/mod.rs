//! The access log: a line of JSON for each request that has ended.
//!
//! A request's facts are noted on its way (`entry`), rendered once (`line`) into its worker's buffer
//! (`lines`), and written by one thread (`sink`), which no request ever waits for.

pub mod entry;
mod line;
pub mod lines;
pub mod redaction;
pub mod registry;
mod sink;
