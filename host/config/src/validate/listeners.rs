//! Listeners: their names, and that no two sockets share an address.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{Checks, all, unique_name};
use crate::address;
use crate::file::ListenerFile;
use crate::listener::Listener;
use crate::model::Metrics;
use crate::part::Part;
use crate::path::{join_index, join_key};

pub(super) fn listeners(
    part: Part<Vec<Part<ListenerFile>>>,
    checks: &mut Checks,
) -> Option<Vec<Listener>> {
    let parts = checks.read("listeners", part)?;
    let mut first_with_name = BTreeMap::new();
    let listeners = parts.into_iter().enumerate().map(|(index, part)| {
        let path = join_index("listeners", index);
        let file = checks.read(&path, part)?;
        let name = unique_name(&path, index, file.name, &mut first_with_name, checks);
        let address = checks.text(
            &join_key(&path, "address"),
            file.address,
            address::socket_address,
        );
        Some(Listener {
            name: name?,
            address: address?,
        })
    });
    all(listeners)
}

/// No two sockets on one address; with port 0 each gets a port of its own.
pub(super) fn check_addresses(
    listeners: Option<&[Listener]>,
    metrics: Option<&Metrics>,
    checks: &mut Checks,
) {
    let listeners = listeners.unwrap_or_default().iter().enumerate();
    let of_listeners = listeners
        .map(|(index, listener)| (format!("listeners[{index}].address"), listener.address));
    let of_metrics = metrics.map(|metrics| ("metrics.address".to_owned(), metrics.address));
    let mut first: BTreeMap<SocketAddr, String> = BTreeMap::new();
    for (path, address) in of_listeners.chain(of_metrics) {
        match first.get(&address) {
            Some(other) if address.port() != 0 => {
                checks.add(path, format!("the same address as {other}"));
            }
            _ => {
                first.insert(address, path);
            }
        }
    }
}
