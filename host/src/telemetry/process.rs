//! What is measured of the process, under the names that Prometheus' own clients use, and of its workers.

use std::fs;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Shows the process as it is each time that the metrics are read.
pub(super) fn observe(meter: &Meter) {
    meter
        .f64_observable_counter("process.cpu")
        .with_unit("s")
        .with_description("CPU time of the process, user and system")
        .with_callback(|observer| observer.observe(cpu_time().as_secs_f64(), &[]))
        .build();
    gauge(
        meter,
        "process.open_fds",
        "",
        "File descriptors that are open",
        open_files,
    );
    gauge(
        meter,
        "process.max_fds",
        "",
        "File descriptors that may be open",
        || getrlimit(Resource::Nofile).current,
    );
    gauge(
        meter,
        "process.resident_memory",
        "By",
        "Memory of the process that is in RAM",
        || status("VmRSS:").map(|kibibytes| kibibytes << 10),
    );
    gauge(
        meter,
        "process.threads",
        "",
        "Threads of the process",
        || status("Threads:"),
    );
    meter
        .f64_observable_gauge("process.start_time")
        .with_unit("s")
        .with_description("When the process was started, since 1970")
        .with_callback(|observer| {
            if let Some(seconds) = start_time() {
                observer.observe(seconds, &[]);
            }
        })
        .build();
}

/// Shows how long workers have been busy, by their numbers, as `read` finds it each time that the metrics are read.
pub(super) fn observe_workers(
    meter: &Meter,
    read: impl Fn() -> Vec<Duration> + Send + Sync + 'static,
) {
    meter
        .f64_observable_counter("portcullis.worker.busy")
        .with_unit("s")
        .with_description("Time that a worker was not waiting for anything: its rate is its load")
        .with_callback(move |observer| {
            for (worker, busy) in read().into_iter().enumerate() {
                let worker = KeyValue::new("portcullis.worker", worker.to_string());
                observer.observe(busy.as_secs_f64(), &[worker]);
            }
        })
        .build();
}

fn gauge(
    meter: &Meter,
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    read: impl Fn() -> Option<u64> + Send + Sync + 'static,
) {
    meter
        .u64_observable_gauge(name)
        .with_unit(unit)
        .with_description(description)
        .with_callback(move |observer| {
            if let Some(value) = read() {
                observer.observe(value, &[]);
            }
        })
        .build();
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos)
}

fn open_files() -> Option<u64> {
    // The one through which they are counted is not the gateway's.
    let listed = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(listed.saturating_sub(1) as u64)
}

/// A number of /proc/self/status (proc_pid_status(5)).
fn status(key: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// proc_pid_stat(5): field 22 counts ticks from the start of the machine, which proc_stat(5) tells as `btime`.
fn start_time() -> Option<f64> {
    // What user space sees of them, on every architecture that the gateway is built for.
    const TICKS: f64 = 100.0;
    let process = fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name stands in parentheses, and may have spaces in it.
    let after_name = process.rsplit_once(')')?.1;
    let ticks: f64 = after_name.split_whitespace().nth(19)?.parse().ok()?;
    let machine = fs::read_to_string("/proc/stat").ok()?;
    let boot = machine
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?;
    Some(boot.trim().parse::<f64>().ok()? + ticks / TICKS)
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_system_tells_of_the_process() {
        assert!(cpu_time() > Duration::ZERO);
        assert!(open_files().unwrap() >= 3);
        assert!(status("VmRSS:").unwrap() > 100);
        assert!(status("Threads:").unwrap() >= 1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let age = now.as_secs_f64() - start_time().unwrap();
        assert!((-2.0..3_600.0).contains(&age), "{age}");
    }
}
