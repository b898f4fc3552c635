//! One request and its response on their way through the gateway: what policies read and edit.
//!
//! Owned by the request's task, lent to a policy's sandbox for the length of one hook. Knows
//! nothing of sockets or WebAssembly.

use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, uri::PathAndQuery};

use crate::access_log::entry::Entry;
use crate::client::ClientTls;
use crate::exchange_memory::ExchangeMemory;
use crate::head::Origin;
use crate::kept_exchange::KeptExchange;
use crate::policy::edit::StagedEdits;
use crate::route::Route;
use crate::route::route_key::RouteKey;
use crate::telemetry::trace::{PolicySpan, RequestTrace, SpanId};
use crate::upgrade::Upgrade;
use crate::wasm::Phase;

/// The part of a request that policies see.
#[derive(Debug)]
pub struct RequestHead {
    /// As the client sent it.
    pub method: Method,
    /// Origin form, with the route's rewrite not yet applied.
    pub target: PathAndQuery,
    /// End-to-end fields; hop-by-hop ones are gone. `host` holds the authority.
    pub headers: HeaderMap,
    /// The client takes trailer fields (`TE: trailers`).
    pub accepts_trailers: bool,
    /// The client would like to switch protocols.
    pub upgrade: Option<Upgrade>,
}

impl RequestHead {
    /// What its route is found by.
    pub fn route_key(&self) -> RouteKey<'_> {
        RouteKey {
            method: &self.method,
            target: &self.target,
            headers: &self.headers,
        }
    }
}

/// The part of a response that policies see.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    /// Who made it.
    pub source: ResponseSource,
    /// Final status, 200 to 599; 101 when the service has agreed to switch protocols.
    pub status: StatusCode,
    /// End-to-end fields.
    pub headers: HeaderMap,
}

/// Who made a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseSource {
    /// The service.
    Upstream,
    /// The gateway itself, with the error's stable code.
    Gateway(&'static str),
    /// The policy of that name.
    Policy(Arc<str>),
}

/// A whole answer made by a policy.
#[derive(Debug)]
pub struct LocalResponse {
    /// 200 to 599.
    pub status: StatusCode,
    /// Checked: no hop-by-hop field, no length.
    pub headers: HeaderMap,
    /// Sent with its length.
    pub body: Bytes,
}

/// One request, and what lives as long as it.
#[derive(Debug)]
pub struct Exchange {
    /// 32 hexadecimal digits, unique across gateways; or what a trusted proxy calls it.
    pub id: String,
    /// The client: [`Origin::address`].
    pub client: SocketAddr,
    /// Of the client's connection: `http` or `https`.
    pub scheme: &'static str,
    /// What TLS tells of the client, if its connection is TLS.
    pub tls: Option<Arc<ClientTls>>,
    /// The route that was found.
    pub route: Arc<Route>,
    /// Place in the snapshot of the upstream that was chosen for it, by the route or by a policy; `None` where
    /// the route answers itself.
    pub upstream: Option<usize>,
    /// When the head had arrived.
    pub started: Instant,
    /// When the answer must be there.
    pub deadline: Instant,
    /// The request as the policies have left it so far.
    pub request: RequestHead,
    /// The response, once there is one.
    pub response: Option<ResponseHead>,
    /// What the hook in progress wants changed; kept only if it ends well.
    pub edits: StagedEdits,
    /// Where what happens is noted, if the request is logged.
    pub entry: Option<Arc<Entry>>,
    /// Where spans of what happens are noted.
    pub trace: RequestTrace,
    /// The span of the hook that is under way, or was last.
    pub hook_span: SpanId,
    /// Attempts at upstreams that were begun.
    pub attempts: u32,
    /// What attempts, each to its response's head or its failure, and the pauses between them took.
    pub upstream_time: Duration,
    kept: Option<KeptExchange>,
    /// The name of the upstream, where a policy has chosen it.
    set_upstream: Option<Arc<str>>,
    memory: ExchangeMemory,
}

impl Exchange {
    /// An exchange at its start; `policies` is the length of the route's chain.
    pub fn new(
        id: String,
        origin: Origin,
        route: Arc<Route>,
        request: RequestHead,
        started: Instant,
    ) -> Self {
        let policies = route.chain.len();
        let upstream = route
            .destination
            .choose(&request, origin.address.ip(), rand::random);
        Self {
            id,
            client: origin.address,
            scheme: origin.scheme,
            tls: None,
            deadline: started + route.deadline,
            route,
            upstream,
            started,
            request,
            response: None,
            edits: StagedEdits::default(),
            entry: None,
            trace: RequestTrace::default(),
            hook_span: SpanId::default(),
            attempts: 0,
            upstream_time: Duration::ZERO,
            kept: None,
            set_upstream: None,
            memory: ExchangeMemory::new(policies),
        }
    }

    /// Where it will be when it is dropped, if a policy of its route is asked `on-log`.
    pub fn keep(&mut self) -> Option<KeptExchange> {
        let mut chain = self.route.chain.iter();
        let asked = chain.any(|member| member.policy.exports(Phase::OnLog));
        self.kept = asked.then(KeptExchange::default);
        self.kept.clone()
    }

    /// Whether it outlives its request.
    pub fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// The name of the upstream that was chosen for it.
    pub fn upstream_name(&self) -> Option<&str> {
        let place = self.upstream?;
        let set = self.set_upstream.as_ref();
        let name = set.or_else(|| self.route.destination.name_of(place));
        name.map(AsRef::as_ref)
    }

    /// Time left until the deadline, zero when it has passed.
    pub fn remaining(&self, now: Instant) -> Duration {
        self.deadline.saturating_duration_since(now)
    }

    /// What the policy at `place` of the chain has kept between its hooks.
    pub fn state(&self, place: usize) -> Option<Vec<u8>> {
        self.memory.state(place)
    }

    /// A value that a policy has shared with the later ones.
    pub fn shared(&self, key: &str) -> Option<String> {
        self.memory.shared(key)
    }

    /// A documented fact about the exchange (wit/README.md lists them), by name.
    pub fn attribute(&self, name: &str) -> Option<String> {
        match name {
            "route" => Some(self.route.name.to_string()),
            "upstream" => self.upstream_name().map(str::to_owned),
            "client.address" => Some(self.client.ip().to_canonical().to_string()),
            "client.port" => (self.client.port() != 0).then(|| self.client.port().to_string()),
            _ => self.tls.as_ref()?.attribute(name),
        }
    }

    /// Notes in its trace that a policy is asked.
    pub fn begin_hook(&mut self, policy: &Arc<str>, phase: Phase) -> PolicySpan {
        let span = self.trace.policy(policy, phase);
        self.hook_span = span.id();
        span
    }

    /// Applies what the hook of the policy at `place` has staged.
    pub fn commit(&mut self, place: usize) {
        let mut edits = std::mem::take(&mut self.edits);
        if let Some(target) = edits.take_upstream() {
            self.upstream = Some(target.place);
            self.set_upstream = Some(target.name);
        }
        let (state, shared) = edits.apply(&mut self.request, self.response.as_mut());
        self.memory.keep(place, state, shared);
    }

    /// Forgets what a failed hook has staged.
    pub fn discard_edits(&mut self) {
        if !self.edits.is_empty() {
            self.edits = StagedEdits::default();
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(kept) = self.kept.take() {
            kept.put(Box::new(self.taken()));
        }
    }
}

impl Exchange {
    /// What it holds, without what a hook has staged that did not end.
    fn taken(&mut self) -> Self {
        let request = &mut self.request;
        Self {
            id: mem::take(&mut self.id),
            client: self.client,
            scheme: self.scheme,
            tls: self.tls.take(),
            route: self.route.clone(),
            upstream: self.upstream,
            started: self.started,
            deadline: self.deadline,
            request: RequestHead {
                method: mem::take(&mut request.method),
                target: request.target.clone(),
                headers: mem::take(&mut request.headers),
                accepts_trailers: request.accepts_trailers,
                upgrade: request.upgrade.take(),
            },
            response: self.response.take(),
            edits: StagedEdits::default(),
            entry: None,
            trace: mem::take(&mut self.trace),
            hook_span: SpanId::default(),
            attempts: self.attempts,
            upstream_time: self.upstream_time,
            kept: None,
            set_upstream: self.set_upstream.take(),
            memory: mem::take(&mut self.memory),
        }
    }

    /// A copy for a hook that runs while the exchange goes on: as it is now, and with the same memory.
    pub fn copy(&mut self) -> Self {
        let request = &self.request;
        Self {
            id: self.id.clone(),
            client: self.client,
            scheme: self.scheme,
            tls: self.tls.clone(),
            route: self.route.clone(),
            upstream: self.upstream,
            started: self.started,
            deadline: self.deadline,
            request: RequestHead {
                method: request.method.clone(),
                target: request.target.clone(),
                headers: request.headers.clone(),
                accepts_trailers: request.accepts_trailers,
                upgrade: None,
            },
            response: self.response.clone(),
            edits: StagedEdits::default(),
            entry: self.entry.clone(),
            trace: self.trace.clone(),
            hook_span: SpanId::default(),
            attempts: self.attempts,
            upstream_time: self.upstream_time,
            kept: None,
            set_upstream: self.set_upstream.clone(),
            memory: self.memory.in_common(),
        }
    }
}
