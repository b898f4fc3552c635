//! Bodies as they pass: what stands between a policy and a stream.
//!
//! [`BodyReader::read`] waits until some bytes have come, [`BodyWriter::write`] until the next stage has
//! taken them, so that who reads slowly makes the sender wait, and no body has to fit anywhere. Bodies
//! are as they are on the wire, compressed or not. A chunk ends wherever it ends: in the middle of a
//! character, a line or a word.
//!
//! ```standalone_crate
//! use portcullis_sdk::{
//!     BodyReader, BodyWriter, ConfigProblem, Exchange, Manifest, OnRequestBody, Policy, stream,
//! };
//! use schemars::JsonSchema;
//! use serde::Deserialize;
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Config {}
//!
//! struct Upper;
//!
//! impl Policy for Upper {
//!     type Config = Config;
//!     const MANIFEST: Manifest = Manifest {
//!         name: "upper",
//!         version: env!("CARGO_PKG_VERSION"),
//!         description: "Sends requests in capital letters",
//!         annotations: &[],
//!     };
//!     fn configure(_: Config) -> Result<Self, Vec<ConfigProblem>> {
//!         Ok(Self)
//!     }
//! }
//!
//! impl OnRequestBody for Upper {
//!     fn on_request_body(
//!         &self,
//!         _: &Exchange,
//!         input: &BodyReader,
//!         output: &BodyWriter,
//!     ) -> Result<(), String> {
//!         stream::map(input, output, |chunk| chunk.make_ascii_uppercase())?;
//!         Ok(())
//!     }
//! }
//!
//! portcullis_sdk::export!(Upper: on_request_body);
//! ```
//!
//! A response's, with a trailer that tells of what has passed:
//!
//! ```standalone_crate
//! use portcullis_sdk::{
//!     BodyReader, BodyWriter, ConfigProblem, Exchange, Manifest, OnResponseBody, Policy, Response,
//!     stream,
//! };
//! use schemars::JsonSchema;
//! use serde::Deserialize;
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Config {}
//!
//! struct Count;
//!
//! impl Policy for Count {
//!     type Config = Config;
//!     const MANIFEST: Manifest = Manifest {
//!         name: "count",
//!         version: env!("CARGO_PKG_VERSION"),
//!         description: "Tells the length of each response after it",
//!         annotations: &[],
//!     };
//!     fn configure(_: Config) -> Result<Self, Vec<ConfigProblem>> {
//!         Ok(Self)
//!     }
//! }
//!
//! impl OnResponseBody for Count {
//!     fn on_response_body(
//!         &self,
//!         _: &Exchange,
//!         _: &Response,
//!         input: &BodyReader,
//!         output: &BodyWriter,
//!     ) -> Result<(), String> {
//!         let bytes = stream::copy(input, output)?;
//!         let mut trailers = input.trailers();
//!         trailers.push(("x-bytes".to_owned(), bytes.to_string().into_bytes()));
//!         output.set_trailers(&trailers)?;
//!         Ok(())
//!     }
//! }
//!
//! portcullis_sdk::export!(Count: on_response_body);
//! ```

use crate::{BodyError, BodyReader, BodyWriter};

/// Bytes that one reading asks for: as much as the gateway has at hand of a busy stream.
pub const CHUNK_BYTES: u32 = 64 << 10;

/// Passes on all that is left of `input`, chunk by chunk as it comes; how many bytes that were.
///
/// # Errors
///
/// `aborted` where the body has broken off.
pub fn copy(input: &BodyReader, output: &BodyWriter) -> Result<u64, BodyError> {
    map(input, output, |_| ())
}

/// The same with each chunk changed by `change`, which may make it shorter or longer; how many bytes
/// were read.
///
/// # Errors
///
/// `aborted` where the body has broken off.
pub fn map(
    input: &BodyReader,
    output: &BodyWriter,
    mut change: impl FnMut(&mut Vec<u8>),
) -> Result<u64, BodyError> {
    let mut bytes = 0;
    while let Some(mut chunk) = input.read(CHUNK_BYTES)? {
        bytes += chunk.len() as u64;
        change(&mut chunk);
        output.write(&chunk)?;
    }
    Ok(bytes)
}
