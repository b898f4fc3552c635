//! Everything that can be wrong is said before anything is started: addresses that are taken, checks that fail.

use std::ffi::OsString;
use std::net::TcpListener;
use std::process::Stdio;

use tokio::process::Command;
use tokio::task::JoinSet;

use crate::stack::{Service, Stack};

/// Looks at all services.
///
/// # Errors
/// What is wrong, a line or more for each service.
pub(crate) async fn look(stack: &Stack) -> Result<(), String> {
    let mut wrong: Vec<String> = stack.services.iter().flat_map(taken_addresses).collect();
    let mut checks = JoinSet::new();
    for service in &stack.services {
        if let Some(command) = &service.check {
            checks.spawn(run_check(service.clone(), command.clone()));
        }
    }
    wrong.extend(checks.join_all().await.into_iter().filter_map(Result::err));
    if wrong.is_empty() {
        Ok(())
    } else {
        wrong.sort();
        Err(wrong.join("\n"))
    }
}

/// Two services can't listen on one address, and one that is there already would answer for ours.
fn taken_addresses(service: &Service) -> Vec<String> {
    let name = &service.name;
    let is_taken = |error: std::io::Error, address| {
        let port = std::net::SocketAddr::port(address);
        format!(
            "{name}: cannot listen on {address}: {error}; \"ss -ltnp sport = :{port}\" names who does: stop that first, or choose another port"
        )
    };
    service
        .listens
        .iter()
        .filter_map(|address| {
            TcpListener::bind(address)
                .err()
                .map(|error| is_taken(error, address))
        })
        .collect()
}

async fn run_check(service: Service, command: Vec<OsString>) -> Result<(), String> {
    let name = &service.name;
    let [program, arguments @ ..] = command.as_slice() else {
        return Ok(());
    };
    let output = Command::new(program)
        .args(arguments)
        .current_dir(&service.directory)
        .envs(&service.env)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("{name}: its check cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<String> = said.lines().map(|line| format!("{name}: {line}")).collect();
    Err(format!(
        "{}\n{name}: its check failed ({})",
        lines.join("\n"),
        output.status
    ))
}
