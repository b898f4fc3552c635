//! What becomes of a GET or HEAD: an answer from the store, or a question to the upstream (RFC 9111 §4).

use portcullis_sdk::{Exchange, FieldOp, RequestVerdict};

use crate::answer;
use crate::cache_control::Directives;
use crate::cache_status::{self, Forward};
use crate::fields::Fields;
use crate::record::{Body, Entry, Record};
use crate::reuse::{self, Reuse};
use crate::state::{Kept, Question, State};
use crate::store::Failure;
use crate::{ResponseCache, count, fail, now_ms, pass, validation, variant};

/// What the store has for a request.
enum Found {
    Entry(Kept),
    Nothing(Forward),
}

impl ResponseCache {
    /// Answers the request, or lets it go on.
    pub(crate) fn look_up(
        &self,
        exchange: &Exchange,
        key: String,
        fields: Fields,
        is_head: bool,
    ) -> Result<RequestVerdict, String> {
        let now_ms = now_ms();
        let directives = self.requests.directives(&fields);
        let (forward, kept) = match self.find(&key, &fields, now_ms) {
            Err(failure) => {
                fail(&failure);
                return Ok(refused(&directives).unwrap_or_else(|| pass(exchange, Forward::UriMiss)));
            }
            Ok(Found::Nothing(forward)) => (forward, None),
            Ok(Found::Entry(kept)) => {
                let reuse = reuse::decide(&kept.entry.freshness, &directives, now_ms);
                match self.answered(&kept.entry, reuse, &fields, now_ms) {
                    Ok(verdict) => return Ok(verdict),
                    Err(forward) => (forward, Some(kept)),
                }
            }
        };
        if let Some(refusal) = refused(&directives) {
            return Ok(refusal);
        }
        if is_head {
            count("miss");
            return Ok(pass(exchange, forward));
        }
        let question = Question {
            key,
            forward,
            requested_ms: now_ms,
            request: fields,
            kept: kept.filter(|kept| self.has_body(&kept.entry)),
        };
        ask(exchange, question)
    }

    fn find(&self, key: &str, request: &Fields, now_ms: u64) -> Result<Found, Failure> {
        let mut key = key.to_owned();
        let mut forward = Forward::UriMiss;
        let mut record = self.read(&key)?;
        if let Some(Record::Variants(variants)) = record {
            forward = Forward::VaryMiss;
            key = variants.key(&variant::digest(&variants.names, request));
            record = self.read(&key)?;
        }
        Ok(match record {
            Some(Record::Entry(entry)) if entry.useful_until_ms > now_ms => {
                Found::Entry(Kept { key, entry })
            }
            _ => Found::Nothing(forward),
        })
    }

    /// The record under a key; what is none is as if it were not there.
    pub(crate) fn read(&self, key: &str) -> Result<Option<Record>, Failure> {
        let value = self.store.get(key)?;
        Ok(value.and_then(|value| Record::from_bytes(&value)))
    }

    /// The answer that the kept response gives without the upstream, or why it must be asked.
    fn answered(
        &self,
        entry: &Entry,
        reuse: Reuse,
        request: &Fields,
        now_ms: u64,
    ) -> Result<RequestVerdict, Forward> {
        let outcome = match reuse {
            Reuse::Fresh => "hit",
            Reuse::Stale => "stale",
            Reuse::Expired => return Err(Forward::Stale),
            Reuse::Asked => return Err(Forward::Request),
        };
        let body = if answer::is_unchanged(entry, request) {
            Vec::new()
        } else {
            self.body(entry).ok_or(Forward::UriMiss)?
        };
        count(outcome);
        let status = cache_status::hit(entry.freshness.remaining_s(now_ms));
        let answer = answer::answer(entry, body, request, now_ms, status);
        Ok(RequestVerdict::Respond(answer))
    }

    /// The body of a kept response; `None` where the store has it no more.
    pub(crate) fn body(&self, entry: &Entry) -> Option<Vec<u8>> {
        match &entry.body {
            Body::Inline(body) => Some(body.clone()),
            Body::Apart(number) => match self.store.get(&Body::key(*number)) {
                Ok(body) => body,
                Err(failure) => {
                    fail(&failure);
                    None
                }
            },
        }
    }

    /// Whether the body is there: only then may the upstream be asked whether it still holds.
    fn has_body(&self, entry: &Entry) -> bool {
        matches!(entry.body, Body::Inline(_)) || self.body(entry).is_some()
    }
}

/// Has the upstream asked: on condition where something with a validator is kept.
fn ask(exchange: &Exchange, question: Question) -> Result<RequestVerdict, String> {
    let conditions = match &question.kept {
        Some(kept) => validation::question(&kept.entry.fields),
        None => Vec::new(),
    };
    if !conditions.is_empty() {
        // In place of the client's own, which are weighed when the answer is there.
        let mut edits = vec![
            FieldOp::Remove("if-none-match"),
            FieldOp::Remove("if-modified-since"),
        ];
        let set = conditions
            .iter()
            .map(|(name, value)| FieldOp::Set((name, value)));
        edits.extend(set);
        exchange.edit_headers(&edits)?;
    }
    exchange.set_state(&State::Asking(question).to_bytes());
    Ok(RequestVerdict::Next)
}

/// RFC 9111 §5.2.1.7: only-if-cached.
fn refused(directives: &Directives) -> Option<RequestVerdict> {
    directives.has("only-if-cached").then(|| {
        count("only_if_cached");
        RequestVerdict::Respond(answer::only_if_cached())
    })
}
