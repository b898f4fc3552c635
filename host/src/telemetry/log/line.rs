//! How a line looks: for people, or as an object of JSON. Which of them can be said when the config is known.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{Format, FormatEvent, FormatFields, Full, Json, Writer};
use tracing_subscriber::registry::LookupSpan;

/// Writes lines in the one way or the other.
#[derive(Clone)]
pub(super) struct LineForm {
    is_json: Arc<AtomicBool>,
    human: Format<Full>,
    json: Format<Json>,
}

impl LineForm {
    pub(super) fn new(is_json: bool) -> Self {
        Self {
            is_json: Arc::new(AtomicBool::new(is_json)),
            human: Format::default(),
            // Fields beside time, level and target; libraries have spans, the gateway has none.
            json: Format::default()
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false),
        }
    }

    /// From the next line on.
    pub(super) fn set_json(&self, is_json: bool) {
        self.is_json.store(is_json, Ordering::Relaxed);
    }
}

impl<S, N> FormatEvent<S, N> for LineForm
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match self.is_json.load(Ordering::Relaxed) {
            true => self.json.format_event(context, writer, event),
            false => self.human.format_event(context, writer, event),
        }
    }
}
