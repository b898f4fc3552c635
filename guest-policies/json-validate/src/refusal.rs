//! Why a request is refused, and what its client is told: a problem document.

use portcullis_sdk::LocalResponse;
use portcullis_sdk::serde_json::{Value, json};

use crate::document::NoDocument;
use crate::schema::Mismatches;

/// What is wrong with a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is compressed, so nobody can look at it here.
    Encoded,
    /// Its media type; these are taken.
    OtherType(String),
    /// It has more bytes than these.
    TooLarge(u64),
    /// There is none.
    Empty,
    /// It is no JSON.
    NoDocument(NoDocument),
    /// It does not match, with the status of choice.
    Mismatch(u16, Mismatches),
}

impl Refusal {
    /// The metric's word.
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Encoded => "encoded",
            Self::OtherType(_) => "other_type",
            Self::TooLarge(_) => "too_large",
            Self::Empty => "empty",
            Self::NoDocument(_) => "not_json",
            Self::Mismatch(..) => "invalid",
        }
    }

    /// The answer.
    pub fn answer(&self) -> LocalResponse {
        match self {
            Self::Encoded => LocalResponse::problem(415, "The body must not be encoded")
                .header("accept-encoding", "identity"),
            Self::OtherType(accept) => LocalResponse::problem(415, "The body must be JSON")
                .header("accept", accept.as_str()),
            Self::TooLarge(limit) => LocalResponse::problem_with(
                413,
                "The body is too large",
                [("limit", (*limit).into())],
            ),
            Self::Empty => LocalResponse::problem(400, "The body is empty"),
            Self::NoDocument(reason) => LocalResponse::problem_with(
                400,
                "The body is no JSON",
                [("detail", reason.detail().into())],
            ),
            Self::Mismatch(status, found) => {
                let listed: Vec<Value> = found
                    .listed
                    .iter()
                    .map(|one| json!({ "pointer": one.pointer, "message": one.message }))
                    .collect();
                let members = [
                    ("errors", listed.into()),
                    ("truncated", found.has_more.into()),
                ];
                LocalResponse::problem_with(*status, "The body does not match its schema", members)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_sdk::serde_json;

    use super::*;
    use crate::schema::Mismatch;

    fn document(refusal: &Refusal) -> Value {
        let answer = refusal.answer();
        assert_eq!(answer.headers[0].1, b"application/problem+json");
        let document: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(document["status"], answer.status);
        document
    }

    #[test]
    fn mismatches_are_listed() {
        let listed = vec![Mismatch {
            pointer: "/a".to_owned(),
            message: "m".to_owned(),
        }];
        let told = document(&Refusal::Mismatch(
            422,
            Mismatches {
                listed,
                has_more: true,
            },
        ));
        assert_eq!(told["errors"], json!([{ "pointer": "/a", "message": "m" }]));
        assert_eq!(
            (&told["truncated"], &told["status"]),
            (&json!(true), &json!(422))
        );
    }

    #[test]
    fn other_refusals_say_what_would_be_right() {
        assert_eq!(document(&Refusal::TooLarge(5))["limit"], 5);
        assert_eq!(document(&Refusal::Empty)["status"], 400);
        assert_eq!(
            document(&Refusal::NoDocument(NoDocument::DuplicateKey(
                "/a".to_owned()
            )))["detail"],
            "a name stands twice: /a"
        );
        assert_eq!(Refusal::Encoded.answer().headers[1].0, "accept-encoding");
        assert_eq!(
            Refusal::OtherType("a/b".to_owned()).answer().headers[1],
            ("accept".to_owned(), b"a/b".to_vec())
        );
    }
}
