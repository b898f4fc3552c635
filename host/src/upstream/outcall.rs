//! Requests of policies' own: one attempt at an upstream, whose answer is read whole.
//!
//! The endpoint is balanced, the circuit counts the request and outlier detection hears of it, as of a route's
//! attempts. Nothing is tried again but what an idle connection has lost, and no redirect is followed.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use portcullis_config::LoadBalancing;

use super::Upstream;
use super::attempt;
use super::attempts::{
    Outcome, described, ended, no_endpoint, report, says_of_endpoint, sends_again,
};
use super::balance::key;
use super::body::{RequestBody, UpstreamBody};
use super::connection::EndpointPool;
use super::moment::Moment;
use super::permit::Permit;
use super::pools::Wish;
use crate::head::fields;
use crate::policy::verdict::{EndpointChoice, Failure};
use crate::telemetry::outcall::OutcallSeries;
use crate::telemetry::trace::{AttemptSpan, RequestTrace, SpanId};
use crate::worker::Revision;

/// A request, and on which terms it is sent.
pub struct Outcall {
    /// The policy that sends it.
    pub policy: Arc<str>,
    /// What is measured of its requests to this upstream; `None`: nothing.
    pub series: Option<Arc<OutcallSeries>>,
    /// The place of the upstream in the snapshot.
    pub upstream: usize,
    /// As it goes out, but for the host.
    pub request: Request<Bytes>,
    /// The client on whose request the policy works, for upstreams that hash by it.
    pub client: IpAddr,
    /// The longest that the policy would wait.
    pub timeout: Duration,
    /// Bytes of the answer's body that it would take.
    pub max_body: usize,
    /// Where its span is noted, below that of the hook.
    pub trace: (RequestTrace, SpanId),
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Final status.
    pub status: StatusCode,
    /// End-to-end fields.
    pub headers: HeaderMap,
    /// All of it.
    pub body: Vec<u8>,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcallError {
    /// The attempt has failed, or what it brought broke off.
    Failed(Failure),
    /// The answer's body is larger than the policy may have.
    TooLarge,
}

impl OutcallError {
    /// The stable name, in metrics and for the policy.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed(failure) => failure.name(),
            Self::TooLarge => "too-large",
        }
    }
}

/// Sends the request and reads the answer. Who drops this gives the request up, with its connection and its
/// place in the circuit.
pub async fn send(revision: &Revision, outcall: Outcall) -> Result<Answer, OutcallError> {
    let mut underway = Underway {
        outcall: &outcall,
        started: Instant::now(),
        outcome: "cancelled",
    };
    let upstream = &revision.snapshot.upstreams[outcall.upstream];
    let deadline = underway.started + upstream.attempt_timeout.min(outcall.timeout);
    let exchange = exchange(revision, upstream, &outcall, underway.started, deadline);
    let answer = match tokio::time::timeout_at(deadline.into(), exchange).await {
        Ok(ended) => ended,
        Err(_) => Err(OutcallError::Failed(Failure::ResponseTimeout)),
    };
    underway.outcome = match &answer {
        Ok(answer) => class(answer.status),
        Err(error) => error.name(),
    };
    answer
}

/// Counts a request when it has ended, or is given up.
struct Underway<'a> {
    outcall: &'a Outcall,
    started: Instant,
    outcome: &'static str,
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        if let Some(series) = &self.outcall.series {
            series.ended(self.outcome, self.started.elapsed());
        }
    }
}

async fn exchange(
    revision: &Revision,
    upstream: &Upstream,
    outcall: &Outcall,
    started: Instant,
    deadline: Instant,
) -> Result<Answer, OutcallError> {
    let wish = Wish {
        choice: EndpointChoice::Any,
        last: None,
        key: match &upstream.live.config.load_balancing {
            LoadBalancing::Hash(by) => key::hash(by, outcall.request.headers(), outcall.client),
            _ => None,
        },
        now: Moment::at(started),
    };
    let Some(pool) = revision.upstreams[outcall.upstream].pick(&wish) else {
        return Err(OutcallError::Failed(no_endpoint(upstream).failure));
    };
    let (trace, hook) = &outcall.trace;
    let span = trace.outcall(*hook, || {
        let (method, target) = (outcall.request.method(), outcall.request.uri());
        described(&upstream.name, &pool, 1, method, target.clone())
    });
    let outcome = attempt(upstream, &pool, outcall, deadline, &span).await;
    span.end(|| ended(&outcome));
    // A policy that waits less than the operator would says nothing of the endpoint.
    let hasty = outcall.timeout < upstream.attempt_timeout && is_late(&outcome);
    if let Some(succeeded) = says_of_endpoint(&outcome).filter(|_| !hasty) {
        report(upstream, &pool, succeeded);
    }
    match outcome {
        Ok(response) => read(response, outcall.max_body).await,
        Err(error) => {
            let (policy, failure) = (&*outcall.policy, error.failure.name());
            tracing::debug!(policy, failure, "outcall failed: {}", error.detail);
            Err(OutcallError::Failed(error.failure))
        }
    }
}

fn is_late(outcome: &Outcome) -> bool {
    let late = |failure| matches!(failure, Failure::ConnectTimeout | Failure::ResponseTimeout);
    outcome.as_ref().is_err_and(|error| late(error.failure))
}

async fn attempt(
    upstream: &Upstream,
    pool: &Rc<EndpointPool>,
    outcall: &Outcall,
    deadline: Instant,
    span: &AttemptSpan,
) -> Outcome {
    let deadline = deadline.into();
    let permit = Permit::take(pool, &upstream.live.config.circuit, deadline).await?;
    let connect_timeout = upstream.connect_timeout;
    let send = || {
        let mut request = outcall.request.clone().map(RequestBody::Whole);
        span.sign(request.headers_mut());
        attempt::send(pool, request, None, connect_timeout, deadline)
    };
    let mut outcome = send().await;
    let again = |error| sends_again(error, outcall.request.method());
    if outcome.as_ref().is_err_and(again) {
        outcome = Box::pin(send()).await;
    }
    let tunnel_idle = upstream.live.config.timeouts.tunnel_idle;
    outcome.map(|response| response.map(|body| body.with(permit, tunnel_idle)))
}

async fn read(response: Response<UpstreamBody>, max: usize) -> Result<Answer, OutcallError> {
    let (mut parts, body) = response.into_parts();
    fields::remove_hop_by_hop(&mut parts.headers);
    let announced = body.size_hint().lower();
    if announced > max as u64 {
        return Err(OutcallError::TooLarge);
    }
    let mut whole = Vec::with_capacity(usize::try_from(announced).unwrap_or_default());
    let mut body = pin!(body);
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|_| OutcallError::Failed(Failure::Reset))?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        if data.len() > max - whole.len() {
            return Err(OutcallError::TooLarge);
        }
        whole.extend_from_slice(data);
    }
    Ok(Answer {
        status: parts.status,
        headers: parts.headers,
        body: whole,
    })
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}
