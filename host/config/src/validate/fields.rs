//! Names of header fields.

use http::{HeaderName, header};

/// The name of a field that a route may match. Of the host, there is a key of its own.
pub(super) fn matchable_name(text: &str) -> Result<HeaderName, String> {
    let name =
        HeaderName::from_bytes(text.as_bytes()).map_err(|_| "not a header name".to_owned())?;
    if name == header::HOST {
        return Err("match the host with match.host instead".to_owned());
    }
    Ok(name)
}
