//! The gateway's own log: lines on standard error, for people or as JSON, filtered by module and level.

mod levels;
mod line;
mod queue;

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use portcullis_config::{Log, LogFilter, LogFormat};
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{fmt, registry, reload};

pub use self::levels::{Levels, LevelsReading};
use self::line::LineForm;
use self::queue::LineQueue;
pub(super) use self::queue::dropped;

/// Goes before what the config says.
const VARIABLE: &str = "RUST_LOG";
/// How long the last lines of a process may take.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The log of this process, once it is started.
static STARTED: OnceLock<Started> = OnceLock::new();

struct Started {
    levels: Levels,
    form: LineForm,
    queue: LineQueue,
}

/// Starts the log of the process; a second call changes nothing. The config can be told to it later.
pub fn start(format: LogFormat) {
    let Ok(queue) = LineQueue::start(std::io::stderr()) else {
        eprintln!("portcullis: there is no thread to be had for the log, so there is none");
        return;
    };
    let (environment, complaint) = environment();
    let form = LineForm::new(is_json(format));
    let first = environment.clone().unwrap_or_default();
    let (filter, handle) = reload::Layer::new(levels::targets(&first));
    let lines = fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .event_format(form.clone())
        .with_writer(queue.clone());
    let subscriber = registry().with(lines.and_then(filter));
    // Tests start several gateways in one process.
    if subscriber.try_init().is_err() {
        return;
    }
    let levels = Levels::new(environment, move |filter| {
        // Fails only where the subscriber is gone, with the process.
        let _ = handle.reload(filter);
    });
    let _ = STARTED.set(Started {
        levels,
        form,
        queue,
    });
    if let Some(complaint) = complaint {
        tracing::warn!("{VARIABLE} is left aside: {complaint}");
    }
}

/// The log is as the config says, where nothing else goes before it. Nothing happens where no log was started.
pub fn configure(config: &Log) {
    if let Some(started) = STARTED.get() {
        started.form.set_json(is_json(config.format));
        started.levels.configure(config.filter.clone());
    }
}

/// Which lines this process writes, if its log was started.
pub fn levels() -> Option<&'static Levels> {
    STARTED.get().map(|started| &started.levels)
}

/// Waits for the last lines of the process, but not for long.
pub fn finish() {
    if let Some(started) = STARTED.get() {
        started.queue.flush(LAST_LINES);
    }
}

fn is_json(format: LogFormat) -> bool {
    match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Human => false,
        LogFormat::Json => true,
    }
}

/// What the environment says, and what is wrong with it.
fn environment() -> (Option<LogFilter>, Option<String>) {
    let said = std::env::var(VARIABLE).unwrap_or_default();
    if said.is_empty() {
        return (None, None);
    }
    match said.parse() {
        Ok(filter) => (Some(filter), None),
        Err(error) => (None, Some(error)),
    }
}
