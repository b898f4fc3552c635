//! A normal path is normal: it has one spelling, and nothing in it that servers understand differently.

use portcullis_config::{EncodedSlashes, PathNormalisation};

/// The first byte chooses the rules, the rest is the target.
pub fn hold(data: &[u8]) {
    let Some((choice, target)) = data.split_first() else {
        return;
    };
    let Ok(target) = std::str::from_utf8(target) else {
        return;
    };
    let rules = rules(*choice);
    let Ok(normal) = rules.normalise(target) else {
        return;
    };
    let changed = normal.is_some();
    let normal = normal.as_deref().unwrap_or(target);
    assert_eq!(
        rules.normalise(normal),
        Ok(None),
        "not idempotent: {target:?} {normal:?}"
    );
    assert!(!changed || normal != target, "{target:?}");
    let query = target.find('?').map_or("", |at| &target[at..]);
    let path = normal
        .strip_suffix(query)
        .unwrap_or_else(|| panic!("{target:?} {normal:?}"));
    is_harmless(path, rules);
    is_harmless_once_more_decoded(path, rules);
}

/// All rules there are.
pub fn rules(choice: u8) -> PathNormalisation {
    PathNormalisation {
        merge_slashes: choice & 1 == 0,
        encoded_slashes: match (choice >> 1) % 3 {
            0 => EncodedSlashes::Reject,
            1 => EncodedSlashes::Keep,
            _ => EncodedSlashes::Decode,
        },
    }
}

fn is_harmless(path: &str, rules: PathNormalisation) {
    assert!(path.starts_with('/'), "{path:?}");
    assert!(path.bytes().all(|b| b.is_ascii_graphic()), "{path:?}");
    assert!(!path.contains(['\\', '#', '?', '"', '<', '>']), "{path:?}");
    assert!(!rules.merge_slashes || !path.contains("//"), "{path:?}");
    for segment in path.split('/') {
        let name = segment.split(';').next().unwrap_or_default();
        assert!(name != "." && name != "..", "{path:?}");
    }
    for (at, _) in path.match_indices('%') {
        let digits = &path[at + 1..at + 3];
        assert_eq!(digits, digits.to_ascii_uppercase(), "{path:?}");
        let octet = u8::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{path:?}"));
        let is_unreserved = octet.is_ascii_alphanumeric() || b"-._~".contains(&octet);
        assert!(!is_unreserved && octet >= 0x20 && octet != 0x7f, "{path:?}");
    }
}

/// A server that decodes everything, slashes too, still finds no way up.
fn is_harmless_once_more_decoded(path: &str, rules: PathNormalisation) {
    let upper = path.contains("%2F") || path.contains("%5C");
    assert!(
        !upper || rules.encoded_slashes == EncodedSlashes::Keep,
        "{path:?}"
    );
    let decoded = path.replace("%2F", "/").replace("%5C", "\\");
    assert!(
        decoded
            .split(['/', '\\'])
            .all(|name| name != ".." && name != "."),
        "{path:?}"
    );
}
