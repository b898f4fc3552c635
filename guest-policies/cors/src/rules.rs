//! What the policy decides, and the fields that it answers with. Sections are the fetch standard's
//! (<https://fetch.spec.whatwg.org/#http-cors-protocol>).

use portcullis_sdk::FieldName;

use crate::config::{Config, Preflight, RefusedRequests};
use crate::origin::OriginPattern;

/// `Access-Control-*` of responses: all of them are the policy's, whatever an upstream says.
pub const RESPONSE_FIELDS: [&str; 7] = [
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-expose-headers",
    "access-control-max-age",
    "access-control-allow-private-network",
];

const ALLOW_ORIGIN: &str = RESPONSE_FIELDS[0];
const ALLOW_CREDENTIALS: &str = RESPONSE_FIELDS[1];
const ALLOW_METHODS: &str = RESPONSE_FIELDS[2];
const ALLOW_HEADERS: &str = RESPONSE_FIELDS[3];
const EXPOSE_HEADERS: &str = RESPONSE_FIELDS[4];
const MAX_AGE: &str = RESPONSE_FIELDS[5];
const ALLOW_PRIVATE_NETWORK: &str = RESPONSE_FIELDS[6];

/// What a request is to the CORS protocol (#http-requests, "CORS-preflight request").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `OPTIONS` with `Origin` and `Access-Control-Request-Method`.
    Preflight {
        /// With `Access-Control-Request-Private-Network: true`.
        private_network: bool,
    },
    /// Any other with `Origin`.
    Actual,
}

/// The checked config.
#[derive(Debug)]
pub struct Rules {
    origins: Vec<OriginPattern>,
    methods: String,
    headers: String,
    expose_headers: String,
    credentials: bool,
    max_age: Option<String>,
    private_network: bool,
    /// Who answers preflights.
    pub preflight: Preflight,
    /// The status of a refused preflight.
    pub refused_preflight_status: u16,
    /// What becomes of other refused requests.
    pub refused_requests: RefusedRequests,
}

impl Rules {
    /// Of a config that is sound.
    pub fn new(config: &Config, origins: Vec<OriginPattern>) -> Self {
        let names = |names: &[FieldName]| {
            names
                .iter()
                .map(FieldName::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        };
        Self {
            origins,
            methods: config.methods.join(", "),
            headers: names(&config.headers),
            expose_headers: names(&config.expose_headers),
            credentials: config.credentials,
            max_age: config
                .max_age
                .map(|age| (age.as_millis() / 1_000).to_string()),
            private_network: config.private_network,
            preflight: config.preflight,
            refused_preflight_status: config.refused_preflight_status,
            refused_requests: config.refused_requests,
        }
    }

    /// Whether scripts of `origin` may read answers.
    pub fn allow(&self, origin: &str) -> bool {
        self.origins.iter().any(|pattern| pattern.matches(origin))
    }

    /// Whether every answer has the same `Access-Control-Allow-Origin`, so that it depends on no request.
    pub fn allow_all(&self) -> bool {
        self.origins == [OriginPattern::Any]
    }

    /// The fields of an answer for `origin`, which is allowed; without one, where all are.
    pub fn fields<'a>(&'a self, kind: Kind, origin: &'a str) -> Vec<(&'static str, &'a str)> {
        let mut fields = vec![(ALLOW_ORIGIN, if self.allow_all() { "*" } else { origin })];
        if self.credentials {
            fields.push((ALLOW_CREDENTIALS, "true"));
        }
        match kind {
            Kind::Actual => push_unless_empty(&mut fields, EXPOSE_HEADERS, &self.expose_headers),
            Kind::Preflight { private_network } => {
                fields.push((ALLOW_METHODS, &self.methods));
                push_unless_empty(&mut fields, ALLOW_HEADERS, &self.headers);
                if let Some(seconds) = &self.max_age {
                    fields.push((MAX_AGE, seconds));
                }
                if private_network && self.private_network {
                    fields.push((ALLOW_PRIVATE_NETWORK, "true"));
                }
            }
        }
        fields
    }

    /// Request fields that the answer depends on (#cors-protocol-and-http-caches), of a preflight or any other request.
    pub fn varies_by(&self, is_preflight: bool) -> &'static [&'static str] {
        match (is_preflight, self.allow_all(), self.private_network) {
            (false, true, _) => &[],
            (false, false, _) => &["Origin"],
            (true, true, false) => &VARIES_PREFLIGHT[1..3],
            (true, true, true) => &VARIES_PREFLIGHT[1..],
            (true, false, false) => &VARIES_PREFLIGHT[..3],
            (true, false, true) => &VARIES_PREFLIGHT,
        }
    }
}

const VARIES_PREFLIGHT: [&str; 4] = [
    "Origin",
    "Access-Control-Request-Method",
    "Access-Control-Request-Headers",
    "Access-Control-Request-Private-Network",
];

fn push_unless_empty<'a>(
    fields: &mut Vec<(&'static str, &'a str)>,
    name: &'static str,
    value: &'a str,
) {
    if !value.is_empty() {
        fields.push((name, value));
    }
}

/// What is missing in a response's `Vary`, to be appended; `None` if nothing is. `present` are its members.
pub fn missing_in_vary(present: &[String], wanted: &[&str]) -> Option<String> {
    if present.iter().any(|member| member == "*") {
        return None;
    }
    let is_missing = |name: &&&str| {
        !present
            .iter()
            .any(|member| member.eq_ignore_ascii_case(name))
    };
    let missing: Vec<&str> = wanted.iter().filter(is_missing).copied().collect();
    (!missing.is_empty()).then(|| missing.join(", "))
}

#[cfg(test)]
mod tests;
