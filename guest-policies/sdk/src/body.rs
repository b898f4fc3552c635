//! Whole bodies as JSON, and what stands between a policy and a body. [`stream`](crate::stream) has those that
//! pass.
//!
//! [`Exchange::read_body`] and [`Response::read_body`] wait until the whole body is in the gateway: all
//! of it counts against the policy's `limits.time`, and it is taken up to the smaller of the limit that
//! is asked for and the operator's `limits.body`. A larger one is an error, and passes all the same.
//! `replace_body` puts another in its place when the hook ends well; until then reads show the old one.
//!
//! ```standalone_crate
//! use portcullis_sdk::{
//!     BodyError, ConfigProblem, Exchange, LocalResponse, Manifest, OnRequest, Policy, RequestVerdict,
//! };
//! use schemars::JsonSchema;
//! use serde::Deserialize;
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Config {}
//!
//! #[derive(Deserialize)]
//! struct Order { quantity: u32 }
//!
//! struct CheckOrder;
//!
//! impl Policy for CheckOrder {
//!     type Config = Config;
//!     const MANIFEST: Manifest = Manifest {
//!         name: "check-order",
//!         version: env!("CARGO_PKG_VERSION"),
//!         description: "Lets no order of nothing through",
//!         annotations: &[],
//!     };
//!     fn configure(_: Config) -> Result<Self, Vec<ConfigProblem>> {
//!         Ok(Self)
//!     }
//! }
//!
//! impl OnRequest for CheckOrder {
//!     fn on_request(&self, exchange: &Exchange) -> Result<RequestVerdict, String> {
//!         let refuse = |status, why| Ok(RequestVerdict::Respond(LocalResponse::problem(status, why)));
//!         match exchange.read_json::<Order>(64 << 10) {
//!             Ok(order) if order.quantity > 0 => Ok(RequestVerdict::Next),
//!             Ok(_) => refuse(422, "The quantity is 0"),
//!             Err(BodyError::TooLarge) => refuse(413, "The order is too large"),
//!             Err(BodyError::Other(_)) => refuse(400, "No order"),
//!             Err(error) => Err(error.into()),
//!         }
//!     }
//! }
//!
//! portcullis_sdk::export!(CheckOrder: on_request);
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{BodyError, EditError, Exchange, Response};

/// Gives a resource with `read-body` and `replace-body` the same for JSON.
macro_rules! json_bodies {
    ($resource:ty) => {
        impl $resource {
            /// The whole body, read as JSON. Waits as [`Self::read_body`] does.
            ///
            /// # Errors
            ///
            /// Those of [`Self::read_body`]; `other` for a body that is no JSON, or not of that type.
            pub fn read_json<T: DeserializeOwned>(&self, limit: u32) -> Result<T, BodyError> {
                parse(&self.read_body(limit)?)
            }

            /// Puts `value` as JSON in the place of the body. `content-type` and other fields that tell of
            /// the body are the policy's to set; its length is not.
            ///
            /// # Errors
            ///
            /// Those of [`Self::replace_body`]; `invalid` for a value that can't be written as JSON.
            pub fn replace_json(&self, value: &impl Serialize) -> Result<(), EditError> {
                self.replace_body(&written(value)?)
            }
        }
    };
}
json_bodies!(Exchange);
json_bodies!(Response);

/// So that `?` may stand behind a reading in a hook. The contract's name of the error, or its text.
impl From<BodyError> for String {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => "too-large".to_owned(),
            BodyError::NotGranted => "not-granted".to_owned(),
            BodyError::Taken => "taken".to_owned(),
            BodyError::Aborted => "aborted".to_owned(),
            BodyError::Other(what) => what,
        }
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    serde_json::from_slice(body).map_err(|error| BodyError::Other(format!("no such JSON: {error}")))
}

fn written(value: &impl Serialize) -> Result<Vec<u8>, EditError> {
    serde_json::to_vec(value).map_err(|error| EditError::Invalid(format!("no JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_and_written() {
        assert_eq!(parse::<Vec<u8>>(b"[1,2]").unwrap(), [1, 2]);
        assert_eq!(written(&[1, 2]).unwrap(), b"[1,2]");
    }

    #[test]
    fn what_is_no_json_is_an_error_with_its_place() {
        let error = String::from(parse::<Vec<u8>>(b"[1,").unwrap_err());
        assert!(error.contains("line 1 column 3"), "{error}");
    }
}
