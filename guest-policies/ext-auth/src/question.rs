//! What the service is asked: the same for requests that are the same to it.

use portcullis_sdk::Head;
use sha2::{Digest, Sha256};

use crate::config::{Config, FORWARDED, Method};

/// A request to the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Its method.
    pub method: String,
    /// Its path with a query.
    pub path: String,
    /// Its fields.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its body, empty for none.
    pub body: Vec<u8>,
}

/// What of the client's request is told.
#[derive(Clone, Debug)]
pub struct Asking<'a> {
    /// Its head.
    pub head: &'a Head,
    /// The client's address.
    pub client: Option<&'a str>,
    /// The fields that are sent on, as they came.
    pub headers: Vec<(String, Vec<u8>)>,
    /// As much of its body as is sent on.
    pub body: Vec<u8>,
}

impl Question {
    /// Asks for that request. What the client itself has put into `x-forwarded-*` is not in it: the gateway says who
    /// asks for what.
    pub fn new(config: &Config, asking: Asking<'_>) -> Self {
        let head = asking.head;
        let told = [
            Some(head.method.as_str()),
            Some(head.scheme.as_str()),
            Some(head.authority.as_str()),
            Some(head.path_with_query.as_str()),
            asking.client,
        ];
        let mut headers = asking.headers;
        for (name, value) in FORWARDED.iter().zip(told) {
            if let Some(value) = value {
                headers.push(((*name).to_owned(), value.as_bytes().to_vec()));
            }
        }
        Self {
            method: match config.method {
                Method::Get => "GET".to_owned(),
                Method::Original => head.method.clone(),
            },
            path: match config.append_path {
                true => joined(&config.path, &head.path_with_query),
                false => config.path.clone(),
            },
            headers,
            body: asking.body,
        }
    }

    /// A name for the question in a store: of all that the service sees, so that no two that it could tell apart
    /// have the same.
    pub fn digest(&self, upstream: &str) -> String {
        let mut hash = Sha256::new();
        let mut add = |part: &[u8]| {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        };
        add(upstream.as_bytes());
        add(self.method.as_bytes());
        add(self.path.as_bytes());
        for (name, value) in &self.headers {
            add(name.as_bytes());
            add(value);
        }
        add(b"");
        add(&self.body);
        hash.finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// `/check` and `/a?b` are `/check/a?b`.
fn joined(prefix: &str, path: &str) -> String {
    format!("{}{path}", prefix.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: serde_json::Value) -> Config {
        let config: Config = serde_json::from_value(json).unwrap();
        config.checked().unwrap()
    }

    fn question(config: &Config) -> Question {
        let head = Head {
            method: "POST".to_owned(),
            scheme: "https".to_owned(),
            authority: "shop.example".to_owned(),
            path_with_query: "/a?b=c".to_owned(),
        };
        let asking = Asking {
            head: &head,
            client: Some("192.0.2.1"),
            headers: vec![("cookie".to_owned(), b"s=1".to_vec())],
            body: Vec::new(),
        };
        Question::new(config, asking)
    }

    #[test]
    fn the_service_is_told_what_the_request_was() {
        let question = question(&config(
            serde_json::json!({ "upstream": "auth", "path": "/check" }),
        ));
        assert_eq!(
            (question.method.as_str(), question.path.as_str()),
            ("GET", "/check")
        );
        let fields: Vec<String> = question
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
            .collect();
        assert_eq!(
            fields,
            [
                "cookie: s=1",
                "x-forwarded-method: POST",
                "x-forwarded-proto: https",
                "x-forwarded-host: shop.example",
                "x-forwarded-uri: /a?b=c",
                "x-forwarded-for: 192.0.2.1",
            ]
        );
    }

    #[test]
    fn the_path_and_method_may_be_the_requests() {
        for (path, expected) in [
            ("/", "/a?b=c"),
            ("/check", "/check/a?b=c"),
            ("/check/", "/check/a?b=c"),
        ] {
            let config = serde_json::json!({ "upstream": "auth", "path": path, "append_path": true, "method": "original" });
            let question = question(&self::config(config));
            assert_eq!(
                (question.method.as_str(), question.path.as_str()),
                ("POST", expected)
            );
        }
    }

    #[test]
    fn questions_that_differ_have_other_digests() {
        let question = question(&config(serde_json::json!({ "upstream": "auth" })));
        let same = question.clone();
        assert_eq!(question.digest("auth"), same.digest("auth"));
        let mut others = vec![question.clone(); 5];
        others[0].method = "PUT".to_owned();
        others[1].path = "/x".to_owned();
        others[2].headers[0].1 = b"s=2".to_vec();
        others[3].headers.remove(0);
        others[4].body = b"x".to_vec();
        for other in others {
            assert_ne!(question.digest("auth"), other.digest("auth"), "{other:?}");
        }
        assert_ne!(question.digest("auth"), question.digest("other"));
        // What moves from one part to the next is another question.
        let (mut one, mut two) = (question.clone(), question);
        one.headers = vec![("ab".to_owned(), b"c".to_vec())];
        two.headers = vec![("a".to_owned(), b"bc".to_vec())];
        assert_ne!(one.digest("auth"), two.digest("auth"));
    }
}
