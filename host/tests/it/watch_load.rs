//! Reloads under load: no request fails, nothing stays behind.

use std::fs;

use mock_service::MockService;

use crate::support::load::Load;
use crate::support::process::Portcullis;
use crate::support::{complete, eventually, metric};

/// Two upstreams by turns, and as many more routes and upstreams as the number's last digit says.
fn config(services: [&MockService; 2], number: usize) -> String {
    let url = services[number % 2].url();
    let mut upstreams = format!("u: {{ endpoints: [{url}] }}");
    let mut routes = format!("{{ name: r{}, upstream: u }}", number % 3);
    for more in 0..number % 10 {
        upstreams += &format!(", more{more}: {{ endpoints: [{url}] }}");
        routes += &format!(
            ", {{ name: more{more}, match: {{ path_prefix: /more{more} }}, upstream: more{more} }}"
        );
    }
    format!(
        "workers: 2\n# number {number}\nupstreams: {{ {upstreams} }}\npolicies: {{ retry: {{ component: 'builtin:retry' }} }}\nroutes: [{routes}]\n"
    )
}

#[tokio::test]
async fn a_hundred_reloads_under_load_fail_no_request_and_leave_nothing_behind() {
    let (one, other) = (MockService::start().await, MockService::start().await);
    let services = [&one, &other];
    let gateway = Portcullis::start(&config(services, 0)).await;
    // Each client may leave a connection to each of the services idle; a reload must leave nothing.
    let files = gateway.open_files() + 6 * services.len();
    let load = Load::start(gateway.address, "/x", 6);
    load.goes_on().await;
    let aside = gateway.directory().join("next.yaml");
    for number in 1..=100 {
        fs::write(&aside, complete(&config(services, number))).unwrap();
        fs::rename(&aside, gateway.config_path()).unwrap();
        gateway.signal("HUP");
        gateway
            .wait_for_metric("portcullis_config_revision", &[], (number + 1) as f64)
            .await;
        load.goes_on().await;
    }
    load.stop().await;
    gateway
        .wait_for_metric("portcullis_config_revisions", &[], 1.0)
        .await;
    eventually("no file is left open", async || {
        gateway.open_files() <= files
    })
    .await;
    let page = gateway.metrics().await;
    assert_eq!(
        metric(
            &page,
            "portcullis_config_reloads_total",
            &[("portcullis_result", "rejected")]
        ),
        0.0
    );
}

#[tokio::test]
async fn a_storm_of_signals_and_writes_makes_few_reloads() {
    let (one, other) = (MockService::start().await, MockService::start().await);
    let services = [&one, &other];
    let gateway = Portcullis::start(&config(services, 0)).await;
    let load = Load::start(gateway.address, "/x", 2);
    let aside = gateway.directory().join("next.yaml");
    for number in 1..=300 {
        fs::write(&aside, complete(&config(services, number))).unwrap();
        fs::rename(&aside, gateway.config_path()).unwrap();
        if number % 100 == 0 {
            gateway.signal("HUP");
        }
    }
    fs::write(
        &aside,
        complete(&config(services, 301)).replace("name: r1,", "name: last,"),
    )
    .unwrap();
    fs::rename(&aside, gateway.config_path()).unwrap();
    let last = [("portcullis_route", "last")];
    eventually("the last config serves", async || {
        let page = gateway.metrics().await;
        metric(&page, "http_server_request_duration_seconds_count", &last) > 0.0
    })
    .await;
    load.stop().await;
    let reloads = metric(
        &gateway.metrics().await,
        "portcullis_config_reloads_total",
        &[],
    );
    assert!(reloads <= 20.0, "{reloads}");
}
