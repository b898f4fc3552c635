//! `mock-service load`: what it may be told.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::mix::{Mix, NoWeight};
use super::pattern::Pattern;
use super::target::Target;

/// What is asked for unless `--path` says otherwise: the sample config's route, mostly well, sometimes flaky, slow, large or wrong.
const PATHS: [(&str, f64); 5] = [
    ("/api/service1/hello", 80.0),
    ("/api/service1/flaky", 6.0),
    ("/api/service1/delay/40", 8.0),
    ("/api/service1/bytes/20000", 4.0),
    ("/api/service1/status/404", 2.0),
];

/// Send requests at a rate that does not follow the answers; a line each second and a summary at the end.
#[derive(Debug, Clone, Args)]
pub struct LoadArguments {
    /// Where requests go; several take turns.
    #[arg(
        long = "target",
        value_name = "URL",
        default_value = "http://127.0.0.1:8080"
    )]
    pub targets: Vec<Target>,
    /// Requests a second on the average.
    #[arg(long, value_name = "RATE", default_value_t = 200.0, value_parser = parse_rate)]
    pub rate: f64,
    /// How the rate goes up and down.
    #[arg(long, value_enum, default_value_t = PatternName::Steady)]
    pub pattern: PatternName,
    /// How long a day of the diurnal pattern takes.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub day: Duration,
    /// How many values of x-api-key there are; the nth comes an nth as often as the first. 0: no such header.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub keys: u32,
    /// A path, and how often it comes in proportion to others (1 if left out); may be repeated.
    #[arg(long = "path", value_name = "PATH=WEIGHT", value_parser = parse_path)]
    pub paths: Vec<(String, f64)>,
    /// How many requests may be under way; those that are due meanwhile are skipped, and counted.
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub connections: u32,
    /// How long an answer may take.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub timeout: Duration,
    /// How long to go on; without it, until Ctrl-C or SIGTERM.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// The same seed, the same requests at the same times.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// The patterns by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PatternName {
    /// The rate stays.
    Steady,
    /// Of each ten seconds the first two have half of the requests.
    Burst,
    /// A day of some minutes, from six in the morning.
    Diurnal,
}

impl LoadArguments {
    /// How the rate goes up and down.
    pub(super) fn pattern(&self) -> Pattern {
        match self.pattern {
            PatternName::Steady => Pattern::Steady,
            PatternName::Burst => Pattern::Burst,
            PatternName::Diurnal => Pattern::Diurnal(self.day),
        }
    }

    /// Which requests come.
    ///
    /// # Errors
    /// With a remedy.
    pub(super) fn mix(&self) -> Result<Mix, String> {
        let paths = if self.paths.is_empty() {
            PATHS
                .map(|(path, weight)| (path.to_owned(), weight))
                .to_vec()
        } else {
            self.paths.clone()
        };
        Mix::try_new(paths, self.keys as usize)
            .map_err(|NoWeight| "give one --path a weight above 0".to_owned())
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text
        .parse()
        .ok()
        .filter(|rate| (0.001..=1e6).contains(rate));
    rate.ok_or_else(|| "expected requests a second, from 0.001 to 1000000".to_owned())
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).ok();
    duration
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "expected a duration such as 500ms, 10s or 5m".to_owned())
}

fn parse_path(text: &str) -> Result<(String, f64), String> {
    let weighted = text
        .rsplit_once('=')
        .and_then(|(path, weight)| Some((path, weight.parse().ok()?)));
    let (path, weight): (&str, f64) = weighted.unwrap_or((text, 1.0));
    let is_path = path.starts_with('/') && path.parse::<http::uri::PathAndQuery>().is_ok();
    if is_path && weight.is_finite() && weight >= 0.0 {
        Ok((path.to_owned(), weight))
    } else {
        Err("expected a path and its weight, such as /hello=3".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_weights() {
        let table = [
            ("/a", ("/a", 1.0)),
            ("/a=0.5", ("/a", 0.5)),
            ("/a?b=c", ("/a?b=c", 1.0)),
            ("/a?b=c=2", ("/a?b=c", 2.0)),
        ];
        for (text, (path, weight)) in table {
            assert_eq!(parse_path(text), Ok((path.to_owned(), weight)));
        }
        for text in ["", "a", "/a b", "/a=-1", "/a=inf", "http://a/"] {
            assert!(parse_path(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn rates_and_durations_are_above_nothing() {
        assert_eq!(parse_rate("0.5"), Ok(0.5));
        for text in ["0", "-1", "nan", "inf", "1e9", "x"] {
            assert!(parse_rate(text).is_err(), "{text:?}");
        }
        assert_eq!(parse_duration("1m 5s"), Ok(Duration::from_secs(65)));
        for text in ["0s", "5", "-1s", ""] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }
}
