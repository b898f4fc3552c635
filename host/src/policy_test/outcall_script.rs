//! The requests that a policy is expected to send by itself, and the answers that they get.

use std::cell::{Cell, RefCell};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::case_file::{self, OutcallAnswer, OutcallFailure, Texts, body_bytes};
use super::claims::{Message, Mismatches};
use crate::policy::verdict::Failure;
use crate::upstream::outcall::{Answer, Outcall, OutcallError};
use crate::wasm::outcall_desk::Answered;

/// What is expected in one step, and what has come.
pub(super) struct OutcallScript {
    upstreams: Vec<String>,
    expected: RefCell<Vec<case_file::Outcall>>,
    came: Cell<usize>,
    mismatches: RefCell<Mismatches>,
}

impl OutcallScript {
    /// Nothing is expected; upstreams by their places.
    pub(super) fn new(upstreams: Vec<String>) -> Self {
        Self {
            upstreams,
            expected: RefCell::default(),
            came: Cell::default(),
            mismatches: RefCell::default(),
        }
    }

    /// Expects these next.
    pub(super) fn expect(&self, outcalls: &[case_file::Outcall]) {
        *self.expected.borrow_mut() = outcalls.to_vec();
        self.came.set(0);
        self.mismatches.borrow_mut().clear();
    }

    /// What was not as expected since.
    pub(super) fn mismatches(&self) -> Mismatches {
        let mut mismatches = self.mismatches.borrow().clone();
        let (expected, came) = (self.expected.borrow().len(), self.came.get());
        if came < expected {
            mismatches.push(format!("outcalls: expected {expected}, {came} came"));
        }
        mismatches
    }

    /// The answer to the next one.
    pub(super) fn answer(&self, outcall: Outcall) -> Answered {
        let place = self.came.replace(self.came.get() + 1);
        let upstream = &self.upstreams[outcall.upstream];
        let target = outcall.request.uri().to_string();
        let expected = self.expected.borrow();
        let Some(expected) = expected.get(place) else {
            let method = outcall.request.method();
            let text = format!("outcalls[{place}]: not expected: {method} {target} to {upstream}");
            self.mismatches.borrow_mut().push(text);
            return Err(OutcallError::Failed(Failure::Other));
        };
        let message = Message {
            headers: outcall.request.headers(),
            body: outcall.request.body(),
        };
        let mut found = Mismatches::new();
        found.text("upstream", Some(&expected.upstream), upstream);
        found.text(
            "method",
            expected.method.as_ref(),
            outcall.request.method().as_str(),
        );
        found.text("path", expected.path.as_ref(), &target);
        found.headers(&expected.headers, message.headers);
        found.body(expected.body.as_ref(), expected.json.as_ref(), message.body);
        let prefix = format!("outcalls[{place}]");
        self.mismatches.borrow_mut().extend(found.under(&prefix));
        made(&expected.answer)
    }
}

fn made(answer: &OutcallAnswer) -> Answered {
    if let Some(error) = answer.error {
        return Err(match error {
            OutcallFailure::Unavailable => OutcallError::Failed(Failure::ConnectRefused),
            OutcallFailure::TimedOut => OutcallError::Failed(Failure::ResponseTimeout),
            OutcallFailure::TooLarge => OutcallError::TooLarge,
        });
    }
    let status = StatusCode::from_u16(answer.status.unwrap_or(200));
    Ok(Answer {
        status: status.unwrap_or_default(),
        headers: fields(&answer.headers),
        body: body_bytes(answer.body.as_ref(), answer.json.as_ref()).unwrap_or_default(),
    })
}

/// Fields of a message. What is no field by its name or value is left out: the file's check has refused it.
pub(super) fn fields(given: &std::collections::BTreeMap<String, Texts>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, texts) in given {
        for text in texts.all() {
            let (name, value) = (
                name.parse::<HeaderName>(),
                HeaderValue::from_bytes(text.as_bytes()),
            );
            if let (Ok(name), Ok(value)) = (name, value) {
                headers.append(name, value);
            }
        }
    }
    headers
}
