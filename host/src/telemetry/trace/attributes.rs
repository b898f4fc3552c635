//! Attributes of a span, as OTLP has them.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

/// Longer values are cut: what a client sends must not make spans large.
const MAX_VALUE_BYTES: usize = 1024;

/// Attributes in the order in which they were set.
#[derive(Debug, Default)]
pub(super) struct Attributes(Vec<KeyValue>);

impl Attributes {
    pub(super) fn text(&mut self, key: &str, value: impl AsRef<str>) {
        let value = cut(value.as_ref()).to_owned();
        self.set(key, Value::StringValue(value));
    }

    pub(super) fn number(&mut self, key: &str, value: impl TryInto<i64>) {
        self.set(key, Value::IntValue(value.try_into().unwrap_or(i64::MAX)));
    }

    pub(super) fn into_list(self) -> Vec<KeyValue> {
        self.0
    }

    fn set(&mut self, key: &str, value: Value) {
        self.0.push(key_value(key, value));
    }
}

/// One attribute.
fn key_value(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// The beginning of a text that is long.
pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_VALUE_BYTES)]
}
