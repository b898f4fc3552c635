//! The field `Via`: that the message came through this gateway.

use http::header::{HeaderValue, VIA};
use http::{HeaderMap, Version};

/// The values of RFC 9110 §7.6.3 under one pseudonym, made once for each revision of the config.
pub struct Via {
    http_1_0: HeaderValue,
    http_1_1: HeaderValue,
    http_2: HeaderValue,
}

impl Via {
    /// Under that name; `None` when it can't be a field's value.
    pub fn new(name: &str) -> Option<Self> {
        let value = |version: &str| HeaderValue::try_from(format!("{version} {name}")).ok();
        Some(Self {
            http_1_0: value("1.0")?,
            http_1_1: value("1.1")?,
            http_2: value("2")?,
        })
    }

    /// Adds the gateway to those that the message, received in `version`, has passed.
    pub fn sign(&self, headers: &mut HeaderMap, version: Version) {
        let value = match version {
            Version::HTTP_2 => &self.http_2,
            Version::HTTP_09 | Version::HTTP_10 => &self.http_1_0,
            _ => &self.http_1_1,
        };
        // A map that is full stays as it is: its receiver refuses a head of 32,768 fields.
        let _ = headers.try_append(VIA, value.clone());
    }
}
