//! Short ways to say what policies say most: edits of one header, and local responses.

use serde::Serialize;

use crate::{EditError, Exchange, FieldOp, LocalResponse, Response};

/// Gives a resource with `edit-headers` the edits of a single header.
macro_rules! single_header_edits {
    ($resource:ty) => {
        impl $resource {
            /// Replaces all values of header `name` by one.
            ///
            /// # Errors
            ///
            /// `forbidden` for a header that is the host's, `invalid` for bytes that no header may hold,
            /// `too-late` when the head is sent.
            pub fn set_header(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), EditError> {
                self.edit_headers(&[FieldOp::Set((name, value.as_ref()))])
            }

            /// Adds a value to header `name`. Errors are those of [`Self::set_header`].
            pub fn append_header(
                &self,
                name: &str,
                value: impl AsRef<[u8]>,
            ) -> Result<(), EditError> {
                self.edit_headers(&[FieldOp::Append((name, value.as_ref()))])
            }

            /// Takes header `name` away; one that is absent is no error. Errors are those of [`Self::set_header`].
            pub fn remove_header(&self, name: &str) -> Result<(), EditError> {
                self.edit_headers(&[FieldOp::Remove(name)])
            }
        }
    };
}
single_header_edits!(Exchange);
single_header_edits!(Response);

/// So that `?` may stand behind an edit in a hook.
impl From<EditError> for String {
    fn from(error: EditError) -> Self {
        match error {
            EditError::TooLate => "edit refused: too late".to_owned(),
            EditError::Forbidden(what) => format!("edit refused: forbidden: {what}"),
            EditError::Invalid(what) => format!("edit refused: invalid: {what}"),
        }
    }
}

impl LocalResponse {
    /// An empty body.
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A text in UTF-8.
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self::with_body(status, "text/plain; charset=utf-8", body.into())
    }

    /// `value` as JSON. One that can't be written, such as a map with keys that are no text, is `null`.
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        let body = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
        Self::with_body(status, "application/json", body)
    }

    /// A problem document (RFC 9457) of the general type: `title` is for people and the same each time.
    pub fn problem(status: u16, title: &str) -> Self {
        Self::problem_with(status, title, [])
    }

    /// [`LocalResponse::problem`] with further members, such as `("detail", "...".into())`.
    pub fn problem_with<const N: usize>(
        status: u16,
        title: &str,
        members: [(&str, serde_json::Value); N],
    ) -> Self {
        let mut document = serde_json::Map::new();
        document.insert("type".to_owned(), "about:blank".into());
        document.insert("title".to_owned(), title.into());
        document.insert("status".to_owned(), status.into());
        document.extend(members.map(|(name, value)| (name.to_owned(), value)));
        Self::with_body(
            status,
            "application/problem+json",
            serde_json::Value::Object(document).to_string(),
        )
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn with_body(status: u16, content_type: &str, body: String) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into_bytes(),
        }
        .header("content-type", content_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problem_is_a_document_of_rfc_9457() {
        let response = LocalResponse::problem_with(429, "Too many requests", [("limit", 3.into())])
            .header("retry-after", "1");
        assert_eq!(response.status, 429);
        assert_eq!(
            response.headers[0],
            (
                "content-type".to_owned(),
                b"application/problem+json".to_vec()
            )
        );
        assert_eq!(
            response.headers[1],
            ("retry-after".to_owned(), b"1".to_vec())
        );
        let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        let expected = serde_json::json!({ "type": "about:blank", "title": "Too many requests", "status": 429, "limit": 3 });
        assert_eq!(body, expected);
    }

    #[test]
    fn text_and_json_say_what_they_are() {
        assert_eq!(
            LocalResponse::text(200, "hi").headers[0].1,
            b"text/plain; charset=utf-8"
        );
        assert_eq!(LocalResponse::json(200, &[1, 2]).body, b"[1,2]");
        assert!(LocalResponse::empty(204).headers.is_empty());
    }
}
