//! Spans that are under way. One that is dropped without an end was given up with its request.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;

use super::context::TRACEPARENT;
use super::facts::{AttemptEnd, AttemptFacts, HookEnd, HookFacts, Span, What};
use super::request_trace::Sampled;
use crate::policy::verdict::VerdictName;
use crate::wasm::Phase;
use crate::wasm::fault::Fault;

/// Names a span within its trace; the default is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpanId(pub(super) u64);

impl SpanId {
    /// Whether it names nothing.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    fn random() -> Self {
        Self(rand::random::<u64>().max(1))
    }
}

/// Where a span that is under way belongs.
struct Place {
    sampled: Arc<Sampled>,
    id: SpanId,
    parent: SpanId,
    start: Instant,
}

impl Place {
    fn new(sampled: Arc<Sampled>, parent: SpanId) -> Self {
        Self {
            sampled,
            id: SpanId::random(),
            parent,
            start: Instant::now(),
        }
    }

    fn end(&self, what: What) {
        self.sampled.add(Span {
            id: self.id,
            parent: self.parent,
            start: self.start,
            end: Instant::now(),
            what,
        });
    }
}

/// A request to an endpoint that is under way; a pointer, and nothing where nothing is noted.
#[derive(Default)]
pub struct AttemptSpan(Option<Box<OpenAttempt>>);

struct OpenAttempt {
    place: Place,
    facts: Option<AttemptFacts>,
    end: AttemptEnd,
}

impl AttemptSpan {
    pub(super) fn begin(sampled: Arc<Sampled>, parent: SpanId, facts: AttemptFacts) -> Self {
        Self(Some(Box::new(OpenAttempt {
            place: Place::new(sampled, parent),
            facts: Some(facts),
            end: AttemptEnd::Cancelled,
        })))
    }

    /// Tells the endpoint of it, unless the field was removed on the way here.
    pub fn sign(&self, headers: &mut HeaderMap) {
        if let Some(open) = &self.0
            && let Some(field) = headers.get_mut(TRACEPARENT)
        {
            *field = open.place.sampled.context_of(open.place.id).to_field();
        }
    }

    /// It has ended.
    pub fn end(self, end: impl FnOnce() -> AttemptEnd) {
        if let Some(mut open) = self.0 {
            open.end = end();
        }
    }
}

impl Drop for OpenAttempt {
    fn drop(&mut self) {
        if let Some(facts) = self.facts.take() {
            self.place.end(What::Attempt(facts, self.end));
        }
    }
}

/// A hook of a policy that is under way; a pointer, and nothing where nothing is noted.
#[derive(Default)]
pub struct PolicySpan(Option<Box<OpenHook>>);

struct OpenHook {
    place: Place,
    hook: Option<(HookFacts, HookEnd)>,
}

impl PolicySpan {
    pub(super) fn begin(
        sampled: Arc<Sampled>,
        parent: SpanId,
        policy: &Arc<str>,
        phase: Phase,
    ) -> Self {
        let facts = HookFacts {
            policy: policy.clone(),
            phase: phase.name(),
        };
        Self(Some(Box::new(OpenHook {
            place: Place::new(sampled, parent),
            hook: Some((facts, HookEnd::Cancelled)),
        })))
    }

    /// Its name within the trace.
    pub fn id(&self) -> SpanId {
        let open = self.0.as_ref();
        open.map_or_else(SpanId::default, |open| open.place.id)
    }

    /// The hook has ended so.
    pub fn end<V: VerdictName>(self, answer: &Result<V, Fault>) {
        self.end_as(|| match answer {
            Ok(verdict) => HookEnd::Verdict(verdict.name()),
            Err(fault) => HookEnd::Fault(fault.kind(), fault.to_string()),
        });
    }

    /// The hook was not called.
    pub(super) fn not_called(self) {
        self.end_as(|| HookEnd::NotCalled);
    }

    fn end_as(self, end: impl FnOnce() -> HookEnd) {
        if let Some(mut open) = self.0
            && let Some((_, given_up)) = &mut open.hook
        {
            *given_up = end();
        }
    }
}

impl Drop for OpenHook {
    fn drop(&mut self) {
        if let Some((facts, end)) = self.hook.take() {
            self.place.end(What::Hook(facts, end));
        }
    }
}
