//! Paths into the config as messages print them (`routes[0].policies[1].config`), and the line of each.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::Problem;

/// The path of `key` in the mapping at `parent`: `parent.key`, or `parent["a.key"]` for a key that
/// holds more than letters, digits, `_` and `-`. A key of digits alone is written like an index, since
/// a JSON Pointer does not tell the two apart.
pub(crate) fn join_key(parent: &str, key: &str) -> String {
    let is_plain = !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if !is_plain {
        return format!("{parent}[{}]", serde_json::Value::from(key));
    }
    if key.bytes().all(|b| b.is_ascii_digit()) {
        format!("{parent}[{key}]")
    } else if parent.is_empty() {
        key.to_owned()
    } else {
        format!("{parent}.{key}")
    }
}

/// The path of the item at `index` in the list at `parent`.
pub(crate) fn join_index(parent: &str, index: usize) -> String {
    format!("{parent}[{index}]")
}

/// Turns a JSON Pointer (RFC 6901) that starts at the path `prefix` into a path:
/// `pointer_to_path("routes[0].policies[1].config", "/limits/0/rate")` is
/// `routes[0].policies[1].config.limits[0].rate`. A pointer that lacks its leading `/` is read as if
/// it had one: policies write them.
pub fn pointer_to_path(prefix: &str, pointer: &str) -> String {
    if pointer.is_empty() {
        return prefix.to_owned();
    }
    let tokens = pointer.strip_prefix('/').unwrap_or(pointer).split('/');
    tokens.fold(prefix.to_owned(), |path, token| {
        join_key(&path, &token.replace("~1", "/").replace("~0", "~"))
    })
}

/// The line, from 1, on which each path of a config is written.
///
/// Equal to every other: where a config is written is no part of what it means, so that two revisions
/// that differ only in comments compare equal.
#[derive(Clone, Default)]
pub struct Lines(BTreeMap<String, usize>);

impl Lines {
    /// The line of `path`, or of the nearest thing around it that is in the file.
    pub fn locate(&self, path: &str) -> Option<usize> {
        if let Some(line) = self.0.get(path) {
            return Some(*line);
        }
        path.rmatch_indices(['.', '['])
            .find_map(|(end, _)| self.0.get(&path[..end]))
            .or_else(|| self.0.get(""))
            .copied()
    }

    /// A problem at `path`, with its line.
    pub fn problem(&self, path: impl Into<String>, message: impl Into<String>) -> Problem {
        let path = path.into();
        Problem {
            line: self.locate(&path),
            path,
            message: message.into(),
        }
    }

    /// A problem that a policy found in the config of one of its uses: `routes[route]`, the use's index
    /// in the route's policies, and the policy's JSON Pointer into that config.
    pub fn policy_config_problem(
        &self,
        route: usize,
        policy_use: usize,
        pointer: &str,
        message: impl Into<String>,
    ) -> Problem {
        let prefix = format!("routes[{route}].policies[{policy_use}].config");
        self.problem(pointer_to_path(&prefix, pointer), message)
    }

    pub(crate) fn insert(&mut self, path: String, line: usize) {
        self.0.insert(path, line);
    }
}

impl PartialEq for Lines {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Lines {}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lines({} paths)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_become_paths() {
        let table = [
            ("", "c"),
            ("/limits/0/rate", "c.limits[0].rate"),
            ("limits/0", "c.limits[0]"),
            ("/a~1b/~0c", "c[\"a/b\"][\"~c\"]"),
            ("/a.b", "c[\"a.b\"]"),
            ("/", "c[\"\"]"),
            ("/line\nbreak", "c[\"line\\nbreak\"]"),
        ];
        for (pointer, path) in table {
            assert_eq!(pointer_to_path("c", pointer), path, "{pointer:?}");
        }
        assert_eq!(pointer_to_path("", "/routes/1"), "routes[1]");
    }

    #[test]
    fn a_path_that_is_not_written_has_the_line_of_what_is_around_it() {
        let mut lines = Lines::default();
        lines.insert(String::new(), 1);
        lines.insert("a".to_owned(), 2);
        lines.insert("a[\"x.y\"]".to_owned(), 3);
        assert_eq!(lines.locate("a[\"x.y\"]"), Some(3));
        assert_eq!(lines.locate("a[\"x.y\"].z[0]"), Some(3));
        assert_eq!(lines.locate("a[\"x.z\"]"), Some(2));
        assert_eq!(lines.locate("b.c"), Some(1));
        assert_eq!(Lines::default().locate("b"), None);
    }
}
