//! What a request carries with it: nothing, or where its spans are noted.

use std::collections::BTreeSet;
use std::fmt;
use std::mem;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use http::HeaderMap;
use http::header::HeaderValue;

use super::context::{TRACEPARENT, TRACESTATE, TraceContext};
use super::facts::{AttemptFacts, Ending, RequestFacts, Span};
use super::spans::{AttemptSpan, PolicySpan, SpanId};
use super::tracestate;
use crate::telemetry::otlp::TraceQueue;
use crate::wasm::Phase;

/// Spans of one request below its server span; further ones are left out and counted.
const MAX_SPANS: usize = 128;

/// One request's trace; a pointer, and nothing for one that is not sampled. It is exported when its last copy is gone.
#[derive(Clone, Default)]
pub struct RequestTrace(Option<Arc<Sampled>>);

/// The trace of a request that is sampled.
pub(super) struct Sampled {
    /// Of the server span.
    context: TraceContext,
    queue: Arc<TraceQueue>,
    trace: Mutex<Option<Box<Trace>>>,
}

/// All that was noted of a request.
pub(in crate::telemetry) struct Trace {
    pub(super) context: TraceContext,
    /// The span of the caller, if it said so.
    pub(super) parent: Option<SpanId>,
    /// Lines of `tracestate`.
    pub(super) state: Vec<HeaderValue>,
    /// Both at once, so that later instants have a date.
    pub(super) started: (SystemTime, Instant),
    pub(super) request: RequestFacts,
    pub(super) ending: Option<(Instant, Ending)>,
    pub(super) spans: Vec<Span>,
    /// Spans that were left out.
    pub(super) omitted: u64,
    /// Names of query parameters whose values are not shown.
    pub(super) redact: Arc<BTreeSet<String>>,
}

impl fmt::Debug for RequestTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_sampled() { "sampled" } else { "none" })
    }
}

impl RequestTrace {
    pub(super) fn sampled(trace: Trace, queue: Arc<TraceQueue>) -> Self {
        Self(Some(Arc::new(Sampled {
            context: trace.context,
            queue,
            trace: Mutex::new(Some(Box::new(trace))),
        })))
    }

    /// Whether anything is noted.
    pub fn is_sampled(&self) -> bool {
        self.0.is_some()
    }

    /// Puts the server span's `traceparent` in place of the client's; who the client is and what the request is called
    /// is settled.
    pub(super) fn admit(&self, id: &str, client: SocketAddr, headers: &mut HeaderMap) {
        let parent = TraceContext::of(headers);
        let context = match (&self.0, parent) {
            (Some(sampled), _) => {
                sampled.note(|trace| {
                    id.clone_into(&mut trace.request.request_id);
                    trace.request.client = client;
                });
                sampled.context
            }
            (None, Some(parent)) => parent.next(rand::random(), false),
            (None, None) => TraceContext::begin(rand::random(), rand::random(), false),
        };
        if headers.contains_key(TRACESTATE) && (parent.is_none() || !tracestate::is_sound(headers))
        {
            headers.remove(TRACESTATE);
        }
        // A map that is full stays as it is: its receiver refuses a head of 32,768 fields.
        let _ = headers.try_insert(TRACEPARENT, context.to_field());
    }

    /// An attempt begins.
    pub fn attempt(&self, facts: impl FnOnce() -> AttemptFacts) -> AttemptSpan {
        let parent = self.server_span();
        self.attempt_of(parent, facts)
    }

    /// A request that a policy sends in its hook begins.
    pub fn outcall(&self, hook: SpanId, facts: impl FnOnce() -> AttemptFacts) -> AttemptSpan {
        let parent = if hook.is_none() {
            self.server_span()
        } else {
            hook
        };
        self.attempt_of(parent, facts)
    }

    fn attempt_of(&self, parent: SpanId, facts: impl FnOnce() -> AttemptFacts) -> AttemptSpan {
        match &self.0 {
            Some(sampled) => AttemptSpan::begin(sampled.clone(), parent, facts()),
            None => AttemptSpan::default(),
        }
    }

    /// A policy is asked.
    pub fn policy(&self, policy: &Arc<str>, phase: Phase) -> PolicySpan {
        match &self.0 {
            Some(sampled) => PolicySpan::begin(sampled.clone(), self.server_span(), policy, phase),
            None => PolicySpan::default(),
        }
    }

    /// A policy's hook is not called, as its circuit is open.
    pub fn not_called(&self, policy: &Arc<str>, phase: Phase) {
        self.policy(policy, phase).not_called();
    }

    /// The response's body has ended, or nobody waits for it any more.
    pub fn end(&self, ending: impl FnOnce() -> Ending) {
        if let Some(sampled) = &self.0 {
            let ending = (Instant::now(), ending());
            sampled.note(|trace| trace.ending = Some(ending));
        }
    }

    fn server_span(&self) -> SpanId {
        let sampled = self.0.as_ref();
        sampled.map_or_else(SpanId::default, |sampled| SpanId(sampled.context.span_id))
    }
}

impl Sampled {
    /// Where a span of that id is.
    pub(super) fn context_of(&self, span: SpanId) -> TraceContext {
        self.context.next(span.0, true)
    }

    pub(super) fn add(&self, span: Span) {
        self.note(|trace| {
            if trace.spans.len() < MAX_SPANS {
                trace.spans.push(span);
            } else {
                trace.omitted += 1;
            }
        });
    }

    fn note(&self, note: impl FnOnce(&mut Trace)) {
        if let Some(trace) = self.trace().as_mut() {
            note(trace);
        }
    }

    fn trace(&self) -> MutexGuard<'_, Option<Box<Trace>>> {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sampled {
    fn drop(&mut self) {
        if let Some(trace) = mem::take(&mut *self.trace()) {
            self.queue.push(trace);
        }
    }
}

impl Trace {
    /// How many spans it has, and how many were left out.
    pub(in crate::telemetry) fn size(&self) -> (u64, u64) {
        (1 + self.spans.len() as u64, self.omitted)
    }
}
