//! The decision after an attempt. Pure: the attempt's facts and 64 random bits come in, a verdict goes out.

use crate::condition::{Conditions, Outcome};

/// The rules of one use of the policy.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Tries in all, the first included; 1 to 10.
    pub attempts: u32,
    /// What is worth another try.
    pub on: Conditions,
    /// The upper end of the first delay, in milliseconds; at least 1.
    pub base_ms: u32,
    /// The upper end of every delay, in milliseconds; at least `base_ms`.
    pub cap_ms: u32,
    /// The longest `Retry-After` that is waited for, in milliseconds.
    pub retry_after_cap_ms: u32,
}

/// What the host tells about the attempt that ended.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// 1 for the first.
    pub number: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// Milliseconds until the request's deadline.
    pub remaining_ms: Option<u32>,
    /// Some request bytes reached the endpoint.
    pub sent: bool,
    /// The method is idempotent.
    pub idempotent: bool,
    /// The body can be sent again.
    pub replayable: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not this policy's business: the next one may decide.
    Abstain,
    /// This policy's business, and no retry is right.
    Deliver,
    /// Try again after this many milliseconds.
    Retry(u32),
}

impl Rules {
    /// Whether the outcome is listed; what else there is to know is asked for only then.
    pub fn concern(&self, outcome: Outcome) -> bool {
        self.on.hold(outcome)
    }

    /// Whether another attempt may be made at all, whenever.
    pub fn permit(&self, facts: &Facts) -> bool {
        facts.number < self.attempts && facts.replayable && (facts.idempotent || !facts.sent)
    }

    /// Decides; `retry_after` is the response's field, `random` uniform bits.
    pub fn decide(&self, facts: &Facts, retry_after: Option<&str>, random: u64) -> Verdict {
        if !self.concern(facts.outcome) {
            return Verdict::Abstain;
        }
        if !self.permit(facts) {
            return Verdict::Deliver;
        }
        let asked_ms = retry_after
            .and_then(delta_seconds)
            .unwrap_or(0)
            .saturating_mul(1_000);
        if asked_ms > u64::from(self.retry_after_cap_ms) {
            return Verdict::Deliver;
        }
        // The jitter comes on top: callers that were all told the same second must not all come in it.
        let delay_ms = asked_ms + u64::from(self.backoff_ms(facts.number, random));
        match u32::try_from(delay_ms) {
            // At the deadline there is no time left for the attempt itself.
            Ok(delay_ms)
                if facts
                    .remaining_ms
                    .is_none_or(|remaining_ms| delay_ms < remaining_ms) =>
            {
                Verdict::Retry(delay_ms)
            }
            _ => Verdict::Deliver,
        }
    }

    /// Full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015): uniform in
    /// 0 ..= min(cap, base × 2^(n-1)) milliseconds after attempt `number` n.
    pub fn backoff_ms(&self, number: u32, random: u64) -> u32 {
        let doubled = u64::from(self.base_ms) << number.saturating_sub(1).min(31);
        let window = doubled.min(u64::from(self.cap_ms)) + 1;
        // The high half of a 128-bit product scales the bits without a modulo's bias.
        let scaled = (u128::from(random) * u128::from(window)) >> 64;
        u32::try_from(scaled).unwrap_or(self.cap_ms)
    }
}

/// `Retry-After` as delta-seconds (RFC 9110, 10.2.3). A date is passed over: it would need the upstream's clock.
fn delta_seconds(value: &str) -> Option<u64> {
    let value = value.trim();
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than fit are longer than any cap.
    digits.then(|| value.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
