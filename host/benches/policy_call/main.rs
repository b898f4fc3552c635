//! The cost of one call of each hook, as the chain makes it: CPU time of the thread, page faults.
//!
//! Warm caches and nothing else on the thread: a lower bound for what a policy costs in traffic,
//! which `make bench` measures beside. With a case's name it runs that one alone:
//! `cargo bench --bench policy_call -- fresh`, under `strace -f -c` to count its system calls.

mod case;
mod stage;
mod usage;

use self::case::{CALLS, CASES, Case};
use self::stage::Redis;

const BATCHES: usize = 300;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    // Not for others: `strace -f` would count its system calls, too.
    let redis = is_wanted("limit-redis").then(Redis::start);
    runtime.block_on(tokio::task::LocalSet::new().run_until(async {
        let worker = stage::worker(redis.as_ref()).await;
        println!(
            "{:<20} {:>10} {:>10} {:>14}",
            "one call", "p10 µs", "p50 µs", "page faults"
        );
        let mut cases: Vec<Case> = CASES
            .iter()
            .enumerate()
            .filter(|(_, subject)| is_wanted(subject.name))
            .map(|(index, subject)| Case::new(&worker, index, subject))
            .collect();
        for case in &mut cases {
            case.batch(&worker).await;
        }
        cases.iter_mut().for_each(Case::clear);
        // Case after case within each round, so that the machine's moods hit them alike.
        for _ in 0..BATCHES {
            for case in &mut cases {
                case.batch(&worker).await;
            }
        }
        cases.iter_mut().for_each(Case::print);
        println!("calls {}", cases.len() * (BATCHES + 1) * CALLS);
    }));
}
