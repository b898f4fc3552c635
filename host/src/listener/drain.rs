//! The end of a worker's connections: told to all of them at once, and awaited.
//!
//! HTTP/2 says that it ends (GOAWAY) and what it still answers. HTTP/1 can say so only in an answer, so
//! that a connection which waits for a request gets some time for it: it is answered, with
//! `Connection: close`, where closing would have met it on its way.

use std::cell::Cell;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;

/// How long a connection of HTTP/1 may wait for its last request.
const LAST_REQUEST: Duration = Duration::from_secs(2);

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Connections come and serve.
    Serving,
    /// No more of them are taken; those that there are say in their answers that they end.
    Closing,
    /// What waits for a request ends.
    Ending,
}

/// Ends connections; kept by whoever accepts them.
pub(super) struct Draining {
    stage: watch::Sender<Stage>,
    is_closing: Rc<Cell<bool>>,
}

/// A connection's view: whether it should end. It counts as open as long as this lives.
#[derive(Clone)]
pub(super) struct Drain {
    stage: watch::Receiver<Stage>,
    is_closing: Rc<Cell<bool>>,
}

impl Draining {
    /// Nothing is being drained, and no connection is open.
    pub(super) fn new() -> (Self, Drain) {
        let (sender, stage) = watch::channel(Stage::Serving);
        let is_closing = Rc::<Cell<bool>>::default();
        let draining = Self {
            stage: sender,
            is_closing: is_closing.clone(),
        };
        (draining, Drain { stage, is_closing })
    }

    /// Tells all connections to end, and returns when they have.
    pub(super) async fn finish(self) {
        self.is_closing.set(true);
        // Nobody listens: there is no connection.
        let _ = self.stage.send(Stage::Closing);
        let _ = tokio::time::timeout(LAST_REQUEST, self.stage.closed()).await;
        let _ = self.stage.send(Stage::Ending);
        self.stage.closed().await;
    }
}

impl Drain {
    /// Returns when the end has come so far.
    pub(super) async fn reaches(&mut self, stage: Stage) {
        // An error means that the worker is gone.
        let _ = self.stage.wait_for(|now| *now >= stage).await;
    }

    /// Tells whether answers should say that their connection ends.
    pub(super) fn is_closing(&self) -> Rc<Cell<bool>> {
        self.is_closing.clone()
    }

    /// Runs a connection; once the drain has reached `stage`, or it `has_expired`, it ends as soon as its exchanges
    /// have: HTTP/1 with `Connection: close`, HTTP/2 with GOAWAY; `end` tells it so. `None`: it was ended
    /// because `is_abusive`.
    pub(super) async fn run<C: Future>(
        mut self,
        stage: Stage,
        connection: C,
        end: impl Fn(Pin<&mut C>),
        has_expired: impl Fn() -> bool,
        is_abusive: impl Fn() -> bool,
    ) -> Option<C::Output> {
        let mut connection = pin!(connection);
        let ended = {
            let is_closing = self.is_closing.clone();
            let mut begun = pin!(self.reaches(stage));
            let (mut is_awaited, mut is_ending) = (false, false);
            std::future::poll_fn(|cx| {
                // To ask at every turn would cost a lock at every turn.
                let asks = !is_awaited || is_closing.get();
                is_awaited = true;
                if !is_ending && (has_expired() || asks && begun.as_mut().poll(cx).is_ready()) {
                    is_ending = true;
                    end(connection.as_mut());
                }
                match connection.as_mut().poll(cx) {
                    Poll::Ready(ended) => Poll::Ready(Some(ended)),
                    Poll::Pending if is_abusive() => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await
        };
        if ended.is_none() {
            say_goodbye(connection, end).await;
        }
        ended
    }
}

/// Sends GOAWAY as far as the socket takes it at once; who floods gets no time to go on.
async fn say_goodbye<C: Future>(mut connection: Pin<&mut C>, end: impl Fn(Pin<&mut C>)) {
    end(connection.as_mut());
    std::future::poll_fn(|cx| {
        let _ = connection.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}
