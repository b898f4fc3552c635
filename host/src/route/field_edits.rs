//! What a route itself changes of the fields of a head.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use portcullis_config::{FieldEdits as FieldEditsConfig, FieldPart, FieldText};

use crate::exchange::Exchange;

/// First what is removed, then what is set, then what is appended.
#[derive(Debug, Default)]
pub struct FieldEdits {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, FieldMaker)>,
    append: Vec<(HeaderName, FieldMaker)>,
}

/// Makes a field's value.
#[derive(Debug)]
pub enum FieldMaker {
    /// Always the same.
    Fixed(HeaderValue),
    /// With facts of the exchange.
    Made(Vec<FieldPart>),
}

impl FieldEdits {
    /// As the config has them.
    pub fn from_config(config: &FieldEditsConfig) -> Self {
        Self {
            remove: config.remove.clone(),
            set: makers(&config.set),
            append: makers(&config.append),
        }
    }

    /// Makes the changes. A field for which the head has no room is left out, as with policies' edits.
    pub fn apply(&self, headers: &mut HeaderMap, exchange: &Exchange) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, maker) in &self.set {
            if let Some(value) = maker.value(exchange) {
                let _ = headers.try_insert(name, value);
            }
        }
        for (name, maker) in &self.append {
            if let Some(value) = maker.value(exchange) {
                let _ = headers.try_append(name, value);
            }
        }
    }
}

/// Fields with what makes their values.
pub fn makers(fields: &[(HeaderName, FieldText)]) -> Vec<(HeaderName, FieldMaker)> {
    let makers = fields.iter();
    makers
        .map(|(name, text)| (name.clone(), FieldMaker::new(text)))
        .collect()
}

impl FieldMaker {
    fn new(text: &FieldText) -> Self {
        if let [FieldPart::Text(only)] = text.0.as_slice()
            && let Ok(value) = HeaderValue::from_str(only)
        {
            return Self::Fixed(value);
        }
        Self::Made(text.0.clone())
    }

    /// The value for this exchange. Its parts are ASCII without control characters, so there is one.
    pub fn value(&self, exchange: &Exchange) -> Option<HeaderValue> {
        let parts = match self {
            Self::Fixed(value) => return Some(value.clone()),
            Self::Made(parts) => parts,
        };
        let mut text = String::new();
        for part in parts {
            match part {
                FieldPart::Text(literal) => text.push_str(literal),
                FieldPart::ClientAddress => {
                    text.push_str(&exchange.client.ip().to_canonical().to_string());
                }
                FieldPart::RequestId => text.push_str(&exchange.id),
                FieldPart::Route => text.push_str(&exchange.route.name),
                FieldPart::Upstream => text.push_str(exchange.upstream_name().unwrap_or_default()),
            }
        }
        HeaderValue::try_from(text).ok()
    }
}
