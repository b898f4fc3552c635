//! What a request is hashed by.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::COOKIE;
use portcullis_config::HashKey;

use super::ring;

/// The hash of a request's key. `None`: it has none.
pub fn hash(key: &HashKey, headers: &HeaderMap, client: IpAddr) -> Option<u64> {
    match key {
        HashKey::Header(name) => headers.get(name).map(|value| ring::hash(value.as_bytes())),
        HashKey::Cookie(name) => cookie(headers, name).map(ring::hash),
        HashKey::ClientAddress => Some(match client.to_canonical() {
            IpAddr::V4(address) => ring::hash(&address.octets()),
            IpAddr::V6(address) => ring::hash(&address.octets()),
        }),
    }
}

/// The value of the first cookie of that name (RFC 6265 §4.2.1; HTTP/2 may split the field, RFC 9113
/// §8.2.3).
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let fields = headers.get_all(COOKIE).into_iter();
    let mut pairs = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    pairs.find_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?;
        value.strip_prefix(b"=")
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let table: [(&[&str], Option<&str>); 6] = [
            (&["sid=a"], Some("a")),
            (&["x=1; sid=a=b; sid=c"], Some("a=b")),
            (&["x=1", "sid=a"], Some("a")),
            (&["asid=1; sidx=2; SID=3"], None),
            (&["sid"], None),
            (&[], None),
        ];
        for (fields, expected) in table {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(COOKIE, HeaderValue::from_str(field).unwrap());
            }
            assert_eq!(
                cookie(&headers, "sid"),
                expected.map(str::as_bytes),
                "{fields:?}"
            );
        }
    }

    #[test]
    fn a_request_without_the_key_has_no_hash() {
        let client = IpAddr::from([10, 0, 0, 1]);
        let mut headers = HeaderMap::new();
        let key = HashKey::Header(HeaderName::from_static("x-user"));
        assert_eq!(hash(&key, &headers, client), None);
        headers.insert("x-user", HeaderValue::from_static("7"));
        assert!(hash(&key, &headers, client).is_some());
    }

    #[test]
    fn an_address_has_one_hash_in_both_its_forms() {
        let headers = HeaderMap::new();
        let [plain, mapped] = ["10.0.0.1", "::ffff:10.0.0.1"]
            .map(|text| hash(&HashKey::ClientAddress, &headers, text.parse().unwrap()));
        assert_eq!(plain, mapped);
    }
}
