//! What is wrong with a config: every problem, each with its line and path.

use std::fmt;
use std::path::PathBuf;

use crate::sound::Sound;

/// One thing to correct in the config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1. `None`: the problem is with the file as a whole.
    pub line: Option<usize>,
    /// Where in the config, such as `routes[0].upstream`. Empty: the whole of it.
    pub path: String,
    /// What is wrong and how to put it right: lower case, no full stop.
    pub message: String,
}

/// Why a config was refused: all problems that were found, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    /// The file, as it was named to [`crate::load`] or [`crate::parse`].
    pub origin: PathBuf,
    /// At least one.
    pub problems: Vec<Problem>,
    /// Where the gateway can find more of them.
    pub sound: Sound,
}

impl ConfigErrors {
    /// Errors of one file, sorted by line and path; nothing of it is sound.
    pub fn new(origin: impl Into<PathBuf>, mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| (a.line, &a.path).cmp(&(b.line, &b.path)));
        Self {
            origin: origin.into(),
            problems,
            sound: Sound::default(),
        }
    }

    /// These and those that a check of what is sound has found.
    pub fn with(mut self, found: Vec<Problem>) -> Self {
        self.problems.extend(found);
        Self::new(self.origin, self.problems)
    }
}

/// One line for each problem: `gateway.yaml:12: routes[0].upstream: unknown upstream "api"`.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}", self.origin.display())?;
            if let Some(line) = problem.line {
                write!(f, ":{line}")?;
            }
            write!(f, ": {problem}")?;
        }
        Ok(())
    }
}

/// Path and message, without the file and the line.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}
