//! The `portcullis` binary.

/// Requests make and drop many small things: this takes half the time of the C library's allocator for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    portcullis::cli::main()
}
