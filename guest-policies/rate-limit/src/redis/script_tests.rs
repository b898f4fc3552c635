//! The Lua script in a real Redis decides as the pure GCRA does.

mod server;

use std::cell::RefCell;
use std::time::Duration;

use crate::decision::Decision;
use crate::gcra::{Probe, Rate};
use crate::redis;
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

fn eval(server: &mut Server, script: &str, keys: &[String], arguments: &[Vec<u8>]) -> Reply {
    let count = keys.len().to_string();
    let mut parts = vec![
        b"EVAL".to_vec(),
        script.as_bytes().to_vec(),
        count.into_bytes(),
    ];
    parts.extend(keys.iter().map(|key| key.clone().into_bytes()));
    parts.extend_from_slice(arguments);
    server.call(&parts)
}

/// The pure model of all limits of one request.
struct Model {
    rates: Vec<Rate>,
    tats: Vec<Option<u64>>,
}

impl Model {
    fn new(rates: Vec<Rate>) -> Self {
        Self {
            tats: vec![None; rates.len()],
            rates,
        }
    }

    fn decide(&mut self, now_us: u64) -> Decision {
        let probes: Vec<_> = self
            .rates
            .iter()
            .zip(&self.tats)
            .map(|(rate, &tat)| rate.probe(tat, now_us))
            .collect();
        let allowed = probes.iter().all(Probe::allows);
        if allowed {
            self.tats = probes
                .iter()
                .map(|probe| Some(probe.charged_tat_us()))
                .collect();
        }
        Decision::collect(probes.len(), |i| {
            if allowed {
                probes[i].charged()
            } else {
                probes[i].uncharged()
            }
        })
    }
}

fn keys(len: usize) -> Vec<String> {
    (0..len).map(|i| format!("limit{i}:{{caller}}")).collect()
}

fn rates(specs: &[(u32, u64, u32)]) -> Vec<Rate> {
    specs
        .iter()
        .map(|&(requests, per_us, burst)| Rate::new(requests, per_us, burst))
        .collect()
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
    let limits = prop::collection::vec((1u32..30, 1_000u64..90_000_000, 1u32..8), 1..=8);
    let steps = prop::collection::vec((0u64..3, 0u64..4_000_000), 1..60);
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
                let rates = rates(&specs);
                let (mut model, mut now) = (Model::new(rates.clone()), start);
                let arguments = redis::arguments(rates.iter().copied());
                for (scale, step) in steps {
                    now += step / 1_000u64.pow(u32::try_from(scale).unwrap());
                    let mut arguments = arguments.clone();
                    arguments.push(now.to_string().into_bytes());
                    let numbers = eval(server, &script, &keys(rates.len()), &arguments).numbers();
                    prop_assert_eq!(
                        redis::decision(&numbers, rates.len()),
                        Ok(model.decide(now))
                    );
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
    let rates = rates(&[(1, 700, 3), (1, 2_500, 4), (3, 40_000, 6)]);
    let arguments = redis::arguments(rates.iter().copied());
    let mut model = Model::new(rates.clone());
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
        expired += u32::from(server.call(&["EXISTS", &keys(1)[0]]) == Reply::Int(0));
        let mut numbers = eval(&mut server, &script, &keys(rates.len()), &arguments).numbers();
        let now = u64::try_from(numbers.pop().unwrap()).unwrap();
        let expected = model.decide(now);
        assert_eq!(
            redis::decision(&numbers, rates.len()),
            Ok(expected),
            "request {i}"
        );
        allowed += u32::from(expected.allowed());
    }
    assert!(allowed > 50 && allowed < 550, "{allowed}");
    assert!(expired > 20, "{expired}");
}

#[test]
fn the_script_as_sent_keeps_integers_that_expire_when_the_bucket_is_full() {
    let mut server = Server::start();
    let rates = rates(&[(100, 60_000_000, 20)]);
    let key = keys(1);
    for left in (18..20).rev() {
        let numbers = eval(
            &mut server,
            &redis::script(),
            &key,
            &redis::arguments(rates.iter().copied()),
        )
        .numbers();
        assert_eq!(numbers[..2], [1, left]);
    }
    let Reply::Text(Some(stored)) = server.call(&["GET", &key[0]]) else {
        panic!("nothing stored")
    };
    assert_eq!(stored.len(), 16, "{stored} is no µs of Unix time");
    let Reply::Int(ttl_ms) = server.call(&["PTTL", &key[0]]) else {
        panic!("no PTTL")
    };
    assert!((1_000..=1_200).contains(&ttl_ms), "{ttl_ms}");
}

#[test]
fn a_clock_that_was_set_back_is_forgiven_after_one_interval() {
    let mut server = Server::start();
    let script = script_on_a_virtual_clock();
    let (rate, key) = (Rate::new(1, 1_000, 5), keys(1));
    let mut at = |now: u64| {
        let mut arguments = redis::arguments(std::iter::once(rate));
        arguments.push(now.to_string().into_bytes());
        eval(&mut server, &script, &key, &arguments).numbers()
    };
    assert_eq!(at(9_000_000_000), [1, 4, 1_000]);
    assert_eq!(at(1_000_000), [0, 0, 1_000]);
    assert_eq!(at(1_000_999), [0, 0, 1]);
    assert_eq!(at(1_001_000), [1, 0, 5_000]);
}

#[test]
fn a_value_that_is_no_number_is_taken_for_a_full_bucket() {
    let mut server = Server::start();
    let key = keys(1);
    server.call(&["SET", &key[0], "junk"]);
    let numbers = eval(
        &mut server,
        &redis::script(),
        &key,
        &redis::arguments(std::iter::once(Rate::new(1, 1_000, 5))),
    );
    assert_eq!(numbers.numbers(), [1, 4, 1_000]);
}
