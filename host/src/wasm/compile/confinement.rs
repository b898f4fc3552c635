//! The bounds of a compile child: how much it may use, and how it gives the rest up.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, nice, setrlimit};

/// CPU time for any component.
const BASE_CPU: Duration = Duration::from_secs(15);
/// CPU time for each MiB of it, for each time that it is compiled.
const CPU_PER_MIB: Duration = Duration::from_secs(8);
/// CPU time for each use: its `configure` and its smoke call may take a while.
const CPU_PER_USE: Duration = Duration::from_secs(12);
/// Memory for any component: guests may have 256 MiB while they are configured.
const BASE_MEMORY_BYTES: u64 = 1 << 30;
/// Memory for each byte of it.
const MEMORY_PER_BYTE: u64 = 48;
/// Standard input and output, the runtime's event queue, memory files of instances.
const MAX_FILES: u64 = 64;
/// Traffic goes first; but at 19, the weakest, a child would wait for ever beside workers that are never idle.
const NICENESS: i32 = 10;
/// Between SIGXCPU and SIGKILL.
const CPU_GRACE_SECONDS: u64 = 2;

/// What a compile child may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildBounds {
    /// CPU time of all its threads, in seconds.
    pub cpu_seconds: u64,
    /// Private memory that can be written; addresses that are only reserved do not count.
    pub memory_bytes: u64,
    /// From its start to its end. Far more than the CPU time, since a busy machine leaves it little.
    pub wall: Duration,
}

impl ChildBounds {
    /// For a component of that size with so many uses.
    pub fn of(component_bytes: usize, uses: usize) -> Self {
        let mib = u32::try_from(component_bytes >> 20).unwrap_or(u32::MAX) + 1;
        let uses = u32::try_from(uses).unwrap_or(u32::MAX);
        let compiling = CPU_PER_MIB.saturating_mul(mib.saturating_mul(uses.saturating_add(1)));
        let cpu = BASE_CPU + compiling.saturating_add(CPU_PER_USE.saturating_mul(uses));
        Self {
            cpu_seconds: cpu.as_secs(),
            memory_bytes: BASE_MEMORY_BYTES + MEMORY_PER_BYTE * component_bytes as u64,
            wall: cpu.saturating_mul(4),
        }
    }
}

/// Confines this process, which is to read foreign bytes next: no files but its pipes, the bounds, a weak
/// priority, the first to go when the machine runs out of memory.
pub(super) fn confine(cpu_seconds: u64, memory_bytes: u64) -> io::Result<()> {
    close_inherited()?;
    let limits = [
        (Resource::Core, 0, 0),
        (Resource::Nofile, MAX_FILES, MAX_FILES),
        (Resource::Data, memory_bytes, memory_bytes),
        (
            Resource::Cpu,
            cpu_seconds,
            cpu_seconds.saturating_add(CPU_GRACE_SECONDS),
        ),
    ];
    for (resource, current, maximum) in limits {
        let most = rustix::process::getrlimit(resource).maximum;
        // Where the gateway itself has less, its child has no more.
        let lower = |wanted: u64| Some(most.map_or(wanted, |most| most.min(wanted)));
        let limit = Rlimit {
            current: lower(current),
            maximum: lower(maximum),
        };
        setrlimit(resource, limit)?;
    }
    nice(NICENESS)?;
    // Not allowed everywhere, and nothing depends on it.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    rustix::thread::set_no_new_privs(true)?;
    Ok(())
}

/// Files that whoever started the gateway had left open for it.
fn close_inherited() -> io::Result<()> {
    let open: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|file| *file > 2)
        .collect();
    // The directory itself was among them, and is closed by now.
    let is_open = |file: &RawFd| std::fs::read_link(format!("/proc/self/fd/{file}")).is_ok();
    open.into_iter().filter(is_open).for_each(close);
    Ok(())
}

#[expect(
    unsafe_code,
    reason = "files that this process has inherited have no owner in Rust that could be dropped"
)]
fn close(file: RawFd) {
    // SAFETY: the file is open, and nobody owns it: this is called before anything in the process has opened one.
    unsafe { rustix::io::close(file) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_components_and_more_uses_have_more() {
        let (small, large) = (ChildBounds::of(200 << 10, 1), ChildBounds::of(18 << 20, 1));
        assert_eq!(small.cpu_seconds, 15 + 2 * 8 + 12);
        assert!(large.cpu_seconds > 300 && large.memory_bytes > 1 << 30);
        assert!(ChildBounds::of(200 << 10, 20).cpu_seconds > 5 * small.cpu_seconds);
        assert!(small.wall > Duration::from_secs(small.cpu_seconds));
    }
}
