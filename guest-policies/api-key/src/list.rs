//! Lists of keys in secrets: a line `NAME sha256:HEX [disabled] [expires=DATE]` for each.

use crate::digest::Digest;
use crate::record::Record;

const KIND: &str = "sha256:";

/// Looks for a key in the text of a list. All lines are read, and only the one that is found is understood: a list
/// of a thousand keys is read in no time that a request would notice, and one bad line does not take away the others.
/// Where a hash is there twice, the first counts.
///
/// # Errors
///
/// If the key's own line is not understood; with its number.
pub fn find(text: &str, digest: &Digest) -> Result<Option<Record>, String> {
    let mut found = None;
    for (number, line) in (1..).zip(text.lines()) {
        let mut words = line.split_ascii_whitespace();
        let hash = words.nth(1).and_then(|word| word.strip_prefix(KIND));
        // Not `any`: how long it takes does not tell which line it was.
        if hash.is_some_and(|hash| digest.is(hash)) && !line.trim_start().starts_with('#') {
            found = found.or(Some((number, line)));
        }
    }
    let Some((number, line)) = found else {
        return Ok(None);
    };
    let mut words = line.split_ascii_whitespace();
    let name = words.next().unwrap_or_default();
    Record::from_words(name, words.skip(1))
        .map(Some)
        .map_err(|error| format!("line {number} {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(lines: &[&str]) -> String {
        let digest = |key: &str| Digest::of(key).as_str().to_owned();
        lines
            .join("\n")
            .replace("{a}", &digest("a"))
            .replace("{b}", &digest("b"))
    }

    fn name(text: &str, key: &str) -> Option<String> {
        find(text, &Digest::of(key))
            .unwrap()
            .map(|record| record.name)
    }

    #[test]
    fn keys_are_found_by_their_hash_among_comments_and_other_lines() {
        let text = list(&[
            "# keys",
            "",
            "alice sha256:{a}",
            "  bob\tsha256:{b}  expires=9",
            "broken",
            "c sha256:xyz",
        ]);
        assert_eq!(name(&text, "a").as_deref(), Some("alice"));
        assert_eq!(name(&text, "b").as_deref(), Some("bob"));
        assert_eq!(name(&text, "c"), None);
        assert_eq!(name("", "a"), None);
    }

    #[test]
    fn a_key_itself_is_no_entry_nor_is_its_hash_without_its_kind() {
        let text = list(&[
            "alice a",
            "alice sha256:a",
            "alice {a}",
            "alice md5:{a}",
            "#alice sha256:{a}",
            "sha256:{a}",
        ]);
        assert_eq!(name(&text, "a"), None);
        assert_eq!(name(&text, Digest::of("a").as_str()), None);
    }

    #[test]
    fn the_first_of_two_lines_counts() {
        let text = list(&["alice sha256:{a} disabled", "mallory sha256:{a}"]);
        let record = find(&text, &Digest::of("a")).unwrap().unwrap();
        assert_eq!((record.name.as_str(), record.disabled), ("alice", true));
    }

    #[test]
    fn a_line_that_is_not_understood_takes_only_its_own_key_away() {
        let text = list(&["alice sha256:{a} expire=1", "bob sha256:{b}"]);
        let error = find(&text, &Digest::of("a")).unwrap_err();
        assert!(
            error.starts_with("line 1 has an unknown attribute"),
            "{error}"
        );
        assert_eq!(name(&text, "b").as_deref(), Some("bob"));
    }
}
