//! `portcullis check`.

use super::ConfigArguments;
use crate::server;

/// Checks what `run` would check before it binds its listeners.
pub(super) async fn check(arguments: &ConfigArguments) -> Result<(), String> {
    let config = arguments.load().await?;
    let uses = server::check(&config, arguments.engines(config.policy_instances)?)
        .await
        .map_err(|error| arguments.explain(error))?;
    println!(
        "{}: ok ({} routes, {} upstreams, {uses} policies in chains)",
        arguments.config.display(),
        config.routes.len(),
        config.upstreams.len()
    );
    Ok(())
}
