//! Why a call has no answer: what the policy is told, and what it means for the connection.

use deadpool_redis::redis::{ErrorKind, RedisError};

use crate::wasm::bindings::portcullis::capability::redis::Error;

/// A call without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// How the policy may take it.
    pub(super) class: FailureClass,
    /// What becomes of the connection.
    pub(super) link: LinkFate,
}

/// Whether a connection is used further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkFate {
    /// It is as good as another.
    Kept,
    /// Another may be better: its answer is late, or its server should be left. One that is new is kept, since the
    /// last replacement has not helped.
    Doubted,
    /// It can't be used.
    Broken,
}

/// The cases of the contract that a server can cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FailureClass {
    /// The server can't be reached, or can't serve for now.
    Unavailable(String),
    /// No answer within the deadline.
    TimedOut,
    /// The server refuses this call.
    Server(String),
}

impl Failure {
    /// The connection stays.
    pub(super) fn unavailable(reason: impl Into<String>) -> Self {
        Self {
            class: FailureClass::Unavailable(reason.into()),
            link: LinkFate::Kept,
        }
    }

    /// What does not answer is not asked again.
    pub(super) fn timed_out() -> Self {
        Self {
            class: FailureClass::TimedOut,
            link: LinkFate::Doubted,
        }
    }

    /// What the library says of a call, or of an attempt to connect. No text that it takes over holds a password.
    pub(super) fn of(error: RedisError, is_cluster: bool) -> Self {
        if error.is_timeout() {
            return Self::timed_out();
        }
        let kind = error.kind();
        let text = error.to_string();
        if let Some(errors) = error.into_server_errors()
            && let Some((_, error)) = errors.first()
        {
            return Self::of_server(error.code(), error.details(), is_cluster);
        }
        match kind {
            ErrorKind::AuthenticationFailed => {
                Self::unavailable("the server refused the login: check username and password")
            }
            ErrorKind::MasterNameNotFoundBySentinel => {
                Self::unavailable("no Sentinel names a master of that name which is up")
            }
            ErrorKind::Io | ErrorKind::Parse => Self {
                class: FailureClass::Unavailable(text),
                link: LinkFate::Broken,
            },
            ErrorKind::ClusterConnectionNotFound => Self::unavailable(text),
            _ => Self::refused(text),
        }
    }

    /// An error that the server answered. Codes: Redis' `server.c`, `shared.*err`.
    fn of_server(code: &str, details: Option<&str>, is_cluster: bool) -> Self {
        let text = match details {
            Some(details) => format!("{code} {details}"),
            None => code.to_owned(),
        };
        match code {
            // It will serve again without our doing.
            "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "BUSY" => {
                Self::unavailable(text)
            }
            // It was demoted, or it has forgotten who we are: a new connection finds the new master, or logs in.
            "READONLY" | "NOAUTH" => Self {
                class: FailureClass::Unavailable(text),
                link: LinkFate::Doubted,
            },
            "MOVED" | "ASK" if is_cluster => Self::unavailable(text),
            "MOVED" | "ASK" => Self::refused(format!(
                "{text}: the server is a node of a cluster: name it in cluster, not in url"
            )),
            "CROSSSLOT" => Self::refused(format!(
                "{text}: give the keys one hash tag, such as the {{a}} of {{a}}:1 and {{a}}:2"
            )),
            // Such as OOM, MISCONF, NOREPLICAS and NOPERM: other calls may well be served.
            _ => Self::refused(text),
        }
    }

    fn refused(reason: String) -> Self {
        Self {
            class: FailureClass::Server(reason),
            link: LinkFate::Kept,
        }
    }

    /// The same of an attempt to connect: whatever the server said, it can't be used.
    pub(super) fn of_connection(self) -> Self {
        Self::unavailable(format!("cannot connect: {}", self.reason()))
    }

    /// Whether the server answered, if only with an error about this call.
    pub(super) fn is_answer(&self) -> bool {
        matches!(self.class, FailureClass::Server(_))
    }

    /// For a line of the log.
    pub(super) fn reason(&self) -> &str {
        match &self.class {
            FailureClass::Unavailable(reason) | FailureClass::Server(reason) => reason,
            FailureClass::TimedOut => "no answer in time",
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure.class {
            FailureClass::Unavailable(reason) => Self::Unavailable(reason),
            FailureClass::TimedOut => Self::TimedOut,
            FailureClass::Server(reason) => Self::Server(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use deadpool_redis::redis::{Value, parse_redis_value};

    use super::*;

    fn answered(line: &str, is_cluster: bool) -> Failure {
        let value = parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        Failure::of(Value::extract_error(value).unwrap_err(), is_cluster)
    }

    #[test]
    fn errors_of_a_server_by_their_code() {
        let table = [
            (
                "LOADING Redis is loading the dataset in memory",
                true,
                LinkFate::Kept,
            ),
            (
                "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
                true,
                LinkFate::Kept,
            ),
            ("CLUSTERDOWN The cluster is down", true, LinkFate::Kept),
            (
                "TRYAGAIN Multiple keys request during rehashing of slot",
                true,
                LinkFate::Kept,
            ),
            (
                "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
                true,
                LinkFate::Kept,
            ),
            (
                "READONLY You can't write against a read only replica.",
                true,
                LinkFate::Doubted,
            ),
            ("NOAUTH Authentication required.", true, LinkFate::Doubted),
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                false,
                LinkFate::Kept,
            ),
            (
                "MISCONF Redis is configured to save RDB snapshots",
                false,
                LinkFate::Kept,
            ),
            (
                "NOPERM User gateway has no permissions to run the 'set' command",
                false,
                LinkFate::Kept,
            ),
            (
                "WRONGTYPE Operation against a key holding the wrong kind of value",
                false,
                LinkFate::Kept,
            ),
            ("NOSCRIPT No matching script.", false, LinkFate::Kept),
            (
                "ERR value is not an integer or out of range",
                false,
                LinkFate::Kept,
            ),
        ];
        for (line, is_unavailable, link) in table {
            let text = line.to_owned();
            let class = if is_unavailable {
                FailureClass::Unavailable(text)
            } else {
                FailureClass::Server(text)
            };
            assert_eq!(answered(line, false), Failure { class, link }, "{line}");
        }
    }

    #[test]
    fn errors_of_clusters_say_what_to_do() {
        let moved = "MOVED 866 127.0.0.1:7001";
        assert_eq!(answered(moved, true), Failure::unavailable(moved));
        let hint = "the server is a node of a cluster: name it in cluster, not in url";
        assert_eq!(answered(moved, false).reason(), format!("{moved}: {hint}"));
        let cross = "CROSSSLOT Keys in request don't hash to the same slot";
        let hint = "give the keys one hash tag, such as the {a} of {a}:1 and {a}:2";
        assert_eq!(answered(cross, true).reason(), format!("{cross}: {hint}"));
        assert!(answered(cross, true).is_answer());
    }

    #[test]
    fn a_connection_that_is_broken_or_late_is_replaced() {
        let reset = RedisError::from(io::Error::from(io::ErrorKind::ConnectionReset));
        let failure = Failure::of(reset, false);
        assert!(failure.link == LinkFate::Broken && !failure.is_answer());
        let late = RedisError::from(io::Error::from(io::ErrorKind::TimedOut));
        assert_eq!(Failure::of(late, false), Failure::timed_out());
        let refused = RedisError::from((ErrorKind::AuthenticationFailed, "no"));
        let reason = "the server refused the login: check username and password";
        assert_eq!(Failure::of(refused, false).reason(), reason);
    }
}
