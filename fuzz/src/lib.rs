//! What must hold whatever the input: [`properties`], each with a fuzz target of its name.
//!
//! The gateway's crate brings wasmtime, which no property needs; so its modules that know nothing but
//! heads and the config are compiled here by themselves, under the paths that they have there. The gateway's own tests
//! include [`properties`] and replay the corpus with it.

extern crate self as portcullis;

pub mod head;
pub mod properties;
pub mod route;
