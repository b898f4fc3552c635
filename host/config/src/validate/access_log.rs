//! The access log: where its lines go, and what they may tell.

use std::collections::BTreeSet;
use std::path::Path;

use http::HeaderName;

use super::{Checks, all};
use crate::access_log::{AccessLog, LogTarget};
use crate::file::AccessLogFile;
use crate::part::Part;
use crate::path::join_index;

const PATH: &str = "access_log";

pub(super) fn access_log(
    part: Part<AccessLogFile>,
    base: &Path,
    checks: &mut Checks,
) -> Option<AccessLog> {
    let file = checks.read(PATH, part)?;
    let target = checks
        .read("access_log.path", file.path)
        .map(|path| target(&path, base));
    let sample = checks.read("access_log.sample", file.sample);
    let headers = names("access_log.headers", file.headers, checks, |name| {
        HeaderName::try_from(name).map_err(|_| format!("\"{name}\" is not a header field's name"))
    });
    let redact = names("access_log.redact", file.redact, checks, |name| {
        if name.is_empty() {
            return Err("expected the name of a query parameter or header field".to_owned());
        }
        Ok(name.to_lowercase())
    });
    let always = AccessLog::ALWAYS_REDACTED.map(str::to_owned);
    Some(AccessLog {
        target: target?,
        sample: sample?,
        headers: headers?,
        redact: BTreeSet::from_iter(redact?.into_iter().chain(always)),
    })
}

fn target(path: &str, base: &Path) -> LogTarget {
    match path {
        "stdout" => LogTarget::Stdout,
        "stderr" => LogTarget::Stderr,
        path => LogTarget::File(base.join(path)),
    }
}

fn names<T>(
    path: &str,
    part: Part<Vec<Part<String>>>,
    checks: &mut Checks,
    read: impl Fn(&str) -> Result<T, String>,
) -> Option<Vec<T>> {
    let parts = checks.read(path, part)?.into_iter().enumerate();
    all(parts.map(|(index, part)| checks.text(&join_index(path, index), part, &read)))
}
