//! Values that must not be shown, and where they come from: the text itself, the environment, a file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A secret is a URL, a password, a key.
pub(crate) const MAX_SECRET_BYTES: u64 = 64 << 10;

/// A value that may hold a password. `Debug` prints `[secret]`, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `value`.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself: for the connection that needs it, not for logs or messages.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// A secret as the config writes it: `text`, `${NAME}` or `{ file: path }`.
#[derive(Clone, Deserialize, Serialize)]
#[serde(untagged)]
pub(crate) enum SecretFile {
    /// The value, or the name of an environment variable.
    Text(String),
    /// A file that holds the value; a line break at its end is not part of it.
    File {
        /// Relative to the config file.
        file: PathBuf,
    },
}

impl fmt::Debug for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// One schema for both forms, without `anyOf`, so that an error says which key is wrong. `writeOnly`
/// keeps the value out of messages.
impl JsonSchema for SecretFile {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A value that may hold a password: the value itself, \"${NAME}\" for an environment variable, or { file: path }, relative to the config file.",
            "type": ["string", "object"],
            "properties": {
                "file": { "description": "File that holds the value; a line break at its end is dropped.", "type": "string", "minLength": 1 }
            },
            "required": ["file"],
            "additionalProperties": false,
            "writeOnly": true,
        })
    }
}

/// Where secrets are read from; tests pass their own.
pub(crate) struct SecretSources<'a> {
    /// The value of an environment variable.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
    /// The text of a file.
    pub(crate) read: &'a dyn Fn(&Path) -> io::Result<String>,
    /// What relative paths start from.
    pub(crate) base: &'a Path,
}

impl SecretSources<'_> {
    /// The secret's value, or a message that does not hold it.
    pub(crate) fn resolve(&self, secret: &SecretFile) -> Result<Secret, String> {
        match secret {
            SecretFile::Text(text) => self.resolve_text(text),
            SecretFile::File { file } => self.resolve_file(file),
        }
    }

    fn resolve_text(&self, text: &str) -> Result<Secret, String> {
        if !text.contains("${") {
            return Ok(Secret::new(text));
        }
        let name = text
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'))
            .filter(|name| is_variable_name(name))
            .ok_or(
                "${NAME} must be the whole value: put all of it into the environment variable",
            )?;
        match (self.variable)(name) {
            None => Err(format!(
                "the environment variable {name} is not set, or is not UTF-8"
            )),
            Some(value) if value.is_empty() => {
                Err(format!("the environment variable {name} is empty"))
            }
            Some(value) => Ok(Secret::new(value)),
        }
    }

    fn resolve_file(&self, file: &Path) -> Result<Secret, String> {
        let path = self.base.join(file);
        let text = (self.read)(&path)
            .map_err(|error| format!("cannot read the file {}: {error}", path.display()))?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(format!("the file {} is empty", path.display())),
            value => Ok(Secret::new(value)),
        }
    }
}

fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(secret: &SecretFile) -> Result<Secret, String> {
        let sources = SecretSources {
            variable: &|name| match name {
                "URL" => Some("redis://:pw@h".to_owned()),
                "EMPTY" => Some(String::new()),
                _ => None,
            },
            read: &|path| match path.to_str() {
                Some("/etc/gw/url") => Ok("redis://:pw@h\n".to_owned()),
                Some("/etc/gw/empty") => Ok("\n".to_owned()),
                _ => Err(io::ErrorKind::NotFound.into()),
            },
            base: Path::new("/etc/gw"),
        };
        sources.resolve(secret)
    }

    #[test]
    fn a_secret_is_the_text_a_variable_or_a_file() {
        let expected = Ok(Secret::new("redis://:pw@h"));
        for text in ["redis://:pw@h", "${URL}"] {
            assert_eq!(resolve(&SecretFile::Text(text.to_owned())), expected);
        }
        let file = |file: &str| SecretFile::File { file: file.into() };
        assert_eq!(resolve(&file("url")), expected);
        assert_eq!(resolve(&file("/etc/gw/url")), expected);
        assert_eq!(
            resolve(&file("empty")),
            Err("the file /etc/gw/empty is empty".to_owned())
        );
        assert_eq!(
            resolve(&file("gone")),
            Err("cannot read the file /etc/gw/gone: entity not found".to_owned())
        );
    }

    #[test]
    fn a_variable_must_be_the_whole_value_and_set() {
        let whole = "${NAME} must be the whole value: put all of it into the environment variable";
        let table = [
            ("redis://:${PW}@h", whole),
            ("${A}${B}", whole),
            ("${}", whole),
            (
                "${GONE}",
                "the environment variable GONE is not set, or is not UTF-8",
            ),
            ("${EMPTY}", "the environment variable EMPTY is empty"),
        ];
        for (text, message) in table {
            assert_eq!(
                resolve(&SecretFile::Text(text.to_owned())),
                Err(message.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn debug_does_not_show_a_secret() {
        assert_eq!(format!("{:?}", Secret::new("pw")), "[secret]");
        assert_eq!(
            format!("{:?}", SecretFile::Text("pw".to_owned())),
            "[secret]"
        );
    }
}
