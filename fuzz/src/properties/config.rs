//! A config is parsed or refused with problems, never with a panic, and means the same each time.

use std::path::Path;

/// The text of a config.
pub fn hold(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // A config may name files, which are read; devices never end.
    if text.contains("/dev") || text.contains("/proc") || text.contains("..") {
        return;
    }
    let path = Path::new("fuzz.yaml");
    match portcullis_config::parse(text, path) {
        Ok(config) => {
            let again = portcullis_config::parse(text, path);
            assert_eq!(again.ok().as_ref(), Some(&config), "{text:?}");
            let moved = format!("# A comment.\n{text}");
            // A comment moves a config by a line, and must not change it; a byte order mark or a
            // directive has to stand first.
            if text.starts_with(|first: char| first.is_ascii_lowercase()) {
                let moved = portcullis_config::parse(&moved, path);
                assert_eq!(moved.ok().as_ref(), Some(&config), "{text:?}");
            }
        }
        Err(errors) => {
            let printed = errors.to_string();
            assert!(!printed.is_empty(), "{text:?}");
            let again = portcullis_config::parse(text, path);
            assert_eq!(
                again.err().map(|errors| errors.to_string()),
                Some(printed),
                "{text:?}"
            );
        }
    }
}
