//! How many requests gateways that share a redis-server admit in real time: processes of their own, one, two
//! and four of them, also with clocks that are hours apart.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use http::Method;
use mock_service::MockService;

use crate::support::process::Portcullis;
use crate::support::redis::RedisServer;
use crate::support::{TestClient, within};

/// So slow that a busy machine asks for more.
const RATE: f64 = 20.0;
const BURST: f64 = 100.0;
const TIME: Duration = Duration::from_secs(3);
/// Clients together; as many for each gateway.
const CLIENTS: usize = 4;

/// How requests arrive at each client.
#[derive(Clone, Copy, Debug)]
enum Arrivals {
    /// One after the other, without a pause.
    Uniform,
    /// So many at a time, ten times a second: more than the bucket earns meanwhile.
    Bursts(u32),
}

fn config(redis: &RedisServer, upstream: &MockService, more: &str) -> String {
    format!(
        "
redis: {{ main: {{ url: '{}', deadline: 5s }} }}
upstreams: {{ u: {{ endpoints: [{}] }} }}
policies:
  limit:
    component: builtin:rate-limit
    isolation: pooled
    grants: {{ kv: {{}}, metrics: {{}}, redis: {{ binding: main, prefix: 'rl:', scripts: true }} }}
    limits: {{ time: 10s }}
routes:
  - name: r
    upstream: u
    policies:
      - use: limit
        on_failure: closed
        config: {{ limits: [{{ name: token, key: {{ header: x-api-key }}, rate: {RATE}, per: 1s, burst: {BURST}{more} }}] }}
",
        redis.url(),
        upstream.url()
    )
}

/// What came of the clients.
struct Measured {
    admitted: f64,
    /// From before the first request to after the last answer: the limit was not used for longer.
    most_seconds: f64,
    /// From the first answer to the last request, which was refused: for so long the limit was used up.
    least_seconds: f64,
}

impl Measured {
    /// Neither more than the limit and `extra` allow, nor less than 99 % of the limit.
    fn assert_exact(&self, what: &str, extra: f64) {
        let most = BURST + RATE * self.most_seconds + extra;
        let least = BURST + RATE * self.least_seconds;
        let told = format!(
            "{what}: {} admitted, {:.2} % of {least:.1}, at most {most:.1}",
            self.admitted,
            100.0 * self.admitted / least
        );
        println!("{told}");
        assert!(self.admitted <= most, "{told}");
        assert!(self.admitted >= 0.99 * least, "{told}");
    }
}

/// What came of one client.
struct Client {
    admitted: u32,
    first_answer: Instant,
    last_request: Instant,
}

/// Clients of all gateways ask under a key of their own until the time is over, and then until they are refused:
/// the bucket is empty at the end, however busy the machine is.
async fn measure(gateways: &[Portcullis], arrivals: Arrivals) -> Measured {
    let key = format!("{}-{arrivals:?}", gateways.len());
    let mut connections = Vec::new();
    for number in 0..CLIENTS {
        connections.push(gateways[number % gateways.len()].client().await);
    }
    let start = Instant::now();
    let clients: Vec<_> = connections
        .into_iter()
        .map(|client| tokio::spawn(ask(client, key.clone(), start, arrivals)))
        .collect();
    let mut measured = Vec::new();
    for client in clients {
        measured.push(within(client).await.unwrap());
    }
    let first = measured.iter().map(|client| client.first_answer).min();
    let last = measured.iter().map(|client| client.last_request).max();
    Measured {
        admitted: f64::from(measured.iter().map(|client| client.admitted).sum::<u32>()),
        most_seconds: start.elapsed().as_secs_f64(),
        least_seconds: (last.unwrap() - first.unwrap()).as_secs_f64(),
    }
}

async fn ask(mut client: TestClient, key: String, start: Instant, arrivals: Arrivals) -> Client {
    let (mut admitted, mut sent, mut first_answer) = (0, 0, None);
    loop {
        let last_request = Instant::now();
        let headers = [("x-api-key", key.as_str())];
        let answer = client.send(Method::GET, "/x", &headers, "").await;
        let first_answer = *first_answer.get_or_insert_with(Instant::now);
        match answer.status.as_u16() {
            200 => admitted += 1,
            429 if start.elapsed() >= TIME => {
                return Client {
                    admitted,
                    first_answer,
                    last_request,
                };
            }
            429 => {}
            other => panic!("{other}: {}", answer.text()),
        }
        sent += 1;
        if let Arrivals::Bursts(size) = arrivals
            && sent % size == 0
            && start.elapsed() < TIME
        {
            let next = start + Duration::from_millis(100) * (sent / size);
            tokio::time::sleep_until(next.into()).await;
        }
    }
}

async fn start(config: &str, count: usize) -> Vec<Portcullis> {
    let mut gateways = Vec::new();
    for _ in 0..count {
        gateways.push(Portcullis::start(config).await);
    }
    gateways
}

#[tokio::test]
async fn gateways_together_admit_what_the_limit_allows() {
    let (redis, upstream) = (RedisServer::start().await, MockService::start().await);
    let gateways = start(&config(&redis, &upstream, ""), 4).await;
    for count in [1, 2, 4] {
        // In all 40 ten times a second, where 2 are earned.
        for arrivals in [Arrivals::Uniform, Arrivals::Bursts(10)] {
            let measured = measure(&gateways[..count], arrivals).await;
            measured.assert_exact(&format!("{count} gateways, {arrivals:?}"), 0.0);
        }
    }
}

#[tokio::test]
async fn leases_add_no_more_than_themselves() {
    let (redis, upstream) = (RedisServer::start().await, MockService::start().await);
    let gateways = start(&config(&redis, &upstream, ", lease: 5"), 4).await;
    for count in [1, 2, 4] {
        let measured = measure(&gateways[..count], Arrivals::Uniform).await;
        measured.assert_exact(&format!("{count} gateways with leases"), 5.0 * count as f64);
    }
}

#[tokio::test]
async fn gateways_whose_clocks_are_hours_apart_admit_the_same() {
    let (redis, upstream) = (RedisServer::start().await, MockService::start().await);
    let config = config(&redis, &upstream, "");
    let mut gateways = Vec::new();
    for offset in ["-1h", "+0", "+1h"] {
        gateways.push(Portcullis::start_with_clock(&config, offset).await);
    }
    // The log's first words are the date and the hour.
    let hours: BTreeSet<_> = gateways
        .iter()
        .map(|gateway| gateway.log()[..13].to_owned())
        .collect();
    assert_eq!(hours.len(), 3, "the clocks are not apart: {hours:?}");
    let measured = measure(&gateways, Arrivals::Uniform).await;
    measured.assert_exact("clocks an hour apart", 0.0);
}
