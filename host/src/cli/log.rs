//! `portcullis log`: which lines a running gateway writes, shown and changed.

use http::Method;
use serde_json::{Value, json};

use super::control_client::{Call, ControlArguments, text};

const PATH: &str = "/api/v1/log";

/// Which lines are to be written.
#[derive(Debug, clap::Args)]
pub(super) struct Log {
    /// A level (off, error, warn, info, debug or trace) for all, and MODULE=LEVEL for modules, with commas between them;
    /// without it the present filter is shown
    filter: Option<String>,
    /// How long, such as 10m, at most 24h; for good if left out, but not beyond the end of the process
    #[arg(long = "for", value_name = "TIME", requires = "filter")]
    lasts: Option<String>,
    /// Back to what RUST_LOG or the config says
    #[arg(long, conflicts_with = "filter")]
    reset: bool,
    #[command(flatten)]
    gateway: ControlArguments,
}

/// Prints the filter in force, after a change if one is asked for.
pub(super) async fn log(asked: &Log) -> Result<(), String> {
    let call = match (&asked.filter, asked.reset) {
        (Some(filter), _) => {
            let mut change = json!({ "filter": filter });
            if let Some(lasts) = &asked.lasts {
                change["for"] = Value::from(lasts.as_str());
            }
            Call {
                method: Method::PUT,
                ..Call::post(PATH, &change)
            }
        }
        (None, true) => Call {
            method: Method::DELETE,
            ..Call::get(PATH)
        },
        (None, false) => Call::get(PATH),
    };
    let status = asked.gateway.call(call).await?;
    if asked.gateway.json {
        println!("{status:#}");
        return Ok(());
    }
    let (filter, source) = (text(&status["filter"]), text(&status["source"]));
    match status["until"].as_str() {
        Some(until) => {
            let configured = text(&status["configured"]);
            println!("{filter} (by {source}, until {until}, then {configured})");
        }
        None => println!("{filter} (by {source})"),
    }
    Ok(())
}
