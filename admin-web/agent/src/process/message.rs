//! What an agent and a keeper tell each other: a line each.

use std::fmt;
use std::str::FromStr;

use rustix::process::Signal;

/// From the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The service's process gets its stop signal.
    Stop,
    /// All that is left of the service gets SIGKILL.
    Kill,
}

/// From the keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    /// The service's program has begun; its process is this.
    Started(u32),
    /// It has ended.
    Ended(Ending),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// A line that is no message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no message of a keeper or to one: {0:?}")]
pub(crate) struct NoMessage(String);

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stop => "stop",
            Self::Kill => "kill",
        })
    }
}

impl FromStr for Order {
    type Err = NoMessage;

    fn from_str(line: &str) -> Result<Self, NoMessage> {
        match line {
            "stop" => Ok(Self::Stop),
            "kill" => Ok(Self::Kill),
            _ => Err(NoMessage(line.to_owned())),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started(pid) => write!(f, "started {pid}"),
            Self::Ended(Ending::Code(code)) => write!(f, "code {code}"),
            Self::Ended(Ending::Signal(signal)) => write!(f, "signal {signal}"),
        }
    }
}

impl FromStr for Report {
    type Err = NoMessage;

    fn from_str(line: &str) -> Result<Self, NoMessage> {
        let read = |(word, number): (&str, &str)| match word {
            "started" => number.parse().ok().map(Self::Started),
            "code" => number
                .parse()
                .ok()
                .map(|code| Self::Ended(Ending::Code(code))),
            "signal" => number
                .parse()
                .ok()
                .map(|signal| Self::Ended(Ending::Signal(signal))),
            _ => None,
        };
        line.split_once(' ')
            .and_then(read)
            .ok_or_else(|| NoMessage(line.to_owned()))
    }
}

/// For people: `exit code 1`, `SIGKILL`.
impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => match Signal::from_named_raw(*signal) {
                Some(signal) => {
                    // rustix gives no other name than this: "Signal::KILL".
                    let name = format!("{signal:?}");
                    let name = name.trim_matches('"').trim_start_matches("Signal::");
                    write!(f, "SIG{name}")
                }
                None => write!(f, "signal {signal}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_way() {
        for order in [Order::Stop, Order::Kill] {
            assert_eq!(order.to_string().parse(), Ok(order));
        }
        let ended = [Ending::Code(0), Ending::Code(255), Ending::Signal(9)];
        for report in ended
            .map(Report::Ended)
            .into_iter()
            .chain([Report::Started(4_711)])
        {
            assert_eq!(report.to_string().parse(), Ok(report));
        }
        for line in ["", "started", "started x", "code ", "stopp"] {
            assert!(line.parse::<Report>().is_err(), "{line:?}");
            assert!(line.parse::<Order>().is_err(), "{line:?}");
        }
    }

    #[test]
    fn endings_are_told_by_name() {
        assert_eq!(Ending::Code(3).to_string(), "exit code 3");
        assert_eq!(Ending::Signal(9).to_string(), "SIGKILL");
        assert_eq!(Ending::Signal(11).to_string(), "SIGSEGV");
        assert_eq!(Ending::Signal(40).to_string(), "signal 40");
    }
}
