//! Retries of failed attempts with a jittered backoff.
//!
//! This file ties the decision to the gateway, which bounds it: budget, deadline, replay.

pub mod backoff;
pub mod condition;
pub mod config;
pub mod decide;
pub mod retry_after;

use portcullis_sdk::{
    Attempt, AttemptVerdict, ConfigProblem, EndpointChoice, Exchange, Failure as HostFailure,
    Manifest, OnAttempt, Plan, Policy, Response, clock, log, metrics, random,
};

use backoff::Jitter;
use condition::{FIRST_STATUS, Failure, Outcome};
use config::{Config, Mark};
use decide::{Facts, Refusal, Rules, Wait};
use retry_after::RetryAfter;

/// Outcomes from here on are counted although they are not listed: an answer below is none that a retry could better.
const FIRST_SERVER_ERROR: u16 = 500;

/// The policy with its config.
#[derive(Debug)]
pub struct Retry {
    rules: Rules,
    mark: Option<Mark>,
    endpoint: EndpointChoice,
    try_timeout_ms: Option<u32>,
}

impl Policy for Retry {
    type Config = Config;

    const MANIFEST: Manifest = Manifest {
        name: "retry",
        version: env!("CARGO_PKG_VERSION"),
        description: "Retries failed attempts with a jittered backoff",
        annotations: &[("optional-imports", "metrics")],
    };

    fn configure(config: Config) -> Result<Self, Vec<ConfigProblem>> {
        Ok(Self {
            rules: config.rules()?,
            endpoint: if config.other_endpoint {
                EndpointChoice::OtherEndpoint
            } else {
                EndpointChoice::Any
            },
            try_timeout_ms: config
                .attempt_timeout
                .map(|timeout| timeout.as_millis_u32()),
            mark: config.on_header,
        })
    }
}

impl OnAttempt for Retry {
    fn on_attempt(
        &self,
        exchange: &Exchange,
        last: Attempt,
        response: Option<&Response>,
    ) -> Result<AttemptVerdict, String> {
        let outcome = outcome(last.failure, response);
        if !self.concern(outcome, response) {
            if is_error(outcome) {
                count("not_retriable");
            }
            return Ok(AttemptVerdict::Abstain);
        }
        let decided = self.decide(exchange, &last, response);
        report(&last, &decided);
        Ok(match decided {
            Err(_) => AttemptVerdict::Deliver,
            Ok(delay_ms) => AttemptVerdict::Retry(Plan {
                delay_ms,
                endpoint: self.endpoint,
                try_timeout_ms: self.try_timeout_ms,
            }),
        })
    }
}

impl Retry {
    /// Whether this outcome is worth another attempt. A success that is none of gRPC's costs no look at its fields.
    fn concern(&self, outcome: Outcome, response: Option<&Response>) -> bool {
        let (Outcome::Status(status), Some(response)) = (outcome, response) else {
            return self.rules.concern(outcome);
        };
        if self.rules.concern(outcome) {
            return true;
        }
        if status >= FIRST_STATUS {
            return self.mark.as_ref().is_some_and(|mark| bears(response, mark));
        }
        self.rules.on.want_grpc()
            && response
                .header("grpc-status")
                .and_then(|code| code.parse().ok())
                .is_some_and(|code| self.rules.concern(Outcome::Grpc(code)))
    }

    /// How many milliseconds to wait before the next attempt.
    fn decide(
        &self,
        exchange: &Exchange,
        last: &Attempt,
        response: Option<&Response>,
    ) -> Result<u32, Refusal> {
        let facts = Facts {
            number: last.number,
            remaining_ms: last.remaining_ms,
            sent: last.sent,
            idempotent: last.idempotent,
            replayable: last.replayable,
        };
        self.rules.permit(&facts)?;
        let remembers = self.rules.backoff.jitter == Jitter::Decorrelated;
        let wait = Wait {
            asked_ms: asked_ms(response),
            last_ms: remembers.then(|| last_delay_ms(exchange)).flatten(),
            random: random::next(),
        };
        let (backoff_ms, delay_ms) = self.rules.delay(&facts, &wait)?;
        if remembers {
            exchange.set_state(&backoff_ms.to_le_bytes());
        }
        Ok(delay_ms)
    }
}

fn asked_ms(response: Option<&Response>) -> u64 {
    let field = response.and_then(|response| response.header("retry-after"));
    let asked = field.as_deref().and_then(RetryAfter::parse);
    asked.map_or(0, |asked| asked.delay_ms(|| clock::unix_us() / 1_000))
}

/// The backoff before the attempt that has ended; none before the first.
fn last_delay_ms(exchange: &Exchange) -> Option<u32> {
    let state = exchange.get_state()?;
    Some(u32::from_le_bytes(state.try_into().ok()?))
}

fn bears(response: &Response, mark: &Mark) -> bool {
    response.header(&mark.name).is_some_and(|found| {
        mark.value
            .as_ref()
            .is_none_or(|value| found.trim().eq_ignore_ascii_case(value))
    })
}

fn is_error(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Failed(_) => true,
        Outcome::Status(status) => status >= FIRST_SERVER_ERROR,
        Outcome::Grpc(_) => false,
    }
}

fn report(last: &Attempt, decided: &Result<u32, Refusal>) {
    let outcome = decided.map_or_else(Refusal::name, |_| "retried");
    count(outcome);
    if log::enabled(log::Level::Debug) {
        let milliseconds =
            |ms: Option<u32>| ms.map_or_else(|| "none".to_owned(), |ms| ms.to_string());
        let fields = [
            ("outcome", outcome),
            ("attempt", &last.number.to_string()),
            ("endpoint", &last.endpoint),
            ("delay_ms", &milliseconds(decided.ok())),
            ("remaining_ms", &milliseconds(last.remaining_ms)),
        ];
        log::debug("an attempt failed", &fields);
    }
}

fn count(outcome: &str) {
    metrics::count("retry.decisions", 1.0, &[("outcome", outcome)]);
}

fn outcome(failure: Option<HostFailure>, response: Option<&Response>) -> Outcome {
    use HostFailure as Host;
    match (failure, response) {
        (None, Some(response)) => Outcome::Status(response.status()),
        (None, None) => Outcome::Failed(Failure::Other),
        (Some(failure), _) => Outcome::Failed(match failure {
            Host::NoEndpoint
            | Host::Dns
            | Host::ConnectRefused
            | Host::ConnectTimeout
            | Host::Tls => Failure::Connect,
            Host::Send | Host::Reset | Host::Protocol => Failure::Reset,
            Host::ResponseTimeout => Failure::Timeout,
            Host::Overloaded | Host::Other => Failure::Other,
        }),
    }
}

portcullis_sdk::export!(Retry: on_attempt; config_schema = include_str!("../config.schema.json"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_fall_into_the_documented_groups() {
        for (failure, expected) in [
            (HostFailure::NoEndpoint, Failure::Connect),
            (HostFailure::Dns, Failure::Connect),
            (HostFailure::ConnectRefused, Failure::Connect),
            (HostFailure::ConnectTimeout, Failure::Connect),
            (HostFailure::Tls, Failure::Connect),
            (HostFailure::Send, Failure::Reset),
            (HostFailure::Reset, Failure::Reset),
            (HostFailure::Protocol, Failure::Reset),
            (HostFailure::ResponseTimeout, Failure::Timeout),
            (HostFailure::Overloaded, Failure::Other),
            (HostFailure::Other, Failure::Other),
        ] {
            assert_eq!(
                outcome(Some(failure), None),
                Outcome::Failed(expected),
                "{failure:?}"
            );
        }
        assert_eq!(outcome(None, None), Outcome::Failed(Failure::Other));
    }
}
