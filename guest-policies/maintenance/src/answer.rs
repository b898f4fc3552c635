//! What callers are told while there is maintenance.

use std::collections::BTreeMap;

use portcullis_sdk::{FieldName, LocalResponse};

use crate::moment::Moment;

/// The answer, made ready.
#[derive(Debug)]
pub struct Answer {
    response: LocalResponse,
    retry_after: Option<RetryAfter>,
}

/// A body that the config has.
#[derive(Debug)]
pub enum Body {
    /// `text/plain` in UTF-8.
    Text(String),
    /// `text/html` in UTF-8.
    Html(String),
    /// `application/json`.
    Json(String),
}

impl Body {
    /// Bytes of it.
    pub const fn bytes(&self) -> usize {
        let (Self::Text(text) | Self::Html(text) | Self::Json(text)) = self;
        text.len()
    }

    fn response(self, status: u16) -> LocalResponse {
        let (content_type, text) = match self {
            Self::Text(text) => ("text/plain; charset=utf-8", text),
            Self::Html(text) => ("text/html; charset=utf-8", text),
            Self::Json(text) => ("application/json", text),
        };
        LocalResponse {
            status,
            headers: Vec::new(),
            body: text.into_bytes(),
        }
        .header("content-type", content_type)
    }
}

/// When to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// After so many seconds.
    Seconds(u64),
    /// Then.
    At(Moment),
}

const TITLE: &str = "The service is under maintenance";

impl Answer {
    /// Of a config that is sound.
    pub fn new(
        status: u16,
        headers: BTreeMap<FieldName, String>,
        body: Option<Body>,
        retry_after: Option<RetryAfter>,
    ) -> Self {
        let mut response = match body {
            None => LocalResponse::problem(status, TITLE),
            Some(body) => body.response(status),
        };
        response
            .headers
            .push(("cache-control".to_owned(), b"no-store".to_vec()));
        for (name, value) in headers {
            response.headers.retain(|(known, _)| known != name.as_str());
            response
                .headers
                .push((name.as_str().to_owned(), value.into_bytes()));
        }
        Self {
            response,
            retry_after,
        }
    }

    /// The answer at `now_us`, in microseconds since 1970. A moment that has passed is not told.
    pub fn at(&self, now_us: impl FnOnce() -> u64) -> LocalResponse {
        let response = LocalResponse {
            status: self.response.status,
            headers: self.response.headers.clone(),
            body: self.response.body.clone(),
        };
        match self.retry_after {
            Some(RetryAfter::Seconds(seconds)) => {
                response.header("retry-after", seconds.to_string())
            }
            Some(RetryAfter::At(moment)) if now_us() < moment.unix_us() => {
                response.header("retry-after", moment.http_date())
            }
            _ => response,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(
        headers: &[(&str, &str)],
        body: Option<Body>,
        retry_after: Option<RetryAfter>,
    ) -> Answer {
        let headers = headers
            .iter()
            .map(|(name, value)| (FieldName::parse(name).unwrap(), (*value).to_owned()));
        Answer::new(503, headers.collect(), body, retry_after)
    }

    fn fields(response: &LocalResponse) -> Vec<(&str, &str)> {
        response
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), std::str::from_utf8(value).unwrap()))
            .collect()
    }

    #[test]
    fn bodies_have_their_media_type_and_are_not_kept() {
        for (body, content_type, text) in [
            (Body::Text("t".to_owned()), "text/plain; charset=utf-8", "t"),
            (
                Body::Html("<p>".to_owned()),
                "text/html; charset=utf-8",
                "<p>",
            ),
            (
                Body::Json(r#"{"a":1}"#.to_owned()),
                "application/json",
                r#"{"a":1}"#,
            ),
        ] {
            let response = answer(&[], Some(body), None).at(|| 0);
            assert_eq!(
                fields(&response),
                [
                    ("content-type", content_type),
                    ("cache-control", "no-store")
                ]
            );
            assert_eq!(response.body, text.as_bytes());
        }
        let response = answer(&[], None, None).at(|| 0);
        assert_eq!(response.headers[0].1, b"application/problem+json");
    }

    #[test]
    fn fields_of_the_config_stand_in_place_of_the_policy_s() {
        let response = answer(
            &[
                ("cache-control", "max-age=5"),
                ("x-a", "1"),
                ("content-type", "text/markdown"),
            ],
            Some(Body::Text(String::new())),
            None,
        )
        .at(|| 0);
        assert_eq!(
            fields(&response),
            [
                ("cache-control", "max-age=5"),
                ("content-type", "text/markdown"),
                ("x-a", "1")
            ]
        );
    }

    #[test]
    fn it_says_when_to_come_back() {
        let told = |retry_after, now_us| {
            let response = answer(&[], None, Some(retry_after)).at(|| now_us);
            response
                .headers
                .iter()
                .find(|(name, _)| name == "retry-after")
                .map(|(_, value)| String::from_utf8(value.clone()).unwrap())
        };
        assert_eq!(told(RetryAfter::Seconds(300), 0).as_deref(), Some("300"));
        let until = RetryAfter::At(Moment::parse("1994-11-06T08:49:37Z").unwrap());
        assert_eq!(
            told(until, 0).as_deref(),
            Some("Sun, 06 Nov 1994 08:49:37 GMT")
        );
        assert_eq!(told(until, 784_111_777_000_000), None);
    }
}
