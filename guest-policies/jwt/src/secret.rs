//! HMAC keys from secrets.

use base64ct::{Base64UrlUnpadded, Encoding as _};

use crate::config::Encoding;
use crate::key::Key;

/// The key that a secret's text is.
///
/// # Errors
///
/// What is wrong with it, without a byte of it.
pub fn key(text: &str, encoding: Encoding, least_bytes: usize) -> Result<Key, String> {
    let bytes = match encoding {
        Encoding::Text => text.as_bytes().to_vec(),
        Encoding::Base64url => Base64UrlUnpadded::decode_vec(text.trim())
            .map_err(|_| "is no base64url without padding".to_owned())?,
    };
    if bytes.len() < least_bytes {
        return Err(format!(
            "has {} bytes, and RFC 7518 asks for {least_bytes} at least: make a longer one",
            bytes.len()
        ));
    }
    Ok(Key::Hmac(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_its_bytes_or_what_it_encodes() {
        let bytes = |text, encoding| match key(text, encoding, 3) {
            Ok(Key::Hmac(bytes)) => bytes,
            other => panic!("{other:?}"),
        };
        assert_eq!(bytes("YWJj", Encoding::Text), b"YWJj");
        assert_eq!(bytes(" YWJj\n", Encoding::Base64url), b"abc");
    }

    #[test]
    fn a_short_or_broken_secret_is_refused_without_being_told() {
        let problem = |text, encoding, least| key(text, encoding, least).unwrap_err();
        let short = problem("YWJj", Encoding::Base64url, 32);
        assert!(
            short.contains("3 bytes") && !short.contains("YWJj"),
            "{short}"
        );
        let broken = problem("sec=ret", Encoding::Base64url, 0);
        assert!(
            broken.contains("base64url") && !broken.contains("sec"),
            "{broken}"
        );
    }
}
