//! The Lua script in a real Redis decides as the pure GCRA does.

mod server;

use std::cell::RefCell;
use std::time::Duration;

use crate::decision::Demand;
use crate::gcra::Rate;
use crate::redis::{self, Answer, Ask};
use proptest::prelude::*;
use server::{Reply, Server};

const CLOCK: &str = "local clock = redis.call('TIME')\nlocal now = clock[1] * 1000000 + clock[2]\n";

/// The script on the server's clock, which adds the moment that it saw to its reply.
fn script_that_tells_the_time() -> String {
    let script = redis::script();
    assert!(script.starts_with(CLOCK) && script.ends_with("return reply\n"));
    script.replace("return reply\n", "reply[#reply + 1] = now\nreturn reply\n")
}

/// The script on a clock that the test sets by its last argument, with keys that stay.
fn script_on_a_virtual_clock() -> String {
    let script = redis::script().replace(CLOCK, "local now = tonumber(ARGV[#ARGV])\n");
    let kept = script.replace(", 'PX', math.ceil((tat - now) / 1000))", ")");
    assert_ne!(kept, script);
    kept
}

fn eval(server: &mut Server, script: &str, asks: &[Ask<'_>], now: Option<u64>) -> Reply {
    let mut parts = vec![
        b"EVAL".to_vec(),
        script.as_bytes().to_vec(),
        asks.len().to_string().into_bytes(),
    ];
    parts.extend(asks.iter().map(|ask| ask.demand.key.clone().into_bytes()));
    parts.extend(redis::arguments(asks).into_iter().map(String::into_bytes));
    parts.extend(now.map(|now| now.to_string().into_bytes()));
    server.call(&parts)
}

fn answers(server: &mut Server, script: &str, asks: &[Ask<'_>], now: Option<u64>) -> Vec<Answer> {
    redis::answers(&eval(server, script, asks, now).numbers(), asks.len()).unwrap()
}

/// The pure model of all limits of one request.
pub(crate) struct Model {
    pub(crate) tats: Vec<Option<u64>>,
}

impl Model {
    pub(crate) fn new(len: usize) -> Self {
        Self {
            tats: vec![None; len],
        }
    }

    pub(crate) fn decide(&mut self, asks: &[Ask<'_>], now_us: u64) -> Vec<Answer> {
        for (tat, ask) in self.tats.iter_mut().zip(asks) {
            let latest = now_us + ask.demand.rate.tolerance_us();
            *tat = Some((tat.unwrap_or(0).max(now_us) + ask.owed_us).min(latest));
        }
        let probe = |(tat, ask): (&Option<u64>, &Ask<'_>)| {
            ask.demand.rate.probe(*tat, now_us, ask.demand.cost)
        };
        let probes: Vec<_> = self.tats.iter().zip(asks).map(probe).collect();
        let refuses = |(i, ask): (usize, &Ask<'_>)| !ask.demand.is_shadow && !probes[i].allows();
        let pass = !asks.iter().enumerate().any(refuses);
        let mut answers = Vec::new();
        for ((probe, ask), tat) in probes.iter().zip(asks).zip(&mut self.tats) {
            if !pass || !probe.allows() {
                let (standing, leased) = (probe.uncharged(), 0);
                answers.push(Answer { standing, leased });
                continue;
            }
            let (rate, charged) = (ask.demand.rate, probe.charged_tat_us());
            let leased = probe.charged().remaining.min(ask.lease);
            *tat = Some(charged + rate.charge_us(leased));
            let mut standing = rate.probe(*tat, now_us, 0).uncharged();
            standing.allowed = true;
            answers.push(Answer { standing, leased });
        }
        answers
    }
}

fn demands(specs: &[(u32, u64, u32)]) -> Vec<Demand> {
    let demand = |(i, &(units, per_us, burst)): (usize, &(u32, u64, u32))| Demand {
        key: format!("limit{i}:{{caller}}"),
        rate: Rate::new(units, per_us, burst),
        cost: 1,
        lease: 0,
        is_shadow: false,
    };
    specs.iter().enumerate().map(demand).collect()
}

fn plain(demands: &[Demand]) -> Vec<Ask<'_>> {
    let ask = |demand| Ask {
        demand,
        lease: 0,
        owed_us: 0,
    };
    demands.iter().map(ask).collect()
}

#[test]
fn on_any_clock_the_script_decides_as_the_model() {
    let server = RefCell::new(Server::start());
    let script = script_on_a_virtual_clock();
    let cases = ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let limits = prop::collection::vec(
        (1u32..30, 1_000u64..90_000_000, 1u32..8, any::<bool>()),
        1..=8,
    );
    let details = prop::collection::vec((0u32..8, 0u32..5, 0u64..3_000_000), 8);
    let steps = prop::collection::vec((0u64..3, 0u64..4_000_000, details), 1..60);
    proptest::test_runner::TestRunner::new(cases)
        .run(
            &(
                limits,
                steps,
                1_600_000_000_000_000u64..4_000_000_000_000_000,
            ),
            |(specs, steps, start)| {
                let server = &mut *server.borrow_mut();
                server.call(&["FLUSHALL"]);
                let rates: Vec<_> = specs.iter().map(|&(u, p, b, _)| (u, p, b)).collect();
                let (mut model, mut now) = (Model::new(rates.len()), start);
                for (scale, step, details) in steps {
                    now += step / 1_000u64.pow(u32::try_from(scale).unwrap());
                    let mut demands = demands(&rates);
                    for ((demand, spec), detail) in demands.iter_mut().zip(&specs).zip(&details) {
                        demand.cost = detail.0.min(spec.2);
                        demand.is_shadow = spec.3;
                    }
                    let mut asks = plain(&demands);
                    for (ask, detail) in asks.iter_mut().zip(&details) {
                        // Mostly nothing to say but the request.
                        ask.lease = detail.1.saturating_sub(2);
                        ask.owed_us = detail.2.saturating_sub(2_000_000);
                    }
                    let answered = answers(server, &script, &asks, Some(now));
                    prop_assert_eq!(answered, model.decide(&asks, now));
                }
                Ok(())
            },
        )
        .unwrap();
}

#[test]
fn on_the_servers_clock_with_keys_that_expire_the_script_decides_as_the_model() {
    let mut server = Server::start();
    let script = script_that_tells_the_time();
    let demands = demands(&[(1, 700, 3), (1, 2_500, 4), (3, 40_000, 6)]);
    let asks = plain(&demands);
    let mut model = Model::new(demands.len());
    let (mut allowed, mut expired) = (0, 0);
    for i in 0u64..600 {
        // Pseudo-random pauses: mostly none, at times long enough for some keys, or for all, to expire.
        let pause_us = match i.wrapping_mul(2_654_435_761) >> 7 & 15 {
            0 => 60_000,
            1..=3 => 3_000,
            4..=8 => 400,
            _ => 0,
        };
        std::thread::sleep(Duration::from_micros(pause_us));
        expired += u32::from(server.call(&["EXISTS", &demands[0].key]) == Reply::Int(0));
        let mut numbers = eval(&mut server, &script, &asks, None).numbers();
        let now = u64::try_from(numbers.pop().unwrap()).unwrap();
        let expected = model.decide(&asks, now);
        let passed = expected.iter().all(|answer| answer.standing.allowed);
        assert_eq!(
            redis::answers(&numbers, asks.len()),
            Ok(expected),
            "request {i}"
        );
        allowed += u32::from(passed);
    }
    assert!(allowed > 50 && allowed < 550, "{allowed}");
    assert!(expired > 20, "{expired}");
}

#[test]
fn the_script_as_sent_keeps_integers_that_expire_when_the_bucket_is_full() {
    let mut server = Server::start();
    let demands = demands(&[(100, 60_000_000, 20)]);
    for left in (18..20).rev() {
        let answered = answers(&mut server, &redis::script(), &plain(&demands), None);
        let standing = answered[0].standing;
        assert_eq!((standing.allowed, standing.remaining), (true, left));
    }
    let Reply::Text(Some(stored)) = server.call(&["GET", &demands[0].key]) else {
        panic!("nothing stored")
    };
    assert_eq!(stored.len(), 16, "{stored} is no µs of Unix time");
    let Reply::Int(ttl_ms) = server.call(&["PTTL", &demands[0].key]) else {
        panic!("no PTTL")
    };
    assert!((1_000..=1_200).contains(&ttl_ms), "{ttl_ms}");
}

#[test]
fn what_costs_nothing_leaves_no_key() {
    let mut server = Server::start();
    let mut demands = demands(&[(100, 60_000_000, 20)]);
    demands[0].cost = 0;
    let answered = answers(&mut server, &redis::script(), &plain(&demands), None);
    assert_eq!(answered[0].standing.remaining, 20);
    assert_eq!(server.call(&["DBSIZE"]), Reply::Int(0));
}

#[test]
fn a_clock_that_was_set_back_is_forgiven_after_one_interval() {
    let mut server = Server::start();
    let script = script_on_a_virtual_clock();
    let demands = demands(&[(1, 1_000, 5)]);
    let mut at = |now: u64| eval(&mut server, &script, &plain(&demands), Some(now)).numbers();
    assert_eq!(at(9_000_000_000), [1, 4, 1_000, 0]);
    assert_eq!(at(1_000_000), [0, 0, 1_000, 0]);
    assert_eq!(at(1_000_999), [0, 0, 1, 0]);
    assert_eq!(at(1_001_000), [1, 0, 5_000, 0]);
}

#[test]
fn a_value_that_is_no_number_is_taken_for_a_full_bucket() {
    let mut server = Server::start();
    let demands = demands(&[(1, 1_000, 5)]);
    server.call(&["SET", &demands[0].key, "junk"]);
    let answered = eval(&mut server, &redis::script(), &plain(&demands), None);
    assert_eq!(answered.numbers(), [1, 4, 1_000, 0]);
}
