//! The upstream of an exchange: how its attempts end, one after the other.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_LENGTH;

use super::case_file::{Answer, Request, Step, body_bytes};
use super::outcall_script::fields;
use super::stage::deadline;
use super::terms::NAME;
use crate::capability::clock::VirtualClock;
use crate::error::GatewayError;
use crate::exchange::{Exchange, ResponseHead, ResponseSource};
use crate::policy::verdict::{Attempt, AttemptVerdict, Failure, RetryPlan};

/// A policy that asks for more attempts has no end.
const MAX_ATTEMPTS: u32 = 100;

/// One exchange's.
pub(super) struct UpstreamScript<'a> {
    answers: &'a [Answer],
    request: &'a Request,
    /// What the clock had moved when the request came.
    pub(super) begun: Duration,
    /// Attempts that were made.
    pub(super) made: u32,
    /// Of the request's body, as the client sent it.
    pub(super) request_bytes: u64,
    /// What was asked for.
    pub(super) retries: Vec<RetryPlan>,
}

/// An attempt at its end.
pub(super) struct Ended {
    /// What the policy is told.
    pub(super) attempt: Attempt,
    /// The response, if there is one.
    pub(super) head: Option<ResponseHead>,
    /// Its body.
    pub(super) body: Bytes,
}

impl<'a> UpstreamScript<'a> {
    /// Of that step.
    pub(super) fn new(step: &'a Step, request: &'a Request, begun: Duration) -> Self {
        let body = body_bytes(request.body.as_ref(), request.json.as_ref());
        Self {
            answers: step.upstream.as_deref().unwrap_or_default(),
            request,
            begun,
            made: 0,
            request_bytes: body.map_or(0, |body| body.len() as u64),
            retries: Vec::new(),
        }
    }

    /// Makes the next attempt.
    pub(super) fn attempt(&mut self, exchange: &Exchange, clock: &VirtualClock) -> Ended {
        let default = Answer::default();
        let last = self.answers.last().unwrap_or(&default);
        let answer = self.answers.get(self.made as usize).unwrap_or(last);
        self.made += 1;
        let elapsed = answer
            .elapsed
            .map_or(Duration::ZERO, |elapsed| elapsed.get());
        clock.advance(elapsed);
        let total = clock.moved().saturating_sub(self.begun);
        let failure = answer.failure.as_deref().map(named);
        let connected = !matches!(
            failure,
            Some(
                Failure::NoEndpoint
                    | Failure::Overloaded
                    | Failure::Dns
                    | Failure::ConnectRefused
                    | Failure::ConnectTimeout
                    | Failure::Tls
            )
        );
        let body =
            Bytes::from(body_bytes(answer.body.as_ref(), answer.json.as_ref()).unwrap_or_default());
        Ended {
            attempt: Attempt {
                number: self.made,
                upstream: exchange.upstream_name().unwrap_or(NAME).into(),
                endpoint: "127.0.0.1:1".into(),
                elapsed,
                total,
                remaining: deadline(self.request).saturating_sub(total),
                sent: answer.sent.unwrap_or(connected),
                idempotent: exchange.request.method.is_idempotent(),
                replayable: self.request.replayable.unwrap_or(true),
                failure,
            },
            head: failure.is_none().then(|| head(answer, &body)),
            body,
        }
    }

    /// What the policy wants to come next, if it is another attempt.
    pub(super) fn planned(&self, verdict: AttemptVerdict) -> Option<RetryPlan> {
        match verdict {
            AttemptVerdict::Retry(plan) if self.made < MAX_ATTEMPTS => Some(plan),
            AttemptVerdict::Retry(_) | AttemptVerdict::Abstain | AttemptVerdict::Deliver => None,
        }
    }

    /// What the gateway answers where no attempt has brought a response.
    pub(super) fn error(failure: Option<Failure>) -> GatewayError {
        GatewayError::Upstream {
            upstream: NAME.into(),
            failure: failure.unwrap_or(Failure::Other),
            detail: String::new(),
        }
    }
}

fn head(answer: &Answer, body: &Bytes) -> ResponseHead {
    let mut headers = fields(&answer.headers);
    headers.entry(CONTENT_LENGTH).or_insert(body.len().into());
    let status = StatusCode::from_u16(answer.status.unwrap_or(200));
    ResponseHead {
        source: match &answer.policy {
            Some(name) => ResponseSource::Policy(name.as_str().into()),
            None => ResponseSource::Upstream,
        },
        status: status.unwrap_or_default(),
        headers,
    }
}

/// By the contract's word, which the file's check has found to be one.
fn named(word: &str) -> Failure {
    let mut all = Failure::ALL.into_iter();
    all.find(|failure| failure.name() == word)
        .unwrap_or(Failure::Other)
}
