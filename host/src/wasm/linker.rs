//! What a policy may import, and the functions behind it.
//!
//! Every interface of the contract is defined; whether a policy gets anything from it is its
//! grants' matter: the check at load refuses an import without a grant, and a capability that is
//! not granted answers `denied`.

use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};

use super::bindings::portcullis::{capability, policy};
use super::state::HostState;

/// Interfaces that every policy may import.
pub const FREE_INTERFACES: &[&str] = &[
    "portcullis:policy/http",
    "portcullis:policy/body",
    "portcullis:capability/log",
    "portcullis:capability/clock",
    "portcullis:capability/random",
];

/// Interfaces that need a grant, by the capability's name in the config.
pub const GRANTED_INTERFACES: &[(&str, &str)] = &[
    ("portcullis:capability/kv", "kv"),
    ("portcullis:capability/redis", "redis"),
    ("portcullis:capability/metrics", "metrics"),
    ("portcullis:capability/secrets", "secrets"),
    ("portcullis:capability/outcall", "outcall"),
];

/// Packages and interfaces of WASI 0.2 that are there, without effect on the world.
pub const INERT_WASI: &[&str] = &["wasi:clocks/", "wasi:random/", "wasi:io/", "wasi:cli/"];

/// Functions that wait for a body.
pub const BODY_READERS: &[&str] = &["[method]exchange.read-body", "[method]response.read-body"];

/// All functions that policies can import.
pub fn build(engine: &Engine) -> wasmtime::Result<Linker<HostState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    policy::http::add_to_linker::<_, HasSelf<HostState>>(&mut linker, |state| state)?;
    policy::body::add_to_linker::<_, HasSelf<HostState>>(&mut linker, |state| state)?;
    capability::log::add_to_linker::<_, HasSelf<HostState>>(&mut linker, |state| state)?;
    capability::clock::add_to_linker::<_, HasSelf<HostState>>(&mut linker, |state| state)?;
    capability::random::add_to_linker::<_, HasSelf<HostState>>(&mut linker, |state| state)?;
    capability::kv::add_to_linker::<_, HasSelf<HostState>>(&mut linker, |state| state)?;
    capability::redis::add_to_linker::<_, HasSelf<HostState>>(&mut linker, |state| state)?;
    capability::secrets::add_to_linker::<_, HasSelf<HostState>>(&mut linker, |state| state)?;
    capability::metrics::add_to_linker::<_, HasSelf<HostState>>(&mut linker, |state| state)?;
    capability::outcall::add_to_linker::<_, HasSelf<HostState>>(&mut linker, |state| state)?;
    Ok(linker)
}
