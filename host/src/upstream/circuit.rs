//! What an upstream is sent at the same time, by all workers together.

use std::sync::atomic::{AtomicU32, Ordering};

use portcullis_config::Circuit as Limits;
use tokio::sync::Notify;

/// Counts of one upstream. The limits are the config's, the counts outlive it.
#[derive(Debug, Default)]
pub struct Circuit {
    requests: AtomicU32,
    connections: AtomicU32,
    pending: AtomicU32,
    freed: Notify,
}

/// A limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Overflow {
    /// `max_requests`.
    #[error("as many requests in flight as circuit.max_requests allows")]
    Requests,
    /// `max_pending`.
    #[error("as many requests wait for a connection as circuit.max_pending allows")]
    Pending,
}

/// Counts at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CircuitStatus {
    /// Requests in flight, those that wait included.
    pub requests: u32,
    /// Connections in use.
    pub connections: u32,
    /// Requests that wait for a connection.
    pub pending: u32,
}

/// Counts a waiting request; also one that gives up.
struct Pending<'a>(&'a Circuit);

impl Circuit {
    /// One request more, if there is room.
    pub fn enter(&self, limits: &Limits) -> Result<(), Overflow> {
        if self.requests.fetch_add(1, Ordering::Relaxed) < limits.max_requests {
            return Ok(());
        }
        self.leave();
        Err(Overflow::Requests)
    }

    /// One request less.
    pub fn leave(&self) {
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }

    /// One connection more in use, if there is room.
    pub fn try_connect(&self, limits: &Limits) -> bool {
        let more = |count: u32| (count < limits.max_connections).then_some(count + 1);
        let changed = self
            .connections
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
        changed.is_ok()
    }

    /// The same, but waits until there is room, unless too many wait already.
    /// A newcomer may get ahead of those who wait.
    pub async fn connect(&self, limits: &Limits) -> Result<(), Overflow> {
        let _pending = Pending::new(self, limits)?;
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // From here on a connection that becomes free is noticed; one that did before is seen below.
            freed.as_mut().enable();
            if self.try_connect(limits) {
                return Ok(());
            }
            freed.await;
        }
    }

    /// One connection less in use.
    pub fn disconnect(&self) {
        // In one order with the count of those who wait: either they see the room, or we see them.
        self.connections.fetch_sub(1, Ordering::SeqCst);
        if self.pending.load(Ordering::SeqCst) > 0 {
            self.freed.notify_one();
        }
    }

    /// The counts at this moment.
    pub fn status(&self) -> CircuitStatus {
        CircuitStatus {
            requests: self.requests.load(Ordering::Relaxed),
            connections: self.connections.load(Ordering::Relaxed),
            pending: self.pending.load(Ordering::Relaxed),
        }
    }
}

impl<'a> Pending<'a> {
    fn new(circuit: &'a Circuit, limits: &Limits) -> Result<Self, Overflow> {
        let before = circuit.pending.fetch_add(1, Ordering::SeqCst);
        let pending = Self(circuit);
        if before < limits.max_pending {
            Ok(pending)
        } else {
            Err(Overflow::Pending)
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const LIMITS: Limits = Limits {
        max_connections: 2,
        max_pending: 1,
        max_requests: 3,
    };

    #[test]
    fn requests_overflow_and_recover() {
        let circuit = Circuit::default();
        for _ in 0..LIMITS.max_requests {
            assert_eq!(circuit.enter(&LIMITS), Ok(()));
        }
        assert_eq!(circuit.enter(&LIMITS), Err(Overflow::Requests));
        assert_eq!(circuit.status().requests, 3);
        circuit.leave();
        assert_eq!(circuit.enter(&LIMITS), Ok(()));
    }

    #[tokio::test]
    async fn who_waits_gets_the_connection_that_becomes_free() {
        let circuit = Arc::new(Circuit::default());
        assert!(circuit.try_connect(&LIMITS) && circuit.try_connect(&LIMITS));
        let waiting = circuit.clone();
        let waiting = tokio::spawn(async move { waiting.connect(&LIMITS).await });
        while circuit.status().pending == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(circuit.connect(&LIMITS).await, Err(Overflow::Pending));
        circuit.disconnect();
        assert_eq!(waiting.await.unwrap(), Ok(()));
        let expected = CircuitStatus {
            requests: 0,
            connections: 2,
            pending: 0,
        };
        assert_eq!(circuit.status(), expected);
    }

    #[tokio::test]
    async fn who_gives_up_waits_no_more() {
        let circuit = Circuit::default();
        assert!(circuit.try_connect(&LIMITS) && circuit.try_connect(&LIMITS));
        {
            let waiting = circuit.connect(&LIMITS);
            tokio::pin!(waiting);
            let once = std::future::poll_fn(|cx| std::task::Poll::Ready(waiting.as_mut().poll(cx)));
            assert!(once.await.is_pending());
            assert_eq!(circuit.status().pending, 1);
        }
        assert_eq!(circuit.status().pending, 0);
    }

    /// Threads that take and give back at random: nobody waits for ever, and the limit holds.
    #[test]
    fn no_wake_up_is_lost() {
        let circuit = Arc::new(Circuit::default());
        let limits = Limits {
            max_pending: 100,
            ..LIMITS
        };
        let threads = (0..4).map(|_| {
            let circuit = circuit.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    for _ in 0..5_000 {
                        circuit.connect(&limits).await.unwrap();
                        assert!(circuit.status().connections <= limits.max_connections);
                        circuit.disconnect();
                    }
                });
            })
        });
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert_eq!(circuit.status().connections, 0);
    }
}
