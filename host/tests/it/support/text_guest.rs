//! Policies written in WebAssembly's text format: for what no compiler would write.

use std::path::{Path, PathBuf};

const FRAME: &str = include_str!("text_guest.wat");

/// A policy that exports `on-response`; `text_guest.wat` has the frame and the names that it may use.
pub(crate) struct TextGuest {
    /// Tables, globals and functions of its module.
    pub(crate) declares: &'static str,
    /// The body of the hook; then the request goes on.
    pub(crate) hook: &'static str,
}

impl TextGuest {
    /// Its component in a file in that folder.
    pub(crate) fn write(&self, folder: &Path) -> PathBuf {
        let text = FRAME
            .replace("    DECLARES\n", self.declares)
            .replace("      HOOK\n", self.hook);
        let component = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"));
        let path = folder.join("guest.wasm");
        std::fs::write(&path, component).unwrap();
        path
    }
}
