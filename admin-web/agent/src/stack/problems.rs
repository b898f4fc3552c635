//! What is wrong with the files of a stack, gathered while they are read.

use std::path::PathBuf;

use portcullis_config::{ConfigErrors, Lines, Problem};

/// Every problem of every file.
#[derive(Debug, Default)]
pub(super) struct Problems {
    files: Vec<FileProblems>,
}

/// Where in the files something stands.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) file: usize,
    /// Such as `services.gateway`.
    pub(super) path: String,
}

#[derive(Debug)]
struct FileProblems {
    origin: PathBuf,
    lines: Lines,
    found: Vec<Problem>,
}

impl Problems {
    /// Takes a file in, and gives its index.
    pub(super) fn add_file(&mut self, origin: PathBuf, lines: Lines) -> usize {
        self.files.push(FileProblems {
            origin,
            lines,
            found: Vec::new(),
        });
        self.files.len() - 1
    }

    /// What the reader of YAML has found.
    pub(super) fn extend(&mut self, file: usize, found: Vec<Problem>) {
        self.files[file].found.extend(found);
    }

    /// A problem of `key` at this place, or of the place itself if the key is empty.
    pub(super) fn add(&mut self, place: &Place, key: &str, message: impl Into<String>) {
        let file = &mut self.files[place.file];
        let path = match key {
            "" => place.path.clone(),
            key => format!("{}.{key}", place.path),
        };
        file.found.push(file.lines.problem(path, message));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.iter().all(|file| file.found.is_empty())
    }

    /// The line of a place, to say where else something is.
    pub(super) fn locate(&self, place: &Place) -> String {
        let file = &self.files[place.file];
        let line = file.lines.locate(&place.path).unwrap_or(1);
        format!("{}:{line}", file.origin.display())
    }

    /// One line for each problem.
    pub(super) fn into_text(self) -> String {
        let wrong = self.files.into_iter().filter(|file| !file.found.is_empty());
        let texts: Vec<_> = wrong
            .map(|file| ConfigErrors::new(file.origin, file.found).to_string())
            .collect();
        texts.join("\n")
    }
}
