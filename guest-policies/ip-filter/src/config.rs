//! The config of one use of the policy, as an operator writes it.

use portcullis_sdk::{AddressSet, ConfigProblem};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::filter::Filter;
use crate::listed::Listed;

/// More entries belong into a firewall.
const MAX_ENTRIES: usize = 100_000;
/// Of the problem document's title.
const MAX_TITLE: usize = 200;

/// Who may send requests, by the client's address. What is in `deny` is refused; if there is an `allow`, so is what is not in it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Addresses and networks that may send requests: `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`. Default: all.
    pub allow: Option<Vec<String>>,
    /// Addresses and networks that may not, also where `allow` holds them. Default: none.
    #[serde(default)]
    pub deny: Vec<String>,
    /// Name of a granted secret whose text has further entries of `allow`: separated by white space or commas, `#` begins a comment.
    #[schemars(length(min = 1, max = 128))]
    pub allow_secret: Option<String>,
    /// Name of a granted secret whose text has further entries of `deny`.
    #[schemars(length(min = 1, max = 128))]
    pub deny_secret: Option<String>,
    /// The status of a refusal: 400 to 499. Default: 403.
    #[serde(default = "forbidden")]
    #[schemars(range(min = 400, max = 499))]
    pub status: u16,
    /// The title of the problem document. Default: that access from this address is not allowed; with status 404, `Not Found`.
    #[schemars(length(min = 1, max = 200))]
    pub title: Option<String>,
    /// `enforce`, or `shadow`: refuse nothing, and count what would be refused. Default: `enforce`.
    #[serde(default)]
    pub mode: Mode,
}

/// Whether refusals are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They are.
    #[default]
    Enforce,
    /// They are counted.
    Shadow,
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
    pub fn filter(self) -> Result<Filter, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let mut report =
            |path: &str, message: &str| problems.push(ConfigProblem::new(path, message));
        if self.allow.is_none()
            && self.allow_secret.is_none()
            && self.deny.is_empty()
            && self.deny_secret.is_none()
        {
            report(
                "",
                "lets everybody pass: write allow, deny, allow_secret or deny_secret",
            );
        }
        if self.allow.as_ref().is_some_and(Vec::is_empty) && self.allow_secret.is_none() {
            report(
                "/allow",
                "refuses everybody: name an address, or leave it out to let all pass that deny does not hold",
            );
        }
        if !(400..500).contains(&self.status) {
            report("/status", "must be 400 to 499");
        }
        if self
            .title
            .as_ref()
            .is_some_and(|title| !(1..=MAX_TITLE).contains(&title.len()))
        {
            report("/title", "must have 1 to 200 bytes");
        }
        for (path, name) in [
            ("/allow_secret", &self.allow_secret),
            ("/deny_secret", &self.deny_secret),
        ] {
            if name.as_ref().is_some_and(String::is_empty) {
                report(path, "must name a secret");
            }
        }
        let has_allow = self.allow.is_some() || self.allow_secret.is_some();
        let allow = list(
            "/allow",
            self.allow.unwrap_or_default(),
            self.allow_secret,
            &mut problems,
        );
        let deny = list("/deny", self.deny, self.deny_secret, &mut problems);
        if problems.is_empty() {
            Ok(Filter {
                allow: has_allow.then_some(allow),
                deny,
            })
        } else {
            Err(problems)
        }
    }

    /// The title of refusals.
    pub fn title(&self) -> &str {
        let default = if self.status == 404 {
            "Not Found"
        } else {
            "Access from this address is not allowed"
        };
        self.title.as_deref().unwrap_or(default)
    }
}

fn list(
    path: &str,
    texts: Vec<String>,
    secret: Option<String>,
    problems: &mut Vec<ConfigProblem>,
) -> Listed {
    if texts.len() > MAX_ENTRIES {
        problems.push(ConfigProblem::new(
            path,
            format!("must have at most {MAX_ENTRIES} entries"),
        ));
        return Listed::default();
    }
    let set = AddressSet::parse(texts.iter().map(String::as_str)).unwrap_or_else(|errors| {
        problems.extend(
            errors
                .into_iter()
                .map(|(place, message)| ConfigProblem::new(format!("{path}/{place}"), message)),
        );
        AddressSet::default()
    });
    Listed::new(set, secret)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn each_problem_names_its_place_and_the_remedy() {
        for (value, place, message) in [
            (json!({}), "", "lets everybody pass"),
            (json!({ "deny": [] }), "", "lets everybody pass"),
            (json!({ "allow": [] }), "/allow", "refuses everybody"),
            (
                json!({ "allow": ["10.0.0.0/8", "10.0.0.1/8"] }),
                "/allow/1",
                "write 10.0.0.0/8",
            ),
            (
                json!({ "deny": ["example.com"] }),
                "/deny/0",
                "is no address",
            ),
            (
                json!({ "deny": ["10.0.0.0/8"], "status": 503 }),
                "/status",
                "400 to 499",
            ),
            (
                json!({ "deny": ["10.0.0.0/8"], "title": "" }),
                "/title",
                "1 to 200",
            ),
            (
                json!({ "deny_secret": "" }),
                "/deny_secret",
                "name a secret",
            ),
        ] {
            let config: Config = serde_json::from_value(value.clone()).unwrap();
            let problems = config.filter().unwrap_err();
            assert_eq!(problems.len(), 1, "{value}: {problems:?}");
            assert!(
                problems[0].path == place && problems[0].message.contains(message),
                "{value}: {problems:?}"
            );
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        let error = serde_json::from_value::<Config>(json!({ "allowed": [] }))
            .unwrap_err()
            .to_string();
        assert!(error.contains("unknown field `allowed`"), "{error}");
    }

    #[test]
    fn a_refusal_that_hides_says_nothing_of_addresses() {
        let title = |value: Value| {
            serde_json::from_value::<Config>(value)
                .unwrap()
                .title()
                .to_owned()
        };
        assert_eq!(title(json!({ "status": 404 })), "Not Found");
        assert_eq!(title(json!({ "status": 404, "title": "Gone" })), "Gone");
        assert_eq!(title(json!({})), "Access from this address is not allowed");
    }

    #[test]
    fn the_schema_file_is_current() {
        portcullis_sdk::schema::check_file::<Config>(env!("CARGO_MANIFEST_DIR"));
    }
}
