//! A YAML file of another format than the config's, such as a policy's test cases, read with the same care.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Problem;
use crate::path::{Lines, pointer_to_path};
use crate::schema::{schema_of, schema_problems};
use crate::tree;

/// A document whose root is a mapping, and where everything in it stands.
#[derive(Debug)]
pub struct Document {
    /// What it holds.
    pub value: Value,
    /// On which line.
    pub lines: Lines,
}

impl Document {
    /// Reads YAML.
    ///
    /// # Errors
    /// All that is no YAML, or that JSON can't hold.
    pub fn read(text: &str) -> Result<Self, Vec<Problem>> {
        let tree = tree::read(text)?;
        if tree.problems.is_empty() {
            Ok(Self {
                value: tree.value,
                lines: tree.lines,
            })
        } else {
            Err(tree.problems)
        }
    }

    /// The document as a `T`, whose JSON Schema says what is wrong with it.
    ///
    /// # Errors
    /// Every place that doesn't fit.
    pub fn to<T: DeserializeOwned + JsonSchema>(&self) -> Result<T, Vec<Problem>> {
        let schema = schema_of::<T>();
        let problem = |(pointer, message): (String, String)| {
            self.lines.problem(pointer_to_path("", &pointer), message)
        };
        let whole = |message: String| vec![self.lines.problem("", message)];
        let problems = schema_problems(&schema, &self.value).map_err(whole)?;
        if problems.is_empty() {
            T::deserialize(&self.value).map_err(|error| whole(error.to_string()))
        } else {
            Err(problems.into_iter().map(problem).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[schemars(deny_unknown_fields)]
    struct Things {
        things: Vec<u32>,
    }

    #[test]
    fn what_does_not_fit_is_told_by_line_and_path() {
        let read = |text: &str| Document::read(text).and_then(|document| document.to::<Things>());
        assert_eq!(read("things: [1, 2]").unwrap().things, [1, 2]);
        let problems = read("things:\n  - 1\n  - x\nthing: 1").unwrap_err();
        let places: Vec<_> = problems
            .iter()
            .map(|problem| (problem.line, problem.path.as_str()))
            .collect();
        assert_eq!(places, [(Some(3), "things[1]"), (Some(4), "thing")]);
        assert_eq!(read("things: [").unwrap_err()[0].line, Some(1));
        let twice = read("things: []\nthings: []").unwrap_err();
        assert_eq!(twice[0].line, Some(2), "{twice:?}");
    }
}
