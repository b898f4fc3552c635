//! The config of one use of the policy, as an operator writes it.

use std::collections::BTreeMap;

use portcullis_sdk::serde_json::Value;
use portcullis_sdk::{AddressSet, ConfigProblem, FieldName};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answer::{Answer, Body, RetryAfter};
use crate::come_back::ComeBack;
use crate::exceptions::{Exceptions, Token};
use crate::moment::Moment;
use crate::schedule::Window;

/// A page of this size has its images with it.
const MAX_BODY: usize = 256 << 10;
/// What a list may hold.
const MAX_ENTRIES: usize = 1_000;

/// An answer in place of the upstream's: within a window of time, while a switch is on, or always.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The maintenance's first moment (RFC 3339). Default: it has begun.
    pub from: Option<Moment>,
    /// The first moment after it (RFC 3339). Default: it has no end.
    pub until: Option<Moment>,
    /// Name of a granted secret whose text is `on`, `off` or `window`: the first two count for more than `from` and `until`.
    #[schemars(length(min = 1, max = 128))]
    pub switch_secret: Option<String>,
    /// The answer's status, 200 to 599. Default: 503.
    #[serde(default = "unavailable")]
    #[schemars(range(min = 200, max = 599))]
    pub status: u16,
    /// Further fields of the answer. `cache-control` is `no-store` unless it stands here.
    #[serde(default)]
    pub headers: BTreeMap<FieldName, String>,
    /// The answer's body. Default: a problem document.
    pub body: Option<BodyConfig>,
    /// When to come back: a time such as `5m`, or `until` for that moment. Default: `until` where it is set, else not said.
    pub retry_after: Option<ComeBack>,
    /// Requests that pass all the same.
    #[serde(default)]
    pub except: Except,
}

/// A body with its media type: one of the three.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BodyConfig {
    /// `text/plain` in UTF-8.
    pub text: Option<String>,
    /// `text/html` in UTF-8.
    pub html: Option<String>,
    /// `application/json`.
    pub json: Option<Value>,
}

/// Requests that pass.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Except {
    /// Those of clients with these addresses and networks.
    pub clients: Vec<String>,
    /// Those of these paths and what lies below them.
    pub paths: Vec<String>,
    /// Those that carry a secret.
    pub token: Option<TokenConfig>,
}

/// A secret that testers send, in a field or in a cookie.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// The field that has it; the upstream does not get it.
    pub header: Option<FieldName>,
    /// The cookie that has it.
    #[schemars(length(min = 1, max = 128))]
    pub cookie: Option<String>,
    /// Name of the granted secret that it must be.
    #[schemars(length(min = 1, max = 128))]
    pub secret: String,
}

const fn unavailable() -> u16 {
    503
}

/// The checked config.
#[derive(Debug)]
pub struct Checked {
    /// From when until when.
    pub window: Window,
    /// The switch's secret.
    pub switch_secret: Option<String>,
    /// What is answered.
    pub answer: Answer,
    /// Who passes.
    pub exceptions: Exceptions,
}

impl Config {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    ///
    /// Each problem with the place where it is.
    pub fn checked(mut self) -> Result<Checked, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let mut report =
            |path: &str, message: &str| problems.push(ConfigProblem::new(path, message));
        if let (Some(from), Some(until)) = (self.from, self.until)
            && from >= until
        {
            report("/until", "must come after from");
        }
        if self.switch_secret.as_ref().is_some_and(String::is_empty) {
            report("/switch_secret", "must name a secret");
        }
        if !(200..600).contains(&self.status) {
            report("/status", "must be 200 to 599");
        }
        check_headers(&self.headers, &mut report);
        let body = self.body.take().and_then(|body| body.check(&mut report));
        let retry_after = self.check_retry_after(&mut report);
        let exceptions = self.except.check(&mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Checked {
            window: Window {
                from: self.from,
                until: self.until,
            },
            switch_secret: self.switch_secret,
            answer: Answer::new(self.status, self.headers, body, retry_after),
            exceptions,
        })
    }

    fn check_retry_after(&self, report: &mut impl FnMut(&str, &str)) -> Option<RetryAfter> {
        match (self.retry_after, self.until) {
            (Some(ComeBack::After(time)), _) => {
                if !time.as_millis().is_multiple_of(1_000) {
                    report("/retry_after", "must be whole seconds");
                }
                Some(RetryAfter::Seconds(time.as_millis() / 1_000))
            }
            (Some(ComeBack::Until), None) => {
                report(
                    "/retry_after",
                    "there is no until: write it, or a time such as 5m",
                );
                None
            }
            (_, until) => until.map(RetryAfter::At),
        }
    }
}

impl BodyConfig {
    fn check(self, report: &mut impl FnMut(&str, &str)) -> Option<Body> {
        let body = match (self.text, self.html, self.json) {
            (Some(text), None, None) => Body::Text(text),
            (None, Some(text), None) => Body::Html(text),
            (None, None, Some(value)) => Body::Json(value.to_string()),
            _ => {
                report("/body", "must have one of text, html and json");
                return None;
            }
        };
        if body.bytes() > MAX_BODY {
            report("/body", "must have at most 256 KiB");
        }
        Some(body)
    }
}

impl Except {
    fn check(self, problems: &mut Vec<ConfigProblem>) -> Exceptions {
        let mut report =
            |path: String, message: &str| problems.push(ConfigProblem::new(path, message));
        for (path, length) in [
            ("/except/clients", self.clients.len()),
            ("/except/paths", self.paths.len()),
        ] {
            if length > MAX_ENTRIES {
                report(path.to_owned(), "must have at most 1000 entries");
            }
        }
        for (i, path) in self.paths.iter().enumerate() {
            if !path.starts_with('/') || path.contains(['?', '#', '*']) {
                report(
                    format!("/except/paths/{i}"),
                    "must be a path such as /health: it stands for itself and what lies below it",
                );
            }
        }
        if let Some(token) = &self.token {
            if token.header.is_none() && token.cookie.is_none() {
                report(
                    "/except/token".to_owned(),
                    "must name the header or the cookie that has the secret",
                );
            }
            if token.secret.is_empty() {
                report("/except/token/secret".to_owned(), "must name a secret");
            }
            if let Some(reason) = token.header.as_ref().and_then(FieldName::reserved) {
                report(
                    "/except/token/header".to_owned(),
                    &format!("the field {reason}: name another"),
                );
            }
        }
        let clients =
            AddressSet::parse(self.clients.iter().map(String::as_str)).unwrap_or_else(|errors| {
                let at = |(place, message)| {
                    ConfigProblem::new(format!("/except/clients/{place}"), message)
                };
                problems.extend(errors.into_iter().map(at));
                AddressSet::default()
            });
        let token = self.token.map(
            |TokenConfig {
                 header,
                 cookie,
                 secret,
             }| Token {
                header,
                cookie,
                secret,
            },
        );
        Exceptions {
            clients,
            paths: self.paths,
            token,
        }
    }
}

fn check_headers(headers: &BTreeMap<FieldName, String>, report: &mut impl FnMut(&str, &str)) {
    for (name, value) in headers {
        let path = format!("/headers/{name}");
        if let Some(reason) = name.reserved() {
            report(&path, &format!("{name} {reason}"));
        } else if name.as_str() == "retry-after" {
            report(&path, "write it as the key retry_after");
        } else if !value
            .bytes()
            .all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte))
        {
            report(&path, "must have visible ASCII characters, spaces and tabs");
        }
    }
}

#[cfg(test)]
mod tests;
