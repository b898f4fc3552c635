//! The Portcullis gateway: a request passes sandboxed WebAssembly policies on its way to a service
//! and back. ARCHITECTURE.md has the map; [`gateway::handle`] is the way itself.

pub mod access_log;
pub mod body_copy;
pub mod body_fault;
pub mod capability;
pub mod cli;
pub mod client;
pub mod client_body;
pub mod control;
pub mod error;
pub mod exchange;
pub mod gateway;
pub mod grpc;
pub mod head;
pub mod held_body;
pub mod kept_exchange;
pub mod lazy_timer;
pub mod listener;
pub mod permits;
pub mod policy;
pub mod record;
pub mod reload;
pub mod request_limits;
pub mod respond;
pub mod response_body;
pub mod route;
pub mod server;
pub mod snapshot;
pub mod telemetry;
pub mod trailers;
pub mod tunnel;
pub mod upgrade;
pub mod upstream;
pub mod wasm;
pub mod worker;
