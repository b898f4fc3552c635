//! `on-log` of the exchanges that have ended on a worker: asked in the background, so that nobody waits.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::Notify;

use super::chain;
use super::verdict::Summary;
use crate::exchange::Exchange;
use crate::worker::Revision;

/// Exchanges of one worker whose policies are being asked, or are about to be. One more is dropped.
const MAX_UNDER_WAY: usize = 256;

/// One worker's exchanges whose policies are still to be asked `on-log`.
#[derive(Default)]
pub struct LogQueue {
    waiting: RefCell<VecDeque<Ended>>,
    pushed: Notify,
    /// Those that wait included.
    under_way: Cell<usize>,
    asked: Notify,
    closed: Cell<bool>,
}

/// An exchange at its end, with the revision that has served it.
struct Ended {
    revision: Rc<Revision>,
    exchange: Box<Exchange>,
    summary: Summary,
}

impl LogQueue {
    /// Has its policies asked soon; an exchange too many is counted instead.
    pub fn push(&self, revision: &Rc<Revision>, exchange: Box<Exchange>, summary: Summary) {
        if self.closed.get() || self.under_way.get() >= MAX_UNDER_WAY {
            let all = &revision.snapshot.route_series;
            if let Some(series) = all.get(exchange.route.index) {
                series.on_log_dropped();
            }
            return;
        }
        self.under_way.set(self.under_way.get() + 1);
        self.waiting.borrow_mut().push_back(Ended {
            revision: revision.clone(),
            exchange,
            summary,
        });
        self.pushed.notify_one();
    }

    /// Asks the policies of what is pushed; runs as long as the worker.
    pub async fn work(self: Rc<Self>) {
        let _closes = Closes(self.clone());
        loop {
            self.pushed.notified().await;
            while let Some(ended) = self.next() {
                tokio::task::spawn_local(self.clone().ask(ended));
            }
        }
    }

    /// Returns when nothing is under way.
    pub async fn idle(&self) {
        while self.under_way.get() > 0 {
            self.asked.notified().await;
        }
    }

    fn next(&self) -> Option<Ended> {
        self.waiting.borrow_mut().pop_front()
    }

    async fn ask(self: Rc<Self>, ended: Ended) {
        chain::on_log(&ended.revision, ended.exchange, &ended.summary).await;
        self.under_way.set(self.under_way.get() - 1);
        self.asked.notify_one();
    }
}

/// Takes no more when it is dropped: what waits holds revisions, and they hold the queue.
struct Closes(Rc<LogQueue>);

impl Drop for Closes {
    fn drop(&mut self) {
        self.0.closed.set(true);
        while self.0.next().is_some() {}
    }
}
