//! Where a guest asks for a request to be sent, and its exchange's task sends it.
//!
//! As with bodies: connections belong to the worker's thread, and a store may change threads. The request is
//! given up with the hook that waits for it.

use std::future::{poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use tokio::sync::oneshot;

use crate::policy::verdict::Failure;
use crate::upstream::outcall::{self, Answer, Outcall, OutcallError};
use crate::worker::Revision;

/// An answer to a policy's request, or why there is none.
pub type Answered = Result<Answer, OutcallError>;
type Underway<'a> = (
    Pin<Box<dyn Future<Output = Answered> + 'a>>,
    oneshot::Sender<Answered>,
);

/// Who sends what policies ask for.
#[derive(Clone, Copy)]
pub enum Sender<'a> {
    /// The worker, to the upstreams of this revision.
    Worker(&'a Revision),
    /// Nobody: what would come back is made up.
    Stub(&'a dyn Fn(Outcall) -> Answered),
}

impl<'a> Sender<'a> {
    fn send(self, outcall: Outcall) -> Pin<Box<dyn Future<Output = Answered> + 'a>> {
        match self {
            Self::Worker(revision) => Box::pin(outcall::send(revision, outcall)),
            Self::Stub(answer) => Box::pin(ready(answer(outcall))),
        }
    }
}

/// One sandbox's desk.
#[derive(Default)]
pub struct OutcallDesk(Mutex<Option<Question>>);

struct Question {
    outcall: Outcall,
    answer: oneshot::Sender<Answered>,
}

impl OutcallDesk {
    /// What comes of the request.
    pub async fn ask(&self, outcall: Outcall) -> Answered {
        let (answer, asked) = oneshot::channel();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Question { outcall, answer });
        // Without an answer nobody runs the hook any more.
        let nobody = Err(OutcallError::Failed(Failure::Other));
        asked.await.unwrap_or(nobody)
    }

    fn question(&self) -> Option<Question> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Runs the hook to its end, and sends a request for it when it asks.
pub async fn serve<V>(
    desk: Option<&OutcallDesk>,
    sender: Sender<'_>,
    hook: impl Future<Output = V>,
) -> V {
    let mut hook = pin!(hook);
    let mut underway: Option<Underway<'_>> = None;
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(answer) = hook.as_mut().poll(cx) {
                return Poll::Ready(answer);
            }
            let Some(desk) = desk else {
                return Poll::Pending;
            };
            let begun = underway.take().or_else(|| {
                let Question { outcall, answer } = desk.question()?;
                Some((sender.send(outcall), answer))
            });
            let Some((mut call, asked)) = begun else {
                return Poll::Pending;
            };
            match call.as_mut().poll(cx) {
                // A guest that was ended takes no answer.
                Poll::Ready(answer) => drop(asked.send(answer)),
                Poll::Pending => {
                    underway = Some((call, asked));
                    return Poll::Pending;
                }
            }
        }
    })
    .await
}
