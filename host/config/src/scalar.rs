//! Plain YAML texts → JSON scalars, by the core schema of YAML 1.2 (§10.3): `yes`, `on` and `0755` with
//! their meanings from YAML 1.1 are not known here.

use saphyr_parser::{ScalarStyle, Tag};
use serde_json::{Number, Value};

/// The value of a scalar, or why it has none.
pub(crate) fn resolve(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
) -> Result<Value, &'static str> {
    match tag {
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Ok(Value::from(text)),
        Some(_) => Err(
            "YAML tags (!name) are not supported: remove the tag, and quote the value if it is a text",
        ),
        None if style == ScalarStyle::Plain => resolve_plain(text),
        None => Ok(Value::from(text)),
    }
}

fn resolve_plain(text: &str) -> Result<Value, &'static str> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Ok(Value::Null),
        "true" | "True" | "TRUE" => Ok(Value::from(true)),
        "false" | "False" | "FALSE" => Ok(Value::from(false)),
        _ if is_infinite_or_nan(text) => {
            Err("not a number that JSON can hold: quote it if it is a text")
        }
        _ => resolve_number(text),
    }
}

fn is_infinite_or_nan(text: &str) -> bool {
    let unsigned = text.trim_start_matches(['+', '-']);
    matches!(
        unsigned,
        ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN"
    )
}

fn resolve_number(text: &str) -> Result<Value, &'static str> {
    const TOO_LARGE: &str = "the number is too large to be held exactly: quote it if it is a text";
    if let Some((digits, radix)) = radix_digits(text) {
        return u64::from_str_radix(digits, radix)
            .map(Value::from)
            .map_err(|_| TOO_LARGE);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        let positive = text.strip_prefix('+').unwrap_or(text);
        let number = positive.parse::<u64>().map(Value::from);
        return number
            .or_else(|_| positive.parse::<i64>().map(Value::from))
            .map_err(|_| TOO_LARGE);
    }
    if !is_decimal(unsigned) {
        return Ok(Value::from(text));
    }
    let float = text.parse::<f64>().ok().and_then(Number::from_f64);
    float.map(Value::Number).ok_or(TOO_LARGE)
}

fn radix_digits(text: &str) -> Option<(&str, u32)> {
    let (digits, radix) = text
        .strip_prefix("0x")
        .map(|digits| (digits, 16))
        .or_else(|| text.strip_prefix("0o").map(|digits| (digits, 8)))?;
    let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    is_number.then_some((digits, radix))
}

/// `[0-9]*(\.[0-9]*)?([eE][-+]?[0-9]+)?` with a digit before the exponent.
fn is_decimal(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let exponent_is_number = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    !(whole.is_empty() && fraction.is_empty())
        && all_digits(whole)
        && all_digits(fraction)
        && exponent_is_number
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        let table = [
            ("", json!(null)),
            ("~", json!(null)),
            ("True", json!(true)),
            ("yes", json!("yes")),
            ("on", json!("on")),
            ("12", json!(12)),
            ("+12", json!(12)),
            ("-12", json!(-12)),
            ("0755", json!(755)),
            ("0o17", json!(15)),
            ("0x1F", json!(31)),
            ("0xg", json!("0xg")),
            ("18446744073709551615", json!(u64::MAX)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("1e3", json!(1000.0)),
            ("1_000", json!("1_000")),
            ("5s", json!("5s")),
            ("1.2.3", json!("1.2.3")),
            ("127.0.0.1", json!("127.0.0.1")),
            ("e5", json!("e5")),
            (".", json!(".")),
            ("-", json!("-")),
            ("infinity", json!("infinity")),
        ];
        for (text, value) in table {
            assert_eq!(resolve_plain(text), Ok(value), "{text:?}");
        }
        for text in [
            ".inf",
            "-.INF",
            ".nan",
            "18446744073709551616",
            "1e999",
            "0xFFFFFFFFFFFFFFFFF",
        ] {
            assert!(resolve_plain(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn quoted_and_tagged_texts_stay_texts() {
        assert_eq!(
            resolve("12", ScalarStyle::DoubleQuoted, None),
            Ok(json!("12"))
        );
        let tag = |handle: &str, suffix: &str| Tag {
            handle: handle.to_owned(),
            suffix: suffix.to_owned(),
        };
        let text = tag("tag:yaml.org,2002:", "str");
        assert_eq!(
            resolve("12", ScalarStyle::Plain, Some(&text)),
            Ok(json!("12"))
        );
        assert!(resolve("12", ScalarStyle::Plain, Some(&tag("!", "env"))).is_err());
    }
}
