//! What a listener does with its connections; new ones follow a reload of the config.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use portcullis_config::{Config, Listener, Problem};

use super::certificate::FileError;
use super::ticket_keys::TicketKeys;
use super::tls::Tls;

/// One listener of a config, ready to serve.
#[derive(Default)]
pub struct ListenerSettings {
    /// Whether clients may speak HTTP/2 in the clear.
    pub(super) h2c: bool,
    /// `None`: requests come in the clear.
    pub(super) tls: Option<Tls>,
}

impl ListenerSettings {
    /// The files of the certificates that it shows, and when these end.
    pub fn certificate_ends(&self) -> Vec<(String, SystemTime)> {
        self.tls.as_ref().map_or_else(Vec::new, Tls::ends)
    }
}

/// The listeners of a config by name; problems with the files that they name are added to `problems`.
pub fn build_all(
    config: &Config,
    tickets: &TicketKeys,
    problems: &mut Vec<Problem>,
) -> BTreeMap<Arc<str>, Arc<ListenerSettings>> {
    let mut settings = BTreeMap::new();
    for (index, listener) in config.listeners.iter().enumerate() {
        match build(listener, tickets) {
            Ok(built) => drop(settings.insert(listener.name.as_str().into(), Arc::new(built))),
            Err(error) => {
                let path = format!("listeners[{index}].tls.{}", error.place);
                problems.push(config.lines.problem(path, error.message));
            }
        }
    }
    settings
}

fn build(listener: &Listener, tickets: &TicketKeys) -> Result<ListenerSettings, FileError> {
    let tls = match &listener.tls {
        Some(tls) => Some(Tls::load(&listener.name, tls, tickets)?),
        None => None,
    };
    Ok(ListenerSettings {
        h2c: listener.h2c,
        tls,
    })
}
