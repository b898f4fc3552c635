//! When a file that changes has come to rest. Knows no file: it is told what was seen, and when.

use std::time::{Duration, Instant};

/// Content that stays the same for this long is taken for whole.
const STABLE: Duration = Duration::from_millis(200);
/// The same where the new text is the beginning of the serving one, as a file is that is written anew
/// from its start: its writer may be slow.
const STABLE_IF_SHORTENED: Duration = Duration::from_secs(2);
/// How long a writer that has the file open may pause.
const WRITER_PATIENCE: Duration = Duration::from_secs(10);

/// What is known of the changes of files.
#[derive(Debug)]
pub(crate) struct Settling<C> {
    /// The content that was last read, whatever came of it.
    read: C,
    /// Another content, and since when it is seen.
    seen: Option<(C, Instant)>,
    /// Last write of somebody who has not closed the file.
    written: Option<Instant>,
}

/// What to do after a look.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing, until something happens.
    Wait,
    /// Look again then.
    LookAt(Instant),
    /// The content has come to rest: read it.
    Read,
}

impl<C: PartialEq + Clone> Settling<C> {
    /// Nothing has changed since that content was read.
    pub(crate) fn new(read: C) -> Self {
        Self {
            read,
            seen: None,
            written: None,
        }
    }

    /// That content has been read, without a look before.
    pub(crate) fn was_read(&mut self, read: C) {
        self.read = read;
        self.seen = None;
    }

    /// Somebody has written to a file, and not closed it yet.
    pub(crate) fn written(&mut self, now: Instant) {
        self.written = Some(now);
    }

    /// The writer has closed the file, or another file has taken its place.
    pub(crate) fn closed(&mut self) {
        self.written = None;
    }

    /// A look has found that content, which `is_shortened` if it is the beginning of the serving one.
    pub(crate) fn look(&mut self, now: Instant, content: &C, is_shortened: bool) -> Next {
        if *content == self.read {
            self.seen = None;
            return Next::Wait;
        }
        let since = match &self.seen {
            Some((seen, since)) if seen == content => *since,
            _ => now,
        };
        let stable = if is_shortened {
            STABLE_IF_SHORTENED
        } else {
            STABLE
        };
        let rested = since + stable;
        let due = self
            .written
            .map_or(rested, |written| rested.max(written + WRITER_PATIENCE));
        if now < due {
            self.seen = Some((content.clone(), since));
            return Next::LookAt(due);
        }
        self.was_read(content.clone());
        Next::Read
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn content_is_read_once_it_has_rested_and_only_once() {
        let start = Instant::now();
        let mut settling = Settling::new("old");
        assert_eq!(settling.look(start, &"old", false), Next::Wait);
        assert_eq!(
            settling.look(start, &"new", false),
            Next::LookAt(start + STABLE)
        );
        // Another content in between: the wait begins anew.
        let later = start + 150 * MS;
        assert_eq!(
            settling.look(later, &"newer", false),
            Next::LookAt(later + STABLE)
        );
        assert_eq!(settling.look(later + STABLE, &"newer", false), Next::Read);
        assert_eq!(settling.look(later + STABLE, &"newer", false), Next::Wait);
        // Refused or not, it is what was read; the old one is a change again.
        assert!(matches!(
            settling.look(later, &"old", false),
            Next::LookAt(_)
        ));
    }

    #[test]
    fn a_change_that_is_taken_back_is_none() {
        let start = Instant::now();
        let mut settling = Settling::new("old");
        settling.look(start, &"new", false);
        assert_eq!(settling.look(start + MS, &"old", false), Next::Wait);
        let later = start + STABLE;
        assert_eq!(
            settling.look(later, &"new", false),
            Next::LookAt(later + STABLE)
        );
    }

    #[test]
    fn a_writer_that_has_the_file_open_is_waited_for_but_not_for_ever() {
        let start = Instant::now();
        let mut settling = Settling::new("old");
        settling.written(start);
        let due = start + WRITER_PATIENCE;
        assert_eq!(settling.look(start, &"half", false), Next::LookAt(due));
        assert_eq!(settling.look(due - MS, &"half", false), Next::LookAt(due));
        settling.closed();
        assert_eq!(settling.look(due - MS, &"half", false), Next::Read);
        settling.written(start);
        assert_eq!(
            settling.look(due, &"whole", false),
            Next::LookAt(due + STABLE)
        );
        assert_eq!(settling.look(due + STABLE, &"whole", false), Next::Read);
    }

    /// A writer that empties the file, writes the text up to `cut`, pauses, and writes the rest.
    /// Looks come at every event and when they are due. What is read on the way?
    fn read_while_written(
        old: &str,
        new: &str,
        cut: usize,
        pause: Duration,
        tells: bool,
    ) -> Vec<String> {
        let start = Instant::now();
        let (half, whole) = (start + MS, start + MS + pause);
        let at = |now: Instant| match now {
            now if now < half => "",
            now if now < whole => &new[..cut],
            _ => new,
        };
        let mut settling = Settling::new(old.to_owned());
        let mut read = Vec::new();
        let (mut now, mut events) = (start, vec![whole + 2 * MS, whole, half]);
        loop {
            if tells && now <= whole {
                settling.written(now);
            } else {
                settling.closed();
            }
            let text = at(now).to_owned();
            let shortened = text.len() < old.len() && old.starts_with(&text);
            let next = settling.look(now, &text, shortened);
            let due = match next {
                Next::Read => {
                    read.push(text);
                    None
                }
                Next::LookAt(due) => Some(due),
                Next::Wait => None,
            };
            match (events.last().copied(), due) {
                (Some(event), Some(due)) if due < event => now = due,
                (Some(event), _) => {
                    events.pop();
                    now = event;
                }
                (None, Some(due)) => now = due,
                (None, None) => return read,
            }
        }
    }

    const OLD: &str = include_str!("../../config/reference.yaml");

    #[test]
    fn of_a_thousand_half_written_configs_none_is_read() {
        let new = OLD.replace("prefix: /v2", "prefix: /v3");
        let longer = format!("{OLD}  - {{ name: more, upstream: orders }}\n");
        let mut random = StdRng::seed_from_u64(1);
        for _ in 0..1_000 {
            let cut = random.random_range(0..OLD.len());
            if !OLD.is_char_boundary(cut) {
                continue;
            }
            // The kernel tells of writers: however long they pause, up to the bound.
            let pause = random.random_range(0..9_000) * MS;
            for text in [&new, &longer] {
                assert_eq!(
                    read_while_written(OLD, text, cut, pause, true),
                    [text.as_str()],
                    "{cut}"
                );
            }
            // It does not (a network's file system): an unchanged beginning may take up to two seconds.
            let pause = random.random_range(0..1_990) * MS;
            assert_eq!(
                read_while_written(OLD, &longer, cut, pause, false),
                [longer.as_str()],
                "{cut}"
            );
            // The same text once more is no change at all.
            assert_eq!(
                read_while_written(OLD, OLD, cut, pause, false),
                [] as [&str; 0],
                "{cut}"
            );
        }
    }
}
