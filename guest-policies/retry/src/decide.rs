//! The decision after an attempt. Pure: the attempt's facts and 64 random bits come in, a verdict goes out.

use crate::backoff::Backoff;
use crate::condition::{Conditions, Outcome};

/// The rules of one use of the policy.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Tries in all, the first included; 1 to 10.
    pub attempts: u32,
    /// What is worth another try.
    pub on: Conditions,
    /// How long to wait.
    pub backoff: Backoff,
    /// The longest `Retry-After` that is waited for, in milliseconds.
    pub retry_after_cap_ms: u32,
}

/// What the host tells about the attempt that ended.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// 1 for the first.
    pub number: u32,
    /// Milliseconds until the request's deadline.
    pub remaining_ms: Option<u32>,
    /// Some request bytes reached the endpoint.
    pub sent: bool,
    /// The method is idempotent, or the route allows to send it again.
    pub idempotent: bool,
    /// The body can be sent again.
    pub replayable: bool,
}

/// What the wait depends on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wait {
    /// What the response's `Retry-After` asks for, in milliseconds.
    pub asked_ms: u64,
    /// The delay before the attempt that ended, in milliseconds.
    pub last_ms: Option<u32>,
    /// Uniform bits.
    pub random: u64,
}

/// Why an attempt that is worth another is followed by none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// As many as the config allows have been made.
    AttemptsUsed,
    /// The body can't be sent again.
    NotReplayable,
    /// Bytes reached the endpoint, and the method is not idempotent.
    NotIdempotent,
    /// `Retry-After` asks for more than the cap.
    RetryAfterTooLong,
    /// The wait would reach the request's deadline.
    NoTimeLeft,
}

impl Refusal {
    /// For metrics and the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::AttemptsUsed => "attempts_used",
            Self::NotReplayable => "not_replayable",
            Self::NotIdempotent => "not_idempotent",
            Self::RetryAfterTooLong => "retry_after_too_long",
            Self::NoTimeLeft => "no_time_left",
        }
    }
}

impl Rules {
    /// Whether the outcome is listed; what else there is to know is asked for only then.
    pub fn concern(&self, outcome: Outcome) -> bool {
        self.on.hold(outcome)
    }

    /// Whether another attempt may be made at all, whenever.
    ///
    /// # Errors
    ///
    /// The first reason against it.
    pub fn permit(&self, facts: &Facts) -> Result<(), Refusal> {
        if facts.number >= self.attempts {
            Err(Refusal::AttemptsUsed)
        } else if !facts.replayable {
            Err(Refusal::NotReplayable)
        } else if facts.sent && !facts.idempotent {
            Err(Refusal::NotIdempotent)
        } else {
            Ok(())
        }
    }

    /// How many milliseconds to wait, the backoff's part of them first; for facts that [`Self::permit`] allows.
    ///
    /// # Errors
    ///
    /// `RetryAfterTooLong`, and `NoTimeLeft` for a wait that reaches the deadline.
    pub fn delay(&self, facts: &Facts, wait: &Wait) -> Result<(u32, u32), Refusal> {
        if wait.asked_ms > u64::from(self.retry_after_cap_ms) {
            return Err(Refusal::RetryAfterTooLong);
        }
        let backoff_ms = self
            .backoff
            .delay_ms(facts.number, wait.last_ms, wait.random);
        // The jitter comes on top: callers that were all told the same second must not all come in it.
        let delay_ms = wait.asked_ms + u64::from(backoff_ms);
        let delay_ms = u32::try_from(delay_ms).map_err(|_| Refusal::NoTimeLeft)?;
        // At the deadline there is no time left for the attempt itself.
        match facts.remaining_ms {
            Some(remaining_ms) if delay_ms >= remaining_ms => Err(Refusal::NoTimeLeft),
            _ => Ok((backoff_ms, delay_ms)),
        }
    }
}

#[cfg(test)]
mod tests;
