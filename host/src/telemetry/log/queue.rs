//! Lines on their way to standard error. Who logs never waits: a thread writes, and what it can't take in time is
//! dropped and counted.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Bytes of lines that may wait.
const MAX_WAITING: usize = 1 << 20;

/// Lines of this process that were not written.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Lines of this process' log that were not written, as their reader took no more.
pub(in crate::telemetry) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

enum Message {
    Line(Vec<u8>),
    /// Answered when all before it is written.
    Flush(Sender<()>),
}

/// Takes lines for the thread that writes them.
#[derive(Clone)]
pub(super) struct LineQueue {
    messages: Sender<Message>,
    waiting: Arc<AtomicUsize>,
}

impl LineQueue {
    /// Starts a thread that writes to `output`, for as long as somebody holds the queue.
    pub(super) fn start(output: impl Write + Send + 'static) -> io::Result<Self> {
        let (messages, received) = mpsc::channel();
        let waiting = Arc::<AtomicUsize>::default();
        let taken = waiting.clone();
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write(&received, &taken, output))?;
        Ok(Self { messages, waiting })
    }

    /// Whether the line will be written.
    fn take(&self, line: &[u8]) -> bool {
        let waits = self.waiting.fetch_add(line.len(), Ordering::Relaxed);
        if waits + line.len() <= MAX_WAITING
            && self.messages.send(Message::Line(line.to_owned())).is_ok()
        {
            return true;
        }
        self.waiting.fetch_sub(line.len(), Ordering::Relaxed);
        DROPPED.fetch_add(1, Ordering::Relaxed);
        false
    }

    /// Waits until all that was taken is written, at most that long.
    pub(super) fn flush(&self, at_most: Duration) {
        let (done, written) = mpsc::channel();
        if self.messages.send(Message::Flush(done)).is_ok() {
            // Too late: then it is not written.
            let _ = written.recv_timeout(at_most);
        }
    }
}

fn write(messages: &Receiver<Message>, waiting: &AtomicUsize, mut output: impl Write) {
    for message in messages {
        match message {
            Message::Line(line) => {
                // To a reader that is gone nobody can tell anything.
                if output.write_all(&line).is_err() {
                    DROPPED.fetch_add(1, Ordering::Relaxed);
                }
                waiting.fetch_sub(line.len(), Ordering::Relaxed);
            }
            Message::Flush(done) => drop(done.send(())),
        }
    }
}

/// The formatter hands over each line in one piece.
impl Write for &LineQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // What is dropped is counted; an error would be told on standard error, which is what is stuck.
        self.take(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LineQueue {
    type Writer = &'a LineQueue;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};
    use std::time::Instant;

    use super::*;

    /// Takes nothing until it is opened.
    #[derive(Clone, Default)]
    struct Gate(Arc<(Mutex<Taken>, Condvar)>);

    /// Whether it is open, and what went through.
    type Taken = (bool, Vec<u8>);

    impl Gate {
        fn open(&self) {
            self.0.0.lock().unwrap().0 = true;
            self.0.1.notify_all();
        }
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let state = self.0.0.lock().unwrap();
            let mut state = self.0.1.wait_while(state, |(open, _)| !*open).unwrap();
            state.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_logs_does_not_wait_and_what_has_no_room_is_counted() {
        let gate = Gate::default();
        let queue = LineQueue::start(gate.clone()).unwrap();
        let line = [b'x'; 1023];
        let start = Instant::now();
        let before = dropped();
        let taken = (0..3_000).filter(|_| queue.take(&line)).count();
        queue.flush(Duration::from_millis(1));
        assert!(start.elapsed() < Duration::from_secs(10));
        assert_eq!(taken, MAX_WAITING / line.len());
        assert!(dropped() - before >= 3_000 - taken as u64);
        gate.open();
        queue.flush(Duration::from_secs(10));
        assert_eq!(gate.0.0.lock().unwrap().1.len(), taken * line.len());
        assert!(queue.take(&line), "there is room again");
    }
}
