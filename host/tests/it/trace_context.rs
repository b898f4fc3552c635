//! The fields of W3C Trace Context and Baggage: what clients may say, and what upstreams are told.

use std::collections::BTreeSet;

use mock_service::MockService;
use serde_json::Value;

use crate::support::collector::{Collector, Speaks};
use crate::support::{TestGateway, eventually};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

struct Site {
    upstream: MockService,
    collector: Collector,
    gateway: TestGateway,
}

impl Site {
    /// `keys` are further lines of the config.
    async fn start(keys: &str) -> Self {
        let (upstream, collector) = (
            MockService::start().await,
            Collector::start(Speaks::Grpc).await,
        );
        let gateway = TestGateway::start(&format!(
            "{keys}\n{}upstreams: {{ u: {{ endpoints: [{}] }} }}\nroutes: [{{ name: r, upstream: u }}]",
            collector.config(""),
            upstream.url()
        ))
        .await;
        Self {
            upstream,
            collector,
            gateway,
        }
    }

    /// What the upstream sees of these fields in a request that has these; nothing for those that are not there.
    async fn seen<const N: usize>(
        &self,
        sent: &[(&str, &str)],
        names: [&str; N],
    ) -> [Option<String>; N] {
        assert_eq!(self.gateway.get_with("/x", sent).await.status, 200);
        let request = self.upstream.requests().pop().unwrap();
        names.map(|name| {
            let lines = request.headers.get_all(name).iter();
            let lines: Vec<&str> = lines.map(|line| line.to_str().unwrap()).collect();
            (!lines.is_empty()).then(|| lines.join(","))
        })
    }

    async fn parent(&self, sent: &[(&str, &str)]) -> Parent {
        let [seen] = self.seen(sent, ["traceparent"]).await;
        Parent::parse(&seen.expect("traceparent is sent"))
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Parent {
    trace: String,
    span: String,
    flags: String,
}

impl Parent {
    fn parse(field: &str) -> Self {
        let parts: Vec<&str> = field.split('-').collect();
        let [version, trace, span, flags] = parts[..] else {
            panic!("{field}");
        };
        assert_eq!(
            (version, trace.len(), span.len(), flags.len()),
            ("00", 32, 16, 2),
            "{field}"
        );
        Self {
            trace: trace.to_owned(),
            span: span.to_owned(),
            flags: flags.to_owned(),
        }
    }
}

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{CALLER}-{flags}")
}

#[tokio::test]
async fn without_tracing_the_fields_pass_as_they_are() {
    let site = Site::start("").await;
    let sent = [
        ("traceparent", "cc-what-ever"),
        ("tracestate", "FOO = bar"),
        ("baggage", "userId=alice;p=1, x=y"),
    ];
    let seen = site
        .seen(&sent, ["traceparent", "tracestate", "baggage"])
        .await;
    assert_eq!(seen, sent.map(|(_, value)| Some(value.to_owned())));
    assert_eq!(site.seen(&[], ["traceparent"]).await, [None]);
    assert_eq!(site.collector.exports(), 0);
}

#[tokio::test]
async fn a_trace_goes_on_and_one_that_is_malformed_begins_anew() {
    let site = Site::start("tracing: { sample: 0 }").await;
    let names = ["traceparent", "tracestate", "baggage"];
    let good = traceparent("00");
    let sent = [
        ("traceparent", good.as_str()),
        ("tracestate", "a=1"),
        ("tracestate", "b=2"),
        ("baggage", "userId=alice;p=1, x=y"),
    ];
    let [parent, state, baggage] = site.seen(&sent, names).await;
    let parent = Parent::parse(&parent.unwrap());
    assert_eq!((&*parent.trace, &*parent.flags), (TRACE, "00"));
    assert_ne!(parent.span, CALLER, "the span is the gateway's");
    assert_eq!(state.as_deref(), Some("a=1,b=2"));
    assert_eq!(baggage.as_deref(), Some("userId=alice;p=1, x=y"));

    for bad in [
        "00-x",
        &format!("ff-{TRACE}-{CALLER}-01"),
        &format!("00-{TRACE}-{}-01", "0".repeat(16)),
        &format!("00-{}-{CALLER}-01", TRACE.to_uppercase()),
        &format!("{good}-more"),
    ] {
        let sent = [
            ("traceparent", bad),
            ("tracestate", "a=1"),
            ("baggage", "k=v"),
        ];
        let [parent, state, baggage] = site.seen(&sent, names).await;
        let parent = Parent::parse(&parent.unwrap());
        assert_ne!(parent.trace, TRACE, "{bad}");
        assert_eq!((&*parent.flags, state), ("02", None), "{bad}");
        assert_eq!(baggage.as_deref(), Some("k=v"), "{bad}");
    }
    let twice = [
        ("traceparent", good.as_str()),
        ("traceparent", good.as_str()),
    ];
    assert_ne!(site.parent(&twice).await.trace, TRACE);
    // A state that is malformed does not take the trace with it.
    let sent = [("traceparent", good.as_str()), ("tracestate", "FOO=1")];
    let [parent, state] = site.seen(&sent, ["traceparent", "tracestate"]).await;
    assert_eq!(
        (Parent::parse(&parent.unwrap()).trace.as_str(), state),
        (TRACE, None)
    );
    // Nor can a client take the gateway's field away.
    let sent = [
        ("connection", "traceparent, tracestate"),
        ("traceparent", good.as_str()),
    ];
    assert_ne!(site.parent(&sent).await.trace, TRACE);
}

#[tokio::test]
async fn requests_of_one_client_do_not_share_ids() {
    let site = Site::start("tracing: { sample: 0 }").await;
    let mut seen = BTreeSet::new();
    for _ in 0..20 {
        let parent = site.parent(&[]).await;
        assert_eq!(parent.flags, "02", "the ids are random");
        assert!(seen.insert(parent.trace) && seen.insert(parent.span));
    }
}

#[tokio::test]
async fn a_client_of_the_public_can_neither_have_itself_traced_nor_keep_out_of_it() {
    for (keys, sent, expected) in [
        ("tracing: { sample: 0 }", "01", "00"),
        ("tracing: { sample: 1 }", "00", "01"),
        (
            "tracing: { sample: 0 }\ntrusted_proxies: [192.0.2.0/24]",
            "01",
            "00",
        ),
        (
            "tracing: { sample: 0 }\ntrusted_proxies: [127.0.0.0/8]",
            "01",
            "01",
        ),
        (
            "tracing: { sample: 1 }\ntrusted_proxies: [127.0.0.0/8]",
            "00",
            "00",
        ),
        (
            "tracing: { sample: 1, follow: nobody }\ntrusted_proxies: [127.0.0.0/8]",
            "00",
            "01",
        ),
        ("tracing: { sample: 0, follow: everyone }", "01", "01"),
    ] {
        let site = Site::start(keys).await;
        let parent = site.parent(&[("traceparent", &traceparent(sent))]).await;
        assert_eq!(
            (&*parent.trace, &*parent.flags),
            (TRACE, expected),
            "{keys} {sent}"
        );
        // The last spans are sent before a gateway has stopped.
        site.gateway.stop().await;
        let spans = if expected == "01" { 2 } else { 0 };
        assert_eq!(site.collector.spans().len(), spans, "{keys} {sent}");
    }
}

#[tokio::test]
async fn about_as_many_are_traced_as_the_config_says() {
    let site = Site::start("tracing: { sample: 0.25 }").await;
    let mut client = site.gateway.client().await;
    for _ in 0..400 {
        client.send(http::Method::GET, "/x", &[], "").await;
    }
    let told = site.upstream.requests();
    let sampled = told.iter().filter(|request| {
        request.headers["traceparent"]
            .to_str()
            .unwrap()
            .ends_with("-03")
    });
    let sampled = sampled.count();
    // Five times the standard deviation of 8.7.
    assert!((57..=143).contains(&sampled), "{sampled}");
    site.gateway.stop().await;
    assert_eq!(site.collector.spans().len(), 2 * sampled);
}

#[tokio::test]
async fn a_route_can_keep_the_field_to_itself() {
    let (upstream, collector) = (
        MockService::start().await,
        Collector::start(Speaks::Grpc).await,
    );
    let gateway = TestGateway::start(&format!(
        "tracing: {{ sample: 1 }}\n{}upstreams: {{ u: {{ endpoints: [{}] }} }}
routes: [{{ name: r, upstream: u, request_headers: {{ remove: [traceparent] }} }}]",
        collector.config(""),
        upstream.url()
    ))
    .await;
    gateway.get("/x").await;
    assert!(!upstream.requests()[0].headers.contains_key("traceparent"));
    collector.wait_for_spans(2).await;
}

#[tokio::test]
async fn the_access_log_names_the_trace_that_the_request_belongs_to() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    let site = Site::start(&format!(
        "access_log: {{ path: {} }}\ntracing: {{ sample: 0 }}",
        log.display()
    ))
    .await;
    let bad = format!("00-{}-{CALLER}-01", "0".repeat(32));
    let own = site.parent(&[("traceparent", &bad)]).await.trace;
    site.parent(&[("traceparent", &traceparent("01"))]).await;
    let lines = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("both have left a line", async || {
        lines().lines().count() == 2
    })
    .await;
    let traces: Vec<Value> = lines()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["trace_id"].clone())
        .collect();
    assert_eq!(traces, [Value::from(own), TRACE.into()]);
}
