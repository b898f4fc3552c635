//! What a policy may change, checked when it asks and applied when its hook has ended well.
//!
//! Framing and hop-by-hop fields belong to the gateway: a policy that could set them could
//! smuggle requests (RFC 9112 §11.2) or delete fields that others rely on.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode, uri::PathAndQuery};
use portcullis_config::PathNormalisation;

use crate::exchange::{LocalResponse, RequestHead, ResponseHead};
use crate::head::fields::is_hop_by_hop;
use crate::route::destination::Target;

/// Edits of one hook: far more than any policy needs, far less than would hurt.
const MAX_EDITS: usize = 256;
/// Bytes of names and values that one hook may stage.
const MAX_EDIT_BYTES: usize = 64 << 10;
/// Bytes that one policy may keep with an exchange, and share with the others.
const MAX_STATE_BYTES: usize = 64 << 10;

/// Why an edit was refused; the guest sees it as `edit-error`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EditError {
    /// The request or response has gone on its way, or is not there yet.
    #[error("too late")]
    TooLate,
    /// Not a policy's to change.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// Not a valid name, value, status or target; or too much.
    #[error("invalid: {0}")]
    Invalid(String),
}

/// One change of one field.
#[derive(Debug)]
pub enum FieldEdit {
    /// In place of all values that are there.
    Set(HeaderName, HeaderValue),
    /// After the values that are there.
    Append(HeaderName, HeaderValue),
    /// All values.
    Remove(HeaderName),
}

impl FieldEdit {
    /// Bytes of its name and value.
    fn size(&self) -> usize {
        match self {
            Self::Set(name, value) | Self::Append(name, value) => name.as_str().len() + value.len(),
            Self::Remove(name) => name.as_str().len(),
        }
    }
}

/// Everything that a hook wants changed.
#[derive(Debug, Default)]
pub struct StagedEdits {
    request_fields: Vec<FieldEdit>,
    request_target: Option<PathAndQuery>,
    request_method: Option<http::Method>,
    upstream: Option<Target>,
    response_fields: Vec<FieldEdit>,
    response_status: Option<StatusCode>,
    body: Option<Bytes>,
    state: Option<Vec<u8>>,
    shared: Vec<(String, String)>,
    bytes: usize,
}

/// Which head a field edit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The request's.
    Request,
    /// The response's.
    Response,
}

impl StagedEdits {
    /// True when nothing was staged.
    pub fn is_empty(&self) -> bool {
        self.request_fields.is_empty()
            && self.request_target.is_none()
            && self.request_method.is_none()
            && self.upstream.is_none()
            && self.response_fields.is_empty()
            && self.response_status.is_none()
            && self.body.is_none()
            && self.state.is_none()
            && self.shared.is_empty()
    }

    /// Stages changes of fields: all of them, or none if one too many is among them.
    pub fn fields(&mut self, side: Side, edits: Vec<FieldEdit>) -> Result<(), EditError> {
        let staged = match side {
            Side::Request => &self.request_fields,
            Side::Response => &self.response_fields,
        };
        if staged.len() + edits.len() > MAX_EDITS {
            return Err(EditError::Invalid(format!(
                "more than {MAX_EDITS} edits in one hook"
            )));
        }
        self.charge(edits.iter().map(FieldEdit::size).sum())?;
        match side {
            Side::Request => self.request_fields.extend(edits),
            Side::Response => self.response_fields.extend(edits),
        }
        Ok(())
    }

    /// Stages another method, authority and [`target`]; `present_authority` is the request's.
    pub fn head(
        &mut self,
        method: &str,
        authority: &str,
        present_authority: &str,
        target: PathAndQuery,
    ) -> Result<(), EditError> {
        let invalid = |what: &str, value: &str| EditError::Invalid(format!("{what} {value:?}"));
        let method =
            http::Method::from_bytes(method.as_bytes()).map_err(|_| invalid("method", method))?;
        if method == http::Method::CONNECT {
            return Err(EditError::Forbidden("method CONNECT".into()));
        }
        self.charge(method.as_str().len() + target.as_str().len() + authority.len())?;
        // What the client sent is left alone, even where a policy could not have set it.
        if authority != present_authority {
            let parsed = authority.parse::<http::uri::Authority>();
            if parsed.is_err() || authority.contains('@') {
                return Err(invalid("authority", authority));
            }
        }
        if !authority.is_empty() {
            let host =
                HeaderValue::from_str(authority).map_err(|_| invalid("authority", authority))?;
            self.request_fields.push(FieldEdit::Set(header::HOST, host));
        }
        self.request_method = Some(method);
        self.request_target = Some(target);
        Ok(())
    }

    /// Stages another upstream; the last one holds.
    pub fn upstream(&mut self, target: Target) {
        self.upstream = Some(target);
    }

    /// Takes the upstream that was staged, if one was; the other edits stay for [`StagedEdits::apply`].
    pub fn take_upstream(&mut self) -> Option<Target> {
        self.upstream.take()
    }

    /// Stages another status of the response.
    pub fn status(&mut self, status: u16) -> Result<(), EditError> {
        self.response_status = Some(final_status(status)?);
        Ok(())
    }

    /// What the hook in progress has set as the response's status, if it has.
    pub fn staged_status(&self) -> Option<StatusCode> {
        self.response_status
    }

    /// Stages another body, of the request or the response as the hook has it. The caller bounds it.
    pub fn body(&mut self, body: Bytes) {
        self.body = Some(body);
    }

    /// The staged body, which is not the exchange's to keep.
    pub fn take_body(&mut self) -> Option<Bytes> {
        self.body.take()
    }

    /// Stages the policy's own state; too much of it is refused.
    pub fn state(&mut self, value: Vec<u8>) -> Result<(), EditError> {
        if value.len() > MAX_STATE_BYTES {
            return Err(EditError::Invalid(format!(
                "state of more than {MAX_STATE_BYTES} bytes"
            )));
        }
        self.state = Some(value);
        Ok(())
    }

    /// What the hook in progress has set as its state, if it has.
    pub fn staged_state(&self) -> Option<&[u8]> {
        self.state.as_deref()
    }

    /// Stages a value for later policies.
    pub fn share(&mut self, key: String, value: String) -> Result<(), EditError> {
        self.charge(key.len() + value.len())?;
        if self.shared.len() == MAX_EDITS {
            return Err(EditError::Invalid(format!(
                "more than {MAX_EDITS} shared values in one hook"
            )));
        }
        self.shared.push((key, value));
        Ok(())
    }

    /// Applies the edits; returns the state and the shared values for the exchange to keep.
    pub fn apply(
        self,
        request: &mut RequestHead,
        response: Option<&mut ResponseHead>,
    ) -> (Option<Vec<u8>>, Vec<(String, String)>) {
        if let Some(method) = self.request_method {
            request.method = method;
        }
        if let Some(target) = self.request_target {
            request.target = target;
        }
        apply_fields(&mut request.headers, self.request_fields);
        if let Some(response) = response {
            if let Some(status) = self.response_status {
                response.status = status;
            }
            apply_fields(&mut response.headers, self.response_fields);
        }
        (self.state, self.shared)
    }

    fn charge(&mut self, bytes: usize) -> Result<(), EditError> {
        let total = self.bytes + bytes;
        if total > MAX_EDIT_BYTES {
            return Err(EditError::Invalid(format!(
                "more than {MAX_EDIT_BYTES} bytes of edits in one hook"
            )));
        }
        self.bytes = total;
        Ok(())
    }
}

fn apply_fields(headers: &mut HeaderMap, edits: Vec<FieldEdit>) {
    for edit in edits {
        // A map that is full (32 768 fields) drops the edit: a head of that size is refused later
        // by its receiver, and `insert` would panic.
        match edit {
            FieldEdit::Set(name, value) => drop(headers.try_insert(name, value)),
            FieldEdit::Append(name, value) => drop(headers.try_append(name, value)),
            FieldEdit::Remove(name) => drop(headers.remove(name)),
        }
    }
}

/// A path and query that a policy may set, in its one spelling: the upstream gets a policy's path as it
/// would get a client's.
pub fn target(text: &str, rules: &PathNormalisation) -> Result<PathAndQuery, EditError> {
    let invalid = |reason: &dyn std::fmt::Display| {
        EditError::Invalid(format!("path-with-query {text:?}: {reason}"))
    };
    let normal = rules.normalise(text).map_err(|error| invalid(&error))?;
    let parsed = PathAndQuery::try_from(normal.as_deref().unwrap_or(text));
    parsed.map_err(|error| invalid(&error))
}

/// A field name that a policy may use, in lower case.
pub fn editable_name(name: &str) -> Result<HeaderName, EditError> {
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| EditError::Invalid(format!("name {name:?}")))?;
    if is_reserved(&parsed) {
        return Err(EditError::Forbidden(parsed.as_str().to_owned()));
    }
    Ok(parsed)
}

/// A field value as it may stand on the wire.
pub fn field_value(name: &HeaderName, value: &[u8]) -> Result<HeaderValue, EditError> {
    HeaderValue::from_bytes(value).map_err(|_| EditError::Invalid(format!("value of {name}")))
}

/// Framing, hop-by-hop fields (RFC 9110 §7.6.1) and `host`, which is changed with the head.
pub fn is_reserved(name: &HeaderName) -> bool {
    is_hop_by_hop(name) || *name == header::CONTENT_LENGTH || *name == header::HOST
}

/// Checks a policy's whole answer.
pub fn local_response(
    status: u16,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
) -> Result<LocalResponse, EditError> {
    let status = final_status(status)?;
    let mut headers = HeaderMap::with_capacity(fields.len().min(MAX_EDITS) + 4);
    if fields.len() > MAX_EDITS {
        return Err(EditError::Invalid(format!(
            "more than {MAX_EDITS} fields in a response"
        )));
    }
    for (name, value) in fields {
        let name = editable_name(&name)?;
        let value = field_value(&name, &value)?;
        headers.append(name, value);
    }
    Ok(LocalResponse {
        status,
        headers,
        body: body.into(),
    })
}

fn final_status(status: u16) -> Result<StatusCode, EditError> {
    match StatusCode::from_u16(status) {
        Ok(code) if (200..600).contains(&status) => Ok(code),
        _ => Err(EditError::Invalid(format!(
            "status {status}: use 200 to 599"
        ))),
    }
}
