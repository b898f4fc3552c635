//! A deadline that moves with every step and is seldom reached.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// Sets the runtime's timer again only where it would fire too late, or has fired too early: to move
/// the deadline on costs nothing.
#[derive(Default)]
pub struct LazyTimer(Option<Pin<Box<Sleep>>>);

impl LazyTimer {
    /// Ready once `deadline` has passed; until then the task is woken, perhaps once too often.
    pub fn poll_until(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self
            .0
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_deadline_may_move_both_ways() {
        const SHORT: Duration = Duration::from_millis(10);
        let (mut timer, start) = (LazyTimer::default(), Instant::now());
        let far = start + Duration::from_secs(3600);
        let first = poll_fn(|cx| Poll::Ready(timer.poll_until(far, cx))).await;
        assert!(first.is_pending());
        poll_fn(|cx| timer.poll_until(start + SHORT, cx)).await;
        assert!(start.elapsed() >= SHORT);
        // It has been armed for an instant that is past; the new one holds.
        let second = Instant::now() + SHORT;
        poll_fn(|cx| timer.poll_until(second, cx)).await;
        assert!(Instant::now() >= second);
    }
}
