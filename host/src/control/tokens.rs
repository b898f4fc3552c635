//! The control API's tokens: a file with a role, a token and perhaps a name to a line, made at the first
//! start with one of each role.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::role::Role;

/// A shorter token could be guessed.
const MIN_LENGTH: usize = 32;
/// A larger file is something else.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// Who may call. Only digests are kept, which also makes comparing them harmless.
#[derive(Debug)]
pub struct Tokens(Vec<([u8; 32], Holder)>);

/// Who has a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// What it allows.
    pub role: Role,
    /// What the token file calls its holder, if it does; for the journal of changes.
    pub name: Option<String>,
}

/// A line of the file.
struct Line {
    token: String,
    holder: Holder,
}

/// Why there are no tokens. All texts name the file and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file can't be read or made.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Others than its owner may read or write it.
    #[error("{}: others may use it (mode {mode:o}); chmod 600 it", .path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A line is not a role and a token.
    #[error("{}:{line}: {message}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong, and how to put it right. Never the token.
        message: String,
    },
    /// There is no token in it.
    #[error("{}: no token in it; add a line such as `admin TOKEN`, or delete the file and restart for new ones", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

impl Tokens {
    /// The tokens of the file; one that is not there is made, for its owner alone.
    pub fn load_or_make(path: &Path) -> Result<Self, TokenError> {
        match Self::load(path) {
            Err(TokenError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                make(path).map_err(|source| file_error(path, source))?;
                tracing::info!("control: made tokens in {}", path.display());
                Self::load(path)
            }
            loaded => loaded,
        }
    }

    fn load(path: &Path) -> Result<Self, TokenError> {
        let lines = read(path)?;
        let tokens = lines.into_iter();
        let tokens = tokens.map(|line| (digest(&line.token), line.holder));
        Ok(Self(tokens.collect()))
    }

    /// Who has the token; `None` for one that is not known.
    pub fn holder_of(&self, token: &str) -> Option<&Holder> {
        let given = digest(token);
        let known = self.0.iter().filter(|(known, _)| *known == given);
        known
            .map(|(_, holder)| holder)
            .max_by_key(|holder| holder.role)
    }
}

/// The token of the strongest role in the file, for a client on the same machine.
pub fn strongest(path: &Path) -> Result<String, TokenError> {
    let lines = read(path)?;
    let strongest = lines.into_iter().max_by_key(|line| line.holder.role);
    strongest
        .map(|line| line.token)
        .ok_or_else(|| TokenError::Empty { path: path.into() })
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn file_error(path: &Path, source: io::Error) -> TokenError {
    TokenError::File {
        path: path.into(),
        source,
    }
}

/// At least one role with its token.
fn read(path: &Path) -> Result<Vec<Line>, TokenError> {
    let failed = |source| file_error(path, source);
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(TokenError::Exposed {
            path: path.into(),
            mode,
        });
    }
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        return Err(failed(io::Error::other(
            "expected a small file with a role and a token to a line",
        )));
    }
    let text = io::read_to_string(file).map_err(failed)?;
    let mut tokens = Vec::new();
    for (index, line) in text.lines().enumerate() {
        match parse(line) {
            Ok(None) => {}
            Ok(Some(token)) => tokens.push(token),
            Err(message) => {
                return Err(TokenError::Line {
                    path: path.into(),
                    line: index + 1,
                    message,
                });
            }
        }
    }
    if tokens.is_empty() {
        return Err(TokenError::Empty { path: path.into() });
    }
    Ok(tokens)
}

/// `None`: an empty line or a comment.
fn parse(line: &str) -> Result<Option<Line>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (role, token, name) = (words.next(), words.next(), words.next());
    let (Some(role), Some(token), None) = (role, token, words.next()) else {
        return Err("expected a role, a token and perhaps a name of one word".to_owned());
    };
    let Some(role) = Role::named(role) else {
        let known = Role::ALL.map(Role::name).join(", ");
        return Err(format!("unknown role; known: {known}"));
    };
    if token.len() < MIN_LENGTH || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "a token has at least {MIN_LENGTH} visible characters of ASCII; `openssl rand -hex 32` makes one"
        ));
    }
    Ok(Some(Line {
        token: token.to_owned(),
        holder: Holder {
            role,
            name: name.map(str::to_owned),
        },
    }))
}

/// Makes the file whole or not at all; one that somebody else has made meanwhile is left as it is.
fn make(path: &Path) -> io::Result<()> {
    let mut text = String::from(
        "# Tokens of the control API: to a line a role, a token and, if you like, its holder's name. Delete the file and restart for new ones.\n",
    );
    for role in Role::ALL {
        // Infallible for a String.
        let _ = writeln!(text, "{} {}", role.name(), new_token());
    }
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", std::process::id()));
    let draft = PathBuf::from(draft);
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    let made = file
        .write_all(text.as_bytes())
        .and_then(|()| std::fs::hard_link(&draft, path));
    std::fs::remove_file(&draft)?;
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// 256 random bits.
fn new_token() -> String {
    let bytes: [u8; 32] = rand::random();
    HEXLOWER.encode(&bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.token");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn the_first_start_makes_a_token_for_each_role_and_the_next_keeps_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.token");
        let tokens = Tokens::load_or_make(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let made = read(&path).unwrap();
        assert_eq!(made.len(), 3);
        for line in &made {
            assert_eq!(tokens.holder_of(&line.token), Some(&line.holder));
        }
        assert_eq!(strongest(&path).unwrap(), made[2].token);
        assert_eq!(tokens.holder_of("nonsense"), None);
        let again = Tokens::load_or_make(&path).unwrap();
        let viewer = again.holder_of(&made[0].token).unwrap();
        assert_eq!((viewer.role, &viewer.name), (Role::Viewer, &None));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_token_may_have_its_holders_name() {
        let token = "a".repeat(MIN_LENGTH);
        let (_directory, path) = file(&format!("viewer {token}\nadmin {token} alice\n"), 0o600);
        let tokens = Tokens::load_or_make(&path).unwrap();
        let holder = tokens.holder_of(&token).unwrap();
        assert_eq!(
            (holder.role, holder.name.as_deref()),
            (Role::Admin, Some("alice"))
        );
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let token = "a".repeat(MIN_LENGTH);
        let (_directory, path) = file(&format!("admin {token}\n"), 0o640);
        let error = Tokens::load_or_make(&path).unwrap_err().to_string();
        assert!(
            error.ends_with("others may use it (mode 640); chmod 600 it"),
            "{error}"
        );
    }

    #[test]
    fn slips_are_named_with_their_line_and_never_with_the_token() {
        let token = "a".repeat(MIN_LENGTH);
        for (text, problem) in [
            (
                format!("# no\n\nroot {token}"),
                ":3: unknown role; known: viewer, operator, admin",
            ),
            (
                format!("admin {token} x y"),
                ":1: expected a role, a token and perhaps a name of one word",
            ),
            (
                "admin shorttoken".to_owned(),
                ":1: a token has at least 32 visible characters",
            ),
            ("# nothing\n".to_owned(), ": no token in it"),
        ] {
            let (_directory, path) = file(&text, 0o600);
            let error = Tokens::load_or_make(&path).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
            assert!(!error.contains(&token) && !error.contains("shorttoken"));
        }
    }
}
