//! Portcullis configuration: the file format, its validation and the validated model.
//!
//! [`load`] and [`parse`] turn YAML into a [`Config`], or into [`ConfigErrors`] that hold *every* problem
//! with its line and path. Nothing here opens a socket, and nothing but the config and the secrets that
//! it names is read: whether a component's file exists is for the gateway to see, also in what is
//! [`Sound`] of a config with problems.

mod access_log;
mod address;
mod balancing;
mod client;
mod condition;
mod control;
mod destination;
mod document;
mod error;
mod field_edits;
mod file;
mod listener;
mod log;
mod mirror;
mod model;
mod named_files;
mod otlp;
mod part;
mod path;
mod path_normalisation;
mod policy;
mod policy_store;
mod redis;
mod redis_address;
mod resilience;
mod route;
mod scalar;
mod schema;
mod secret;
mod sound;
mod source;
mod suggest;
mod syntax;
mod tree;
mod units;
mod upstream;
mod validate;
mod wording;

pub use access_log::{AccessLog, LogTarget};
pub use balancing::{HashKey, LoadBalancing, WeightedEndpoint};
pub use client::{ClientLimits, ClientTimeouts, RouteLimits};
pub use condition::Condition;
pub use control::Control;
pub use destination::{
    Destination, FixedBody, FixedResponse, Redirect, RedirectPath, Share, Split,
};
pub use document::Document;
pub use error::{ConfigErrors, Problem};
pub use field_edits::{FieldEdits, FieldPart, FieldText};
pub use listener::{
    CertificateFiles, ClientCertificateMode, ClientCertificates, Listener, ListenerTls,
};
pub use log::{Log, LogFilter, LogFormat, LogLevel};
pub use mirror::Mirror;
pub use model::{Config, Metrics};
pub use named_files::named_files;
pub use otlp::{Follow, Otlp, OtlpProtocol, Tracing};
pub use part::is_name;
pub use path::{Lines, pointer_to_path};
pub use path_normalisation::{EncodedSlashes, PathError, PathNormalisation};
pub use policy::{
    Capability, ComponentSource, FaultCircuit, Grants, Isolation, KvGrant, Limits, MetricsGrant,
    OutcallGrant, Policy, RedisGrant,
};
pub use policy_store::PolicyStore;
pub use redis::{RedisBinding, RedisCircuit, RedisLogin, RedisServers, RedisTls};
pub use resilience::{
    Circuit, Dns, HealthCheck, OutlierDetection, Probe, RetryBudget, SuccessRate,
};
pub use route::{HostPattern, Match, OnFailure, PolicyUse, Rewrite, Route, Upgrades};
pub use schema::{json_schema, schema_problems};
pub use secret::Secret;
pub use sound::{Sound, SoundUse};
pub use source::{load, parse, read};
pub use suggest::unknown;
pub use units::{DurationText, SizeText};
pub use upstream::{ClientCertificate, Endpoint, Protocol, Timeouts, Upstream, UpstreamTls};

#[cfg(test)]
mod tests;
