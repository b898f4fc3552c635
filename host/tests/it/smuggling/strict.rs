//! HTTP/1.1 as a strict reader sees it: what the gateway sends must pass here, or the test panics.

/// A whole request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: String,
}

impl Request {
    /// Whether it is that, and has been vouched for by the gateway exactly once.
    pub(crate) fn is(&self, method: &str, target: &str, body: &str) -> bool {
        let told = self.values("x-forwarded-for").len() == 1 && self.values("host").len() == 1;
        told && self.method == method && self.target == target && self.body == body
    }

    fn values(&self, name: &str) -> Vec<&str> {
        let fields = self.fields.iter().filter(|(field, _)| field == name);
        fields.map(|(_, value)| value.as_str()).collect()
    }
}

/// The whole requests at the start of these bytes; what is not whole yet is left out.
pub(crate) fn requests(bytes: &[u8]) -> Vec<Request> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let mut rest = text.as_str();
    let mut requests = Vec::new();
    while let Some((request, after)) = request(rest) {
        requests.push(request);
        rest = after;
    }
    requests
}

fn request(text: &str) -> Option<(Request, &str)> {
    let (head, rest) = text.split_once("\r\n\r\n")?;
    assert!(
        !head.replace("\r\n", "").contains(['\r', '\n', '\0']),
        "{head:?}"
    );
    let mut lines = head.split("\r\n");
    let request_line: Vec<&str> = lines.next()?.split(' ').collect();
    let [method, target, "HTTP/1.1"] = request_line[..] else {
        panic!("{request_line:?}");
    };
    let fields: Vec<(String, String)> = lines.map(field).collect();
    let mut request = Request {
        method: method.to_owned(),
        target: target.to_owned(),
        fields,
        body: String::new(),
    };
    for gone in ["keep-alive", "upgrade", "proxy-connection"] {
        assert!(request.values(gone).is_empty(), "{gone}: {head}");
    }
    // The gateway's own word for its connection: that trailers are welcome (RFC 9110 §10.1.4).
    let own = (request.values("connection"), request.values("te"));
    let said = (&own.0[..], &own.1[..]);
    assert!(
        matches!(said, ([], []) | (["te"], ["trailers"])),
        "{own:?}: {head}"
    );
    let (lengths, codings) = (
        request.values("content-length"),
        request.values("transfer-encoding"),
    );
    let (body, rest) = match (&lengths[..], &codings[..]) {
        ([], []) => (String::new(), rest),
        ([length], []) => {
            let length: usize = length.parse().unwrap_or_else(|_| panic!("{head}"));
            (rest.get(..length)?.to_owned(), &rest[length..])
        }
        ([], ["chunked"]) => chunks(rest)?,
        _ => panic!("two ends: {head}"),
    };
    request.body = body;
    Some((request, rest))
}

fn field(line: &str) -> (String, String) {
    let (name, value) = line
        .split_once(": ")
        .or(line.split_once(':'))
        .unwrap_or_else(|| panic!("{line:?}"));
    assert!(
        !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase()),
        "{line:?}"
    );
    (name.to_owned(), value.to_owned())
}

/// The decoded body and what comes after it; trailers are not expected.
fn chunks(mut rest: &str) -> Option<(String, &str)> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        assert!(size.bytes().all(|b| b.is_ascii_hexdigit()), "{size:?}");
        let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("{size:?}"));
        let chunk = after.get(..size)?;
        let end = after.get(size..size + 2)?;
        assert_eq!(end, "\r\n", "{rest:?}");
        body.push_str(chunk);
        rest = &after[size + 2..];
        if size == 0 {
            return Some((body, rest));
        }
    }
}

/// Takes an answer off the start of these bytes: its status, and whether the connection ends with it.
/// Interim answers (1xx) are passed over.
pub(crate) fn take_answer(bytes: &mut Vec<u8>) -> Option<(u16, bool)> {
    loop {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, rest) = text.split_once("\r\n\r\n")?;
        let status: u16 = head
            .split(' ')
            .nth(1)?
            .parse()
            .unwrap_or_else(|_| panic!("{head}"));
        let head = head.to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| {
                length.parse().unwrap_or_else(|_| panic!("{head}"))
            });
        rest.get(..length)?;
        let whole = head.len() + 4 + length;
        bytes.drain(..whole);
        if status >= 200 {
            let keeps = head.contains("connection: keep-alive");
            let closes = head.contains("connection: close");
            return Some((status, closes || (head.starts_with("http/1.0") && !keeps)));
        }
    }
}
