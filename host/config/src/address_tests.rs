//! Tables of texts, what they mean, and what is said of those that mean nothing.

use super::*;

#[test]
fn socket_addresses() {
    assert_eq!(socket_address("0.0.0.0:8080").unwrap().port(), 8080);
    assert_eq!(socket_address("[::1]:80").unwrap().port(), 80);
    let table = [
        (
            ":8080",
            "expected an IP address before the port: write 0.0.0.0:8080 for all interfaces",
        ),
        (
            "localhost:80",
            "expected an IP address, not a host name: write 127.0.0.1 for this machine, 0.0.0.0 for all interfaces",
        ),
        ("::1:80", "an IPv6 address needs brackets: write [::1]:80"),
        (
            "127.0.0.1",
            "the port is missing: write an IP address and a port such as 0.0.0.0:8080",
        ),
        (
            "8080",
            "expected an IP address and a port such as 0.0.0.0:8080",
        ),
        (
            "127.0.0.1:99999",
            "expected an IP address and a port such as 0.0.0.0:8080",
        ),
        (
            "${ADDRESS}",
            "${NAME} is only read in secrets: write an IP address and a port such as 0.0.0.0:8080",
        ),
    ];
    for (text, message) in table {
        assert_eq!(socket_address(text), Err(message.to_owned()), "{text}");
    }
}

#[test]
fn endpoints() {
    let table = [
        ("http://127.0.0.1:8001", "127.0.0.1:8001"),
        ("http://Mock_Service:8001/", "mock_service:8001"),
        ("http://api.internal", "api.internal:80"),
        ("http://[::1]:81", "[::1]:81"),
        ("http://[0:0::0001]", "[::1]:80"),
        ("http://xn--bcher-kva.example:1", "xn--bcher-kva.example:1"),
        ("https://api.internal", "api.internal:443"),
        ("https://[::1]:8443/", "[::1]:8443"),
    ];
    for (text, authority) in table {
        let (scheme, endpoint) = endpoint(text).unwrap();
        assert_eq!(endpoint.authority(), authority, "{text}");
        assert_eq!(scheme == Scheme::Https, text.starts_with("https"), "{text}");
    }
    let table = [
        (
            "127.0.0.1:8001",
            "the scheme is missing: expected http://host:port or https://host:port",
        ),
        (
            "h2c://h",
            "no such scheme: expected http://host:port or https://host:port",
        ),
        (
            "http://u:p@h",
            "an endpoint has no user and password: expected http://host:port or https://host:port",
        ),
        (
            "http://h/v1",
            "an endpoint has no path: expected http://host:port or https://host:port, and set the path with the route's rewrite",
        ),
        (
            "http://h?x",
            "an endpoint has no query and no fragment: expected http://host:port or https://host:port",
        ),
        (
            "http://h#x",
            "an endpoint has no query and no fragment: expected http://host:port or https://host:port",
        ),
        (
            "http://${HOST}:80",
            "${NAME} is only read in secrets: expected http://host:port or https://host:port",
        ),
        (
            "http://",
            "the host is missing, or holds a character that no host has",
        ),
        (
            "http://:80",
            "the host is missing, or holds a character that no host has",
        ),
        (
            "http://a b",
            "the host is missing, or holds a character that no host has",
        ),
        ("http://h:0", "the port must be a number from 1 to 65535"),
        (
            "http://h:65536",
            "the port must be a number from 1 to 65535",
        ),
        ("http://h:", "the port must be a number from 1 to 65535"),
        ("http://::1", "an IPv6 address needs brackets: [::1]"),
        (
            "http://[::x]:1",
            "not an IPv6 address, or something follows it",
        ),
        (
            "http://256.0.0.1:1",
            "not an IP address: four numbers from 0 to 255",
        ),
        ("http://-a:1", "not a host name or an IP address"),
        ("http://a..b", "not a host name or an IP address"),
    ];
    for (text, message) in table {
        assert_eq!(endpoint(text), Err(message.to_owned()), "{text}");
    }
}

#[test]
fn host_patterns() {
    let exact = |host: &str| Ok(HostPattern::Exact(host.to_owned()));
    assert_eq!(host_pattern("API.example.com"), exact("api.example.com"));
    assert_eq!(host_pattern("127.0.0.1"), exact("127.0.0.1"));
    assert_eq!(host_pattern("[::1]"), exact("[::1]"));
    let wildcard = host_pattern("*.Example.com").unwrap();
    assert_eq!(wildcard, HostPattern::Wildcard(".example.com".to_owned()));
    assert_eq!(wildcard.to_string(), "*.example.com");
    let table = [
        ("*", "leave host out to match any host"),
        ("", "not a host name or an IP address"),
        ("*.", "not a host name or an IP address"),
        (
            "a.*.com",
            "* can only be the first label, as in *.example.com",
        ),
        (
            "*a.com",
            "* can only be the first label, as in *.example.com",
        ),
        (
            "a.com:80",
            "a host is matched without its port: write a.com",
        ),
        (
            "*.a.com:80",
            "a host is matched without its port: write *.a.com",
        ),
        ("[::1]:80", "not an IPv6 address, or something follows it"),
        ("a.com.", "a host has no . at its end: write a.com"),
        (
            "bücher.example",
            "write a host name with other than ASCII letters in its xn-- form",
        ),
        (
            "http://a.com",
            "expected a host such as api.example.com, not a URL: a path goes to path_prefix",
        ),
        (
            "a.com/x",
            "expected a host such as api.example.com, not a URL: a path goes to path_prefix",
        ),
    ];
    for (text, message) in table {
        assert_eq!(host_pattern(text), Err(message.to_owned()), "{text}");
    }
}

#[test]
fn path_prefixes() {
    for (text, prefix) in [
        ("/", "/"),
        ("/api", "/api"),
        ("/api/", "/api"),
        ("/a/b%20c;v=1/~x", "/a/b%20c;v=1/~x"),
    ] {
        assert_eq!(path_prefix(text), Ok(prefix.to_owned()));
    }
    let table = [
        ("", "must start with /"),
        ("api", "must start with /"),
        ("/api?x", "must be a path alone, without ? and #"),
        (
            "/api/*",
            "must not hold *: a prefix takes everything below it as it is",
        ),
        ("/a b", "must not hold ' ': percent-encode it"),
        ("/é", "must not hold 'é': percent-encode it"),
        ("/a\\b", "must not hold '\\\\': percent-encode it"),
        ("//", "must not hold //, /./ or /../"),
        ("/a//b", "must not hold //, /./ or /../"),
        ("/a/../b", "must not hold //, /./ or /../"),
        ("/a/.", "must not hold //, /./ or /../"),
        ("/a%2", "a % must be followed by two hexadecimal digits"),
        ("/a%zz", "a % must be followed by two hexadecimal digits"),
    ];
    for (text, message) in table {
        assert_eq!(path_prefix(text), Err(message.to_owned()), "{text}");
    }
}
