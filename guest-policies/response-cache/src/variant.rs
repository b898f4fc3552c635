//! The variants of a resource, told apart by the request fields that `Vary` names (RFC 9111 §4.1).

use sha2::{Digest, Sha256};

use crate::fields::{self, Fields};

/// The names of `Vary`, in lower case and in order, each once.
pub fn names(response: &Fields) -> Vec<String> {
    let mut names = fields::members(response, "vary");
    names
        .iter_mut()
        .for_each(|name| name.make_ascii_lowercase());
    names.sort_unstable();
    names.dedup();
    names
}

/// 128 bits of SHA-256 over the request's values of these fields, as 32 hexadecimal digits. Requests with equal digests match;
/// a field that is absent is another value than one that is empty.
pub fn digest(names: &[String], request: &Fields) -> String {
    let mut hasher = Sha256::new();
    for name in names {
        let value = normal_value(name, request);
        let (mark, value) = match &value {
            Some(value) => (1, value.as_bytes()),
            None => (0, &[][..]),
        };
        hasher.update([mark]);
        hasher.update((value.len() as u64).to_le_bytes());
        hasher.update(value);
    }
    hexadecimal(&hasher.finalize()[..16])
}

/// Bytes as hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// The value in one spelling, as far as its meaning is known: lines joined, white space around members gone; of codings, whose
/// names know no case and whose order says nothing, small letters in order.
fn normal_value(name: &str, request: &Fields) -> Option<String> {
    if !fields::has(request, name) {
        return None;
    }
    let mut members = fields::members(request, name);
    if name == "accept-encoding" {
        for member in &mut members {
            member.retain(|character| !character.is_ascii_whitespace());
            member.make_ascii_lowercase();
        }
        members.sort_unstable();
    }
    Some(members.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(names: &[&str], pairs: &[(&str, &str)]) -> String {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        digest(&names, &fields::of(pairs))
    }

    #[test]
    fn names_are_read_in_any_case_and_order() {
        let one = fields::of(&[("vary", "Accept-Encoding, accept"), ("vary", "ACCEPT")]);
        assert_eq!(names(&one), ["accept", "accept-encoding"]);
        assert!(names(&fields::of(&[])).is_empty());
    }

    #[test]
    fn rfc_9111_4_1_values_match_in_any_spelling_with_the_same_meaning() {
        let same = [
            &[
                ("accept-encoding", "gzip, br;q=0.5"),
                ("accept-language", "de, en"),
            ][..],
            &[
                ("accept-encoding", "BR; q=0.5"),
                ("accept-encoding", "gzip"),
                ("accept-language", "de,en"),
            ],
            &[
                ("accept-language", "de ,  en"),
                ("x", "1"),
                ("accept-encoding", "gzip,,br;q=0.5"),
            ],
        ];
        let names = ["accept-encoding", "accept-language"];
        let digests = same.map(|pairs| digest_of(&names, pairs));
        assert!(
            digests.iter().all(|digest| *digest == digests[0]),
            "{digests:?}"
        );
    }

    #[test]
    fn rfc_9111_4_1_other_values_don_t_match() {
        let names = ["a", "b"];
        let others = [
            &[("a", "x"), ("b", "y")][..],
            &[("a", "xy"), ("b", "")],
            &[("a", ""), ("b", "xy")],
            &[("a", "xy")],
            &[("b", "xy")],
            &[("a", "X"), ("b", "y")],
            &[],
        ];
        let mut digests = others.map(|pairs| digest_of(&names, pairs)).to_vec();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), others.len());
        assert!(digests.iter().all(|digest| digest.len() == 32));
    }
}
