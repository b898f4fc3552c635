//! A request's head on ingress, put in order once, before any route or policy sees it: everybody after
//! this sees the same bytes, and nothing that concerns the client's connection alone.

mod cookies;
pub mod fields;
mod forwarded;
mod framing;
pub mod framing_watch;
mod host;
mod target;
mod via;

use std::net::SocketAddr;

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Request, Version};
use ipnet::IpNet;
use portcullis_config::{Config, PathNormalisation};

pub use self::via::Via;
use crate::client::Client;
use crate::error::GatewayError;
use crate::exchange::{Exchange, RequestHead};
use crate::upgrade::{self, Upgrade};

/// Names the exchange to the upstream, to policies and to the client.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a revision of the config says of heads.
pub struct HeadRules {
    /// How paths are spelled.
    pub paths: PathNormalisation,
    /// Whose word on other clients is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// How the gateway names itself; `None`: not at all.
    pub via: Option<Via>,
}

impl HeadRules {
    /// As the config has it.
    pub fn from_config(config: &Config) -> Self {
        Self {
            paths: config.path_normalisation,
            trusted_proxies: config.trusted_proxies.clone(),
            via: config.via.as_deref().and_then(Via::new),
        }
    }
}

/// Who sent a request, as far as the gateway believes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The peer, or the client that trusted proxies speak for; then with port 0 if they named none.
    pub address: SocketAddr,
    /// `http` or `https`: of the client's own connection.
    pub scheme: &'static str,
}

/// The request's head as routes, policies and the upstream see it, and who sent it. `id` is the
/// exchange's; a trusted proxy may have given it another.
pub fn admit<B>(
    request: Request<B>,
    client: &Client,
    rules: &HeadRules,
    id: &mut String,
) -> Result<(RequestHead, Origin, B), GatewayError> {
    let (mut parts, body) = request.into_parts();
    let mut headers = parts.headers;
    framing::check(&headers, parts.version, &client.double_framing)?;
    let target = target::origin_form(&parts.method, &parts.uri, &rules.paths)?;
    host::settle(&mut headers, &parts.uri, parts.version)?;
    cookies::join(&mut headers, parts.version)?;
    let accepts_trailers = upgrade::accepts_trailers(&headers);
    let upgrade = Upgrade::asked(&headers, &mut parts.extensions);
    fields::remove_hop_by_hop(&mut headers);
    // Met here: hyper sends `100 Continue` when the body is wanted (RFC 9110 §10.1.1).
    headers.remove(header::EXPECT);
    let origin = forwarded::tell_of_client(&mut headers, client, &rules.trusted_proxies, id);
    if let Some(via) = &rules.via {
        via.sign(&mut headers, parts.version);
    }
    let head = RequestHead {
        method: parts.method,
        target,
        headers,
        accepts_trailers,
        upgrade,
    };
    Ok((head, origin, body))
}

/// Whether the client's peer is one of the networks that may speak for others.
pub fn is_trusted(trusted: &[IpNet], client: &Client) -> bool {
    forwarded::is_trusted(trusted, client)
}

/// Why a client could find another end of this answer than the gateway; `None` for a sound one.
pub fn ambiguity(answer: &HeaderMap) -> Option<&'static str> {
    framing::ambiguity(answer)
}

/// Leaves of an answer's head what is for the client.
pub fn admit_answer(headers: &mut HeaderMap, version: Version, rules: &HeadRules) {
    fields::remove_hop_by_hop(headers);
    if let Some(via) = &rules.via {
        via.sign(headers, version);
    }
}

/// The fields that go to the upstream: as the policies have left them, with the route's own changes.
pub fn upstream_fields(exchange: &Exchange, has_body: bool) -> HeaderMap {
    let mut headers = exchange.request.headers.clone();
    let route = &exchange.route;
    if let Some(edits) = &route.request_edits {
        edits.apply(&mut headers, exchange);
    }
    if let Some(host) = &route.rewrite.host {
        let _ = headers.try_insert(header::HOST, host.clone());
    }
    if exchange.request.accepts_trailers {
        upgrade::ask_for_trailers(&mut headers);
    }
    // Said outright: for a GET without a length hyper would otherwise leave the body out.
    if has_body && !headers.contains_key(header::CONTENT_LENGTH) {
        headers.insert(
            header::TRANSFER_ENCODING,
            HeaderValue::from_static("chunked"),
        );
    }
    headers
}

#[cfg(test)]
mod tests;
