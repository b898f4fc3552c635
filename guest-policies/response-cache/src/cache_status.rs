//! What the cache tells of itself in `Cache-Status` (RFC 9211).

/// The name under which it does.
const NAME: &str = "portcullis";

/// The field.
pub const FIELD: &str = "cache-status";

/// Why a request went to the upstream (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// The cache had nothing to do with it.
    Bypass,
    /// The method is not one that it answers.
    Method,
    /// Nothing is kept of the resource.
    UriMiss,
    /// Something is kept, and of none with these request fields.
    VaryMiss,
    /// What is kept would do, and the request doesn't want it.
    Request,
    /// What is kept is stale.
    Stale,
}

/// In the order of their numbers.
const FORWARDS: [(Forward, &str); 6] = [
    (Forward::Bypass, "bypass"),
    (Forward::Method, "method"),
    (Forward::UriMiss, "uri-miss"),
    (Forward::VaryMiss, "vary-miss"),
    (Forward::Request, "request"),
    (Forward::Stale, "stale"),
];

impl Forward {
    /// Its word.
    pub fn name(self) -> &'static str {
        FORWARDS[self.number()].1
    }

    /// For the exchange's state.
    pub fn number(self) -> usize {
        FORWARDS
            .iter()
            .position(|(forward, _)| *forward == self)
            .unwrap_or_default()
    }

    /// The other way round.
    pub fn from_number(number: u64) -> Option<Self> {
        let (forward, _) = FORWARDS.get(usize::try_from(number).ok()?)?;
        Some(*forward)
    }
}

/// It has answered; `remaining_s` is what is left of the lifetime, negative for a stale response.
pub fn hit(remaining_s: i64) -> String {
    format!("{NAME}; hit; ttl={remaining_s}")
}

/// The upstream was asked.
pub fn forwarded(forward: Forward) -> String {
    format!("{NAME}; fwd={}", forward.name())
}

/// The upstream's answer is kept.
pub fn stored(forward: Forward, remaining_s: i64) -> String {
    format!("{NAME}; fwd={}; stored; ttl={remaining_s}", forward.name())
}

/// The upstream was asked and answered with this status; what is kept was sent.
pub fn reused(forward: Forward, status: u16, remaining_s: i64) -> String {
    format!(
        "{NAME}; fwd={}; fwd-status={status}; ttl={remaining_s}",
        forward.name()
    )
}

/// The request wants nothing but what is kept, and nothing is.
pub fn refused() -> String {
    format!("{NAME}; detail=only-if-cached")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards_survive_the_state() {
        for (number, (forward, _)) in FORWARDS.iter().enumerate() {
            assert_eq!(forward.number(), number);
            assert_eq!(Forward::from_number(number as u64), Some(*forward));
        }
        assert_eq!(Forward::from_number(6), None);
    }

    #[test]
    fn members_are_those_of_rfc_9211() {
        assert_eq!(hit(30), "portcullis; hit; ttl=30");
        assert_eq!(forwarded(Forward::VaryMiss), "portcullis; fwd=vary-miss");
        assert_eq!(
            stored(Forward::UriMiss, 60),
            "portcullis; fwd=uri-miss; stored; ttl=60"
        );
        assert_eq!(
            reused(Forward::Stale, 304, 60),
            "portcullis; fwd=stale; fwd-status=304; ttl=60"
        );
    }
}
