//! One request and its answer: control paths first, then scripts, then what the path asks for.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};

use crate::answer::{Answer, ClosedOnPurpose, error_answer, take};
use crate::connection::Upstream;
use crate::control;
use crate::path::step_for;
use crate::record::Outcome;

/// 64 MiB: bodies are read whole, and this is far beyond what a gateway test sends.
const MAX_BODY_BYTES: usize = 64 << 20;

/// Answers one request. An error makes hyper close the connection without an answer.
pub(crate) async fn answer(
    upstream: Arc<Upstream>,
    request: Request<Incoming>,
) -> Result<Answer, ClosedOnPurpose> {
    let (head, body) = request.into_parts();
    if let Some(answer) = control::answer(&upstream, &head) {
        return Ok(answer);
    }
    let arrival = upstream.recorder.arrive(&head);
    let step = match upstream.scripts.next(head.uri.path()) {
        Some(step) => Ok(step),
        None => step_for(&head),
    };
    let result = match step {
        Ok(step) if !step.reads_body() => take(step, &upstream, &head, &Bytes::new()).await,
        Ok(step) => match read(body).await? {
            Some(body) => {
                arrival.set_body(&body);
                take(step, &upstream, &head, &body).await
            }
            None => Ok(error_answer(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("expected a body of at most {MAX_BODY_BYTES} bytes"),
            )),
        },
        Err(unusable) => Ok(error_answer(StatusCode::BAD_REQUEST, unusable)),
    };
    arrival.finish(match &result {
        Ok(answer) => Outcome::Answered(answer.status().as_u16()),
        Err(ClosedOnPurpose) => Outcome::Closed,
    });
    result
}

/// The whole body, or `None` when it is longer than we read. A client who breaks off in the middle
/// gets no answer either.
async fn read(body: Incoming) -> Result<Option<Bytes>, ClosedOnPurpose> {
    // Told before it is sent: a client who waits for `100 Continue` need not send it.
    if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
        return Ok(None);
    }
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => Ok(Some(body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Ok(None),
        Err(_) => Err(ClosedOnPurpose),
    }
}
