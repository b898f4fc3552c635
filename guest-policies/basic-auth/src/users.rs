//! Users in the text of an htpasswd file: a line `NAME:HASH` for each.

/// A user's hash, or another one to check the password against in vain.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The hash as it is written.
    pub hash: &'a str,
    /// Whether it is this user's. If not, there is none of that name, and checking takes as long as if there were.
    pub is_users: bool,
}

/// Looks for a user; the first line of a name counts. For a name that is not there, the entry is the first of the
/// file, so that a wrong name costs what a wrong password costs; `None` only if there are no users at all.
pub fn find<'a>(text: &'a str, user: &str) -> Option<Entry<'a>> {
    let (mut first, mut own) = (None, None);
    for line in text.lines() {
        let line = line.trim();
        let Some((name, rest)) = line.split_once(':').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        // What stands behind a second colon is a remark, as in /etc/shadow.
        let hash = rest.split(':').next().unwrap_or_default();
        first = first.or(Some(hash));
        if name == user && !user.is_empty() {
            own = own.or(Some(hash));
        }
    }
    let entry = |hash| Entry {
        hash,
        is_users: own.is_some(),
    };
    own.or(first).map(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# users\n\nalice:$2y$1:remark\r\nbob:$2y$2\nalice:$2y$3\n  carol:$2y$4  \nbroken\n:$2y$5\n";

    fn own(user: &str) -> Option<&'static str> {
        find(TEXT, user)
            .filter(|entry| entry.is_users)
            .map(|entry| entry.hash)
    }

    #[test]
    fn users_are_found_by_their_whole_name_and_the_first_line_counts() {
        assert_eq!(own("alice"), Some("$2y$1"));
        assert_eq!(own("bob"), Some("$2y$2"));
        assert_eq!(own("carol"), Some("$2y$4"));
        for user in ["", "Alice", "ali", "broken", "# users", "dave"] {
            assert_eq!(own(user), None, "{user}");
        }
    }

    #[test]
    fn who_is_not_there_is_checked_against_another_hash() {
        let entry = find(TEXT, "dave").unwrap();
        assert_eq!((entry.hash, entry.is_users), ("$2y$1", false));
        assert_eq!(find("# nobody\n", "dave"), None);
    }
}
