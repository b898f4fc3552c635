//! Why a request is refused, and what its client is told: a problem document, with what the client needs to do better.

use portcullis_sdk::LocalResponse;

/// What a request does not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The method; the field `Allow` tells the ones that are allowed (RFC 9110 §15.5.6).
    Method(String),
    /// The path is longer than so many bytes.
    Path(u64),
    /// The query is longer than so many bytes.
    Query(u64),
    /// More parameters than these.
    QueryParameters(u32),
    /// More fields than these.
    Headers(u32),
    /// More bytes of fields than these.
    HeaderBytes(u64),
    /// These fields are missing or empty.
    RequiredHeaders(Vec<String>),
    /// The length of the body is unknown.
    Length,
    /// The body is longer than so many bytes.
    Body(u64),
    /// The media type; the field `Accept` tells the ranges that are taken (RFC 9110 §12.5.1).
    ContentType(String),
}

impl Refusal {
    /// The metric's word.
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Method(_) => "method",
            Self::Path(_) => "path",
            Self::Query(_) => "query",
            Self::QueryParameters(_) => "query_parameters",
            Self::Headers(_) => "headers",
            Self::HeaderBytes(_) => "header_bytes",
            Self::RequiredHeaders(_) => "required_headers",
            Self::Length => "length",
            Self::Body(_) => "body",
            Self::ContentType(_) => "content_type",
        }
    }

    /// The answer.
    pub fn answer(&self) -> LocalResponse {
        let limited = |status, title, limit: u64| {
            LocalResponse::problem_with(status, title, [("limit", limit.into())])
        };
        match self {
            Self::Method(allow) => LocalResponse::problem(405, "The method is not allowed")
                .header("allow", allow.as_str()),
            Self::Path(limit) => limited(414, "The path is too long", *limit),
            Self::Query(limit) => limited(414, "The query is too long", *limit),
            Self::QueryParameters(limit) => {
                limited(400, "The query has too many parameters", u64::from(*limit))
            }
            Self::Headers(limit) => limited(
                431,
                "The request has too many header fields",
                u64::from(*limit),
            ),
            Self::HeaderBytes(limit) => {
                limited(431, "The request's header fields are too large", *limit)
            }
            Self::RequiredHeaders(names) => {
                let names = names.as_slice().into();
                LocalResponse::problem_with(
                    400,
                    "Required header fields are missing",
                    [("headers", names)],
                )
            }
            Self::Length => {
                LocalResponse::problem(411, "The request must tell the length of its body")
            }
            Self::Body(limit) => limited(413, "The body is too large", *limit),
            Self::ContentType(accept) => {
                LocalResponse::problem(415, "The media type of the body is not supported")
                    .header("accept", accept.as_str())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_status_and_tells_what_would_be_right() {
        for (refusal, status, told) in [
            (Refusal::Method("GET, POST".to_owned()), 405, None),
            (Refusal::Path(9), 414, Some(("limit", 9.into()))),
            (Refusal::Query(9), 414, Some(("limit", 9.into()))),
            (Refusal::QueryParameters(9), 400, Some(("limit", 9.into()))),
            (Refusal::Headers(9), 431, Some(("limit", 9.into()))),
            (Refusal::HeaderBytes(9), 431, Some(("limit", 9.into()))),
            (
                Refusal::RequiredHeaders(vec!["x-a".to_owned()]),
                400,
                Some(("headers", serde_json::json!(["x-a"]))),
            ),
            (Refusal::Length, 411, None),
            (Refusal::Body(9), 413, Some(("limit", 9.into()))),
            (Refusal::ContentType("a/b".to_owned()), 415, None),
        ] {
            let answer = refusal.answer();
            let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(
                (answer.status, &document["status"]),
                (status, &status.into()),
                "{refusal:?}"
            );
            assert_eq!(answer.headers[0].1, b"application/problem+json");
            if let Some((name, value)) = told {
                assert_eq!(document[name], value, "{refusal:?}");
            }
        }
        assert_eq!(
            Refusal::Method("GET".to_owned()).answer().headers[1],
            ("allow".to_owned(), b"GET".to_vec())
        );
        assert_eq!(
            Refusal::ContentType("a/b".to_owned()).answer().headers[1],
            ("accept".to_owned(), b"a/b".to_vec())
        );
    }
}
