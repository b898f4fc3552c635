//! The config of one use of the policy, as an operator writes it.

use portcullis_sdk::{ConfigProblem, Duration, FieldName};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::origin::OriginPattern;
use crate::rules::Rules;

/// More than browsers keep a preflight's answer: Firefox a day, Chromium two hours.
const MAX_AGE_MS: u64 = 24 * 3_600_000;
/// What a list may hold, so that an answer's head stays small.
const MAX_ENTRIES: usize = 256;
/// Methods that no script may use (fetch standard, "forbidden method").
const FORBIDDEN_METHODS: [&str; 3] = ["CONNECT", "TRACE", "TRACK"];
/// Those whose case browsers correct, and PATCH, whose they do not.
const KNOWN_METHODS: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

/// Which scripts of other origins may send requests, and read the answers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Origins whose scripts may read answers: `https://app.example.com`, `https://*.example.com` (one label), `null`; or `*` alone for all.
    #[schemars(length(min = 1, max = 256))]
    pub origins: Vec<String>,
    /// Methods that such scripts may use; or `*` alone for all. GET, HEAD and POST can't be forbidden this way. Default: these three.
    #[serde(default = "safelisted")]
    #[schemars(length(min = 1, max = 256))]
    pub methods: Vec<String>,
    /// Request fields that such scripts may set, beside those that are always allowed; `*` for all but `authorization`. Default: none.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub headers: Vec<FieldName>,
    /// Response fields that such scripts may read, beside those that they always may; `*` for all. Default: none.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub expose_headers: Vec<FieldName>,
    /// Whether requests may carry cookies, client certificates and passwords that the browser keeps. No list may hold `*` then.
    #[serde(default)]
    pub credentials: bool,
    /// How long a browser may keep a preflight's answer: whole seconds up to `24h`; `0s` for not at all. Without it browsers take 5 s.
    pub max_age: Option<Duration>,
    /// Who answers preflights: the policy with 204, or the upstream, to whose answer the fields are added. Default: `answer`.
    #[serde(default)]
    pub preflight: Preflight,
    /// The status of a preflight of an origin that is not allowed: 200, 204 or 403. Default: 403.
    #[serde(default = "forbidden")]
    #[schemars(extend("enum" = [200, 204, 403]))]
    pub refused_preflight_status: u16,
    /// What becomes of other requests of an origin that is not allowed: `pass` without the fields, so that scripts can't read
    /// the answer, or `forbid` by 403. Default: `pass`.
    #[serde(default)]
    pub refused_requests: RefusedRequests,
    /// Whether preflights that ask for it (`Access-Control-Request-Private-Network`) may reach this gateway from a more public network.
    #[serde(default)]
    pub private_network: bool,
}

/// Who answers preflights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preflight {
    /// The policy, by 204; what follows it in the chain and the upstream do not see them.
    #[default]
    Answer,
    /// The upstream; its status must be 200 to 299 for browsers to go on.
    Pass,
}

/// What becomes of requests, preflights aside, of an origin that is not allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusedRequests {
    /// They go on; browsers keep the answer from the script.
    #[default]
    Pass,
    /// 403, also for the handshake of a WebSocket. The gateway's own origin is not meant.
    Forbid,
}

fn safelisted() -> Vec<String> {
    ["GET", "HEAD", "POST"].map(str::to_owned).into()
}

const fn forbidden() -> u16 {
    403
}

impl Config {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    ///
    /// Each problem with the place where it is.
    pub fn rules(&self) -> Result<Rules, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let mut report =
            |path: String, message: String| problems.push(ConfigProblem::new(path, message));
        let origins = self.check_origins(&mut report);
        self.check_methods(&mut report);
        self.check_fields(&mut report);
        self.check_wildcards(&mut report);
        if let Some(age) = self.max_age
            && (age.as_millis() > MAX_AGE_MS || !age.as_millis().is_multiple_of(1_000))
        {
            report(
                "/max_age".to_owned(),
                "must be whole seconds from 0s to 24h".to_owned(),
            );
        }
        if ![200, 204, 403].contains(&self.refused_preflight_status) {
            report(
                "/refused_preflight_status".to_owned(),
                "must be 200, 204 or 403".to_owned(),
            );
        }
        if problems.is_empty() {
            Ok(Rules::new(self, origins))
        } else {
            Err(problems)
        }
    }

    fn check_origins(&self, report: &mut impl FnMut(String, String)) -> Vec<OriginPattern> {
        check_length("/origins", self.origins.len(), 1, report);
        let mut patterns = Vec::new();
        for (i, text) in self.origins.iter().enumerate() {
            match OriginPattern::parse(text) {
                Ok(OriginPattern::Any) if self.origins.len() > 1 => {
                    report(
                        format!("/origins/{i}"),
                        "\"*\" is every origin: write it alone, or leave it out".to_owned(),
                    );
                }
                Ok(pattern) => patterns.push(pattern),
                Err(message) => report(format!("/origins/{i}"), message),
            }
        }
        patterns
    }

    fn check_methods(&self, report: &mut impl FnMut(String, String)) {
        check_length("/methods", self.methods.len(), 1, report);
        for (i, method) in self.methods.iter().enumerate() {
            let upper = method.to_ascii_uppercase();
            let message = if method == "*" && self.methods.len() > 1 {
                "\"*\" is every method: write it alone, or leave it out".to_owned()
            } else if FieldName::parse(method).is_err() {
                format!("{method:?} is no method: write GET, PUT or another")
            } else if FORBIDDEN_METHODS.contains(&upper.as_str()) {
                format!("{upper} is no method that browsers let a script use: leave it out")
            } else if *method != upper && KNOWN_METHODS.contains(&upper.as_str()) {
                format!("methods have a case: write {upper}")
            } else {
                continue;
            };
            report(format!("/methods/{i}"), message);
        }
    }

    fn check_fields(&self, report: &mut impl FnMut(String, String)) {
        for (key, names) in [
            ("headers", &self.headers),
            ("expose_headers", &self.expose_headers),
        ] {
            check_length(&format!("/{key}"), names.len(), 0, report);
            for (i, name) in names.iter().enumerate() {
                // `authorization` is the one that a wildcard does not cover (fetch, "CORS non-wildcard request-header name").
                let is_covered =
                    name.as_str() != "*" && !(key == "headers" && name.as_str() == "authorization");
                if is_covered && names.iter().any(|other| other.as_str() == "*") {
                    report(
                        format!("/{key}/{i}"),
                        "\"*\" covers it: leave it out".to_owned(),
                    );
                }
            }
        }
    }

    /// With credentials `*` is no wildcard but a name (fetch standard, #cors-protocol-and-credentials), and as an origin it
    /// fails every check.
    fn check_wildcards(&self, report: &mut impl FnMut(String, String)) {
        if !self.credentials {
            return;
        }
        let names = |names: &[FieldName]| names.iter().position(|name| name.as_str() == "*");
        let texts = |texts: &[String]| texts.iter().position(|text| text == "*");
        for (key, found, remedy) in [
            ("origins", texts(&self.origins), "list the origins"),
            ("methods", texts(&self.methods), "list the methods"),
            ("headers", names(&self.headers), "list the fields"),
            (
                "expose_headers",
                names(&self.expose_headers),
                "list the fields",
            ),
        ] {
            if let Some(i) = found {
                report(
                    format!("/{key}/{i}"),
                    format!(
                        "with `credentials: true` browsers take \"*\" for no wildcard: {remedy}, or set `credentials: false`"
                    ),
                );
            }
        }
    }
}

fn check_length(path: &str, length: usize, least: usize, report: &mut impl FnMut(String, String)) {
    if !(least..=MAX_ENTRIES).contains(&length) {
        report(
            path.to_owned(),
            format!("must have {least} to {MAX_ENTRIES} entries"),
        );
    }
}

#[cfg(test)]
mod tests;
