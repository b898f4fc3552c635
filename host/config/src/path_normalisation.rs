//! One spelling for each path: what routes, policies and upstreams see in place of what a client wrote.
//!
//! Two spellings of one path are two ways past a rule that knows only one of them. So a target is
//! normalised once, before anybody looks at it (RFC 3986 §6.2.2), and one that has no meaning which
//! everybody shares is refused.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How paths are normalised. The query is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathNormalisation {
    /// Whether `//` becomes `/`. Default yes.
    pub merge_slashes: bool,
    /// What becomes of `%2F` and `%5C`. Default [`EncodedSlashes::Reject`].
    pub encoded_slashes: EncodedSlashes,
}

/// What becomes of a / or \ that is percent-encoded: some servers take it for a separator, some do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EncodedSlashes {
    /// The request is refused.
    Reject,
    /// Passed on in upper case, as a part of its segment.
    Keep,
    /// %2F becomes /, before dot segments are removed; %5C is refused.
    Decode,
}

impl Default for PathNormalisation {
    fn default() -> Self {
        Self {
            merge_slashes: true,
            encoded_slashes: EncodedSlashes::Reject,
        }
    }
}

/// Why a target has no normal form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    /// It does not start with `/`.
    NotAPath,
    /// A `%` without two hexadecimal digits (RFC 3986 §2.1).
    Percent,
    /// A byte below 0x20, or 0x7F, encoded or not.
    Control,
    /// `#`: a fragment never leaves the client (RFC 9110 §7.1).
    Fragment,
    /// Some servers take `\` for `/`.
    Backslash,
    /// `%2F` or `%5C`, where they are not welcome.
    EncodedSlash,
    /// Percent-encoded bytes that are not UTF-8, such as the overlong `%C0%AE` for a dot.
    NotUtf8,
    /// More `..` than there are segments before them.
    AboveRoot,
    /// A dot segment for some servers only: `..;x`, `..%2Fx`.
    DisguisedDots,
}

impl PathError {
    /// The same for every target, so that it can be shown to anybody.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAPath => "the request's target is not a path",
            Self::Percent => "a % in the path is not followed by two hexadecimal digits",
            Self::Control => "a control character in the request's target",
            Self::Fragment => "a fragment in the request's target",
            Self::Backslash => "a backslash in the path",
            Self::EncodedSlash => "an encoded slash in the path",
            Self::NotUtf8 => "the path's percent-encoded bytes are not UTF-8",
            Self::AboveRoot => "the path climbs above the root",
            Self::DisguisedDots => "a path segment that some servers take for a dot segment",
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for PathError {}

impl PathNormalisation {
    /// The normal form of a path with or without a query; `None` when it has that form already, which
    /// is the usual case and takes no memory.
    pub fn normalise(&self, target: &str) -> Result<Option<String>, PathError> {
        let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
        check_query(query)?;
        if self.is_plain(path) {
            return Ok(None);
        }
        if !path.starts_with('/') {
            return Err(PathError::NotAPath);
        }
        let spelled = self.respell(path)?;
        let mut normal = self.without_dots(&spelled)?;
        if normal == path {
            return Ok(None);
        }
        normal.push_str(query);
        Ok(Some(normal))
    }

    /// Whether one look says that the path is normal. `false` may be normal as well: percent-encodings
    /// and names that start with a dot are looked at more closely.
    fn is_plain(self, path: &str) -> bool {
        let mut last = 0;
        for byte in path.bytes() {
            let after_slash = last == b'/';
            let doubtful = match byte {
                b'/' => after_slash && self.merge_slashes,
                b'.' => after_slash,
                _ => !is_path_byte(byte),
            };
            if doubtful {
                return false;
            }
            last = byte;
        }
        path.starts_with('/')
    }

    /// The path with each byte in its one spelling (RFC 3986 §6.2.2.1, §6.2.2.2): unreserved ones as they
    /// are, encodings in upper case, and encoded what may not stand in a path.
    fn respell(self, path: &str) -> Result<String, PathError> {
        let bytes = path.as_bytes();
        let mut spelled = String::with_capacity(bytes.len() + 16);
        let mut octets = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            let encoded = bytes[at] == b'%';
            let octet = if encoded {
                decode(bytes, at)?
            } else {
                bytes[at]
            };
            at += if encoded { 3 } else { 1 };
            self.spell(octet, encoded, &mut spelled)?;
            octets.push(octet);
        }
        match std::str::from_utf8(&octets) {
            Ok(_) => Ok(spelled),
            Err(_) => Err(PathError::NotUtf8),
        }
    }

    fn spell(self, octet: u8, encoded: bool, spelled: &mut String) -> Result<(), PathError> {
        match octet {
            0..=0x1f | 0x7f => return Err(PathError::Control),
            b'#' if !encoded => return Err(PathError::Fragment),
            b'\\' if !encoded => return Err(PathError::Backslash),
            b'/' | b'\\' if encoded => match (self.encoded_slashes, octet) {
                (EncodedSlashes::Keep, _) => encode(octet, spelled),
                (EncodedSlashes::Decode, b'/') => spelled.push('/'),
                _ => return Err(PathError::EncodedSlash),
            },
            _ if is_unreserved(octet) || (!encoded && (is_path_byte(octet) || octet == b'/')) => {
                spelled.push(char::from(octet));
            }
            _ => encode(octet, spelled),
        }
        Ok(())
    }

    /// RFC 3986 §5.2.4, but that nothing is above the root.
    fn without_dots(self, path: &str) -> Result<String, PathError> {
        let mut segments: Vec<&str> = Vec::new();
        let mut rest = path.strip_prefix('/');
        while let Some(text) = rest {
            let (segment, after) = match text.split_once('/') {
                Some((segment, after)) => (segment, Some(after)),
                None => (text, None),
            };
            rest = after;
            match segment {
                ".." => segments.pop().map(drop).ok_or(PathError::AboveRoot)?,
                "." => {}
                "" if self.merge_slashes && rest.is_some() => {}
                _ if has_disguised_dots(segment) => return Err(PathError::DisguisedDots),
                _ => segments.push(segment),
            }
            // A dot segment at the end names a directory.
            if rest.is_none() && (segment == "." || segment == "..") {
                segments.push("");
            }
        }
        Ok(format!("/{}", segments.join("/")))
    }
}

/// Tomcat and its like strip parameters before they look for dots (`..;x`); others decode a slash
/// that was left encoded (`..%2Fx`).
fn has_disguised_dots(segment: &str) -> bool {
    let parts = segment.split("%2F").flat_map(|part| part.split("%5C"));
    let mut names = parts.map(|part| part.split(';').next().unwrap_or_default());
    segment.contains([';', '%']) && names.any(|name| name == "." || name == "..")
}

/// The query, with its `?`, goes on as it is; what may not stand in a request line is refused.
fn check_query(query: &str) -> Result<(), PathError> {
    if query.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return Err(PathError::Control);
    }
    if query.contains('#') {
        return Err(PathError::Fragment);
    }
    Ok(())
}

fn decode(bytes: &[u8], at: usize) -> Result<u8, PathError> {
    let digit = |place: usize| {
        let byte = bytes.get(place).copied().map(char::from);
        byte.and_then(|digit| digit.to_digit(16))
            .and_then(|digit| u8::try_from(digit).ok())
            .ok_or(PathError::Percent)
    };
    Ok(digit(at + 1)? << 4 | digit(at + 2)?)
}

fn encode(octet: u8, into: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    into.push('%');
    into.push(char::from(DIGITS[usize::from(octet >> 4)]));
    into.push(char::from(DIGITS[usize::from(octet & 15)]));
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What may stand for itself in a segment (`pchar` of RFC 3986 §3.3).
fn is_path_byte(byte: u8) -> bool {
    const ALLOWED: [bool; 256] = {
        let mut allowed = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            let octet = byte as u8;
            allowed[byte] = octet.is_ascii_alphanumeric()
                || matches!(octet, b'-' | b'.' | b'_' | b'~' | b':' | b'@')
                || matches!(
                    octet,
                    b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+'
                )
                || matches!(octet, b',' | b';' | b'=');
            byte += 1;
        }
        allowed
    };
    ALLOWED[usize::from(byte)]
}

#[cfg(test)]
mod tests;
