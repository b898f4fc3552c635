//! Routes that share their requests among several upstreams.

use mock_service::MockService;

use crate::support::TestGateway;

/// A gateway whose one route splits 4 to 1, and its two upstreams.
async fn four_to_one(sticky: &str) -> (TestGateway, MockService, MockService) {
    let (stable, canary) = (MockService::start().await, MockService::start().await);
    let gateway = TestGateway::start(&format!(
        "
upstreams:
  canary: {{ endpoints: [{}] }}
  stable: {{ endpoints: [{}] }}
routes:
  - name: r
    split: [{{ upstream: stable, weight: 4 }}, {{ upstream: canary, weight: 1 }}]
    {sticky}
",
        canary.url(),
        stable.url()
    ))
    .await;
    (gateway, stable, canary)
}

#[tokio::test]
async fn requests_are_shared_by_weight() {
    let (gateway, stable, canary) = four_to_one("").await;
    let mut client = gateway.client().await;
    for _ in 0..1000 {
        let answer = client.send(http::Method::GET, "/", &[], "").await;
        assert_eq!(answer.status, 200);
    }
    let (stable, canary) = (stable.requests().len(), canary.requests().len());
    assert_eq!(stable + canary, 1000);
    // Seven standard deviations (12.6) around 200: chance fails this once in 10^11 runs.
    assert!((112..=288).contains(&canary), "{canary}");
}

#[tokio::test]
async fn a_sticky_client_stays_at_its_upstream() {
    for (sticky, field, value) in [
        ("sticky: { cookie: user }", "cookie", "a=1; user="),
        ("sticky: { header: X-User }", "x-user", ""),
    ] {
        let (gateway, stable, canary) = four_to_one(sticky).await;
        let mut client = gateway.client().await;
        for user in 0..60 {
            let value = format!("{value}user-{user}");
            for _ in 0..3 {
                let path = format!("/{user}");
                client
                    .send(http::Method::GET, &path, &[(field, &value)], "")
                    .await;
            }
            let seen = |upstream: &MockService| upstream.requests_to(&format!("/{user}")).len();
            let seen = (seen(&stable), seen(&canary));
            assert!(seen == (3, 0) || seen == (0, 3), "{value}: {seen:?}");
        }
        // Which users are the canary's is fixed; that both have some is what this shows.
        assert!(!stable.requests().is_empty() && !canary.requests().is_empty());
    }
}

#[tokio::test]
async fn a_clients_address_keeps_it_at_one_upstream() {
    let (gateway, stable, canary) = four_to_one("sticky: client_address").await;
    for _ in 0..20 {
        gateway.get("/").await;
    }
    let seen = (stable.requests().len(), canary.requests().len());
    assert!(seen == (20, 0) || seen == (0, 20), "{seen:?}");
}

#[tokio::test]
async fn the_metrics_name_the_upstream_that_was_chosen() {
    let (gateway, stable, canary) = four_to_one("sticky: { header: x-user }").await;
    for user in 0..20 {
        gateway
            .get_with("/", &[("x-user", &format!("user-{user}"))])
            .await;
    }
    for (name, upstream) in [("stable", &stable), ("canary", &canary)] {
        let seen = upstream.requests().len() as f64;
        let labels = [("portcullis_upstream", name)];
        gateway
            .wait_for_metric("portcullis_upstream_attempts_total", &labels, seen)
            .await;
    }
}
