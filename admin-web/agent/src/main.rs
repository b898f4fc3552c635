//! The `portcullis-agent` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    portcullis_agent::cli::main()
}
