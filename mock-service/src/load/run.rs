//! Sends the requests when they are due.

use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};

use super::arguments::LoadArguments;
use super::arrivals::Arrivals;
use super::mix::Mix;
use super::pool::Pool;
use super::tally::{Fate, Tally};

/// How long requests that are under way at the end are waited for.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// A line each.
const LINES: Duration = Duration::from_secs(1);

/// Sends requests until `stop`, or as long as the arguments say; prints a line each second and a summary.
///
/// # Errors
/// The arguments don't fit together; with a remedy.
pub async fn run(arguments: LoadArguments, stop: impl Future<Output = ()>) -> Result<(), String> {
    let mut load = Load::try_new(&arguments)?;
    LocalSet::new()
        .run_until(async {
            let until = async {
                match arguments.duration {
                    Some(duration) => sleep(duration).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = load.send_all() => {}
                () = until => {}
                () = stop => {}
            }
            load.finish().await;
        })
        .await;
    Ok(())
}

struct Load {
    arrivals: Arrivals<Xoshiro256PlusPlus>,
    mix: Mix,
    /// Of what the requests are: its own, so that they are the same whatever their times.
    random: Xoshiro256PlusPlus,
    pools: Vec<Rc<Pool>>,
    connections: usize,
    timeout: Duration,
    under_way: JoinSet<(Fate, Duration)>,
    started: Instant,
    /// The next request, if its time was drawn already.
    due: Option<Instant>,
    /// Since the last line.
    second: Tally,
    whole: Tally,
}

impl Load {
    fn try_new(arguments: &LoadArguments) -> Result<Self, String> {
        let mut times = Xoshiro256PlusPlus::seed_from_u64(arguments.seed);
        let random = times.fork();
        Ok(Self {
            arrivals: Arrivals::new(arguments.pattern(), arguments.rate, times),
            mix: arguments.mix()?,
            random,
            pools: arguments
                .targets
                .iter()
                .map(|target| Rc::new(Pool::new(target.clone())))
                .collect(),
            connections: arguments.connections as usize,
            timeout: arguments.timeout,
            under_way: JoinSet::new(),
            started: Instant::now(),
            due: None,
            second: Tally::new(),
            whole: Tally::new(),
        })
    }

    /// Without end.
    async fn send_all(&mut self) {
        let mut lines = interval_at(self.started + LINES, LINES);
        lines.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let due = self.next_due();
            tokio::select! {
                biased;
                _ = lines.tick() => self.print_second(),
                Some(done) = self.under_way.join_next() => self.count(done.ok()),
                () = sleep_until(due) => {
                    self.due = None;
                    self.send();
                }
            }
        }
    }

    fn next_due(&mut self) -> Instant {
        let arrivals = &mut self.arrivals;
        // It never ends; if it did, nothing would be due for long.
        let next = || self.started + arrivals.next().unwrap_or(Duration::from_secs(3_600));
        *self.due.get_or_insert_with(next)
    }

    fn send(&mut self) {
        // Drawn also for what is skipped, so that a slow service does not change what comes later.
        let request = self.mix.choose(&mut self.random);
        if self.under_way.len() >= self.connections {
            self.second.skipped += 1;
            return;
        }
        let turn = (self.whole.sent + self.second.sent) as usize % self.pools.len();
        let pool = Rc::clone(&self.pools[turn]);
        let limit = self.timeout;
        self.second.sent += 1;
        self.under_way.spawn_local(async move {
            let started = Instant::now();
            let fate = timeout(limit, pool.send(&request)).await;
            (fate.unwrap_or(Fate::TimedOut), started.elapsed())
        });
    }

    fn count(&mut self, done: Option<(Fate, Duration)>) {
        if let Some((fate, took)) = done {
            self.second.count(fate, took);
        }
    }

    fn print_second(&mut self) {
        let under_way = self.under_way.len();
        let elapsed = self.started.elapsed().as_secs_f64().round();
        print(&format!(
            "{elapsed:>4}s  {}  under way {under_way}",
            self.second
        ));
        self.whole.add(&self.second);
        self.second = Tally::new();
    }

    /// Waits for the last answers, and sums up.
    async fn finish(&mut self) {
        let elapsed = self.started.elapsed();
        let answers = async {
            while let Some(done) = self.under_way.join_next().await {
                if let Ok((fate, took)) = done {
                    self.second.count(fate, took);
                }
            }
        };
        // Those that take longer are told as under way.
        let _ = timeout(LAST_ANSWERS, answers).await;
        self.whole.add(&self.second);
        let rate = self.whole.sent as f64 / elapsed.as_secs_f64().max(0.001);
        let seconds = elapsed.as_secs_f64();
        let under_way = self.under_way.len();
        print(&format!(
            "summary of {seconds:.1}s at {rate:.1}/s: {}  under way {under_way}",
            self.whole
        ));
    }
}

fn print(line: &str) {
    // Nobody reads it: no reason to stop.
    let _ = writeln!(io::stdout(), "{line}");
}
