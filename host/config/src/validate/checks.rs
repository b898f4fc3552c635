//! What is wrong so far, and the checks that many parts of a config share.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::part::Part;
use crate::suggest;
use crate::units::{DurationText, SizeText};

/// What has been found so far.
pub(crate) struct Checks {
    /// By path, in the order of finding.
    schema: Vec<(String, String)>,
    semantic: Vec<(String, String)>,
}

impl Checks {
    /// Starts from what the schema check found.
    pub(crate) fn new(schema: Vec<(String, String)>) -> Self {
        Self {
            schema,
            semantic: Vec::new(),
        }
    }

    /// All problems. Where both kinds of check complain of one path, this one knows more.
    pub(crate) fn into_problems(self) -> Vec<(String, String)> {
        let known: BTreeSet<String> = self.semantic.iter().map(|(path, _)| path.clone()).collect();
        let schema = self
            .schema
            .into_iter()
            .filter(|(path, _)| !known.contains(path));
        schema.chain(self.semantic).collect()
    }

    /// The file as a whole has not the shape that the types want, for `reason`.
    pub(crate) fn reject(&mut self, reason: String) {
        if self.schema.is_empty() {
            self.add("", reason);
        }
    }

    pub(super) fn are_clean(&self) -> bool {
        self.schema.is_empty() && self.semantic.is_empty()
    }

    pub(super) fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.semantic.push((path.into(), message.into()));
    }

    /// What was read, unless it is broken.
    pub(super) fn read<T>(&mut self, path: &str, part: Part<T>) -> Option<T> {
        match part {
            Part::Read(read) => Some(read),
            Part::Broken(reason) => {
                // The schema check has said so in better words, unless it and the types differ.
                if self.schema.is_empty() {
                    self.add(path, reason);
                }
                None
            }
        }
    }

    /// The value, or a problem at `path`.
    pub(super) fn accept<T>(&mut self, path: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.add(path, message)).ok()
    }

    pub(super) fn duration(
        &mut self,
        path: &str,
        part: Part<DurationText>,
        min: Duration,
        max: Duration,
    ) -> Option<Duration> {
        let text = self.read(path, part)?;
        self.in_range(path, text, DurationText(min), DurationText(max))
            .map(|text| text.0)
    }

    pub(super) fn size(
        &mut self,
        path: &str,
        part: Part<SizeText>,
        min: u64,
        max: u64,
    ) -> Option<u64> {
        let text = self.read(path, part)?;
        self.in_range(path, text, SizeText(min), SizeText(max))
            .map(|text| text.0)
    }

    /// What `parse` makes of the text.
    pub(super) fn text<T>(
        &mut self,
        path: &str,
        part: Part<String>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.read(path, part)?;
        self.accept(path, parse(&text))
    }

    fn in_range<T: PartialOrd + std::fmt::Display>(
        &mut self,
        path: &str,
        value: T,
        min: T,
        max: T,
    ) -> Option<T> {
        if value < min || value > max {
            self.add(path, format!("must be {min} to {max}, found {value}"));
            return None;
        }
        Some(value)
    }

    /// The name, after a look at whether it is one of `known`; `None` there means that the section is
    /// broken, so that nothing can be said.
    pub(super) fn reference(
        &mut self,
        path: &str,
        what: &str,
        part: Part<String>,
        known: Option<&BTreeSet<String>>,
    ) -> Option<String> {
        let name = self.read(path, part)?;
        if let Some(known) = known.filter(|known| !known.contains(&name)) {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            self.add(
                path,
                suggest::unknown(&format!("{what} \"{name}\""), &name, &known),
            );
        }
        Some(name)
    }
}
