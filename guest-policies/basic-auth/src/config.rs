//! The config of one use of the policy, as an operator writes it.

use portcullis_sdk::{ConfigProblem, Duration, editable_header};
use schemars::JsonSchema;
use serde::Deserialize;

/// How long a login may go on without the password being checked again.
const MAX_CACHE: Duration = Duration::from_secs(24 * 3_600);

/// Who may log in, and what the upstream gets.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of a secret that holds an htpasswd file. It needs the grant `secrets`.
    #[schemars(length(min = 1))]
    pub users: String,
    /// `realm` of the challenge, which browsers show. Default: `portcullis`.
    #[serde(default = "realm")]
    #[schemars(length(min = 1, max = 128))]
    pub realm: String,
    /// How long a login is remembered in `kv`, so that its next request is cheap; at most `24h`, `0s` for not at all. Default: `5m`.
    #[serde(default = "five_minutes")]
    pub cache: Duration,
    /// A request header in which the upstream gets the user's name. What a client has sent under this name never passes. Default: none.
    pub identity_header: Option<String>,
    /// Whether the upstream gets `Authorization`. Default: false.
    #[serde(default)]
    pub forward: bool,
    /// Whether a request without a login passes, without identity. A bad login is refused all the same. Default: false.
    #[serde(default)]
    pub optional: bool,
}

fn realm() -> String {
    "portcullis".to_owned()
}

const fn five_minutes() -> Duration {
    Duration::from_secs(300)
}

impl Config {
    /// Checks what the types cannot say; the header's name is in lower case then.
    ///
    /// # Errors
    ///
    /// Each problem with the place where it is.
    pub fn checked(mut self) -> Result<Self, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let mut report =
            |path: &str, message: &str| problems.push(ConfigProblem::new(path, message));
        if self.users.is_empty() {
            report("/users", "must name a secret");
        }
        let may_stand =
            |byte: u8| (byte == b' ' || byte.is_ascii_graphic()) && !b"\"\\".contains(&byte);
        if !(1..=128).contains(&self.realm.len()) || !self.realm.bytes().all(may_stand) {
            report(
                "/realm",
                "must be 1 to 128 of printable ASCII without quotes and backslashes",
            );
        }
        if self.cache > MAX_CACHE {
            report("/cache", "must be at most 24h");
        }
        match self.identity_header.as_deref().map(editable_header) {
            Some(Ok(name)) if name == "authorization" => {
                report(
                    "/identity_header",
                    "is where a login comes in: name another header",
                );
            }
            Some(Ok(name)) => self.identity_header = Some(name),
            Some(Err(problem)) => report("/identity_header", &problem),
            None => {}
        }
        if problems.is_empty() {
            Ok(self)
        } else {
            Err(problems)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn problems(config: Value) -> Vec<String> {
        let config: Config = serde_json::from_value(config).unwrap();
        let problems = config.checked().unwrap_err();
        problems.into_iter().map(|problem| problem.path).collect()
    }

    #[test]
    fn defaults_are_strict() {
        let config: Config = serde_json::from_value(json!({ "users": "htpasswd" })).unwrap();
        let config = config.checked().unwrap();
        assert!(!config.forward && !config.optional);
        assert_eq!(config.cache, Duration::from_secs(300));
        assert_eq!(
            (config.realm.as_str(), config.identity_header),
            ("portcullis", None)
        );
    }

    #[test]
    fn slips_are_told_with_their_place() {
        for (config, path) in [
            (json!({ "users": "" }), "/users"),
            (json!({ "users": "u", "realm": "a\"b" }), "/realm"),
            (json!({ "users": "u", "realm": "ä" }), "/realm"),
            (json!({ "users": "u", "cache": "25h" }), "/cache"),
            (
                json!({ "users": "u", "identity_header": "a b" }),
                "/identity_header",
            ),
            (
                json!({ "users": "u", "identity_header": "Authorization" }),
                "/identity_header",
            ),
        ] {
            assert_eq!(problems(config.clone()), [path], "{config}");
        }
        let error =
            serde_json::from_value::<Config>(json!({ "users": "u", "file": "x" })).unwrap_err();
        assert!(
            error.to_string().contains("unknown field `file`"),
            "{error}"
        );
    }

    #[test]
    fn the_schema_file_is_current() {
        portcullis_sdk::schema::check_file::<Config>(env!("CARGO_MANIFEST_DIR"));
    }
}
