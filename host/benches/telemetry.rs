//! What the metrics of one request cost: `cargo bench --bench telemetry` prints nanoseconds of the thread's CPU time for
//! each request, the least of several rounds. It does as a worker does: all series are bound after the first request.

use std::hint::black_box;
use std::time::{Duration, Instant};

use http::{Method, StatusCode, Version};
use portcullis::telemetry::attempt::AttemptSlots;
use portcullis::telemetry::metrics::Metrics;
use portcullis::telemetry::policy_use::UseSeries;
use portcullis::telemetry::route::{RouteSlots, Served};
use portcullis::wasm::Phase;
use rustix::time::{ClockId, clock_gettime};

const REQUESTS: u32 = 1_000_000;
const ROUNDS: usize = 5;

fn main() {
    let metrics = Metrics::start().expect("metrics start");
    let route = RouteSlots::new(metrics.route("r"));
    let upstream = metrics.upstream("u");
    let attempts = AttemptSlots::new(upstream.endpoint("127.0.0.1", 8001));
    let used = metrics.policy_use("p", "r");
    let plain = |status: StatusCode, took: Duration| {
        route.begins();
        attempts.record(&Method::GET, Ok(status), took);
        upstream.answered(status);
        route.record(&served(status, took));
        route.ends();
    };
    measure("a request with one attempt", plain);
    measure(
        "the same, with four policies of two hooks each",
        |status, took| {
            plain(status, took);
            (0..4).for_each(|_| both_hooks(&used, took));
        },
    );
    measure("the clock that they take besides, once", |_, _| {
        black_box(Instant::now());
    });
}

fn served(status: StatusCode, took: Duration) -> Served<'static> {
    Served {
        method: &Method::GET,
        version: Version::HTTP_11,
        scheme: "http",
        status,
        error: None,
        total: took,
        overhead: Some(took / 10),
    }
}

fn both_hooks(used: &UseSeries, took: Duration) {
    for phase in [Phase::OnRequest, Phase::OnResponse] {
        used.timed(phase, took / 100);
        used.verdict(phase, "next");
    }
}

fn measure(name: &str, request: impl Fn(StatusCode, Duration)) {
    let round = || {
        let start = cpu_time();
        for n in 0..REQUESTS {
            // Not always the same: as a service that fails now and then.
            let status = if n % 64 == 0 {
                StatusCode::NOT_FOUND
            } else {
                StatusCode::OK
            };
            request(
                black_box(status),
                Duration::from_nanos(300_000 + u64::from(n % 4_096)),
            );
        }
        (cpu_time() - start) / REQUESTS
    };
    round();
    let least = (0..ROUNDS).map(|_| round()).min().unwrap_or_default();
    println!("{name}: {} ns", least.as_nanos());
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::from_secs(seconds)
        + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or_default())
}
