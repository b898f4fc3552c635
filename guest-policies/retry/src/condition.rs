//! Which outcomes of an attempt are worth another one.

/// Why an attempt brought no response, in the groups that a config names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection came about: no endpoint, DNS, refused, connect timeout, TLS.
    Connect,
    /// A connection broke before the response's head: send error, reset, protocol error.
    Reset,
    /// The response's head did not come in time.
    Timeout,
    /// Anything else, such as the host's own overload: never retried, it would add to the load.
    Other,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Without a response.
    Failed(Failure),
    /// With a response of this status.
    Status(u16),
    /// With a gRPC status in the response's head: one without messages (gRPC over HTTP/2, "Trailers-Only").
    Grpc(u8),
}

/// One word of the config's `on` list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// This kind of failure.
    Failed(Failure),
    /// Every status from the first to the last.
    Statuses(u16, u16),
    /// This gRPC status.
    Grpc(u8),
}

/// A set of conditions; small enough to be copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    connect: bool,
    reset: bool,
    timeout: bool,
    /// One bit for each status from [`FIRST_STATUS`] on.
    statuses: [u64; 4],
    /// One bit for each gRPC status.
    grpc: u32,
}

/// The gRPC statuses that may be transient, by the numbers of gRPC's `statuscodes.md`.
const GRPC: [(&str, u8); 7] = [
    ("grpc_cancelled", 1),
    ("grpc_unknown", 2),
    ("grpc_deadline_exceeded", 4),
    ("grpc_resource_exhausted", 8),
    ("grpc_aborted", 10),
    ("grpc_internal", 13),
    ("grpc_unavailable", 14),
];

/// Statuses below are successes and redirects: a retry would repeat what worked.
pub const FIRST_STATUS: u16 = 400;
/// The last status of the server error class.
pub const LAST_STATUS: u16 = 599;

impl Condition {
    /// Reads a word: `connect_failure`, `reset`, `timeout`, `gateway_errors`, `4xx`, `5xx`, a status from 400 to 599, or a gRPC
    /// status such as `grpc_unavailable`.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "connect_failure" => Self::Failed(Failure::Connect),
            "reset" => Self::Failed(Failure::Reset),
            "timeout" => Self::Failed(Failure::Timeout),
            "gateway_errors" => Self::Statuses(502, 504),
            "4xx" => Self::Statuses(400, 499),
            "5xx" => Self::Statuses(500, LAST_STATUS),
            other => return Self::grpc(other).or_else(|| Self::digits(other)),
        })
    }

    /// A single status from 400 to 599.
    pub fn status(status: u16) -> Option<Self> {
        (FIRST_STATUS..=LAST_STATUS)
            .contains(&status)
            .then_some(Self::Statuses(status, status))
    }

    fn grpc(word: &str) -> Option<Self> {
        let (_, code) = GRPC.iter().find(|(name, _)| *name == word)?;
        Some(Self::Grpc(*code))
    }

    fn digits(word: &str) -> Option<Self> {
        let status = word.parse().ok().filter(|_| word.len() == 3)?;
        Self::status(status)
    }
}

impl Conditions {
    /// Whether `outcome` is worth another attempt.
    pub fn hold(&self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Failed(Failure::Connect) => self.connect,
            Outcome::Failed(Failure::Reset) => self.reset,
            Outcome::Failed(Failure::Timeout) => self.timeout,
            Outcome::Failed(Failure::Other) => false,
            Outcome::Status(status) => {
                bit(status).is_some_and(|(word, mask)| self.statuses[word] & mask != 0)
            }
            Outcome::Grpc(code) => code < 32 && self.grpc & (1 << code) != 0,
        }
    }

    /// Whether a gRPC status is among them: only then is one looked for.
    pub fn want_grpc(&self) -> bool {
        self.grpc != 0
    }

    fn insert(&mut self, condition: Condition) {
        match condition {
            Condition::Failed(Failure::Connect) => self.connect = true,
            Condition::Failed(Failure::Reset) => self.reset = true,
            Condition::Failed(Failure::Timeout) => self.timeout = true,
            Condition::Failed(Failure::Other) => {}
            Condition::Statuses(first, last) => {
                for (word, mask) in (first..=last).filter_map(bit) {
                    self.statuses[word] |= mask;
                }
            }
            Condition::Grpc(code) => self.grpc |= 1 << code,
        }
    }
}

impl FromIterator<Condition> for Conditions {
    fn from_iter<T: IntoIterator<Item = Condition>>(conditions: T) -> Self {
        let mut set = Self::default();
        conditions
            .into_iter()
            .for_each(|condition| set.insert(condition));
        set
    }
}

fn bit(status: u16) -> Option<(usize, u64)> {
    let index = (FIRST_STATUS..=LAST_STATUS)
        .contains(&status)
        .then(|| usize::from(status - FIRST_STATUS))?;
    Some((index / 64, 1 << (index % 64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(words: &[&str]) -> Conditions {
        words
            .iter()
            .map(|word| Condition::parse(word).unwrap())
            .collect()
    }

    #[test]
    fn each_word_holds_for_its_outcomes_only() {
        use Failure::{Connect, Other, Reset, Timeout};
        let outcomes = [Connect, Reset, Timeout, Other]
            .map(Outcome::Failed)
            .into_iter();
        let outcomes = outcomes.chain((0..700).map(Outcome::Status));
        let outcomes: Vec<_> = outcomes.chain((0..=255).map(Outcome::Grpc)).collect();
        let table: [(&str, &dyn Fn(Outcome) -> bool); 10] = [
            ("connect_failure", &|o| o == Outcome::Failed(Connect)),
            ("reset", &|o| o == Outcome::Failed(Reset)),
            ("timeout", &|o| o == Outcome::Failed(Timeout)),
            ("gateway_errors", &|o| {
                matches!(o, Outcome::Status(502..=504))
            }),
            ("4xx", &|o| matches!(o, Outcome::Status(400..=499))),
            ("5xx", &|o| matches!(o, Outcome::Status(500..=599))),
            ("400", &|o| o == Outcome::Status(400)),
            ("599", &|o| o == Outcome::Status(599)),
            ("grpc_cancelled", &|o| o == Outcome::Grpc(1)),
            ("grpc_unavailable", &|o| o == Outcome::Grpc(14)),
        ];
        for (word, expected) in table {
            for &outcome in &outcomes {
                assert_eq!(
                    conditions(&[word]).hold(outcome),
                    expected(outcome),
                    "{word} {outcome:?}"
                );
            }
        }
    }

    #[test]
    fn conditions_add_up_and_none_holds_for_nothing() {
        let both = conditions(&["reset", "503", "429"]);
        assert!(both.hold(Outcome::Failed(Failure::Reset)) && both.hold(Outcome::Status(503)));
        assert!(both.hold(Outcome::Status(429)) && !both.hold(Outcome::Status(502)));
        assert!(!conditions(&[]).hold(Outcome::Status(503)));
    }

    #[test]
    fn other_words_are_refused() {
        for word in [
            "",
            "200",
            "399",
            "600",
            "0503",
            "+50",
            "50",
            "5XX",
            "3xx",
            "retriable",
            "503 ",
            "grpc_ok",
            "grpc_14",
        ] {
            assert_eq!(Condition::parse(word), None, "{word}");
        }
    }
}
