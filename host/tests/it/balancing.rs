//! Which endpoint a request goes to.

use std::collections::BTreeSet;

use http::Method;
use mock_service::{MockService, Step};

use crate::support::{TestGateway, eventually};

/// So many services.
async fn services(count: usize) -> Vec<MockService> {
    let mut services = Vec::new();
    for _ in 0..count {
        services.push(MockService::start().await);
    }
    services
}

/// A gateway to them, with these weights and keys of the upstream.
fn config(services: &[MockService], weights: &[u32], workers: usize, keys: &str) -> String {
    let endpoints = services
        .iter()
        .zip(weights)
        .map(|(service, weight)| format!("{{ url: '{}', weight: {weight} }}", service.url()));
    let endpoints = endpoints.collect::<Vec<_>>().join(", ");
    format!(
        "workers: {workers}\nupstreams: {{ u: {{ endpoints: [{endpoints}], {keys} }} }}\n\
         routes: [{{ name: r, upstream: u }}]\n"
    )
}

fn counts(services: &[MockService]) -> Vec<usize> {
    services
        .iter()
        .map(|service| service.requests().len())
        .collect()
}

/// Sends requests over connections of their own, so that every worker gets some.
async fn send(gateway: &TestGateway, requests: usize) {
    for _ in 0..requests {
        assert_eq!(gateway.get("/x").await.status, 200);
    }
}

#[tokio::test]
async fn by_turns_each_gets_its_weights_share() {
    for workers in [1, 2] {
        let services = services(3).await;
        let gateway = TestGateway::start(&config(&services, &[3, 1, 1], workers, "")).await;
        send(&gateway, 100).await;
        // Each worker is off by one turn at most.
        for (count, fair) in counts(&services).into_iter().zip([60, 20, 20]) {
            let off = count.abs_diff(fair);
            assert!(off <= 2 * workers, "{workers}: {:?}", counts(&services));
        }
    }
}

#[tokio::test]
async fn the_least_busy_are_preferred() {
    for workers in [1, 2] {
        let services = services(2).await;
        services[0].script("/hang", vec![Step::Hang]);
        services[1].script("/hang", vec![Step::Hang]);
        let keys = "load_balancing: least_request";
        let gateway = TestGateway::start(&config(&services, &[1, 1], workers, keys)).await;
        // Whatever has the first one, the second service gets what follows as long as it is in flight.
        let mut client = gateway.client().await;
        let hanging = tokio::spawn(async move {
            let _ = client.try_send(Method::GET, "/hang", &[], "").await;
        });
        eventually("the request hangs", async || {
            counts(&services).iter().sum::<usize>() == 1
        })
        .await;
        let busy = counts(&services)
            .iter()
            .position(|count| *count == 1)
            .unwrap();
        send(&gateway, 40).await;
        let mut expected = vec![40, 40];
        expected[busy] = 1;
        assert_eq!(counts(&services), expected);
        hanging.abort();
        let idle = async || {
            gateway.upstreams()[0]
                .endpoints
                .iter()
                .all(|endpoint| endpoint.in_flight == 0)
        };
        eventually("nothing is in flight", idle).await;
    }
}

#[tokio::test]
async fn one_key_is_served_by_one_endpoint() {
    for workers in [1, 2] {
        for (by, header) in [("header: x-user", "x-user"), ("cookie: sid", "cookie")] {
            let services = services(3).await;
            let keys = format!("load_balancing: {{ hash: {{ {by} }} }}");
            let gateway = TestGateway::start(&config(&services, &[1, 1, 1], workers, &keys)).await;
            let mut used = BTreeSet::new();
            for key in 0..30 {
                services.iter().for_each(MockService::reset);
                for n in 0..4 {
                    let value = match header {
                        "cookie" => format!("n={n}; sid={key}"),
                        _ => key.to_string(),
                    };
                    let answer = gateway.get_with("/x", &[(header, &value)]).await;
                    assert_eq!(answer.status, 200);
                }
                let owner = counts(&services).iter().position(|count| *count == 4);
                used.insert(owner.unwrap_or_else(|| panic!("{key}: {:?}", counts(&services))));
            }
            assert_eq!(used.len(), 3, "keys are spread");
            // Without a key they take turns.
            services.iter().for_each(MockService::reset);
            send(&gateway, 12).await;
            assert!(
                counts(&services).iter().all(|count| *count >= 3),
                "{:?}",
                counts(&services)
            );
        }
    }
}

#[tokio::test]
async fn one_client_is_served_by_one_endpoint() {
    let services = services(3).await;
    let keys = "load_balancing: { hash: client_address }";
    let gateway = TestGateway::start(&config(&services, &[1, 1, 1], 2, keys)).await;
    send(&gateway, 20).await;
    assert_eq!(
        counts(&services)
            .iter()
            .filter(|count| **count == 20)
            .count(),
        1
    );
}

#[tokio::test]
async fn keys_of_the_endpoints_that_stay_do_not_move() {
    let services = services(4).await;
    let keys = "load_balancing: { hash: { header: x-user } }";
    let of = |count: usize| config(&services[..count], &[1; 4][..count], 1, keys);
    let gateway = TestGateway::start(&of(4)).await;
    let owners = async || {
        let mut owners = Vec::new();
        for key in 0..40 {
            services.iter().for_each(MockService::reset);
            gateway
                .get_with("/x", &[("x-user", &key.to_string())])
                .await;
            owners.push(
                counts(&services)
                    .iter()
                    .position(|count| *count == 1)
                    .unwrap(),
            );
        }
        owners
    };
    let before = owners().await;
    gateway.reload(&of(3)).await.unwrap();
    let after = owners().await;
    for (before, after) in before.iter().zip(&after) {
        assert!(before == after || *before == 3);
        assert_ne!(*after, 3);
    }
}

#[tokio::test]
async fn a_new_endpoint_starts_with_a_small_share() {
    let services = services(2).await;
    let of = |count: usize| config(&services[..count], &[1, 1][..count], 1, "warm_up: 1h");
    let gateway = TestGateway::start(&of(1)).await;
    gateway.reload(&of(2)).await.unwrap();
    send(&gateway, 110).await;
    // A tenth of the other's.
    let counts = counts(&services);
    assert!((8..=12).contains(&counts[1]), "{counts:?}");
}

#[tokio::test]
async fn a_reload_keeps_what_is_known_of_the_endpoints_that_stay() {
    let services = services(2).await;
    services[0].script("/hang", vec![Step::Hang]);
    let gateway = TestGateway::start(&config(&services[..1], &[1], 1, "")).await;
    let mut client = gateway.client().await;
    let hanging = tokio::spawn(async move {
        let _ = client.try_send(Method::GET, "/hang", &[], "").await;
    });
    services[0].wait_for_requests(1).await;
    gateway
        .reload(&config(&services, &[1, 7], 1, ""))
        .await
        .unwrap();
    let status = gateway.upstreams();
    let facts = status[0]
        .endpoints
        .iter()
        .map(|endpoint| (endpoint.weight, endpoint.in_flight));
    assert!(facts.eq([(1, 1), (7, 0)]), "{status:?}");
    hanging.abort();
}
