//! The calls of the control API, version 1. Answers are JSON; fields are only ever added.

pub(super) mod openapi;
pub(super) mod policies;
pub(super) mod status;
pub(super) mod validate;
