//! Who the gateway says that it is.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use portcullis_config::Otlp;

/// Of the conventions by which spans and metrics are named.
pub(super) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// The attributes of the config, and what tells one process from another.
pub(super) fn resource(otlp: &Otlp, instance: u128) -> Resource {
    let own = [
        ("service.name", otlp.service_name.clone()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", format!("{instance:032x}")),
    ];
    let is_written = |key: &str| otlp.resource.contains_key(key);
    let own = own
        .into_iter()
        .filter(|(key, _)| !is_written(key))
        .map(|(key, value)| attribute(key, value));
    let written = otlp.resource.iter();
    let written = written.map(|(key, value)| attribute(key, value.clone()));
    Resource {
        attributes: own.chain(written).collect(),
        ..Resource::default()
    }
}

/// Who makes spans.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "portcullis".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

fn attribute(key: &str, value: String) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value)),
        }),
        ..KeyValue::default()
    }
}
