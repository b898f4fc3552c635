//! A compile child from the gateway's side: started, given its job, heard, reaped.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};

use super::child;
use super::confinement::ChildBounds;

/// What it says when it fails: a panic, or that it has no memory left.
const MAX_ERROR_BYTES: u64 = 4 << 10;
/// How much of that is told on.
const MAX_TOLD_BYTES: usize = 300;
/// Beside the code: descriptions, problems of configs.
const BASE_ANSWER_BYTES: u64 = 32 << 20;
/// Code for each byte of a component, for each use: three to four times as much is usual.
const ANSWER_PER_BYTE: u64 = 24;
/// Numbers of signals that have a meaning here (signal(7)).
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;
/// Beginning of what Rust's runtime says when an allocation fails.
const NO_MEMORY: &str = "memory allocation of";
/// What is said where the limit did not allow an allocation, a mapping or a thread with its stack.
const NO_ROOM: [&str; 3] = [
    NO_MEMORY,
    child::NO_MEMORY,
    "Resource temporarily unavailable",
];

/// Why a child has not answered, in words that follow the component's name.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It could not be started.
    #[error(
        "the process that compiles policies does not start: {0}; the gateway's own program must be executable for it"
    )]
    Start(io::Error),
    /// It used all its CPU time.
    #[error(
        "compiling and configuring it took more than {0} s of CPU time; make the component smaller, or its functions shorter"
    )]
    Cpu(u64),
    /// It took longer than that.
    #[error(
        "compiling and configuring it was not done within {0:?}; if the machine is busy, try again later"
    )]
    Time(Duration),
    /// It wanted more memory than it may have, in MiB.
    #[error(
        "compiling and configuring it takes more than {0} MiB of memory; make the component smaller"
    )]
    Memory(u64),
    /// Nobody knows by whom.
    #[error(
        "the process that compiles it was killed (SIGKILL), most often for want of memory on this machine; try again when there is more"
    )]
    Killed,
    /// A panic, or a signal that means a defect.
    #[error(
        "the compiler broke off on it ({0}); try another version of the component's toolchain, and report it as a defect of the gateway"
    )]
    Broken(String),
    /// The child ended in good order and has said something else than it should.
    #[error(
        "the process that compiles it did not answer as it should; the gateway's program may have been replaced: restart it"
    )]
    Garbage,
}

/// What a child has left.
struct Left {
    answer: Vec<u8>,
    errors: Vec<u8>,
    status: ExitStatus,
}

/// Has a child of `program` answer to `job`, which is a head with the component behind it. Whatever happens,
/// no process is left.
pub(super) async fn ask(
    program: &Path,
    bounds: ChildBounds,
    component_bytes: usize,
    uses: usize,
    job: &[u8],
) -> Result<Vec<u8>, ChildError> {
    let mut child = start(program, bounds).map_err(ChildError::Start)?;
    let per_use = ANSWER_PER_BYTE.saturating_mul(component_bytes as u64);
    let most = BASE_ANSWER_BYTES.saturating_add(per_use.saturating_mul(uses as u64));
    let left = match tokio::time::timeout(bounds.wall, hear(&mut child, job, most)).await {
        Ok(left) => left,
        Err(_) => Err(ChildError::Time(bounds.wall)),
    };
    // Has ended already where it has answered; reaped in any case. It fails only where that was done before.
    let _ = child.kill().await;
    let left = left?;
    if left.status.success() {
        return Ok(left.answer);
    }
    Err(cause(left.status, &left.errors, bounds))
}

fn start(program: &Path, bounds: ChildBounds) -> io::Result<Child> {
    Command::new(program)
        .args(["compile-policy", "--cpu-seconds"])
        .arg(bounds.cpu_seconds.to_string())
        .arg("--memory-bytes")
        .arg(bounds.memory_bytes.to_string())
        .env_clear()
        // Otherwise mimalloc takes a GiB at once, which counts against the limit whether it is used or not.
        .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Whoever waits for it may be gone first.
        .kill_on_drop(true)
        .spawn()
}

/// Gives the child its job and reads what it writes until it ends.
async fn hear(child: &mut Child, job: &[u8], most: u64) -> Result<Left, ChildError> {
    let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    // Held until the child has ended: it takes the end of its input for the gateway's.
    let written = write(input, job);
    let read = bounded(output, most);
    let complained = bounded(errors, MAX_ERROR_BYTES);
    let (input, answer, errors) = tokio::join!(written, read, complained);
    let (answer, errors) = (
        answer.map_err(ChildError::Start)?,
        errors.map_err(ChildError::Start)?,
    );
    let status = child.wait().await.map_err(ChildError::Start)?;
    drop(input);
    if answer.len() as u64 > most {
        return Err(ChildError::Garbage);
    }
    Ok(Left {
        answer,
        errors,
        status,
    })
}

async fn write(input: Option<ChildStdin>, job: &[u8]) -> Option<ChildStdin> {
    let mut input = input?;
    let length = (job.len() as u64).to_le_bytes();
    // One that does not take its job has ended, and its status says why.
    let _ = input.write_all(&length).await;
    let _ = input.write_all(job).await;
    Some(input)
}

/// All that comes, up to one byte more than `most`: then the pipe is closed, and who writes more is stopped.
async fn bounded(from: Option<impl AsyncRead + Unpin>, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        from.take(most + 1).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

fn cause(status: ExitStatus, errors: &[u8], bounds: ChildBounds) -> ChildError {
    let text = String::from_utf8_lossy(errors);
    let memory = || ChildError::Memory(bounds.memory_bytes >> 20);
    match status.signal() {
        Some(SIGXCPU) => ChildError::Cpu(bounds.cpu_seconds),
        Some(SIGKILL) => ChildError::Killed,
        Some(SIGABRT) if text.contains(NO_MEMORY) => memory(),
        Some(signal) => ChildError::Broken(format!("signal {signal}{}", told(&text))),
        None if NO_ROOM.iter().any(|words| text.contains(words)) => memory(),
        None => ChildError::Broken(format!("{status}{}", told(&text))),
    }
}

/// The beginning of what it has said, on one line.
fn told(text: &str) -> String {
    // What Rust's runtime adds to a panic is of no use here.
    let text = text.split("note: run with").next().unwrap_or(text).trim();
    if text.is_empty() {
        return String::new();
    }
    format!(
        ": {}",
        crate::capability::log::one_line(text, MAX_TOLD_BYTES)
    )
}
