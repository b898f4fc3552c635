//! The reader agrees with serde_json, on what is JSON and on what is not.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::*;

fn agree(text: &str) -> Result<(), String> {
    match (serde_json::from_str::<Value>(text), read::<Value>(text)) {
        (Ok(theirs), Ok(ours)) if are_equal(&theirs, &ours) => Ok(()),
        (Err(_), Err(_)) => Ok(()),
        (theirs, ours) => Err(format!("{text:?}: serde_json {theirs:?}, here {ours:?}")),
    }
}

/// Floats may differ in their last digits.
fn are_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= a.abs() * 1e-14
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| are_equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|(a, b)| a.0 == b.0 && are_equal(a.1, b.1))
        }
        _ => a == b,
    }
}

#[test]
fn texts_are_read_as_by_serde_json() {
    for text in [
        "",
        " ",
        "null",
        "nul",
        "nulll",
        " true ",
        "false",
        "[",
        "]",
        "[]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1,2]",
        "{}",
        "{",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "{a:1}",
        "{\"a\":[{\"b\":null}]}",
        "0",
        "-0",
        "00",
        "01",
        "-",
        "-1",
        "+1",
        "1.",
        ".5",
        "1.5",
        "-1.5e3",
        "1e",
        "1e+",
        "1e5",
        "1E-5",
        "0e9",
        "0.0",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "-9223372036854775809",
        "123456789012345678901234567890.5",
        "0.1",
        "0.30000000000000004",
        "1e308",
        "1e309",
        "1e-400",
        "1e99999999999999999999",
        "0e99999999999999999999",
        "3.141592653589793",
        "2.5e-3",
        "\"\"",
        "\"a",
        "\"ü\u{10348}\"",
        r#""\n\t\r\b\f\/\\\"""#,
        r#""\u00fc""#,
        r#""\ud800\udf48""#,
        r#""\ud800""#,
        r#""\udf48""#,
        r#""\ud800\u0041""#,
        r#""\u12""#,
        r#""\u+123""#,
        r#""\x""#,
        "\"\n\"",
        "\"\u{7f}\"",
        r#""a\u0000b""#,
        "\u{a0}1",
        "1 1",
        "{\"a\":1,\"a\":2}",
    ] {
        agree(text).unwrap();
    }
}

#[test]
fn nesting_has_an_end() {
    for depth in [127, 128, 129, 100_000] {
        let nested = "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(read::<Value>(&nested).is_ok(), depth <= 128, "{depth}");
        let side_by_side = format!("[{}1]", "[1],{\"a\":2},".repeat(depth));
        agree(&side_by_side).unwrap();
    }
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Choice {
    Name,
    Number(u8),
    Pair(u8, u8),
    Fields { of: u8 },
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Loose {
    Choice(Choice),
    Float(f32),
    Text(String),
}

#[test]
fn every_kind_of_type_is_read_as_by_serde_json() {
    type All = (
        Vec<Choice>,
        Vec<Loose>,
        BTreeMap<String, Option<i16>>,
        char,
        (),
        Box<str>,
    );
    let text = r#"[["name", {"name": null}, {"number": 1}, {"pair": [1, 2]}, {"fields": {"of": 3}}],
        [{"number": 4}, 1.5, "x", "name"], {"a": null, "b": -7}, "ü", null, "\u00fc"]"#;
    assert_eq!(
        read::<All>(text).unwrap(),
        serde_json::from_str::<All>(text).unwrap()
    );
}

#[test]
fn errors_say_what_and_where() {
    for (text, path, message) in [
        (
            r#"[{"number": 256}]"#,
            "/0/number",
            "invalid value: integer `256`, expected u8",
        ),
        (r#"["name", {"pair": [1]}]"#, "/1/pair", "invalid length 1"),
        (
            r#"[{"pair": [1, 2, 3]}]"#,
            "/0/pair",
            "more items than expected",
        ),
        (
            r#"[{"fields": {"of": true}}]"#,
            "/0/fields/of",
            "invalid type: boolean `true`, expected u8",
        ),
        (r#"[{"fields": {}}]"#, "/0/fields", "missing field `of`"),
        (
            r#"[{"number": 1.5}]"#,
            "/0/number",
            "invalid type: a number with a fraction or an exponent",
        ),
        (
            r#"[{"number": null}]"#,
            "/0/number",
            "invalid type: null, expected u8",
        ),
        (
            r#"["nome"]"#,
            "/0",
            "unknown variant `nome`, expected one of",
        ),
        (r#"[{"nome": 1}]"#, "/0/nome", "unknown variant `nome`"),
        (
            r#"[1]"#,
            "/0",
            "invalid type: integer `1`, expected enum Choice",
        ),
        (r#"{}"#, "", "invalid type: map, expected a sequence"),
        (r#"[}"#, "/0", "not JSON at byte 1"),
    ] {
        let error = read::<Vec<Choice>>(text).unwrap_err();
        assert_eq!(error.path, path, "{text}");
        assert!(error.message.contains(message), "{text}: {error}");
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..5).prop_map(Value::from_iter),
        ]
    })
}

proptest! {
    #[test]
    fn what_serde_json_writes_is_read(value in json()) {
        agree(&value.to_string()).map_err(TestCaseError::fail)?;
        agree(&format!("{value:#}")).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn what_is_nearly_json_is_judged_alike(text in r#"([\[\]{},:"\\ue.+0-9tfn -]|null|true|"a":|\\u[dD][89cd][0-9a-f]{2}){0,12}"#) {
        agree(&text).map_err(TestCaseError::fail)?;
    }
}
