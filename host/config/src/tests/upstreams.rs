//! How an upstream is spoken to, and what a connection may become.

use std::path::PathBuf;

use super::{parse, problems, sample_with};
use crate::{ClientCertificate, Protocol, Upgrades, UpstreamTls};

const ENDPOINTS: &str = "[http://127.0.0.1:8001]";

#[test]
fn https_endpoints_are_checked_by_what_the_system_trusts_unless_told_otherwise() {
    let plain = sample_with(ENDPOINTS, "[https://a, https://b:8443]");
    let upstream = &parse(&plain).unwrap().upstreams["mock-service"];
    assert_eq!(upstream.tls, Some(UpstreamTls::default()));
    assert_eq!(upstream.endpoints[0].endpoint.port, 443);
    assert_eq!(upstream.protocol, Protocol::Http1);

    let told = sample_with(
        ENDPOINTS,
        "[https://a]\n    protocol: http2\n    tls: { ca: ca.pem, server_name: Orders.internal, client_certificate: { certificate: /c.pem, key: k.pem }, verify: false }",
    );
    let upstream = &parse(&told).unwrap().upstreams["mock-service"];
    let expected = UpstreamTls {
        ca: Some(PathBuf::from("/etc/gw/ca.pem")),
        server_name: Some("orders.internal".to_owned()),
        client_certificate: Some(ClientCertificate {
            certificate: PathBuf::from("/c.pem"),
            key: PathBuf::from("/etc/gw/k.pem"),
        }),
        verify: false,
    };
    assert_eq!(upstream.tls, Some(expected));
    assert_eq!(upstream.protocol, Protocol::Http2);
}

#[test]
fn problems_of_tls_have_their_place_and_remedy() {
    let table = [
        (
            "[http://a, https://b]",
            vec![
                "10: upstreams.mock-service.endpoints[1]: http:// beside https://: all endpoints of an upstream are spoken to alike",
            ],
        ),
        (
            "[http://a]\n    tls: { ca: ca.pem }",
            vec![
                "11: upstreams.mock-service.tls: the endpoints are http://: write https://, or remove tls",
            ],
        ),
        (
            "[https://a]\n    tls: { server_name: 'https://a' }",
            vec![
                "11: upstreams.mock-service.tls.server_name: expected a host name such as orders.internal alone",
            ],
        ),
        (
            "[https://a]\n    tls: { client_certificate: { certificate: c.pem } }",
            vec!["11: upstreams.mock-service.tls.client_certificate: missing key \"key\""],
        ),
        (
            "[https://a]\n    protocol: h2",
            vec!["11: upstreams.mock-service.protocol: expected one of http1, http2, found \"h2\""],
        ),
    ];
    for (endpoints, expected) in table {
        let text = sample_with(ENDPOINTS, endpoints);
        assert_eq!(problems(&text), expected, "{endpoints}");
    }
}

#[test]
fn upgrades_are_protocols_by_name() {
    let with = |upgrades: &str| {
        let text = sample_with(
            "max_attempts: 3",
            &format!("max_attempts: 3\n    upgrades: {upgrades}"),
        );
        parse(&text).map(|config| config.routes[0].upgrades.clone())
    };
    let websocket = with("[WebSocket]").unwrap();
    assert_eq!(websocket, Upgrades::default());
    assert!(websocket.allow("WEBSOCKET") && !websocket.allow("h2c"));
    assert_eq!(with("[websocket, '*']").unwrap(), Upgrades::Any);
    assert!(!with("[]").unwrap().allow("websocket"));
    assert!(with("['IRC/6.9']").unwrap().allow("irc/6.9"));
    let refused = with("['a b']").unwrap_err().to_string();
    assert!(
        refused.contains("routes[0].upgrades[0]: not the name of a protocol, such as websocket"),
        "{refused}"
    );
}
