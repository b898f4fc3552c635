//! What becomes of the upstream's answer: it is kept, it confirms what is kept, or it fails and what is kept is sent instead.

use portcullis_sdk::{BodyError, Exchange, Response, ResponseSource, ResponseVerdict};

use crate::answer;
use crate::cache_status::{self, Forward};
use crate::fields::{self, Fields};
use crate::freshness::{Freshness, Moments};
use crate::keep::Resource;
use crate::record::Entry;
use crate::state::{Kept, Question};
use crate::storing::{self, Candidate, Refusal};
use crate::{ResponseCache, count, count_kept, fail, now_ms, tell, validation};

/// Statuses for which a stale response may stand in (RFC 5861 §4).
const FAILURES: [u16; 4] = [500, 502, 503, 504];

/// An answer of the upstream, or of the gateway for it.
struct Answer {
    status: u16,
    fields: Fields,
    is_the_upstreams: bool,
    moments: Moments,
}

impl ResponseCache {
    /// Takes the answer to the question.
    pub(crate) fn receive(
        &self,
        exchange: &Exchange,
        response: &Response,
        question: Question,
    ) -> Result<ResponseVerdict, String> {
        let answer = Answer {
            status: response.status(),
            fields: response.headers(),
            is_the_upstreams: matches!(response.source(), ResponseSource::Upstream),
            moments: Moments {
                requested_ms: question.requested_ms,
                received_ms: now_ms(),
            },
        };
        if let Some(kept) = &question.kept {
            if answer.status == 304 && answer.is_the_upstreams {
                return Ok(self.confirm(exchange, &question, kept, &answer));
            }
            if let Some(verdict) = self.stand_in(&question, kept, &answer) {
                return Ok(verdict);
            }
        }
        count(if question.kept.is_some() {
            "expired"
        } else {
            "miss"
        });
        if !answer.is_the_upstreams {
            return tell(response, cache_status::forwarded(question.forward));
        }
        let told = match self.take(exchange, response, &question, &answer) {
            None => cache_status::forwarded(question.forward),
            Some(freshness) => {
                let remaining_s = freshness.remaining_s(answer.moments.received_ms);
                cache_status::stored(question.forward, remaining_s)
            }
        };
        tell(response, told)
    }

    /// RFC 9111 §4.3.4: the kept response holds, with what the 304 says anew.
    fn confirm(
        &self,
        exchange: &Exchange,
        question: &Question,
        kept: &Kept,
        answer: &Answer,
    ) -> ResponseVerdict {
        let Some(body) = self.body(&kept.entry) else {
            count("lost");
            return ResponseVerdict::Replace(answer::lost());
        };
        count("revalidated");
        let mut entry = kept.entry.clone();
        if !validation::selects(&answer.fields, &entry.fields) {
            // It speaks of another response than the one that was asked about.
            self.drop_kept(kept);
            return self.replace(question, entry, body, answer);
        }
        self.freshen(&mut entry, answer);
        let resource = self.resource(question, &entry.fields, &entry.freshness, entry.status);
        match self.check(exchange, &resource, &question.request) {
            Ok(()) => {
                self.keep(&resource, &body, answer.moments.received_ms);
            }
            // Asked for by one person, and unchanged: what is kept was not.
            Err(Refusal::Personal) => {}
            Err(_) => self.drop_kept(kept),
        }
        self.replace(question, entry, body, answer)
    }

    /// The kept response as the 304 has it.
    fn freshen(&self, entry: &mut Entry, answer: &Answer) {
        let mut dated = answer.fields.clone();
        if !fields::has(&dated, "date") {
            let date = fields::written_date(answer.moments.received_ms / 1_000);
            dated.push(("date".to_owned(), date.into_bytes()));
        }
        entry.fields = validation::updated(std::mem::take(&mut entry.fields), &dated);
        // The age is not kept, and counts.
        let mut aged = entry.fields.clone();
        let age = answer.fields.iter().filter(|(name, _)| name == "age");
        aged.extend(age.cloned());
        entry.freshness = Freshness::of(entry.status, &aged, answer.moments, &self.lifetimes);
    }

    /// RFC 5861 §4: a stale response is better than an error, for so long.
    fn stand_in(
        &self,
        question: &Question,
        kept: &Kept,
        answer: &Answer,
    ) -> Option<ResponseVerdict> {
        let freshness = &kept.entry.freshness;
        let directives = self.requests.directives(&question.request);
        let is_for_it = FAILURES.contains(&answer.status) && question.forward == Forward::Stale;
        if !is_for_it || freshness.never_stale || directives.has("no-cache") {
            return None;
        }
        let asked_s = directives.seconds("stale-if-error").unwrap_or(0);
        let allowed_s = freshness.stale_if_error_s.max(asked_s);
        let remaining_s = freshness.remaining_s(answer.moments.received_ms);
        if allowed_s == 0 || remaining_s.unsigned_abs() > allowed_s {
            return None;
        }
        let body = self.body(&kept.entry)?;
        count("stale_if_error");
        Some(self.replace(question, kept.entry.clone(), body, answer))
    }

    fn replace(
        &self,
        question: &Question,
        mut entry: Entry,
        body: Vec<u8>,
        answer: &Answer,
    ) -> ResponseVerdict {
        let now_ms = answer.moments.received_ms;
        let remaining_s = entry.freshness.remaining_s(now_ms);
        let status = cache_status::reused(question.forward, answer.status, remaining_s);
        // A cookie of the 304 is for this client, and is not kept.
        let cookies = answer
            .fields
            .iter()
            .filter(|(name, _)| name == "set-cookie");
        if answer.status == 304 {
            entry.fields.extend(cookies.cloned());
        }
        let answer = answer::answer(&entry, body, &question.request, now_ms, status);
        ResponseVerdict::Replace(answer)
    }

    /// Keeps a new response, if it may be; says so by its freshness.
    fn take(
        &self,
        exchange: &Exchange,
        response: &Response,
        question: &Question,
        answer: &Answer,
    ) -> Option<Freshness> {
        let received_ms = answer.moments.received_ms;
        let freshness = Freshness::of(
            answer.status,
            &answer.fields,
            answer.moments,
            &self.lifetimes,
        );
        let unfit = self.resource(question, &answer.fields, &freshness, answer.status);
        if self.check(exchange, &unfit, &question.request).is_err() {
            count_kept("not_cacheable");
            return None;
        }
        let announced = fields::text(&answer.fields, "content-length");
        let announced = announced.and_then(|length| length.parse::<u64>().ok());
        if announced.is_some_and(|length| length > u64::from(self.max_body_bytes)) {
            count_kept("too_large");
            return None;
        }
        let body = match response.read_body(self.max_body_bytes) {
            Ok(body) => body,
            Err(error) => {
                count_kept(unread(&error));
                return None;
            }
        };
        let kept = storing::kept(&answer.fields, received_ms);
        let resource = Resource {
            fields: &kept,
            ..unfit
        };
        self.keep(&resource, &body, received_ms)
            .then_some(freshness)
    }

    fn resource<'a>(
        &self,
        question: &'a Question,
        fields: &'a Fields,
        freshness: &'a Freshness,
        status: u16,
    ) -> Resource<'a> {
        Resource {
            key: &question.key,
            request: &question.request,
            status,
            fields,
            freshness,
        }
    }

    /// Whether it may be kept (RFC 9111 §3).
    fn check(
        &self,
        exchange: &Exchange,
        resource: &Resource,
        request: &Fields,
    ) -> Result<(), Refusal> {
        let mut candidate = Candidate {
            status: resource.status,
            fields: resource.fields,
            freshness: resource.freshness,
            is_personal: self.requests.is_personal(request),
        };
        candidate.check()?;
        // A policy before this one has verified who asks, by whatever credentials; asked for only where it matters.
        if !candidate.is_personal && exchange.get_shared("identity").is_some() {
            candidate.is_personal = true;
            candidate.check()?;
        }
        Ok(())
    }

    fn drop_kept(&self, kept: &Kept) {
        if let Err(failure) = self.store.delete(&kept.key) {
            fail(&failure);
        }
    }
}

fn unread(error: &BodyError) -> &'static str {
    match error {
        BodyError::TooLarge => "too_large",
        BodyError::Aborted => "aborted",
        BodyError::NotGranted | BodyError::Taken | BodyError::Other(_) => "unread",
    }
}
