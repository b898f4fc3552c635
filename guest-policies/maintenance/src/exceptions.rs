//! Requests that pass in spite of the maintenance.

use std::net::IpAddr;

use portcullis_sdk::{AddressSet, FieldName};
use subtle::ConstantTimeEq;

/// Who passes.
#[derive(Debug, Default)]
pub struct Exceptions {
    /// Clients of these addresses.
    pub clients: AddressSet,
    /// These paths and those below them.
    pub paths: Vec<String>,
    /// Who sends a secret.
    pub token: Option<Token>,
}

/// A secret that testers send.
#[derive(Debug)]
pub struct Token {
    /// The field that has it.
    pub header: Option<FieldName>,
    /// The cookie that has it.
    pub cookie: Option<String>,
    /// Its name among the granted secrets.
    pub secret: String,
}

/// The request as exceptions see it.
pub trait Facts {
    /// The client's address.
    fn client(&self) -> Option<IpAddr>;
    /// The path without its query.
    fn path(&self) -> String;
    /// All values of a field.
    fn header(&self, name: &str) -> Vec<Vec<u8>>;
    /// The first cookie of that name.
    fn cookie(&self, name: &str) -> Option<String>;
    /// A granted secret.
    fn secret(&self, name: &str) -> Option<String>;
}

/// Why a request passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pass<'a> {
    /// By its address or path, or by a cookie.
    AsItIs,
    /// By this field, which is nobody's business behind the gateway.
    ByHeader(&'a FieldName),
}

impl Exceptions {
    /// Whether the request passes.
    ///
    /// # Errors
    ///
    /// A message, where a token was sent and the secret to compare it with is not there.
    pub fn find(&self, facts: &impl Facts) -> Result<Option<Pass<'_>>, String> {
        if !self.clients.is_empty()
            && facts
                .client()
                .is_some_and(|address| self.clients.contains(address))
        {
            return Ok(Some(Pass::AsItIs));
        }
        if !self.paths.is_empty() {
            let path = facts.path();
            if self.paths.iter().any(|prefix| is_below(&path, prefix)) {
                return Ok(Some(Pass::AsItIs));
            }
        }
        match &self.token {
            Some(token) => token.find(facts),
            None => Ok(None),
        }
    }
}

impl Token {
    fn find(&self, facts: &impl Facts) -> Result<Option<Pass<'_>>, String> {
        let sent = self
            .header
            .as_ref()
            .map(|name| facts.header(name.as_str()))
            .unwrap_or_default();
        let cookie = self.cookie.as_ref().and_then(|name| facts.cookie(name));
        if sent.is_empty() && cookie.is_none() {
            return Ok(None);
        }
        let secret = facts.secret(&self.secret).ok_or_else(|| {
            format!(
                "the secret {:?} is not granted: `grants: {{ secrets: [{}] }}`",
                self.secret, self.secret
            )
        })?;
        let is_right = |token: &[u8]| bool::from(token.ct_eq(secret.as_bytes()));
        if let (Some(name), [token]) = (&self.header, sent.as_slice())
            && is_right(token)
        {
            return Ok(Some(Pass::ByHeader(name)));
        }
        Ok(cookie
            .filter(|token| is_right(token.as_bytes()))
            .map(|_| Pass::AsItIs))
    }
}

/// Whether `path` is `prefix`, or goes on from it with a segment.
fn is_below(path: &str, prefix: &str) -> bool {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Request {
        client: Option<&'static str>,
        path: &'static str,
        header: Vec<&'static str>,
        cookie: Option<&'static str>,
        secret: Option<&'static str>,
    }

    impl Facts for Request {
        fn client(&self) -> Option<IpAddr> {
            self.client.and_then(|address| address.parse().ok())
        }
        fn path(&self) -> String {
            self.path.to_owned()
        }
        fn header(&self, name: &str) -> Vec<Vec<u8>> {
            assert_eq!(name, "x-tester");
            self.header
                .iter()
                .map(|value| value.as_bytes().to_vec())
                .collect()
        }
        fn cookie(&self, name: &str) -> Option<String> {
            assert_eq!(name, "tester");
            self.cookie.map(str::to_owned)
        }
        fn secret(&self, name: &str) -> Option<String> {
            assert_eq!(name, "token");
            self.secret.map(str::to_owned)
        }
    }

    fn exceptions() -> Exceptions {
        Exceptions {
            clients: AddressSet::parse(["10.0.0.0/8"]).unwrap(),
            paths: vec!["/health".to_owned(), "/status/".to_owned()],
            token: Some(Token {
                header: Some(FieldName::parse("x-tester").unwrap()),
                cookie: Some("tester".to_owned()),
                secret: "token".to_owned(),
            }),
        }
    }

    #[test]
    fn addresses_and_paths_pass() {
        let exceptions = exceptions();
        for (client, path, expected) in [
            ("10.1.2.3", "/", true),
            ("192.0.2.1", "/health", true),
            ("192.0.2.1", "/health/live", true),
            ("192.0.2.1", "/healthy", false),
            ("192.0.2.1", "/status", true),
            ("192.0.2.1", "/status/a", true),
            ("192.0.2.1", "/", false),
        ] {
            let request = Request {
                client: Some(client),
                path,
                ..Request::default()
            };
            assert_eq!(
                exceptions.find(&request).unwrap().is_some(),
                expected,
                "{client} {path}"
            );
        }
        let everything = Exceptions {
            paths: vec!["/".to_owned()],
            ..Exceptions::default()
        };
        assert!(
            everything
                .find(&Request {
                    path: "/a",
                    ..Request::default()
                })
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn a_token_passes_in_either_place() {
        let exceptions = exceptions();
        let find = |header: &[&'static str], cookie, secret| {
            exceptions.find(&Request {
                header: header.to_vec(),
                cookie,
                secret,
                ..Request::default()
            })
        };
        let name = FieldName::parse("x-tester").unwrap();
        assert_eq!(
            find(&["s3cret"], None, Some("s3cret")),
            Ok(Some(Pass::ByHeader(&name)))
        );
        assert_eq!(
            find(&[], Some("s3cret"), Some("s3cret")),
            Ok(Some(Pass::AsItIs))
        );
        assert_eq!(
            find(&["wrong"], Some("s3cret"), Some("s3cret")),
            Ok(Some(Pass::AsItIs))
        );
        for (header, cookie) in [
            (&["s3cre"][..], None),
            (&["s3cret", "s3cret"], None),
            (&[""], Some("")),
            (&[], None),
        ] {
            assert_eq!(
                find(header, cookie, Some("s3cret")),
                Ok(None),
                "{header:?} {cookie:?}"
            );
        }
        assert!(
            find(&["s3cret"], None, None)
                .unwrap_err()
                .contains("not granted")
        );
        assert_eq!(find(&[], None, None), Ok(None));
    }
}
