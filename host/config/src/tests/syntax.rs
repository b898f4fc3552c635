//! Texts that are not YAML, or not YAML that JSON can hold.

use super::{SAMPLE, parse, problems};

#[test]
fn a_text_that_is_no_yaml_is_refused_with_a_remedy() {
    let table = [
        (
            "",
            "the file is empty: it needs at least listeners: and routes:",
        ),
        (
            "# Nothing yet.\n---\n",
            "the file is empty: it needs at least listeners: and routes:",
        ),
        (
            "- a\n- b\n",
            "1: the config must be a mapping, with keys such as listeners: and routes: on its first level",
        ),
        (
            "\njust text\n",
            "2: the config must be a mapping, with keys such as listeners: and routes: on its first level",
        ),
        (
            "listeners:\n\t- name: http\n",
            "2: invalid YAML: use spaces, not tabs, to indent (tabs disallowed within this context (block indentation))",
        ),
        (
            "workers: 1\n  routes: []\n",
            "2: invalid YAML: correct the indentation here or on the line above, or quote a value that holds \": \" (mapping values are not allowed in this context)",
        ),
        (
            "listeners:\n  - a\n - b\n",
            "3: invalid YAML: correct the indentation here or on the line above, or add the missing \":\" or \"- \" (while parsing a block mapping, did not find expected key)",
        ),
        (
            "workers\n1: 2\nroutes\n",
            "2: invalid YAML: correct the indentation here or on the line above, or quote a value that holds \": \" (mapping values are not allowed in this context)",
        ),
        (
            "routes: [\n",
            "1: invalid YAML: a bracket or brace does not match, or a comma is missing (while parsing a node, did not find expected node content)",
        ),
        (
            "routes: \"x\n",
            "1: invalid YAML: a quote is not closed (while scanning a quoted scalar, found unexpected end of stream)",
        ),
        (
            "routes: *r\n",
            "1: invalid YAML: an alias (*name) needs an anchor (&name) above it; quote a text that starts with * or & (while parsing node, found unknown anchor)",
        ),
        (
            "workers: @x\n",
            "1: invalid YAML: quote a text that starts with this character (unexpected character: `@')",
        ),
    ];
    for (text, problem) in table {
        assert_eq!(problems(text), [problem], "{text:?}");
    }
}

#[test]
fn what_json_cannot_hold_is_refused() {
    let table = [
        (
            "workers: 1\nworkers: 2\n",
            "2: workers: duplicate key: it is already set on line 1",
        ),
        (
            "upstreams:\n  api: {}\n  \"api\": {}\n",
            "3: upstreams.api: duplicate key: it is already set on line 2",
        ),
        (
            "workers: !env CORES\n",
            "1: workers: YAML tags (!name) are not supported: remove the tag, and quote the value if it is a text",
        ),
        (
            "routes: !list []\n",
            "1: routes: YAML tags (!name) are not supported: remove the tag",
        ),
        (
            "redis: { <<: {} }\n",
            "1: redis: merge keys (<<) are not supported: repeat the keys, or use an alias for the whole value",
        ),
        (
            "redis:\n  [a]: 1\n",
            "2: redis: a key must be a plain text, not a list or a mapping",
        ),
        (
            "a: &a x\n*a : 1\n",
            "2: a key must be a plain text, not an alias",
        ),
        (
            "routes: &r [*r]\n",
            "1: routes[0]: an alias cannot stand inside the value that it names",
        ),
        (
            "workers: .inf\n",
            "1: workers: not a number that JSON can hold: quote it if it is a text",
        ),
        (
            "workers: 1\n---\nworkers: 2\n",
            "2: a second YAML document starts here: keep one in a file, and remove this ---",
        ),
    ];
    for (text, problem) in table {
        let problems = problems(text);
        assert!(
            problems.contains(&problem.to_owned()),
            "{text:?}: {problems:#?}"
        );
    }
}

#[test]
fn nesting_and_aliases_are_bounded() {
    let deep = format!("routes: {}{}", "[".repeat(100), "]".repeat(100));
    let message = problems(&deep).remove(0);
    assert!(
        message.ends_with("nested too deeply: at most 64 levels"),
        "{message}"
    );

    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let below = format!("*a{},", level - 1).repeat(10);
        laughs += &format!("a{level}: &a{level} [{below}]\n");
    }
    let message = problems(&laughs).pop().unwrap();
    assert!(
        message.ends_with("aliases make the config too large: write the values out"),
        "{message}"
    );
}

#[test]
fn line_ends_and_a_byte_order_mark_make_no_difference() {
    let windows = format!("\u{feff}{}", SAMPLE.replace('\n', "\r\n"));
    let config = parse(&windows).unwrap();
    assert_eq!(config, parse(SAMPLE).unwrap());
    assert_eq!(config.locate("routes[0].upstream"), Some(24));
}

#[test]
fn a_damaged_config_is_an_error_or_a_config_but_no_panic() {
    for line in 0..SAMPLE.lines().count() {
        let without: Vec<&str> = SAMPLE
            .lines()
            .enumerate()
            .filter(|(at, _)| *at != line)
            .map(|(_, text)| text)
            .collect();
        let _ = parse(&without.join("\n"));
        let until: Vec<&str> = SAMPLE.lines().take(line).collect();
        let _ = parse(&until.join("\n"));
    }
    for at in (0..SAMPLE.len()).step_by(7) {
        for damage in ["[", "}", "\"", "\t", "é", ": ", "\n", "&a ", "- ", "#"] {
            let _ = parse(&format!("{}{damage}{}", &SAMPLE[..at], &SAMPLE[at..]));
        }
    }
}
