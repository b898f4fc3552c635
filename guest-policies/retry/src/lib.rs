//! Retries of failed attempts with full-jitter backoff.
//!
//! This file ties the decision to the gateway, which bounds it: budget, deadline, replay.

pub mod condition;
pub mod config;
pub mod decide;

use portcullis_sdk::{
    Attempt, AttemptVerdict, ConfigProblem, EndpointChoice, Exchange, Failure as HostFailure,
    Manifest, OnAttempt, Plan, Policy, Response, random,
};

use condition::{Failure, Outcome};
use config::Config;
use decide::{Facts, Rules, Verdict};

/// The policy with its config.
#[derive(Debug)]
pub struct Retry {
    rules: Rules,
    endpoint: EndpointChoice,
    try_timeout_ms: Option<u32>,
}

impl Policy for Retry {
    type Config = Config;

    const MANIFEST: Manifest = Manifest {
        name: "retry",
        version: env!("CARGO_PKG_VERSION"),
        description: "Retries failed attempts with full-jitter backoff",
        annotations: &[],
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
        })
    }
}

impl OnAttempt for Retry {
    fn on_attempt(
        &self,
        _: &Exchange,
        last: Attempt,
        response: Option<&Response>,
    ) -> Result<AttemptVerdict, String> {
        let facts = Facts {
            number: last.number,
            outcome: outcome(last.failure, response),
            remaining_ms: last.remaining_ms,
            sent: last.sent,
            idempotent: last.idempotent,
            replayable: last.replayable,
        };
        let verdict = if self.rules.concern(facts.outcome) && self.rules.permit(&facts) {
            let retry_after = response.and_then(|response| response.header("retry-after"));
            self.rules
                .decide(&facts, retry_after.as_deref(), random::next())
        } else {
            self.rules.decide(&facts, None, 0)
        };
        Ok(match verdict {
            Verdict::Abstain => AttemptVerdict::Abstain,
            Verdict::Deliver => AttemptVerdict::Deliver,
            Verdict::Retry(delay_ms) => AttemptVerdict::Retry(Plan {
                delay_ms,
                endpoint: self.endpoint,
                try_timeout_ms: self.try_timeout_ms,
            }),
        })
    }
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
