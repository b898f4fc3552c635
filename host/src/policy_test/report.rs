//! What became of a case, as the command prints it.

use std::fmt;
use std::path::{Path, PathBuf};

use super::claims::Mismatches;

/// Of one case.
#[derive(Debug)]
pub struct Report {
    file: PathBuf,
    line: Option<usize>,
    name: String,
    /// Lines in the file, where they are known, and what is not as expected there.
    mismatches: Vec<(Option<usize>, String)>,
}

/// Whether a case holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Everything was as expected.
    Passed,
    /// Something was not.
    Failed,
}

impl Report {
    pub(super) fn new(file: &Path, line: Option<usize>, name: String) -> Self {
        Self {
            file: file.to_owned(),
            line,
            name,
            mismatches: Vec::new(),
        }
    }

    /// Notes what was found; `line` knows where a path of the case stands.
    pub(super) fn found(&mut self, found: &Mismatches, line: impl Fn(&str) -> Option<usize>) {
        for text in found.all() {
            let step = text.split_once(": ").map(|(path, _)| path);
            let step = step.filter(|path| path.starts_with("steps["));
            let line =
                step.and_then(|path| line(path.split_once('.').map_or(path, |(step, _)| step)));
            self.mismatches.push((line, text.clone()));
        }
    }

    /// Whether it holds.
    pub fn verdict(&self) -> Verdict {
        match self.mismatches.is_empty() {
            true => Verdict::Passed,
            false => Verdict::Failed,
        }
    }
}

/// `ok      cases/a.yaml:7  a name`, and for a case that failed a line for each mismatch.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.verdict() {
            Verdict::Passed => "ok",
            Verdict::Failed => "FAILED",
        };
        let (file, line) = (self.file.display(), self.line.unwrap_or(1));
        write!(f, "{word:<7} {file}:{line}  {}", self.name)?;
        for (line, text) in &self.mismatches {
            write!(f, "\n        ")?;
            if let Some(line) = line {
                write!(f, "line {line}: ")?;
            }
            f.write_str(text)?;
        }
        Ok(())
    }
}
