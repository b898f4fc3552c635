//! After the hygiene of a head no field of the connection is left, nothing that passes for the gateway's
//! own word, and everything else as it was.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use portcullis::head::fields;

/// Written anew, so that a slip in the gateway's list shows. `trailer` passes, as the fields do that it
/// tells of.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
];
const INDISPENSABLE: [&str; 2] = ["host", "content-length"];

/// Lines of `name: value`; those that are no field are passed over.
pub fn hold(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(200) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let before = headers.clone();
    fields::remove_hop_by_hop(&mut headers);
    let nominated = nominated(&before);
    for (name, values) in by_name(&before) {
        let goes = HOP_BY_HOP.contains(&name)
            || (nominated.iter().any(|n| n == name) && !INDISPENSABLE.contains(&name));
        let left: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
        let expected = if goes { Vec::new() } else { values };
        assert_eq!(left, expected, "{name}");
    }
    claims_go(headers);
}

fn claims_go(headers: HeaderMap) {
    for may_forward in [true, false] {
        let mut cleaned = headers.clone();
        fields::remove_claims(&mut cleaned, may_forward);
        for (name, values) in by_name(&headers) {
            let folded = name.replace('_', "-");
            let is_own = folded.starts_with("x-portcullis-");
            let is_forwarding = folded.starts_with("x-forwarded-")
                || folded == "x-real-ip"
                || folded == "forwarded";
            let is_disguised = folded != name
                && (HOP_BY_HOP.contains(&&*folded)
                    || folded == "content-length"
                    || folded == "x-request-id"
                    || is_forwarding);
            let goes = is_own || is_disguised || (is_forwarding && !may_forward);
            let left: Vec<&HeaderValue> = cleaned.get_all(name).iter().collect();
            let expected = if goes { Vec::new() } else { values };
            assert_eq!(left, expected, "{name} {may_forward}");
        }
    }
}

/// Names in `Connection`, in lower case.
fn nominated(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all("connection").iter();
    let names = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    names
        .map(|name| String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase())
        .collect()
}

fn by_name(headers: &HeaderMap) -> Vec<(&str, Vec<&HeaderValue>)> {
    let names = headers.keys();
    names
        .map(|name| (name.as_str(), headers.get_all(name).iter().collect()))
        .collect()
}
