//! Which lines are written: as an operator has asked for lately, or the environment says, or the config.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use portcullis_config::{LogFilter, LogLevel};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// The filter in force, and what stands behind it.
pub struct Levels {
    state: Mutex<State>,
    /// Has the filter hold.
    apply: Box<dyn Fn(Targets) + Send + Sync>,
}

struct State {
    /// `RUST_LOG` of the environment.
    environment: Option<LogFilter>,
    config: LogFilter,
    asked: Option<Asked>,
    /// Changes so far.
    changes: u64,
}

/// What an operator has asked for.
struct Asked {
    filter: LogFilter,
    until: Option<SystemTime>,
    change: u64,
}

/// The filter at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelsReading {
    /// In force.
    pub filter: LogFilter,
    /// Who says so: `control`, `environment` or `config`.
    pub source: &'static str,
    /// When it falls back, if it does.
    pub until: Option<SystemTime>,
    /// What it falls back to.
    pub configured: LogFilter,
}

impl Levels {
    /// The environment's filter, or the default until there is a config.
    pub(super) fn new(
        environment: Option<LogFilter>,
        apply: impl Fn(Targets) + Send + Sync + 'static,
    ) -> Self {
        Self {
            state: Mutex::new(State {
                environment,
                config: LogFilter::default(),
                asked: None,
                changes: 0,
            }),
            apply: Box::new(apply),
        }
    }

    /// The config says so from now on. What was asked for stays.
    pub fn configure(&self, filter: LogFilter) {
        let mut state = self.lock();
        state.config = filter;
        self.apply(&state);
    }

    /// An operator asks for another filter at `now`, for that time or until told otherwise. The number of the change,
    /// for [`Levels::fall_back`].
    pub fn change(&self, filter: LogFilter, lasts: Option<Duration>, now: SystemTime) -> u64 {
        let mut state = self.lock();
        state.changes += 1;
        state.asked = Some(Asked {
            filter,
            until: lasts.map(|time| now + time),
            change: state.changes,
        });
        self.apply(&state);
        state.changes
    }

    /// The time of that change is over; whether it was still in force.
    pub fn fall_back(&self, change: u64) -> bool {
        let mut state = self.lock();
        let is_it = state.asked.as_ref();
        let is_it = is_it.is_some_and(|asked| asked.change == change);
        if is_it {
            state.asked = None;
            self.apply(&state);
        }
        is_it
    }

    /// Nothing is asked for any more.
    pub fn reset(&self) {
        let mut state = self.lock();
        state.asked = None;
        self.apply(&state);
    }

    /// The filter at this moment.
    pub fn reading(&self) -> LevelsReading {
        let state = self.lock();
        let configured = state.configured();
        let behind = match &state.environment {
            Some(_) => "environment",
            None => "config",
        };
        match &state.asked {
            Some(asked) => LevelsReading {
                filter: asked.filter.clone(),
                source: "control",
                until: asked.until,
                configured,
            },
            None => LevelsReading {
                filter: configured.clone(),
                source: behind,
                until: None,
                configured,
            },
        }
    }

    fn apply(&self, state: &State) {
        let asked = state.asked.as_ref().map(|asked| asked.filter.clone());
        (self.apply)(targets(&asked.unwrap_or_else(|| state.configured())));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn configured(&self) -> LogFilter {
        let environment = self.environment.clone();
        environment.unwrap_or_else(|| self.config.clone())
    }
}

/// The filter as tracing takes it.
pub(super) fn targets(filter: &LogFilter) -> Targets {
    let modules = filter.modules.iter();
    let modules = modules.map(|(module, least)| (module.clone(), level(*least)));
    Targets::new()
        .with_default(level(filter.others))
        .with_targets(modules)
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn filter(text: &str) -> LogFilter {
        text.parse().unwrap()
    }

    /// With what was applied last.
    fn levels(environment: Option<&str>) -> (Levels, Arc<Mutex<String>>) {
        let applied = Arc::<Mutex<String>>::default();
        let seen = applied.clone();
        let apply = move |targets: Targets| *seen.lock().unwrap() = targets.to_string();
        (Levels::new(environment.map(filter), apply), applied)
    }

    fn in_force(levels: &Levels) -> (String, &'static str) {
        let reading = levels.reading();
        (reading.filter.to_string(), reading.source)
    }

    #[test]
    fn the_environment_goes_before_the_config_and_an_operator_before_both() {
        let (plain, applied) = levels(None);
        plain.configure(filter("error"));
        assert_eq!(in_force(&plain), ("error".to_owned(), "config"));
        assert_eq!(*applied.lock().unwrap(), "error");
        let (levels, applied) = levels(Some("debug"));
        levels.configure(filter("error"));
        assert_eq!(in_force(&levels), ("debug".to_owned(), "environment"));
        levels.change(filter("off,policy=trace"), None, SystemTime::UNIX_EPOCH);
        let asked = ("off,policy=trace".to_owned(), "control");
        assert_eq!(in_force(&levels), asked);
        levels.configure(filter("warn"));
        assert_eq!(in_force(&levels), asked);
        assert!(applied.lock().unwrap().contains("policy=trace"));
        levels.reset();
        assert_eq!(in_force(&levels), ("debug".to_owned(), "environment"));
        assert_eq!(*applied.lock().unwrap(), "debug");
    }

    #[test]
    fn a_change_falls_back_when_its_time_is_over_and_a_later_one_does_not() {
        let (levels, applied) = levels(None);
        let now = SystemTime::UNIX_EPOCH;
        let minute = Duration::from_mins(1);
        let first = levels.change(filter("debug"), Some(minute), now);
        assert_eq!(levels.reading().until, Some(now + minute));
        let second = levels.change(filter("trace"), Some(minute), now);
        assert!(!levels.fall_back(first));
        assert_eq!(in_force(&levels), ("trace".to_owned(), "control"));
        assert!(levels.fall_back(second));
        let default = LogFilter::default().to_string();
        assert_eq!(in_force(&levels), (default, "config"));
        assert!(applied.lock().unwrap().contains("portcullis=info"));
    }
}
