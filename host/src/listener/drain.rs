//! The end of a worker's connections: told to all of them at once, and awaited.

use std::pin::{Pin, pin};
use std::task::Poll;

use hyper_util::server::graceful::GracefulConnection;
use tokio::sync::watch;

/// Ends connections; kept by whoever accepts them.
pub(super) struct Draining(watch::Sender<bool>);

/// A connection's view: whether it should end. It counts as open as long as this lives.
#[derive(Clone)]
pub(super) struct Drain(watch::Receiver<bool>);

impl Draining {
    /// Nothing is being drained, and no connection is open.
    pub(super) fn new() -> (Self, Drain) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Drain(receiver))
    }

    /// Tells all connections to end, and returns when they have.
    pub(super) async fn finish(self) {
        // Nobody listens: there is no connection.
        let _ = self.0.send(true);
        self.0.closed().await;
    }
}

impl Drain {
    /// Returns when connections should end.
    pub(super) async fn begun(&mut self) {
        // An error means that the worker is gone.
        let _ = self.0.wait_for(|begun| *begun).await;
    }

    /// Runs a connection; once the drain has begun, it ends as soon as its exchanges have: HTTP/1 with
    /// `Connection: close`, HTTP/2 with GOAWAY. `None`: it was ended because `is_abusive`.
    pub(super) async fn run<C: GracefulConnection>(
        mut self,
        connection: C,
        is_abusive: impl Fn() -> bool,
    ) -> Option<Result<(), C::Error>> {
        let mut connection = pin!(connection);
        let ended = {
            let mut begun = pin!(self.begun());
            let mut is_ending = false;
            std::future::poll_fn(|cx| {
                if !is_ending && begun.as_mut().poll(cx).is_ready() {
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
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
            say_goodbye(connection).await;
        }
        ended
    }
}

/// Sends GOAWAY as far as the socket takes it at once; who floods gets no time to go on.
async fn say_goodbye<C: GracefulConnection>(mut connection: Pin<&mut C>) {
    connection.as_mut().graceful_shutdown();
    std::future::poll_fn(|cx| {
        let _ = connection.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}
