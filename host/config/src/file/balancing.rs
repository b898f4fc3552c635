//! The file format of load balancing.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::part::Part;

/// An endpoint as the config writes it: its URL, or `{ url, weight }`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub(crate) enum EndpointFile {
    /// With weight 1.
    Url(String),
    /// With a weight of its own.
    Weighted {
        /// The URL.
        url: Part<String>,
        /// 1 to 100.
        #[serde(default = "default_weight")]
        weight: Part<u32>,
    },
}

/// One schema for both forms, without `anyOf`, so that an error says which key is wrong.
impl JsonSchema for EndpointFile {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Endpoint".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        const URL: &str = "^https?://[^/?#@]+/?$";
        json_schema!({
            "description": "http://host:port or https://host:port, or { url, weight }.",
            "type": ["string", "object"],
            "pattern": URL,
            "properties": {
                "url": { "description": "http://host:port or https://host:port.", "type": "string", "pattern": URL },
                "weight": {
                    "description": "Its share of the requests beside the others' weights.",
                    "type": "integer", "minimum": 1, "maximum": 100, "default": 1,
                },
            },
            "required": ["url"],
            "additionalProperties": false,
        })
    }
}

/// How endpoints are chosen from, as the config writes it: a word, or `{ hash: … }`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub(crate) enum LoadBalancingFile {
    /// `round_robin`, `least_request`.
    Word(String),
    /// The same endpoint for the same key.
    Hash {
        /// What the key is.
        hash: Part<HashFile>,
    },
}

/// A hash's key as the config writes it: `client_address`, `{ header: name }` or `{ cookie: name }`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub(crate) enum HashFile {
    /// `client_address`.
    Word(String),
    /// One of the two.
    Named {
        /// A field's name.
        #[serde(skip_serializing_if = "Option::is_none")]
        header: Option<String>,
        /// A cookie's name.
        #[serde(skip_serializing_if = "Option::is_none")]
        cookie: Option<String>,
    },
}

impl Default for LoadBalancingFile {
    fn default() -> Self {
        Self::Word("round_robin".to_owned())
    }
}

impl JsonSchema for HashFile {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HashKey".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "client_address, { header: name } or { cookie: name }.",
            "type": ["string", "object"],
            "pattern": "^client_address$",
            "examples": ["client_address", "{ header: name }", "{ cookie: name }"],
            "properties": {
                "header": { "description": "A field's name.", "type": "string", "minLength": 1 },
                "cookie": { "description": "A cookie's name.", "type": "string", "minLength": 1 },
            },
            "additionalProperties": false,
        })
    }
}

impl JsonSchema for LoadBalancingFile {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LoadBalancing".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "round_robin, least_request, or { hash: key } for the same endpoint for the same key.",
            "type": ["string", "object"],
            "pattern": "^(round_robin|least_request)$",
            "examples": ["round_robin", "least_request", "{ hash: client_address }"],
            "properties": {
                "hash": HashFile::json_schema(generator),
            },
            "required": ["hash"],
            "additionalProperties": false,
        })
    }
}

fn default_weight() -> Part<u32> {
    Part::Read(1)
}
