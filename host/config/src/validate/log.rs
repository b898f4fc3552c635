//! The log: how its lines look, and which are written.

use super::Checks;
use crate::file::LogFile;
use crate::log::{Log, LogFilter};
use crate::part::Part;

pub(super) fn log(part: Part<LogFile>, checks: &mut Checks) -> Option<Log> {
    let file = checks.read("log", part)?;
    let format = checks.read("log.format", file.format);
    let filter = checks.text("log.filter", file.filter, str::parse::<LogFilter>);
    Some(Log {
        format: format?,
        filter: filter?,
    })
}
