//! From a component's bytes to code that serves a use of it, without running or compiling foreign code in the gateway.
//!
//! A child process of the gateway's own program ([`child`]) does that within bounds of CPU time, memory and time
//! ([`confinement`]); the gateway ([`compiler`]) asks it, links what it answers and keeps that on disk.

pub mod child;
pub mod child_process;
mod code_cache;
pub mod compiler;
pub mod confinement;
mod lifecycle;
pub mod message;
mod shape;
mod smoke;
