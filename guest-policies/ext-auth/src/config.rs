//! The config of one use of the policy, as an operator writes it.

use portcullis_sdk::{ConfigProblem, Duration, editable_header};
use schemars::JsonSchema;
use serde::Deserialize;

/// Headers in one list.
const MAX_HEADERS: usize = 32;
/// Of the path at the service.
const MAX_PATH: usize = 512;
/// The operator's `limits.outcall_body` bounds it as well.
const MAX_BODY: u32 = 4 << 20;
const MAX_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_CACHE: Duration = Duration::from_secs(3_600);

/// Whom to ask, what to tell it, and what becomes of its answer.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The upstream that decides. It needs the grant `outcall` for it.
    #[schemars(length(min = 1))]
    pub upstream: String,
    /// The path there. Default: `/`.
    #[serde(default = "root")]
    #[schemars(length(max = 512), regex(pattern = r"^/"))]
    pub path: String,
    /// Whether the request's own path and query stand behind `path`, as Envoy has it. Otherwise they are told in `x-forwarded-uri` alone. Default: false.
    #[serde(default)]
    pub append_path: bool,
    /// The method of the question. Default: `get`.
    #[serde(default)]
    pub method: Method,
    /// Request headers that are sent on, at most 32. Default: `authorization` and `cookie`.
    #[serde(default = "credentials")]
    #[schemars(length(max = 32))]
    pub headers: Vec<String>,
    /// Bytes of the request's body that are sent on, at most 4194304; a larger one is answered by 413. Default: 0, no body.
    #[serde(default)]
    #[schemars(range(max = 4_194_304))]
    pub max_body_bytes: u32,
    /// How long the answer may take, `1ms` to `30s`. `limits.time` must be longer. Default: `1s`.
    #[serde(default = "second")]
    pub timeout: Duration,
    /// Headers of an answer 2xx that the upstream of the request gets, at most 32. What a client has sent under these names never passes.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub upstream_headers: Vec<String>,
    /// The header of an answer 2xx whose value is shared as `identity`. Default: none.
    pub identity_header: Option<String>,
    /// Headers of another answer that the client gets, at most 32. Default: `content-type`, `location`, `retry-after`, `set-cookie`, `www-authenticate`.
    #[serde(default = "refusal_headers")]
    #[schemars(length(max = 32))]
    pub client_headers: Vec<String>,
    /// How long an answer 2xx, 401 or 403 counts for requests that are the same to the service, in `kv`; at most `1h`. Default: `0s`, not at all.
    #[serde(default)]
    pub cache: Duration,
    /// What happens to a request when there is no answer, or one of 5xx. Default: `closed`.
    #[serde(default)]
    pub on_error: OnError,
}

/// The method of the question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// GET; the request's is told in `x-forwarded-method`.
    #[default]
    Get,
    /// The request's own.
    Original,
}

/// What to do when the service does not decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// Let the request pass, without identity.
    Open,
    /// Answer 503.
    #[default]
    Closed,
}

fn root() -> String {
    "/".to_owned()
}

fn credentials() -> Vec<String> {
    ["authorization", "cookie"].map(str::to_owned).into()
}

fn refusal_headers() -> Vec<String> {
    let names = [
        "content-type",
        "location",
        "retry-after",
        "set-cookie",
        "www-authenticate",
    ];
    names.map(str::to_owned).into()
}

const fn second() -> Duration {
    Duration::from_secs(1)
}

/// Fields of a question that are the gateway's.
const GATEWAYS: [&str; 2] = ["expect", "via"];

/// Fields of the question that the policy writes itself.
pub const FORWARDED: [&str; 5] = [
    "x-forwarded-method",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-uri",
    "x-forwarded-for",
];

impl Config {
    /// Checks what the types cannot say; names of headers are in lower case then.
    ///
    /// # Errors
    ///
    /// Each problem with the place where it is.
    pub fn checked(mut self) -> Result<Self, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let mut report =
            |path: &str, message: &str| problems.push(ConfigProblem::new(path, message));
        if self.upstream.is_empty() {
            report("/upstream", "must name an upstream");
        }
        let is_path = self.path.starts_with('/')
            && self.path.len() <= MAX_PATH
            && self.path.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_path {
            report(
                "/path",
                "must begin with / and have at most 512 bytes of printable ASCII",
            );
        }
        if self.append_path && self.path.contains(['?', '#']) {
            report(
                "/path",
                "can't have a query where `append_path` puts the request's behind it",
            );
        }
        if self.max_body_bytes > MAX_BODY {
            report("/max_body_bytes", "must be at most 4194304");
        }
        if self.max_body_bytes > 0 && self.method == Method::Get {
            report(
                "/max_body_bytes",
                "needs `method: original`: a GET has no body",
            );
        }
        let timeout = Duration::from_millis(1)..=MAX_TIMEOUT;
        if !timeout.contains(&self.timeout) {
            report("/timeout", "must be 1ms to 30s");
        }
        if self.cache > MAX_CACHE {
            report("/cache", "must be at most 1h");
        }
        let own = [FORWARDED.as_slice(), &GATEWAYS].concat();
        names("/headers", &mut self.headers, &own, &mut report);
        names(
            "/upstream_headers",
            &mut self.upstream_headers,
            &[],
            &mut report,
        );
        names(
            "/client_headers",
            &mut self.client_headers,
            &[],
            &mut report,
        );
        if let Some(name) = &mut self.identity_header {
            names(
                "/identity_header",
                std::slice::from_mut(name),
                &[],
                &mut report,
            );
        }
        if problems.is_empty() {
            Ok(self)
        } else {
            Err(problems)
        }
    }
}

fn names(path: &str, names: &mut [String], own: &[&str], report: &mut impl FnMut(&str, &str)) {
    if names.len() > MAX_HEADERS {
        report(path, "must have at most 32 items");
    }
    let is_list = path != "/identity_header";
    for (i, name) in names.iter_mut().enumerate() {
        let place = if is_list {
            format!("{path}/{i}")
        } else {
            path.to_owned()
        };
        match editable_header(name) {
            Ok(name) if own.contains(&name.as_str()) => {
                report(
                    &place,
                    "is written by the policy or the gateway: leave it out",
                );
            }
            Ok(lower) => *name = lower,
            Err(problem) => report(&place, &problem),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn with(mut config: Value) -> Config {
        config["upstream"] = config.get("upstream").cloned().unwrap_or("auth".into());
        serde_json::from_value(config).unwrap()
    }

    #[test]
    fn defaults_are_strict() {
        let config = with(json!({})).checked().unwrap();
        assert_eq!((config.path.as_str(), config.append_path), ("/", false));
        assert_eq!(
            (config.method, config.on_error),
            (Method::Get, OnError::Closed)
        );
        assert_eq!(config.headers, ["authorization", "cookie"]);
        assert_eq!((config.max_body_bytes, config.cache.as_millis()), (0, 0));
        assert_eq!(config.timeout, Duration::from_secs(1));
        assert!(config.upstream_headers.is_empty() && config.identity_header.is_none());
    }

    #[test]
    fn names_of_headers_are_in_lower_case() {
        let config = with(
            json!({ "headers": ["X-A"], "upstream_headers": ["X-B"], "client_headers": ["X-C"], "identity_header": "X-D" }),
        );
        let config = config.checked().unwrap();
        let names = [
            &config.headers[0],
            &config.upstream_headers[0],
            &config.client_headers[0],
        ];
        assert_eq!(names, ["x-a", "x-b", "x-c"]);
        assert_eq!(config.identity_header.as_deref(), Some("x-d"));
    }

    #[test]
    fn slips_are_told_with_their_place() {
        for (config, path) in [
            (json!({ "upstream": "" }), "/upstream"),
            (json!({ "path": "check" }), "/path"),
            (json!({ "path": "/a b" }), "/path"),
            (json!({ "path": "/a?b", "append_path": true }), "/path"),
            (
                json!({ "max_body_bytes": 4_194_305, "method": "original" }),
                "/max_body_bytes",
            ),
            (json!({ "max_body_bytes": 1 }), "/max_body_bytes"),
            (json!({ "timeout": "0ms" }), "/timeout"),
            (json!({ "timeout": "31s" }), "/timeout"),
            (json!({ "cache": "2h" }), "/cache"),
            (json!({ "headers": ["cookie", "a b"] }), "/headers/1"),
            (json!({ "headers": ["X-Forwarded-For"] }), "/headers/0"),
            (json!({ "headers": ["via"] }), "/headers/0"),
            (json!({ "headers": vec!["a"; 33] }), "/headers"),
            (
                json!({ "upstream_headers": ["host"] }),
                "/upstream_headers/0",
            ),
            (
                json!({ "client_headers": ["content-length"] }),
                "/client_headers/0",
            ),
            (json!({ "identity_header": "" }), "/identity_header"),
        ] {
            let problems = with(config.clone()).checked().unwrap_err();
            let paths: Vec<&str> = problems
                .iter()
                .map(|problem| problem.path.as_str())
                .collect();
            assert_eq!(paths, [path], "{config}");
        }
    }

    #[test]
    fn the_schema_file_is_current() {
        portcullis_sdk::schema::check_file::<Config>(env!("CARGO_MANIFEST_DIR"));
    }
}
