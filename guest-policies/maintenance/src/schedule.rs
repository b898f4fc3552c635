//! When there is maintenance: by a window of time, by a switch, or always.

use crate::moment::Moment;

/// The config's window; without an end or a beginning where it has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Its first moment.
    pub from: Option<Moment>,
    /// The first moment after it.
    pub until: Option<Moment>,
}

/// What the switch's text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// There is maintenance, whatever the window says.
    On,
    /// There is none, whatever the window says.
    Off,
    /// As the window says.
    Window,
}

impl Window {
    /// Whether `now_us`, in microseconds since 1970, is in it. A window without ends holds every moment.
    pub fn holds(self, now_us: u64) -> bool {
        self.from.is_none_or(|from| from.unix_us() <= now_us) && self.is_before_end(now_us)
    }

    /// Whether it has not ended at `now_us`.
    pub fn is_before_end(self, now_us: u64) -> bool {
        self.until.is_none_or(|until| now_us < until.unix_us())
    }
}

impl Switch {
    /// Reads the switch's text: `on`, `off` or `window`, with white space around it.
    ///
    /// # Errors
    ///
    /// A message with the words. It does not repeat the text, which came out of a secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            "window" => Ok(Self::Window),
            _ => Err("the switch's text must be on, off or window".to_owned()),
        }
    }

    /// Whether there is maintenance at `now_us`.
    pub fn is_on(self, window: Window, now_us: impl FnOnce() -> u64) -> bool {
        match self {
            Self::On => true,
            Self::Off => false,
            Self::Window => window == Window::default() || window.holds(now_us()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from: Option<&str>, until: Option<&str>) -> Window {
        let moment = |text: &str| Moment::parse(text).unwrap();
        Window {
            from: from.map(moment),
            until: until.map(moment),
        }
    }

    #[test]
    fn a_window_has_its_first_moment_and_not_its_last() {
        let both = window(Some("1970-01-01T00:00:01Z"), Some("1970-01-01T00:00:02Z"));
        for (now_us, expected) in [
            (999_999, false),
            (1_000_000, true),
            (1_999_999, true),
            (2_000_000, false),
        ] {
            assert_eq!(both.holds(now_us), expected, "{now_us}");
        }
        assert!(window(Some("1970-01-01T00:00:01Z"), None).holds(u64::MAX));
        assert!(window(None, Some("1970-01-01T00:00:02Z")).holds(0));
    }

    #[test]
    fn a_switch_is_above_the_window() {
        let past = window(None, Some("1970-01-01T00:00:02Z"));
        for (text, expected) in [("on\n", true), (" off", false), ("window", false)] {
            assert_eq!(
                Switch::parse(text).unwrap().is_on(past, || 3_000_000),
                expected,
                "{text}"
            );
        }
        assert!(Switch::Window.is_on(Window::default(), || unreachable!(
            "without a window nobody looks at the clock"
        )));
        for text in ["", "ON", "true", "on off"] {
            assert!(
                Switch::parse(text)
                    .unwrap_err()
                    .contains("must be on, off or window")
            );
        }
    }
}
