//! The smoke call: a use of a policy is tried once before it may serve, in the compile child.
//!
//! A fresh instance under the use's limits, and `on-request` with a request that nobody sent, where the
//! policy exports it. What the policy may use has no effect: `kv` is an empty space of its own, `redis` and
//! `outcall` answer `unavailable`, log lines and metrics go nowhere. Secrets are those that are granted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, Method};
use portcullis_config::Secret;
use wasmtime::component::Resource;

use super::message::Trial;
use crate::capability::Capabilities;
use crate::capability::kv::KvSpaces;
use crate::capability::outcall::OutcallGrant;
use crate::capability::redis::{RedisBinding, RedisGrant};
use crate::client_body::ClientBody;
use crate::exchange::{Exchange, RequestHead};
use crate::head::Origin;
use crate::policy::lent_body::LentBody;
use crate::policy::verdict::Failure;
use crate::route::Route;
use crate::route::destination::Target;
use crate::telemetry::policy_use::LimitCounter;
use crate::upstream::outcall::OutcallError;
use crate::wasm::fault::Fault;
use crate::wasm::outcall_desk::{self, Sender};
use crate::wasm::policy::Policy;
use crate::wasm::sandbox::Sandbox;
use crate::wasm::state::THE_ONE;
use crate::wasm::{Phase, body_desk};

/// Where the request claims to go; RFC 6761 keeps `.invalid` from ever being a host.
const AUTHORITY: &str = "smoke.invalid";
/// What the hook may take: more than `limits.time`, since the machine may be busy with traffic.
pub(super) const SMOKE_TIME: Duration = Duration::from_secs(10);
/// Room of its scratch space of keys, whatever is granted.
const KV_BYTES: usize = 16 << 20;
/// Name of the route and the policy that it is told.
const NAME: &str = "smoke";

/// What the call may use.
pub(super) fn capabilities(trial: &Trial) -> Capabilities {
    let kv = trial.kv.then(|| {
        let spaces = KvSpaces::default();
        let space = spaces.open(NAME);
        spaces.settle(&[(NAME.to_owned(), KV_BYTES)].into());
        space
    });
    let redis = trial.redis_scripts.map(|scripts| {
        let binding = Arc::new(RedisBinding::unavailable());
        RedisGrant::new(binding, String::new(), scripts)
    });
    let outcall = trial.outcall.as_ref().map(|outcall| OutcallGrant {
        upstreams: targets(&outcall.upstreams),
        series: Vec::new(),
        calls: outcall.calls,
        body_bytes: outcall.body_bytes,
        refused_calls: LimitCounter::nowhere(),
        refused_bodies: LimitCounter::nowhere(),
    });
    let secrets = trial.secrets.iter();
    Capabilities {
        policy: NAME.into(),
        route: NAME.into(),
        log: None,
        kv,
        redis,
        metrics: None,
        upstreams: targets(&trial.upstreams),
        secrets: secrets
            .map(|(name, value)| (name.clone(), Secret::new(value)))
            .collect(),
        outcall,
        ..Capabilities::default()
    }
}

fn targets(names: &[String]) -> Vec<Target> {
    let target = |(place, name): (usize, &String)| Target {
        // Behind the route's own.
        place: place + 1,
        name: name.as_str().into(),
    };
    names.iter().enumerate().map(target).collect()
}

/// Tries the use; why it may not serve otherwise.
pub(super) async fn call(policy: &Policy) -> Result<(), String> {
    let mut sandbox = Sandbox::new(policy, 0, 0);
    let state = sandbox.store.data_mut();
    state.lend(exchange(), Phase::OnRequest);
    let (bodies, outcalls) = (state.desk.clone(), state.outcall_desk.clone());
    let mut body = ClientBody::Empty;
    let mut lent = LentBody::Request(&mut body);
    let refused = |_| Err(OutcallError::Failed(Failure::Other));
    let called = on_request(policy, &mut sandbox);
    let called = outcall_desk::serve(outcalls.as_deref(), Sender::Stub(&refused), called);
    let called = body_desk::serve(bodies.as_deref(), &mut lent, called);
    let fault = match tokio::time::timeout(SMOKE_TIME, called).await {
        // An answer in good order, whatever it says of a request that is none.
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => Fault::from_error(&error, sandbox.store.data().limiter.refused),
        Err(_) => Fault::Deadline(SMOKE_TIME),
    };
    Err(fault.to_string())
}

/// Makes the instance, and calls the hook where it is exported.
async fn on_request(policy: &Policy, sandbox: &mut Sandbox) -> wasmtime::Result<()> {
    let instance = sandbox.instance(policy).await?;
    let Some(hook) = &policy.hooks.on_request else {
        return Ok(());
    };
    let guest = hook.load(&mut sandbox.store, &instance)?;
    let lent = Resource::new_borrow(THE_ONE);
    let answer = guest.call_on_request(&mut sandbox.store, lent).await?;
    // An error is an answer too.
    drop(answer);
    Ok(())
}

fn exchange() -> Box<Exchange> {
    let started = Instant::now();
    let mut headers = HeaderMap::new();
    headers.insert(
        http::header::HOST,
        http::HeaderValue::from_static(AUTHORITY),
    );
    let request = RequestHead {
        method: Method::GET,
        target: http::uri::PathAndQuery::from_static("/"),
        headers,
        accepts_trailers: false,
        upgrade: None,
    };
    let origin = Origin {
        address: ([127, 0, 0, 1], 1).into(),
        scheme: "http",
    };
    let route = Arc::new(Route::bare(NAME, SMOKE_TIME));
    Box::new(Exchange::new(
        "0".repeat(32),
        origin,
        route,
        request,
        started,
    ))
}
