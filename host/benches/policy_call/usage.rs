//! What the kernel charges to this thread.

use std::fs;

/// Nanoseconds of CPU and minor page faults of this thread so far.
pub(crate) fn usage() -> (u64, u64) {
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let cpu_ns = u64::try_from(cpu.tv_sec * 1_000_000_000 + cpu.tv_nsec).expect("time passes");
    let stat =
        fs::read_to_string("/proc/thread-self/stat").expect("the kernel's account of this thread");
    // After the command's name, which may hold spaces: state is the third field, minflt the tenth.
    let fields = stat.rsplit(") ").next().unwrap_or(&stat);
    let faults = fields
        .split_whitespace()
        .nth(7)
        .and_then(|word| word.parse().ok())
        .expect("a number");
    (cpu_ns, faults)
}
