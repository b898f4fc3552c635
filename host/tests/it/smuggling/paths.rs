//! Paths with two meanings: one spelling reaches the upstream, or none.

use super::Case;
use super::Expect::{Closed, Forwarded, Refused};

pub(crate) const CASES: &[Case] = &[
    (
        "a normal path",
        b"GET /a/b?c=d HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/a/b?c=d", "")],
    ),
    (
        "a dot segment",
        b"GET /a/./b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/a/b", "")],
    ),
    (
        "a double dot segment",
        b"GET /a/../b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/b", "")],
    ),
    (
        "a dot segment at the end",
        b"GET /a/. HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/a/", "")],
    ),
    (
        "a double dot segment at the end",
        b"GET /a/b/.. HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/a/", "")],
    ),
    (
        "dots encoded in lower case",
        b"GET /a/%2e%2e/b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/b", "")],
    ),
    (
        "dots encoded in upper case",
        b"GET /a/%2E%2E/b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/b", "")],
    ),
    (
        "one dot of two encoded",
        b"GET /a/.%2e/b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/b", "")],
    ),
    (
        "an encoded dot",
        b"GET /a/%2e/b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/a/b", "")],
    ),
    (
        "dots that are encoded twice stay so",
        b"GET /a/%252e%252e/b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/a/%252e%252e/b", "")],
    ),
    (
        "slashes that are encoded twice stay so",
        b"GET /a%252fb HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/a%252fb", "")],
    ),
    (
        "double slashes",
        b"GET //a///b// HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/a/b/", "")],
    ),
    (
        "double slashes before dots",
        b"GET /a//../b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/b", "")],
    ),
    (
        "slashes alone",
        b"GET //// HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/", "")],
    ),
    (
        "a path that looks like an authority",
        b"GET //evil.example/x HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/evil.example/x", "")],
    ),
    (
        "letters that are encoded",
        b"GET /%61dmin HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/admin", "")],
    ),
    (
        "unreserved marks that are encoded",
        b"GET /%2d%5f%7E HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/-_~", "")],
    ),
    (
        "hexadecimal digits in lower case",
        b"GET /%c3%a9 HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/%C3%A9", "")],
    ),
    (
        "reserved marks that are encoded stay so",
        b"GET /%3a%40%3b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/%3A%40%3B", "")],
    ),
    (
        "an encoded question mark",
        b"GET /a%3fb?c HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/a%3Fb?c", "")],
    ),
    (
        "an encoded hash",
        b"GET /a%23b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/a%23b", "")],
    ),
    (
        "an encoded percent sign",
        b"GET /a%25b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/a%25b", "")],
    ),
    (
        "an encoded space",
        b"GET /a%20b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/a%20b", "")],
    ),
    (
        "marks that a path may not hold",
        b"GET /a|{b}^ HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/a%7C%7Bb%7D%5E", "")],
    ),
    (
        "three dots",
        b"GET /.../a HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/.../a", "")],
    ),
    (
        "a name with a dot",
        b"GET /.well-known/a HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/.well-known/a", "")],
    ),
    (
        "parameters",
        b"GET /a;b=c/d HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/a;b=c/d", "")],
    ),
    (
        "letters beyond ASCII in UTF-8",
        b"GET /\xc3\xa9 HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/%C3%A9", "")],
    ),
    (
        "dots in the query stay",
        b"GET /a?b=/../%2e%2e/ HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/a?b=/../%2e%2e/", "")],
    ),
    (
        "slashes in the query stay",
        b"GET /a?b=//c%2fd HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/a?b=//c%2fd", "")],
    ),
    (
        "a query that is empty",
        b"GET /a? HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/a?", "")],
    ),
    (
        "two question marks",
        b"GET /a?b?c HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/a?b?c", "")],
    ),
    (
        "a backslash in the query",
        b"GET /a?b=\\ HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/a?b=\\", "")],
    ),
    (
        "a fragment is cut off before anybody sees it",
        b"GET /a#/../admin HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Forwarded("GET", "/a", "")],
    ),
    (
        "above the root",
        b"GET /.. HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "above the root by two",
        b"GET /a/../../b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "above the root with encoded dots",
        b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "above the root behind double slashes",
        b"GET //../a HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "an encoded slash",
        b"GET /a%2fb HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "an encoded slash in upper case",
        b"GET /a%2Fb HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "dots before an encoded slash",
        b"GET /..%2fb HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "dots and slash all encoded",
        b"GET /a/%2e%2e%2fb HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "a backslash",
        b"GET /a\\b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "dots and a backslash",
        b"GET /a/..\\b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "an encoded backslash",
        b"GET /a%5cb HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "dots and an encoded backslash",
        b"GET /a/..%5Cb HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "an encoded NUL",
        b"GET /a%00b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "an encoded NUL behind a suffix",
        b"GET /a.php%00.png HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "an encoded line end",
        b"GET /a%0d%0ax-b:%20c HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "an encoded tab",
        b"GET /a%09b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "an encoded DEL",
        b"GET /a%7fb HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "a NUL",
        b"GET /a\0b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Closed(400)],
    ),
    (
        "a control byte",
        b"GET /a\x01b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Closed(400)],
    ),
    (
        "a DEL",
        b"GET /a\x7fb HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Closed(400)],
    ),
    (
        "an overlong dot",
        b"GET /a/%c0%ae%c0%ae/b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "an overlong slash",
        b"GET /a%c0%afb HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "half a character",
        b"GET /a%c3b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "Latin-1",
        b"GET /caf%e9 HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "a surrogate",
        b"GET /%ed%a0%80 HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "bytes that are no UTF-8",
        b"GET /\xff\xfe HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Closed(400)],
    ),
    (
        "a percent sign alone",
        b"GET /100% HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "a percent sign and one digit",
        b"GET /a%2 HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "a percent sign and other letters",
        b"GET /a%zz HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "a unicode escape of old",
        b"GET /a%u002e HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "a percent sign and a sign",
        b"GET /a%+1 HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "dots with a parameter",
        b"GET /a/..;/b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "dots with a value",
        b"GET /a/..;x=1/b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "a dot with a parameter",
        b"GET /a/.;/b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
    (
        "encoded dots with a parameter",
        b"GET /a/%2e%2e;/b HTTP/1.1\r\nhost: a\r\n\r\n",
        &[Refused(400)],
    ),
];
