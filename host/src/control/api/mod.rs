//! The calls of the control API, version 1. Answers are JSON; fields are only ever added.

pub(super) mod faults;
pub(super) mod journal;
pub(super) mod log;
pub(super) mod openapi;
pub(super) mod policies;
pub(super) mod status;
pub(super) mod store;
pub(super) mod store_changes;
pub(super) mod upload;
pub(super) mod validate;
