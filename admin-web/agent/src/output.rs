//! What the agent prints: lines with the name of who says them. A thread writes, so that a terminal that stands still, or a pipe that
//! nobody reads, stops neither the agent nor a service.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anstyle::{AnsiColor, Style};

/// What the agent's own lines begin with.
pub(crate) const AGENT: &str = "agent";

/// How many lines wait for the terminal; further ones are dropped, and counted.
const WAITING_LINES: usize = 4_096;

/// How long the last lines have to get out.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Of services, in turn; the agent's own lines have no colour.
const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightRed,
];

/// Where lines go; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    lines: SyncSender<String>,
    dropped: Arc<AtomicU64>,
    width: usize,
    has_colours: bool,
}

/// Says something in one name.
#[derive(Debug, Clone)]
pub(crate) struct Voice {
    output: Output,
    prefix: String,
}

/// The thread that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    thread: JoinHandle<()>,
    finished: Receiver<()>,
}

impl Output {
    /// Writes to standard output, coloured when that is a terminal and `NO_COLOR` is not set (<https://no-color.org>).
    pub(crate) fn start<'a>(names: impl Iterator<Item = &'a str>) -> (Self, Writer) {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let (lines, received) = sync_channel(WAITING_LINES);
        let (finish, finished) = sync_channel(1);
        let output = Self {
            lines,
            dropped: Arc::default(),
            width: names
                .map(str::len)
                .max()
                .unwrap_or_default()
                .max(AGENT.len()),
            has_colours: io::stdout().is_terminal() && !no_colour,
        };
        let dropped = Arc::clone(&output.dropped);
        let thread = thread::spawn(move || {
            write_lines(&received, &dropped);
            // Nobody waits any more: nobody to tell.
            let _ = finish.send(());
        });
        (output, Writer { thread, finished })
    }

    /// The voice of the service with this index.
    pub(crate) fn service(&self, index: usize, name: &str) -> Voice {
        let style = COLOURS[index % COLOURS.len()].on_default();
        self.voice(style, name)
    }

    /// The agent's own.
    pub(crate) fn agent(&self) -> Voice {
        self.voice(Style::new().dimmed(), AGENT)
    }

    /// A text as it is, without a name before it.
    pub(crate) fn text(&self, text: &str) {
        self.write(format!("{text}\n"));
    }

    fn voice(&self, style: Style, name: &str) -> Voice {
        let style = if self.has_colours {
            style
        } else {
            Style::new()
        };
        let width = self.width;
        Voice {
            output: self.clone(),
            prefix: format!("{style}{name:width$} |{style:#}"),
        }
    }

    fn write(&self, line: String) {
        if self.lines.try_send(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Voice {
    /// One line.
    pub(crate) fn say(&self, line: &str) {
        self.output.write(format!("{} {line}\n", self.prefix));
    }
}

impl Writer {
    /// Lets the last lines out, once every [`Output`] and [`Voice`] is gone; not longer than a second, if nobody reads them.
    pub(crate) fn finish(self) {
        match self.finished.recv_timeout(LAST_LINES) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => drop(self.thread.join()),
        }
    }
}

fn write_lines(lines: &Receiver<String>, dropped: &AtomicU64) {
    while let Ok(line) = lines.recv() {
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            print(&format!(
                "{AGENT}: {lost} lines were dropped, for nobody took them in time\n"
            ));
        }
        print(&line);
    }
}

fn print(text: &str) {
    // Whoever read it has left: no reason to stop the services.
    let mut stdout = io::stdout().lock();
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}
