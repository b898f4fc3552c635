//! Routes and requests, read from any bytes: of few names, so that they meet.

use http::header::{COOKIE, HOST, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use portcullis::route::route_key::RouteKey;
use portcullis_config::{Condition, HostPattern, Match};

const MOST_ROUTES: usize = 32;
const MOST_PIECES: usize = 8;
const FIELDS: [HeaderName; 2] = [
    HeaderName::from_static("x-a"),
    HeaderName::from_static("x-b"),
];
const COOKIES: [&str; 2] = ["c", "C"];
const PARAMETERS: [&str; 2] = ["q", "r s"];
const LABELS: [&str; 4] = ["a", "b", "ab", "c"];
const SEGMENTS: [&str; 4] = ["a", "b", "ab", "a%2Fb"];
const VALUES: [&str; 4] = ["1", "12", "2", "="];
const HOST_PIECES: [&str; 12] = [
    "a", "b", "ab", "c", ".", "A", ":80", ":", "[::1]", "é", "\t", ".a",
];
const PATH_PIECES: [&str; 8] = ["/", "a", "b", "/a", "/b", "/ab", "%2F", "."];
const QUERY_PIECES: [&str; 12] = [
    "q", "=", "1", "2", "&", "%71", "r+s", "r%20s", "%", "%3", "+", "?",
];
const COOKIE_PIECES: [&str; 8] = ["c=", "C=", "1", "2", ";", "; ", "=", "c"];

/// What is left of the bytes; zeros once they have ended.
pub struct Input<'a>(&'a [u8]);

/// As much of a request as routes look at.
#[derive(Debug)]
pub struct Request {
    pub method: Method,
    pub target: PathAndQuery,
    pub headers: HeaderMap,
}

impl Request {
    pub fn key(&self) -> RouteKey<'_> {
        RouteKey {
            method: &self.method,
            target: &self.target,
            headers: &self.headers,
        }
    }
}

impl<'a> Input<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    /// At least one.
    pub fn routes(&mut self) -> Vec<Match> {
        let count = 1 + self.below(MOST_ROUTES);
        (0..count).map(|_| self.route()).collect()
    }

    /// In a config's shape; only that exact paths may be odder than a config's.
    fn route(&mut self) -> Match {
        let host = self.host_pattern();
        let is_exact = self.below(3) == 2;
        let path = is_exact.then(|| format!("/{}", self.text(&PATH_PIECES)));
        let path_prefix = if is_exact {
            "/".to_owned()
        } else {
            self.prefix()
        };
        let methods = match self.below(4) {
            0 | 1 => Vec::new(),
            2 => vec![Method::GET],
            _ => vec![Method::GET, Method::PUT],
        };
        let conditions = self.byte();
        Match {
            host,
            path,
            path_prefix,
            methods,
            headers: self.conditions(conditions, FIELDS),
            cookies: self.conditions(conditions >> 2, COOKIES.map(str::to_owned)),
            query: self.conditions(conditions >> 4, PARAMETERS.map(str::to_owned)),
        }
    }

    fn host_pattern(&mut self) -> Option<HostPattern> {
        let kind = self.below(3);
        if kind == 0 {
            return None;
        }
        let count = 1 + self.below(3);
        let labels: Vec<&str> = (0..count).map(|_| self.pick(&LABELS)).collect();
        let name = labels.join(".");
        Some(if kind == 1 {
            HostPattern::Exact(name)
        } else {
            HostPattern::Wildcard(format!(".{name}"))
        })
    }

    /// Whole segments, or `/`.
    fn prefix(&mut self) -> String {
        let count = self.below(4);
        let segments = (0..count).map(|_| format!("/{}", self.pick(&SEGMENTS)));
        let prefix: String = segments.collect();
        if count == 0 { "/".to_owned() } else { prefix }
    }

    /// A condition on each of the names that a bit of `chosen` stands for.
    fn conditions<T>(&mut self, chosen: u8, names: [T; 2]) -> Vec<(T, Condition)> {
        let names = names.into_iter().enumerate();
        names
            .filter(|(bit, _)| chosen >> bit & 1 == 1)
            .map(|(_, name)| (name, self.condition()))
            .collect()
    }

    fn condition(&mut self) -> Condition {
        match self.below(4) {
            0 => Condition::Present,
            1 => Condition::Absent,
            2 => Condition::Exact(self.pick(&VALUES).to_owned()),
            _ => Condition::Prefix(self.pick(&VALUES).to_owned()),
        }
    }

    /// `None` once the bytes have ended.
    pub fn request(&mut self) -> Option<Request> {
        if self.0.is_empty() {
            return None;
        }
        let methods = [Method::GET, Method::PUT, Method::POST];
        let method = methods[self.below(methods.len())].clone();
        let has = self.byte();
        let mut headers = HeaderMap::new();
        if has & 1 == 1 {
            headers.insert(HOST, self.value(&HOST_PIECES));
        }
        let mut target = format!("/{}", self.text(&PATH_PIECES));
        if has & 2 == 2 {
            target = format!("{target}?{}", self.text(&QUERY_PIECES));
        }
        for _ in 0..has >> 2 & 3 {
            headers.append(COOKIE, self.value(&COOKIE_PIECES));
        }
        for _ in 0..has >> 4 & 3 {
            let name = FIELDS[self.below(FIELDS.len())].clone();
            headers.append(name, HeaderValue::from_static(self.pick(&VALUES)));
        }
        let target = PathAndQuery::try_from(target).unwrap_or_else(|error| panic!("{error}"));
        Some(Request {
            method,
            target,
            headers,
        })
    }

    fn value(&mut self, pieces: &[&str]) -> HeaderValue {
        let text = self.text(pieces);
        HeaderValue::from_bytes(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn text(&mut self, pieces: &[&str]) -> String {
        let count = self.below(MOST_PIECES + 1);
        (0..count).map(|_| self.pick(pieces)).collect()
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *byte
    }
}
