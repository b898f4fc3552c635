//! Where a guest asks for a body, and its request's task hands it over.
//!
//! A store may go from thread to thread and a body may not, so the body never enters the store: the
//! guest's call leaves a question here and is suspended, and who runs the hook reads the body meanwhile.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use tokio::sync::oneshot;

use super::Phase;
use super::bindings::portcullis::policy::http::{BodyError, EditError};
use super::state::HostState;
use crate::held_body::ReadError;
use crate::policy::lent_body::{LentBody, has_no_body};

/// One sandbox's desk.
#[derive(Default)]
pub struct BodyDesk(Mutex<Option<Question>>);

struct Question {
    limit: usize,
    answer: oneshot::Sender<Result<Vec<u8>, ReadError>>,
}

impl BodyDesk {
    /// The whole body, up to `limit` bytes, when it is there.
    async fn ask(&self, limit: usize) -> Result<Vec<u8>, BodyError> {
        let (answer, asked) = oneshot::channel();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Question { limit, answer });
        match asked.await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(ReadError::TooLarge)) => Err(BodyError::TooLarge),
            // Without an answer nobody runs the hook any more.
            Ok(Err(ReadError::Aborted)) | Err(_) => Err(BodyError::Aborted),
        }
    }

    fn question(&self) -> Option<Question> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Runs the hook to its end, and reads the body for it when it asks.
pub async fn serve<V>(
    desk: Option<&BodyDesk>,
    body: &mut LentBody<'_>,
    hook: impl Future<Output = V>,
) -> V {
    let mut hook = pin!(hook);
    let mut open: Option<Question> = None;
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(answer) = hook.as_mut().poll(cx) {
                return Poll::Ready(answer);
            }
            let Some(desk) = desk else {
                return Poll::Pending;
            };
            let Some(question) = open.take().or_else(|| desk.question()) else {
                return Poll::Pending;
            };
            match body.poll_whole(question.limit, cx) {
                // A guest that was ended takes no answer.
                Poll::Ready(read) => drop(question.answer.send(read)),
                Poll::Pending => {
                    open = Some(question);
                    return Poll::Pending;
                }
            }
        }
    })
    .await
}

impl HostState {
    /// The lent body, whole; at most `limit` bytes, and at most what the operator allows.
    pub(super) async fn read_lent_body(&mut self, limit: u32) -> Result<Vec<u8>, BodyError> {
        match &self.desk {
            Some(desk) if self.body_bytes > 0 => {
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                desk.ask(limit.min(self.body_bytes)).await
            }
            _ => Err(BodyError::NotGranted),
        }
    }

    /// Stages another body in the place of the lent one.
    pub(super) fn replace_lent_body(
        &mut self,
        body: Vec<u8>,
    ) -> wasmtime::Result<Result<(), EditError>> {
        let (allowed, phase) = (self.body_bytes, self.phase);
        if allowed == 0 {
            let reason = "no body: limits.body of the policy is 0";
            return Ok(Err(EditError::Forbidden(reason.to_owned())));
        }
        if body.len() > allowed {
            let reason = format!(
                "a body of {} bytes: limits.body of the policy is {allowed}",
                body.len()
            );
            return Ok(Err(EditError::Invalid(reason)));
        }
        let exchange = self.exchange()?;
        if phase == Some(Phase::OnResponse)
            && let Some(reason) = has_no_body(exchange)
        {
            return Ok(Err(EditError::Forbidden(reason)));
        }
        exchange.edits.body(body.into());
        Ok(Ok(()))
    }
}
