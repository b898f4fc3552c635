//! The services that files describe: their format, what it means, and everything that is wrong with it. Nothing is started here,
//! and of the system only files are looked at.

mod check;
mod env_file;
mod file;
mod order;
mod problems;
mod program;
mod read;
mod service;

pub use read::load;
pub use service::{Health, Probe, Service, Stop};

/// Services that run together.
#[derive(Debug, PartialEq, Eq)]
pub struct Stack {
    /// In the order of their files and lines.
    pub services: Vec<Service>,
    /// What to say once all of them are healthy, from each file that has something to say.
    pub hints: Vec<String>,
}
