//! What the YAML parser says, and what to do about it.

use saphyr_parser::ScanError;

use crate::error::Problem;

/// The parser's error, with its line in `text` and its remedy.
pub(crate) fn problem(text: &str, error: &ScanError) -> Problem {
    // What is missing at the end is reported behind the last line.
    let line = error.marker().line().clamp(1, text.lines().count().max(1));
    Problem {
        line: Some(line),
        path: String::new(),
        message: format!("invalid YAML: {} ({})", remedy(error.info()), error.info()),
    }
}

/// What to do about a message of the parser: each of the words on the left stands for a family of them.
fn remedy(info: &str) -> &'static str {
    const REMEDIES: [(&[&str], &str); 7] = [
        (&["tab"], "use spaces, not tabs, to indent"),
        (
            &["mapping values are not allowed"],
            "correct the indentation here or on the line above, or quote a value that holds \": \"",
        ),
        (&["quoted scalar"], "a quote is not closed"),
        (
            &["anchor"],
            "an alias (*name) needs an anchor (&name) above it; quote a text that starts with * or &",
        ),
        (
            &["unexpected character"],
            "quote a text that starts with this character",
        ),
        (
            &[
                "flow",
                "bracket",
                "illegal placement",
                "node content",
                "','",
            ],
            "a bracket or brace does not match, or a comma is missing",
        ),
        (
            &["block", "simple key", "indent"],
            "correct the indentation here or on the line above, or add the missing \":\" or \"- \"",
        ),
    ];
    REMEDIES
        .iter()
        .find(|(words, _)| words.iter().any(|word| info.contains(word)))
        .map_or(
            "correct the syntax here or on the line above",
            |(_, remedy)| remedy,
        )
}
