//! Tables of targets and what becomes of them.

use super::*;

const KEEP: PathNormalisation = PathNormalisation {
    merge_slashes: true,
    encoded_slashes: EncodedSlashes::Keep,
};
const DECODE: PathNormalisation = PathNormalisation {
    merge_slashes: true,
    encoded_slashes: EncodedSlashes::Decode,
};
const NO_MERGE: PathNormalisation = PathNormalisation {
    merge_slashes: false,
    encoded_slashes: EncodedSlashes::Reject,
};

fn by_default() -> PathNormalisation {
    PathNormalisation::default()
}

#[test]
fn a_normal_target_is_left_alone() {
    for target in [
        "/",
        "/a/b",
        "/a/b/",
        "/.well-known/acme",
        "/...",
        "/..a/.b",
        "/a%20b/%C3%A9",
        "/%3A:%40@",
        "/a;p=1/b,c",
        "/x?a=/../&b=%2f%zz\\&c={}",
        "/x?",
        "/%25",
        "/%252e%252e/x",
    ] {
        assert_eq!(by_default().normalise(target), Ok(None), "{target}");
    }
}

#[test]
fn each_path_has_one_spelling() {
    for (target, normal) in [
        ("/%61%2D%7e", "/a-~"),
        ("/%c3%a9", "/%C3%A9"),
        ("/é", "/%C3%A9"),
        ("/a|{b}\"^`<>[]", "/a%7C%7Bb%7D%22%5E%60%3C%3E%5B%5D"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/b/..", "/a/"),
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/.", "/"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/%2e./b?q=/../", "/b?q=/../"),
        ("//a///b//", "/a/b/"),
        ("//", "/"),
        ("/a//../b", "/b"),
        ("/a/.//b", "/a/b"),
    ] {
        assert_eq!(
            by_default().normalise(target),
            Ok(Some(normal.to_owned())),
            "{target}"
        );
        assert_eq!(by_default().normalise(normal), Ok(None), "{normal}");
    }
}

#[test]
fn what_has_no_common_meaning_is_refused() {
    for (target, error) in [
        ("", PathError::NotAPath),
        ("a", PathError::NotAPath),
        ("*", PathError::NotAPath),
        ("?a", PathError::NotAPath),
        ("/..", PathError::AboveRoot),
        ("/a/../../b", PathError::AboveRoot),
        ("/%2e%2e/", PathError::AboveRoot),
        ("//../", PathError::AboveRoot),
        ("/%", PathError::Percent),
        ("/%2", PathError::Percent),
        ("/%zz", PathError::Percent),
        ("/%+1", PathError::Percent),
        ("/%00", PathError::Control),
        ("/%0d%0a", PathError::Control),
        ("/%7F", PathError::Control),
        ("/a\u{0}", PathError::Control),
        ("/?a\u{1}", PathError::Control),
        ("/a#b", PathError::Fragment),
        ("/?a#b", PathError::Fragment),
        ("/a\\b", PathError::Backslash),
        ("/a%2fb", PathError::EncodedSlash),
        ("/a%5Cb", PathError::EncodedSlash),
        ("/%C0%AE%C0%AE/", PathError::NotUtf8),
        ("/%ff", PathError::NotUtf8),
        ("/%C3/%A9", PathError::NotUtf8),
        ("/a/..;/b", PathError::DisguisedDots),
        ("/a/.;x/b", PathError::DisguisedDots),
        ("/a/%2e%2e;x", PathError::DisguisedDots),
    ] {
        assert_eq!(by_default().normalise(target), Err(error), "{target:?}");
    }
}

#[test]
fn encoded_slashes_are_kept_or_decoded_where_the_config_says_so() {
    let table = [
        (KEEP, "/a%2Fb", Ok(None)),
        (KEEP, "/a%2fb%5c", Ok(Some("/a%2Fb%5C"))),
        (KEEP, "/..%2Fb", Err(PathError::DisguisedDots)),
        (KEEP, "/a%5c..", Err(PathError::DisguisedDots)),
        (KEEP, "/a%2f.;/b", Err(PathError::DisguisedDots)),
        (DECODE, "/a%2Fb", Ok(Some("/a/b"))),
        (DECODE, "/a%2f..%2f/b", Ok(Some("/b"))),
        (DECODE, "/..%2fb", Err(PathError::AboveRoot)),
        (DECODE, "/a%5Cb", Err(PathError::EncodedSlash)),
    ];
    for (rules, target, expected) in table {
        let expected = expected.map(|normal| normal.map(str::to_owned));
        assert_eq!(rules.normalise(target), expected, "{rules:?} {target}");
    }
}

#[test]
fn slashes_that_are_not_merged_are_segments() {
    let table = [
        ("//a//b", None),
        ("/a//../b", Some("/a/b")),
        ("/./a", Some("/a")),
        ("//..", Some("/")),
    ];
    for (target, expected) in table {
        let expected = Ok(expected.map(str::to_owned));
        assert_eq!(NO_MERGE.normalise(target), expected, "{target}");
    }
}
