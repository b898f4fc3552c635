//! From a file or a text to a config: the order of the steps, and what can be wrong with a file.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize as _;

use crate::error::{ConfigErrors, Problem};
use crate::file::GatewayFile;
use crate::model::Config;
use crate::schema;
use crate::secret::{MAX_SECRET_BYTES, SecretSources};
use crate::sound::Sound;
use crate::tree::{self, Tree};
use crate::validate::{self, Checks};

/// Far beyond any config; keeps a path such as `/dev/zero` from taking all memory.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Reads, parses and validates the config at `path`. Secrets are read from the environment and from the
/// files that the config names; relative paths in it start from its directory.
///
/// # Errors
/// All problems of the file, or the one that keeps it from being read.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    parse(&read(path)?, path)
}

/// The text of the config at `path`, for [`parse`].
///
/// # Errors
/// What keeps it from being read.
pub fn read(path: &Path) -> Result<String, ConfigErrors> {
    read_config(path).map_err(|message| {
        let problem = Problem {
            line: None,
            path: String::new(),
            message,
        };
        ConfigErrors::new(path, vec![problem])
    })
}

/// Parses and validates `text`. `origin` is named in messages, and relative paths start from its directory.
///
/// # Errors
/// All problems of the text, in its order, and what is sound in spite of them.
pub fn parse(text: &str, origin: &Path) -> Result<Config, ConfigErrors> {
    let sources = SecretSources {
        variable: &|name| std::env::var(name).ok(),
        read: &|path| read_text(path, MAX_SECRET_BYTES),
        base: origin.parent().unwrap_or(Path::new("")),
    };
    parse_with(text, origin, &sources)
}

/// [`parse`] with the world passed in.
pub(crate) fn parse_with(
    text: &str,
    origin: &Path,
    sources: &SecretSources<'_>,
) -> Result<Config, ConfigErrors> {
    let tree = tree::read(text).map_err(|problems| ConfigErrors::new(origin, problems))?;
    let Tree {
        value,
        lines,
        mut problems,
    } = tree;
    let mut checks = Checks::new(schema::check(&value));
    let config = match GatewayFile::deserialize(&value) {
        Ok(file) => validate::validate(file, lines.clone(), sources, &mut checks),
        // A key of the first level is missing, as the schema check says; or the two differ.
        Err(error) => {
            checks.reject(error.to_string());
            None
        }
    };
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => {
            let found = checks.into_problems().into_iter();
            problems.extend(found.map(|(path, message)| lines.problem(path, message)));
            debug_assert!(!problems.is_empty(), "a config is refused for a reason");
            let sound = Sound::find(&value, &problems, lines, sources.base);
            Err(ConfigErrors {
                sound,
                ..ConfigErrors::new(origin, problems)
            })
        }
    }
}

fn read_config(path: &Path) -> Result<String, String> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        let example = path.join("gateway.yaml");
        return Err(format!(
            "this is a directory: name the config file in it, such as {}",
            example.display()
        ));
    }
    read_text(path, MAX_FILE_BYTES).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            "no such file: check the path, which starts from the working directory".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied: let the user that runs the gateway read it".to_owned()
        }
        io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge => error.to_string(),
        _ => format!("cannot be read: {error}"),
    })
}

fn read_text(path: &Path, max_bytes: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(max_bytes + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        let message = format!("larger than {} KiB", max_bytes >> 10);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("not UTF-8 on line {line}: save it as UTF-8"),
        )
    })
}
