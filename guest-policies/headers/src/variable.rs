//! What a template may name.

use portcullis_sdk::FieldName;

/// Every name, for messages.
pub const KNOWN: &str = "client.address, client.port, client.certificate.sha256, client.certificate.subject, request.cookie.NAME, request.header.NAME, request.host, request.id, request.method, request.path, request.query, route, shared.KEY, tls.sni, upstream; for responses also response.header.NAME and response.status";

/// Where a part of a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// A fact that the gateway tells by this name.
    Attribute(&'static str),
    /// A value that an earlier policy has shared.
    Shared(String),
    /// The exchange's id.
    RequestId,
    /// The request's method.
    RequestMethod,
    /// The request's path, without its query.
    RequestPath,
    /// The request's query, without the `?`.
    RequestQuery,
    /// The host and port that the request is for.
    RequestHost,
    /// A field of the request: all its values, joined.
    RequestHeader(FieldName),
    /// The first cookie of that name.
    RequestCookie(String),
    /// The response's status.
    ResponseStatus,
    /// A field of the response: all its values, joined.
    ResponseHeader(FieldName),
}

/// Names that are the contract's attributes (wit/README.md).
const ATTRIBUTES: [&str; 7] = [
    "client.address",
    "client.port",
    "client.certificate.sha256",
    "client.certificate.subject",
    "route",
    "tls.sni",
    "upstream",
];

impl Variable {
    /// Reads a name.
    ///
    /// # Errors
    ///
    /// A message with the names that there are.
    pub fn parse(name: &str) -> Result<Self, String> {
        if let Some(attribute) = ATTRIBUTES.into_iter().find(|known| *known == name) {
            return Ok(Self::Attribute(attribute));
        }
        match name {
            "request.id" => return Ok(Self::RequestId),
            "request.method" => return Ok(Self::RequestMethod),
            "request.path" => return Ok(Self::RequestPath),
            "request.query" => return Ok(Self::RequestQuery),
            "request.host" => return Ok(Self::RequestHost),
            "response.status" => return Ok(Self::ResponseStatus),
            _ => {}
        }
        let rest = |prefix| {
            name.strip_prefix(prefix)
                .filter(|rest: &&str| !rest.is_empty())
        };
        if let Some(field) = rest("request.header.") {
            FieldName::parse(field).map(Self::RequestHeader)
        } else if let Some(field) = rest("response.header.") {
            FieldName::parse(field).map(Self::ResponseHeader)
        } else if let Some(cookie) = rest("request.cookie.") {
            Ok(Self::RequestCookie(cookie.to_owned()))
        } else if let Some(key) = rest("shared.") {
            Ok(Self::Shared(key.to_owned()))
        } else {
            Err(format!("there is no variable {name:?}; there are {KNOWN}"))
        }
    }

    /// Whether it is there only once there is a response.
    pub const fn is_of_response(&self) -> bool {
        matches!(self, Self::ResponseStatus | Self::ResponseHeader(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_known_name_is_read() {
        let names = KNOWN
            .replace("; for responses also ", ", ")
            .replace(" and ", ", ")
            .replace("NAME", "x-a")
            .replace("KEY", "identity");
        let mut count = 0;
        for name in names.split(", ") {
            assert!(Variable::parse(name).is_ok(), "{name}");
            count += 1;
        }
        assert_eq!(count, 17);
        assert_eq!(
            Variable::parse("request.header.X-A"),
            Ok(Variable::RequestHeader(FieldName::parse("x-a").unwrap()))
        );
    }

    #[test]
    fn others_are_refused_with_the_names_that_there_are() {
        for name in [
            "",
            "client",
            "request.header.",
            "shared.",
            "request.body",
            "Route",
            "env.HOME",
        ] {
            let error = Variable::parse(name).unwrap_err();
            assert!(error.contains("there are client.address, "), "{error}");
        }
        assert!(
            Variable::parse("request.header.a b")
                .unwrap_err()
                .contains("no field name")
        );
    }
}
