//! Listeners: HTTP/2 in the clear, and TLS.

use crate::*;

use super::{SAMPLE, parse, problems, sample_with};

const TLS: &str = "tls: { certificates: [{ certificate: a.pem, key: /keys/a.key }], client_certificates: { ca: ca.pem, mode: optional } }";

/// The sample whose listener has those keys as well.
fn listener_with(keys: &str) -> String {
    sample_with(
        "{ name: http, address: 0.0.0.0:8080 }",
        &format!("{{ name: http, address: 0.0.0.0:8080, {keys} }}"),
    )
}

#[test]
fn files_of_tls_are_named_relative_to_the_config() {
    let config = parse(&listener_with(TLS)).unwrap();
    let expected = Listener {
        name: "http".to_owned(),
        address: "0.0.0.0:8080".parse().unwrap(),
        h2c: true,
        tls: Some(ListenerTls {
            certificates: vec![CertificateFiles {
                certificate: "/etc/gw/a.pem".into(),
                key: "/keys/a.key".into(),
            }],
            client_certificates: Some(ClientCertificates {
                ca: "/etc/gw/ca.pem".into(),
                mode: ClientCertificateMode::Optional,
            }),
        }),
    };
    assert_eq!(config.listeners, [expected]);
}

#[test]
fn h2c_is_on_unless_it_is_switched_off() {
    let h2c = |text: &str| parse(text).unwrap().listeners[0].h2c;
    assert!(h2c(SAMPLE));
    assert!(h2c(&listener_with("h2c: true")));
    assert!(!h2c(&listener_with("h2c: false")));
}

#[test]
fn each_slip_in_a_listener_is_named() {
    let table = [
        (
            "h2c: maybe".to_owned(),
            "2: listeners[0].h2c: expected true or false, found \"maybe\"",
        ),
        (
            format!("h2c: true, {TLS}"),
            "2: listeners[0].h2c: not with tls, where clients and gateway agree on HTTP/2 by ALPN: remove this key",
        ),
        (
            "tls: {}".to_owned(),
            "2: listeners[0].tls: missing key \"certificates\"",
        ),
        (
            "tls: { certificates: [] }".to_owned(),
            "2: listeners[0].tls.certificates: must have at least one item",
        ),
        (
            "tls: { certificates: [{ certificate: a.pem }] }".to_owned(),
            "2: listeners[0].tls.certificates[0]: missing key \"key\"",
        ),
        (
            "tls: { certificates: [{ certificate: '', key: a.key }] }".to_owned(),
            "2: listeners[0].tls.certificates[0].certificate: must not be empty",
        ),
        (
            TLS.replace("optional", "mandatory"),
            "2: listeners[0].tls.client_certificates.mode: expected one of optional, required, found \"mandatory\"",
        ),
        (
            TLS.replace("ca: ca.pem", "cas: ca.pem"),
            "2: listeners[0].tls.client_certificates: missing key \"ca\"",
        ),
    ];
    for (listener, problem) in table {
        let found = problems(&listener_with(&listener));
        assert!(
            found.iter().any(|found| found == problem),
            "{listener}: {found:?}"
        );
    }
}
