//! The thread that writes lines. What it cannot write in time is dropped and counted.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use portcullis_config::LogTarget;

use crate::telemetry::metrics::Metrics;

/// Batches that wait to be written: about 1 MiB.
const QUEUE: usize = 64;
/// How often it is looked whether the file is still where it was opened.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// A failing disk is told of once in this time.
const COMPLAINT_INTERVAL: Duration = Duration::from_mins(1);

/// Whole lines.
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
}

impl Batch {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self {
            // A line more than that is what it takes to be full.
            bytes: Vec::with_capacity(bytes + 2048),
            lines: 0,
        }
    }
}

enum Message {
    Write(Batch),
    Reopen,
    Close,
}

/// One target of lines; its thread ends with it.
pub(super) struct Sink {
    messages: SyncSender<Message>,
    /// Disconnected when the thread has ended.
    ended: Mutex<Receiver<()>>,
    metrics: Arc<Metrics>,
}

impl Sink {
    /// Opens the target and starts its thread.
    pub(super) fn start(target: LogTarget, metrics: Arc<Metrics>) -> io::Result<Self> {
        let output = Output::open(&target)?;
        let (messages, received) = mpsc::sync_channel(QUEUE);
        let (running, ended) = mpsc::channel();
        let mut writer = Writer {
            target,
            output,
            metrics: metrics.clone(),
            is_torn: false,
            checked: Instant::now(),
            complained: None,
        };
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                let _running: mpsc::Sender<()> = running;
                writer.run(&received);
            })?;
        Ok(Self {
            messages,
            ended: Mutex::new(ended),
            metrics,
        })
    }

    /// Takes lines to write. Never waits: where too many wait already they are dropped.
    pub(super) fn take(&self, batch: Batch) {
        match self.messages.try_send(Message::Write(batch)) {
            Ok(()) => {}
            Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => {
                if let Message::Write(batch) = message {
                    self.metrics.access_log_dropped(batch.lines, "queue-full");
                }
            }
        }
    }

    /// Opens the file anew before the next lines are written.
    pub(super) fn reopen(&self) {
        // Full: the thread hangs in a write, and a check follows that.
        let _ = self.messages.try_send(Message::Reopen);
    }

    /// Waits until all that was taken is written, at most that long.
    pub(super) fn close(&self, at_most: Duration) {
        let deadline = Instant::now() + at_most;
        while let Err(TrySendError::Full(_)) = self.messages.try_send(Message::Close) {
            if Instant::now() >= deadline {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let left = deadline.saturating_duration_since(Instant::now());
        if ended.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the access log's target does not take its last lines");
        }
    }
}

enum Output {
    Stdout,
    Stderr,
    File(File),
}

impl Output {
    fn open(target: &LogTarget) -> io::Result<Self> {
        Ok(match target {
            LogTarget::Stdout => Self::Stdout,
            LogTarget::Stderr => Self::Stderr,
            LogTarget::File(path) => Self::File(open_file(path)?),
        })
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout => io::stdout().write(bytes),
            Self::Stderr => io::stderr().write(bytes),
            Self::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().flush(),
            Self::Stderr | Self::File(_) => Ok(()),
        }
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    // To open a pipe would be to wait for its reader.
    if fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo()) {
        let message = "it is a pipe: write to stdout, and pipe that";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    OpenOptions::new().append(true).create(true).open(path)
}

/// The thread's own.
struct Writer {
    target: LogTarget,
    output: Output,
    metrics: Arc<Metrics>,
    /// The last write ended within a line.
    is_torn: bool,
    checked: Instant,
    complained: Option<Instant>,
}

impl Writer {
    fn run(&mut self, messages: &Receiver<Message>) {
        for message in messages {
            match message {
                Message::Write(batch) => self.write(&batch),
                Message::Reopen => self.reopen(),
                Message::Close => return,
            }
        }
    }

    fn write(&mut self, batch: &Batch) {
        self.reopen_if_gone();
        if self.is_torn && self.output.write_all(b"\n").is_ok() {
            self.is_torn = false;
        }
        let (written, result) = write_all(&mut self.output, &batch.bytes);
        let Err(error) = result else {
            return;
        };
        let whole = batch.bytes[..written].iter().filter(|byte| **byte == b'\n');
        let lost = batch.lines - whole.count() as u64;
        self.is_torn |= written > 0 && batch.bytes[written - 1] != b'\n';
        self.metrics.access_log_dropped(lost, "write-failed");
        self.complain(&error);
    }

    fn reopen_if_gone(&mut self) {
        if self.checked.elapsed() < CHECK_INTERVAL {
            return;
        }
        self.checked = Instant::now();
        if let (LogTarget::File(path), Output::File(file)) = (&self.target, &self.output)
            && !is_at(file, path)
        {
            self.reopen();
        }
    }

    fn reopen(&mut self) {
        match Output::open(&self.target) {
            Ok(output) => {
                self.output = output;
                self.is_torn = false;
            }
            // Better the old file than none.
            Err(error) => self.complain(&error),
        }
    }

    fn complain(&mut self, error: &io::Error) {
        let is_due = |last: Instant| last.elapsed() >= COMPLAINT_INTERVAL;
        if self.complained.is_none_or(is_due) {
            self.complained = Some(Instant::now());
            tracing::error!(
                "the access log cannot be written, its lines are dropped and counted: {error}"
            );
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Writes all bytes, or says how many were written before the error.
fn write_all(output: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match output.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, output.flush())
}
