//! The validated log: in which form its lines are, and which are written.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The gateway's own log, on standard error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Log {
    /// Default [`LogFormat::Auto`].
    pub format: LogFormat,
    /// Default [`LogFilter::default`].
    pub filter: LogFilter,
}

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Human on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Human,
    /// An object on each line.
    Json,
}

/// What is written: the least level of each module and of all others, such as `warn,portcullis=info,policy=debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter {
    /// Of all that no module of `modules` covers; `off` if it is not said.
    pub others: LogLevel,
    /// By the beginning of a line's target; the longest one counts.
    pub modules: BTreeMap<String, LogLevel>,
}

/// From nothing to everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// No line.
    Off,
    /// What has failed.
    Error,
    /// What may need somebody to look.
    Warn,
    /// What has happened.
    Info,
    /// What helps to find out why.
    Debug,
    /// Everything.
    Trace,
}

/// Longer filters are refused.
const MAX_BYTES: usize = 4 << 10;

impl LogLevel {
    /// From nothing to everything.
    pub const ALL: [Self; 6] = [
        Self::Off,
        Self::Error,
        Self::Warn,
        Self::Info,
        Self::Debug,
        Self::Trace,
    ];

    /// The word in a filter.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|level| level.name().eq_ignore_ascii_case(name))
    }
}

impl Default for LogFilter {
    /// What an operator wants to know, and no library's chatter: `warn,policy=info,portcullis=info`.
    fn default() -> Self {
        let told = ["policy", "portcullis"].map(|module| (module.to_owned(), LogLevel::Info));
        Self {
            others: LogLevel::Warn,
            modules: told.into(),
        }
    }
}

impl FromStr for LogFilter {
    type Err = String;

    /// Levels and `MODULE=LEVEL`, with commas between them. The error is a whole sentence.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("longer than {MAX_BYTES} bytes"));
        }
        let (mut others, mut modules) = (None, BTreeMap::new());
        for part in text.split(',').map(str::trim) {
            let (module, level) = match part.split_once('=') {
                Some((module, level)) => (Some(module.trim()), level.trim()),
                None => (None, part),
            };
            let level = LogLevel::named(level).ok_or_else(|| unknown(part))?;
            let is_new = match module {
                None => others.replace(level).is_none(),
                Some(module) if is_module(module) => {
                    modules.insert(module.to_owned(), level).is_none()
                }
                Some(module) => return Err(format!("{module:?} is not the name of a module")),
            };
            if !is_new {
                return Err(format!("{part:?}: there is another level for the same"));
            }
        }
        Ok(Self {
            others: others.unwrap_or(LogLevel::Off),
            modules,
        })
    }
}

fn unknown(part: &str) -> String {
    let levels = LogLevel::ALL.map(LogLevel::name).join(", ");
    format!("{part:?} is neither a level nor MODULE=LEVEL; levels are {levels}")
}

/// Such as `portcullis::upstream`.
fn is_module(name: &str) -> bool {
    let letter = |letter: char| letter.is_ascii_alphanumeric() || "_-:".contains(letter);
    !name.is_empty() && name.chars().all(letter)
}

impl fmt::Display for LogFilter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.others.name())?;
        for (module, level) in &self.modules {
            write!(formatter, ",{module}={}", level.name())?;
        }
        Ok(())
    }
}
