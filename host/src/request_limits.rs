//! What a request's head may be, and how many requests there may be: checked before anything is done
//! for it. hyper has refused by itself what is larger than its buffer.

use http::Request;

use crate::error::GatewayError;
use crate::record::Record;
use crate::worker::Revision;

/// A place for the request, which its record holds; an error beyond the config's `limits`.
pub fn admit<B>(
    revision: &Revision,
    record: &mut Record,
    request: &Request<B>,
) -> Result<(), GatewayError> {
    let limits = &revision.snapshot.limits;
    let target = request.uri().path_and_query();
    let (refused, error) = if request.headers().len() > limits.headers {
        ("head", GatewayError::HeadTooLarge)
    } else if target.is_some_and(|target| target.as_str().len() > limits.uri_bytes) {
        ("uri_bytes", GatewayError::TargetTooLong)
    } else if limits.requests > 0 && !record.enter(limits.requests) {
        ("requests", GatewayError::Overloaded)
    } else {
        return Ok(());
    };
    revision.metrics.client.refused_request(refused);
    Err(error)
}
