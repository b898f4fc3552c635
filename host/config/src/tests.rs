//! The crate from text to model, and from text to problems.

mod balancing;
mod client;
mod control;
mod destinations;
mod files;
mod head;
mod lifecycle;
mod listeners;
mod log;
mod model;
mod otlp;
mod outcall;
mod policy_store;
mod problems;
mod redis;
mod route_keys;
mod schema;
mod secrets;
mod slips;
mod sound;
mod syntax;
mod upstreams;

use std::io;
use std::path::Path;

use crate::error::ConfigErrors;
use crate::model::Config;
use crate::secret::SecretSources;
use crate::source::parse_with;

/// Every key of the format, but for those of listeners (`listeners.rs`).
const SAMPLE: &str = r#"listeners:
  - { name: http, address: 0.0.0.0:8080 }
metrics: { address: 0.0.0.0:9464 }
workers: 2
drain_timeout: 20s
redis:
  main: { url: redis://127.0.0.1:6379, deadline: 7ms }
upstreams:
  mock-service:
    endpoints: [http://127.0.0.1:8001]
    timeouts: { connect: 2s, attempt: 5s, idle: 30s }
    max_idle_connections: 8
policies:
  rate-limit:
    component: builtin:rate-limit
    isolation: pooled
    grants: { kv: { max_bytes: 1MiB }, redis: { binding: main, prefix: "rl:", scripts: true }, metrics: {}, upstreams: [mock-service] }
    stub: [secrets]
    limits: { time: 20ms, memory: 8MiB, body: 4KiB }
routes:
  - name: service1
    match: { host: api.example.com, path_prefix: /api/service1, methods: [POST, GET], headers: { X-Canary: "1" } }
    rewrite: { strip_prefix: /api/service1, add_prefix: /v2 }
    upstream: mock-service
    deadline: 10s
    max_attempts: 3
    retry_non_idempotent: true
    policies:
      - use: rate-limit
        on_failure: closed
        config: { limits: [{ name: token, rate: 100 }] }
"#;

/// Parses `text` as `/etc/gw/gateway.yaml` in a world of one variable and one file.
fn parse(text: &str) -> Result<Config, ConfigErrors> {
    let sources = SecretSources {
        variable: &|name| (name == "REDIS_URL").then(|| "redis://:hunter2@redis:6379/1".to_owned()),
        read: &|path| match path.to_str() {
            Some("/etc/gw/redis.url") => Ok("redis://:hunter2@redis\n".to_owned()),
            Some("/etc/gw/signing.key") => Ok("s3cr3t\n\n".to_owned()),
            Some("/etc/gw/large") => Ok("x".repeat((64 << 10) + 1)),
            _ => Err(io::ErrorKind::NotFound.into()),
        },
        base: Path::new("/etc/gw"),
    };
    parse_with(text, Path::new("/etc/gw/gateway.yaml"), &sources)
}

/// What is wrong with `text`, without the name of the file.
fn problems(text: &str) -> Vec<String> {
    let errors = parse(text).expect_err("the config is invalid");
    let printed = errors.to_string();
    printed
        .lines()
        .map(|line| line.strip_prefix("/etc/gw/gateway.yaml").unwrap_or(line))
        .map(|line| {
            line.trim_start_matches(": ")
                .trim_start_matches(':')
                .to_owned()
        })
        .collect()
}

/// The sample with `from`, which is in it once, replaced.
fn sample_with(from: &str, to: &str) -> String {
    assert_eq!(
        SAMPLE.matches(from).count(),
        1,
        "{from:?} is in the sample once"
    );
    SAMPLE.replace(from, to)
}
