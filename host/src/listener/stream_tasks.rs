//! The tasks of an HTTP/2 connection's streams. One whose client takes nothing of its response is ended,
//! so that it does not hold its upstream: the socket does not tell, since the other streams go on.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::Instant;

use crate::lazy_timer::LazyTimer;
use crate::telemetry::metrics::Metrics;

/// Where the response of one stream is.
#[derive(Default)]
pub(super) struct StreamPlace {
    with_client: Cell<bool>,
    parts: Cell<u32>,
}

impl StreamPlace {
    /// The next step is the client's: it has been given something, and has to make room for more.
    pub(super) fn give(&self) {
        self.with_client.set(true);
        self.parts.set(self.parts.get().wrapping_add(1));
    }

    /// The next step is the upstream's.
    pub(super) fn await_upstream(&self) {
        self.with_client.set(false);
    }
}

/// Runs streams on the worker's thread.
#[derive(Clone)]
pub(super) struct StreamTasks {
    /// Of the request that has just come: hyper hands over its task next.
    next: Rc<RefCell<Option<Rc<StreamPlace>>>>,
    write_idle: Duration,
    metrics: Arc<Metrics>,
}

impl StreamTasks {
    /// Of a connection whose clients may take nothing for so long.
    pub(super) fn new(write_idle: Duration, metrics: Arc<Metrics>) -> Self {
        Self {
            next: Rc::default(),
            write_idle,
            metrics,
        }
    }

    /// A request has come on a stream.
    pub(super) fn begin(&self) -> Rc<StreamPlace> {
        let place = Rc::<StreamPlace>::default();
        self.next.replace(Some(place.clone()));
        place
    }
}

impl<F: Future + 'static> Executor<F> for StreamTasks {
    fn execute(&self, stream: F) {
        let place = self.next.take().unwrap_or_default();
        let tasks = self.clone();
        tokio::task::spawn_local(async move {
            if !ends_in_time(stream, &place, tasks.write_idle).await {
                tasks.metrics.client.timed_out("write_idle");
            }
        });
    }
}

/// Runs the stream; `false` when its client has taken nothing for `write_idle`. Dropping it resets it.
async fn ends_in_time<F: Future>(stream: F, place: &StreamPlace, write_idle: Duration) -> bool {
    let (mut stream, mut timer) = (pin!(stream), LazyTimer::default());
    let mut since: Option<(u32, Instant)> = None;
    poll_fn(|cx| {
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        if !place.with_client.get() {
            since = None;
            return Poll::Pending;
        }
        let parts = place.parts.get();
        let given = match since {
            Some((counted, given)) if counted == parts => given,
            _ => Instant::now(),
        };
        since = Some((parts, given));
        timer.poll_until(given + write_idle, cx).map(|()| false)
    })
    .await
}
