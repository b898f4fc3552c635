//! Telemetry that is sent out: the collector, sampling, pushed metrics.

use std::time::Duration;

use super::{SAMPLE, parse, problems, sample_with};
use crate::*;

const METRICS: &str = "metrics: { address: 0.0.0.0:9464 }";

fn otlp(text: &str) -> Otlp {
    let config = parse(&format!("{SAMPLE}otlp: {text}\n")).unwrap();
    config.otlp.unwrap()
}

#[test]
fn nothing_is_sent_unless_it_is_written() {
    let config = parse(SAMPLE).unwrap();
    assert_eq!((config.otlp, config.tracing), (None, None));
    assert_eq!(config.metrics.unwrap().push, None);
}

#[test]
fn a_collector_has_the_usual_port_of_its_protocol() {
    let endpoint = |host: &str, port| Endpoint {
        host: host.to_owned(),
        port,
    };
    let least = Otlp {
        endpoint: endpoint("c", 4317),
        path: String::new(),
        protocol: OtlpProtocol::Grpc,
        tls: None,
        headers: Vec::new(),
        timeout: Duration::from_secs(5),
        service_name: "portcullis".to_owned(),
        resource: [].into(),
    };
    assert_eq!(otlp("{ endpoint: http://c }"), least);
    for (text, port, path) in [
        ("{ endpoint: http://c/, protocol: http }", 4318, ""),
        ("{ endpoint: http://c:80, protocol: http }", 80, ""),
        (
            "{ endpoint: http://c/otlp/x/, protocol: http }",
            4318,
            "/otlp/x",
        ),
        ("{ endpoint: http://c:1/otlp, protocol: http }", 1, "/otlp"),
    ] {
        let expected = Otlp {
            endpoint: endpoint("c", port),
            path: path.to_owned(),
            protocol: OtlpProtocol::Http,
            ..least.clone()
        };
        assert_eq!(otlp(text), expected, "{text}");
    }
}

#[test]
fn a_collector_with_all_that_can_be_said() {
    let otlp = otlp(
        "{ endpoint: 'https://[::1]:1', headers: { X-Token: '${REDIS_URL}', authorization: { file: signing.key } },
           tls: { ca: ca.pem }, timeout: 1s, service_name: gw, resource: { deployment.environment.name: test } }",
    );
    assert_eq!(otlp.endpoint.authority(), "[::1]:1");
    assert_eq!(
        otlp.tls.unwrap().ca.unwrap(),
        std::path::Path::new("/etc/gw/ca.pem")
    );
    let headers: Vec<(&str, &str)> = otlp
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose()))
        .collect();
    assert_eq!(
        headers,
        [
            ("authorization", "s3cr3t"),
            ("x-token", "redis://:hunter2@redis:6379/1")
        ]
    );
    assert_eq!(format!("{:?}", otlp.headers).matches("[secret]").count(), 2);
    assert_eq!(otlp.resource["deployment.environment.name"], "test");
}

#[test]
fn sampling_and_pushed_metrics() {
    let collector = "otlp: { endpoint: http://c }\n";
    let config = parse(&format!("{SAMPLE}{collector}tracing: {{}}\n")).unwrap();
    let tracing = Tracing {
        sample: 0.01,
        follow: Follow::TrustedProxies,
    };
    assert_eq!(config.tracing, Some(tracing));
    let pushed = sample_with(METRICS, "metrics: { address: 0.0.0.0:9464, push: {} }");
    let text = format!("{pushed}{collector}tracing: {{ sample: 1, follow: everyone }}\n");
    let config = parse(&text).unwrap();
    let tracing = Tracing {
        sample: 1.0,
        follow: Follow::Everyone,
    };
    assert_eq!(config.tracing, Some(tracing));
    assert_eq!(config.metrics.unwrap().push, Some(Duration::from_secs(15)));
}

#[test]
fn bad_values_are_named_with_their_place() {
    let with = |text: &str| format!("{SAMPLE}{text}\n");
    let pushed = sample_with(METRICS, "metrics: { address: 0.0.0.0:9464, push: {} }");
    for (text, problem) in [
        (
            with("tracing: {}"),
            "tracing: needs a collector: write otlp with its endpoint, or remove this",
        ),
        (
            pushed,
            "metrics.push: needs a collector: write otlp with its endpoint, or remove this",
        ),
        (with("otlp: {}"), "otlp: missing key \"endpoint\""),
        (
            with("otlp: { endpoint: c:4317 }"),
            "otlp.endpoint: the scheme is missing: expected http://host:port or https://host:port",
        ),
        (
            with("otlp: { endpoint: http://c/x }"),
            "otlp.endpoint: an endpoint of grpc has no path: remove it, or write protocol: http",
        ),
        (
            with("otlp: { endpoint: http://c/v1/traces, protocol: http }"),
            "otlp.endpoint: v1/traces and v1/metrics are added: remove it",
        ),
        (
            with("otlp: { endpoint: http://c/a//b, protocol: http }"),
            "otlp.endpoint: the path must not hold //, /./ or /../",
        ),
        (
            with("otlp: { endpoint: http://c, tls: {} }"),
            "otlp.tls: the endpoints are http://: write https://, or remove tls",
        ),
        (
            with("otlp: { endpoint: http://c, headers: { host: c } }"),
            "otlp.headers.host: is the exporter's own: remove it here",
        ),
        (
            with("otlp: { endpoint: http://c, headers: { grpc-timeout: 1s } }"),
            "otlp.headers.grpc-timeout: is the exporter's own: remove it here",
        ),
        (
            with("otlp: { endpoint: http://c, headers: { a: { file: gone } } }"),
            "otlp.headers.a: cannot read the file /etc/gw/gone: entity not found",
        ),
        (
            with("otlp: { endpoint: http://c, headers: { a: 'b\u{e9}' } }"),
            "otlp.headers.a: a header value has only ASCII characters",
        ),
        (
            with("otlp: { endpoint: http://c, resource: { service.name: x } }"),
            "otlp.resource[\"service.name\"]: is written as service_name",
        ),
        (
            with("otlp: { endpoint: http://c, timeout: 2m }"),
            "otlp.timeout: must be 10ms to 1m, found 2m",
        ),
        (
            with("otlp: { endpoint: http://c }\ntracing: { sample: 2 }"),
            "tracing.sample: must be 0 to 1, found 2",
        ),
        (
            with("otlp: { endpoint: http://c }\ntracing: { follow: all }"),
            "tracing.follow: expected one of trusted_proxies, everyone, nobody, found \"all\"",
        ),
    ] {
        let found = problems(&text);
        assert!(
            found.iter().any(|found| found.ends_with(problem)),
            "{problem}: {found:?}"
        );
        assert!(!format!("{found:?}").contains("hunter2"));
    }
}
