//! Cookies of HTTP/2, whose clients may send each in a field of its own.

use http::header::{COOKIE, HeaderValue};
use http::{HeaderMap, Version};

use crate::error::GatewayError;

/// Makes one field of them, as HTTP/1 has it (RFC 9113 §8.2.3).
pub(super) fn join(headers: &mut HeaderMap, version: Version) -> Result<(), GatewayError> {
    let mut cookies = headers.get_all(COOKIE).iter();
    if version != Version::HTTP_2 || cookies.nth(1).is_none() {
        return Ok(());
    }
    let crumbs = headers.get_all(COOKIE).iter();
    let crumbs: Vec<&[u8]> = crumbs.map(HeaderValue::as_bytes).collect();
    let joined = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
        .map_err(|_| GatewayError::BadRequest("the cookies are not valid"))?;
    headers.insert(COOKIE, joined);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(version: Version, crumbs: &[&'static str]) -> Vec<HeaderValue> {
        let mut headers = HeaderMap::new();
        headers.insert("x", HeaderValue::from_static("y"));
        for crumb in crumbs {
            headers.append(COOKIE, HeaderValue::from_static(crumb));
        }
        assert!(join(&mut headers, version).is_ok());
        headers.get_all(COOKIE).iter().cloned().collect()
    }

    #[test]
    fn cookies_of_http_2_become_one_field() {
        let crumbs = ["a=1", "b=2; c=3", "d"];
        assert_eq!(joined(Version::HTTP_2, &crumbs), ["a=1; b=2; c=3; d"]);
        assert_eq!(joined(Version::HTTP_11, &crumbs), crumbs);
        assert_eq!(joined(Version::HTTP_2, &["a"]), ["a"]);
        assert!(joined(Version::HTTP_2, &[]).is_empty());
    }
}
