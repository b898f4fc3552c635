//! A worker's lines that are not handed over yet.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use http::Request;
use tokio::sync::Notify;

use super::entry::{Entry, Outcome};
use super::line;
use super::registry::AccessLog;
use super::sink::Batch;
use crate::client::Client;

/// As much is handed over at once: it costs more to wake a thread than to render a line.
const BATCH_BYTES: usize = 16 << 10;

/// The lines of one worker for one access log.
pub struct Lines {
    log: Arc<AccessLog>,
    pending: RefCell<Batch>,
    /// Told when there is a line where none was.
    first: Rc<Notify>,
}

impl Lines {
    /// No lines yet; `first` is told when there are.
    pub fn new(log: Arc<AccessLog>, first: Rc<Notify>) -> Self {
        Self {
            log,
            pending: RefCell::new(Batch::with_capacity(BATCH_BYTES)),
            first,
        }
    }

    /// Whether these lines go to that log.
    pub fn belong_to(&self, log: &Arc<AccessLog>) -> bool {
        Arc::ptr_eq(&self.log, log)
    }

    /// An entry for the request, if it is to be logged.
    pub fn entry<B>(&self, client: &Client, id: &str, request: &Request<B>) -> Option<Arc<Entry>> {
        let is_logged = self.log.takes(rand::random);
        is_logged.then(|| Arc::new(Entry::new(client, id, request, &self.log.config.headers)))
    }

    /// Renders the line of a request that has ended. Never waits.
    pub fn write(&self, entry: &Entry, outcome: &Outcome<'_>) {
        let started = SystemTime::now() - outcome.total;
        let mut pending = self.pending.borrow_mut();
        line::render(
            &mut pending.bytes,
            &self.log.config,
            started,
            entry,
            outcome,
        );
        pending.lines += 1;
        let (lines, bytes) = (pending.lines, pending.bytes.len());
        drop(pending);
        if bytes >= BATCH_BYTES {
            self.flush();
        } else if lines == 1 {
            self.first.notify_one();
        }
    }

    /// Hands over what there is.
    pub fn flush(&self) {
        let mut pending = self.pending.borrow_mut();
        if pending.lines > 0 {
            let batch = std::mem::replace(&mut *pending, Batch::with_capacity(BATCH_BYTES));
            self.log.sink.take(batch);
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.flush();
    }
}
