//! Versions of policies on disk: who pushed which component when and why, and which one serves.
//!
//! One file, the journal, holds every change as a line; what is stored and what is active follows from it
//! (`history`). Components lie beside it under their digests. A change is whole once its line is: whatever
//! stops the process before that has changed nothing. What becomes of a change in the running gateway is
//! the [`crate::publisher`]'s matter.

pub mod active;
mod components;
pub mod entry;
pub mod history;
pub mod journal;
pub mod store;
pub mod watch;
