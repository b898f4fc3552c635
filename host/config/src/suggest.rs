//! Messages that name what exists: "unknown …; did you mean …? known: …".

/// A message with more than these is not read.
const MAX_LISTED: usize = 20;

/// `items` as a list, or `none` when there are none.
pub(crate) fn list<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let items: Vec<&str> = items.into_iter().collect();
    match items.len() {
        0 => "none".to_owned(),
        1..=MAX_LISTED => items.join(", "),
        count => format!(
            "{} and {} more",
            items[..MAX_LISTED].join(", "),
            count - MAX_LISTED
        ),
    }
}

/// `; did you mean "x"?` for the known item closest to `given`, or nothing when none is close.
pub(crate) fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(given, known).map_or_else(String::new, |item| format!("; did you mean \"{item}\"?"))
}

fn closest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // One slip in a short word, two in one of six letters: more is another word. A single letter is no
    // slip of another one.
    let slips = match given.chars().count() {
        0 | 1 => 0,
        letters => (letters / 3).clamp(1, 3),
    };
    known
        .into_iter()
        .map(|item| {
            (
                strsim::damerau_levenshtein(&given.to_lowercase(), item),
                item,
            )
        })
        .filter(|(distance, _)| *distance <= slips)
        .min()
        .map(|(_, item)| item)
}

/// The two halves as one message: `unknown upstream "api"; did you mean "apis"? known: apis, web`.
pub fn unknown(what: &str, given: &str, known: &[&str]) -> String {
    let guess = did_you_mean(given, known.iter().copied());
    let separator = if guess.is_empty() { ";" } else { "" };
    let known = list(known.iter().copied());
    format!("unknown {what}{guess}{separator} known: {known}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_item_is_suggested() {
        let known = ["listeners", "metrics", "routes", "kv"];
        for (given, guess) in [
            ("listener", "; did you mean \"listeners\"?"),
            ("Routes", "; did you mean \"routes\"?"),
            ("rotues", "; did you mean \"routes\"?"),
            ("vk", "; did you mean \"kv\"?"),
            ("tls", ""),
            ("", ""),
            ("x", ""),
        ] {
            assert_eq!(did_you_mean(given, known), guess, "{given}");
        }
    }

    #[test]
    fn a_long_list_is_cut() {
        let names: Vec<String> = (0..23).map(|n| n.to_string()).collect();
        let listed = list(names.iter().map(String::as_str));
        assert!(listed.ends_with("18, 19 and 3 more"), "{listed}");
        assert_eq!(list([]), "none");
    }
}
