//! `log`: a policy's messages go to the gateway's log, under its name.

use std::time::Instant;

use tracing::Level as TracingLevel;

use super::log_budget::Leave;
use crate::wasm::bindings::portcullis::capability::log::{Host, Level};
use crate::wasm::state::HostState;

/// Longer messages are cut: a policy's line must not drown the others.
const MAX_MESSAGE_BYTES: usize = 4096;
/// Fields of one line that are kept.
const MAX_FIELDS: usize = 16;
/// Bytes of a field's name or value that are kept.
const MAX_FIELD_BYTES: usize = 256;
/// Lines of one hook that are kept: there is only so much room on their way to standard error.
const MAX_LINES: usize = 32;

/// Target of policies' lines in the gateway's log; filter with `RUST_LOG=policy=debug`.
const TARGET: &str = "policy";

impl Host for HostState {
    fn enabled(&mut self, level: Level) -> wasmtime::Result<bool> {
        self.called()?;
        Ok(is_enabled(level))
    }

    fn log(
        &mut self,
        level: Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        self.called()?;
        if !is_enabled(level) || !self.may_log() {
            return Ok(());
        }
        let message = one_line(&message, MAX_MESSAGE_BYTES);
        let fields = render(&fields);
        let (policy, route) = (&*self.capabilities.policy, &*self.capabilities.route);
        match level {
            Level::Trace => tracing::trace!(target: TARGET, policy, route, fields, "{message}"),
            Level::Debug => tracing::debug!(target: TARGET, policy, route, fields, "{message}"),
            Level::Info => tracing::info!(target: TARGET, policy, route, fields, "{message}"),
            Level::Warn => tracing::warn!(target: TARGET, policy, route, fields, "{message}"),
            Level::Error => tracing::error!(target: TARGET, policy, route, fields, "{message}"),
        }
        Ok(())
    }
}

impl HostState {
    /// Whether the hook and the use may log another line. Says how many were dropped, once they may again.
    fn may_log(&mut self) -> bool {
        self.log_lines += 1;
        let allowed = self.log_lines <= MAX_LINES;
        let Some(budget) = &self.capabilities.log else {
            return allowed;
        };
        let Leave::Granted { dropped } = budget.take(allowed, Instant::now()) else {
            return false;
        };
        if dropped > 0 {
            let (policy, route) = (&*self.capabilities.policy, &*self.capabilities.route);
            let most = budget.per_second;
            tracing::warn!(
                target: TARGET,
                policy,
                route,
                "{dropped} lines were dropped: a hook may log {MAX_LINES}, and limits.log_lines allows {most} a second"
            );
        }
        true
    }
}

fn is_enabled(level: Level) -> bool {
    match level {
        Level::Trace => tracing::enabled!(target: TARGET, TracingLevel::TRACE),
        Level::Debug => tracing::enabled!(target: TARGET, TracingLevel::DEBUG),
        Level::Info => tracing::enabled!(target: TARGET, TracingLevel::INFO),
        Level::Warn => tracing::enabled!(target: TARGET, TracingLevel::WARN),
        Level::Error => tracing::enabled!(target: TARGET, TracingLevel::ERROR),
    }
}

/// The beginning of a guest's text. A line stays a line, whatever the policy writes.
pub fn one_line(message: &str, max_bytes: usize) -> String {
    let mut end = message.len().min(max_bytes);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message[..end].replace(char::is_control, " ")
}

fn render(fields: &[(String, String)]) -> String {
    let pairs: Vec<String> = fields
        .iter()
        .take(MAX_FIELDS)
        .map(|(name, value)| {
            let (name, value) = (
                one_line(name, MAX_FIELD_BYTES),
                one_line(value, MAX_FIELD_BYTES),
            );
            format!("{name}={value}")
        })
        .collect();
    pairs.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_stays_one_line_and_is_cut_between_characters() {
        assert_eq!(one_line("a\nb\u{1b}[31m", 100), "a b [31m");
        let long = "ü".repeat(MAX_MESSAGE_BYTES);
        assert_eq!(one_line(&long, MAX_MESSAGE_BYTES).len(), MAX_MESSAGE_BYTES);
    }
}
