//! What a schema error means to the person who wrote the config. The words come from the schema: its
//! titles, examples and lists. A value is shown only where none can be a secret.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use crate::part::{NAME_PATTERN, NAME_TITLE};
use crate::suggest;

const NO_SETTINGS: &str = "there are no settings here yet: write {}";

/// Longer texts are not repeated in a message.
const MAX_SHOWN_CHARS: usize = 60;

/// `key` is not one of the mapping that `node` describes.
pub(crate) fn unknown_key(node: &Value, key: &str) -> String {
    let keys_of = |name| {
        let keys = node.get(name).and_then(Value::as_object);
        keys.into_iter()
            .flat_map(|keys| keys.keys().map(String::as_str))
    };
    let mut known: Vec<&str> = keys_of("properties").collect();
    known.sort_unstable();
    let patterns: Vec<&str> = keys_of("patternProperties").collect();
    match (known.as_slice(), patterns.as_slice()) {
        _ if node.is_null() => "unknown key".to_owned(),
        ([], []) => NO_SETTINGS.to_owned(),
        ([], [NAME_PATTERN]) => format!("expected a {NAME_TITLE}"),
        ([], patterns) => format!("expected a key that matches {}", patterns.join(" or ")),
        _ => suggest::unknown("key", key, &known),
    }
}

/// The mapping that `node` describes lacks `key`.
pub(crate) fn missing_key(schema: &Value, node: &Value, key: &str) -> String {
    let property = node
        .get("properties")
        .and_then(|properties| properties.get(key));
    let choices = property
        .map(|property| choices(resolve(schema, property)))
        .unwrap_or_default();
    if choices.is_empty() {
        format!("missing key \"{key}\"")
    } else {
        format!("missing key \"{key}\": one of {}", suggest::list(choices))
    }
}

/// The value does not fit `node`, for any other reason.
pub(crate) fn misfit(node: &Value, error: &ValidationError<'_>) -> String {
    let value = error.instance().as_ref();
    let has_type = node.get("type").is_some();
    match error.kind() {
        ValidationErrorKind::Type { .. } if has_type => wrong_type(node, value),
        ValidationErrorKind::Pattern { pattern } if has_type => wrong_text(node, value, pattern),
        ValidationErrorKind::Enum { .. } | ValidationErrorKind::OneOfNotValid { .. }
            if !choices(node).is_empty() =>
        {
            wrong_choice(node, value)
        }
        ValidationErrorKind::Minimum { .. } | ValidationErrorKind::Maximum { .. } => {
            out_of_range(node, value)
        }
        ValidationErrorKind::MinItems { limit: 1 } => "must have at least one item".to_owned(),
        ValidationErrorKind::MinItems { limit } => format!("must have at least {limit} items"),
        ValidationErrorKind::MaxItems { limit } => format!("must have at most {limit} items"),
        ValidationErrorKind::MinLength { limit: 1 } => "must not be empty".to_owned(),
        ValidationErrorKind::MinLength { limit } => {
            format!("must have at least {limit} characters")
        }
        ValidationErrorKind::MaxLength { limit } => format!("must have at most {limit} characters"),
        // Of a mapping without keys, not of a key that is refused.
        ValidationErrorKind::FalseSchema if node.get("additionalProperties").is_some() => {
            NO_SETTINGS.to_owned()
        }
        ValidationErrorKind::UniqueItems => "an item is listed twice".to_owned(),
        _ => error.masked_with(shown(node, value)).to_string(),
    }
}

fn wrong_text(node: &Value, value: &Value, pattern: &str) -> String {
    let says_what = node.get("title").is_some() || node.get("examples").is_some();
    let pattern = if says_what {
        String::new()
    } else {
        format!(" that matches {pattern}")
    };
    format!(
        "expected {}{pattern}, found {}",
        expected(node),
        shown(node, value)
    )
}

fn out_of_range(node: &Value, value: &Value) -> String {
    let range = match (node.get("minimum"), node.get("maximum")) {
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => "within its bounds".to_owned(),
    };
    format!("must be {range}, found {value}")
}

fn wrong_type(node: &Value, value: &Value) -> String {
    let expected = expected(node);
    let is_text = node.get("type").is_some_and(|names| {
        let among = names.as_array();
        names == "string" || among.is_some_and(|names| names.contains(&"string".into()))
    }) && node.get("writeOnly").is_none();
    match value {
        Value::Null => format!("expected {expected}, but nothing is written here"),
        Value::Number(_) | Value::Bool(_) if is_text && node.get("title").is_none() => {
            format!(
                "expected {expected}, found {}: quote it",
                shown(node, value)
            )
        }
        _ => format!("expected {expected}, found {}", shown(node, value)),
    }
}

fn wrong_choice(node: &Value, value: &Value) -> String {
    let choices = choices(node);
    let given = value.as_str().unwrap_or_default();
    let guess = suggest::did_you_mean(given, choices.iter().copied());
    format!(
        "expected one of {}, found {}{guess}",
        suggest::list(choices),
        shown(node, value)
    )
}

/// The texts that `node` allows, if it is a list of them and of nothing else.
fn choices(node: &Value) -> Vec<&str> {
    let list = |name| node.get(name).and_then(Value::as_array);
    let texts: Option<Vec<&str>> = match list("enum") {
        Some(texts) => texts.iter().map(Value::as_str).collect(),
        None => {
            let variants = list("oneOf").into_iter().flatten();
            variants
                .map(|variant| variant.get("const")?.as_str())
                .collect()
        }
    };
    texts.unwrap_or_default()
}

fn resolve<'a>(schema: &'a Value, node: &'a Value) -> &'a Value {
    let reference = node.get("$ref").and_then(Value::as_str);
    reference
        .and_then(|reference| schema.pointer(reference.strip_prefix('#')?))
        .unwrap_or(node)
}

/// What `node` wants, in words: its title and examples if it is a text, else its type.
fn expected(node: &Value) -> String {
    let name = match node.get("type") {
        Some(Value::String(name)) => type_name(name).to_owned(),
        Some(Value::Array(names)) => {
            let names: Vec<&str> = names
                .iter()
                .filter_map(Value::as_str)
                .map(type_name)
                .collect();
            names.join(" or ")
        }
        _ => "another value".to_owned(),
    };
    let name = match node.get("title").and_then(Value::as_str) {
        Some(title) if node.get("type").is_some_and(|name| name == "string") => {
            format!("a {title}")
        }
        _ => name,
    };
    let examples = node.get("examples").and_then(Value::as_array);
    let examples: Vec<&str> = examples
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    match examples.as_slice() {
        [] => name,
        [only] => format!("{name} such as {only}"),
        [first @ .., last] => format!("{name} such as {} or {last}", first.join(", ")),
    }
}

fn type_name(name: &str) -> &str {
    match name {
        "object" => "a mapping",
        "array" => "a list",
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        other => other,
    }
}

/// `value` in words. Texts appear only where a text or a number is wanted: one in the place of a mapping
/// may be a secret, as may be what `node` says is one.
fn shown(node: &Value, value: &Value) -> String {
    let wants_scalar = node
        .get("type")
        .is_none_or(|name| name != "object" && name != "array");
    let may_show = wants_scalar && node.get("writeOnly").is_none();
    match value {
        Value::String(text) if may_show && text.chars().count() <= MAX_SHOWN_CHARS => {
            Value::from(text.as_str()).to_string()
        }
        Value::String(_) => "a text".to_owned(),
        Value::Number(number) if may_show => format!("the number {number}"),
        Value::Number(_) => "a number".to_owned(),
        Value::Bool(_) => value.to_string(),
        Value::Null => "nothing".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}
