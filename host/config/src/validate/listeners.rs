//! Listeners: their names, that no two sockets share an address, and the files of their TLS. Whether those
//! exist is for the gateway to say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::{Checks, all, present, unique_name};
use crate::address;
use crate::file::{CertificateFile, ClientCertificatesFile, ListenerFile, ListenerTlsFile};
use crate::listener::{CertificateFiles, ClientCertificates, Listener, ListenerTls};
use crate::part::Part;
use crate::path::{join_index, join_key};

pub(super) fn listeners(
    part: Part<Vec<Part<ListenerFile>>>,
    base: &Path,
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
        let h2c = h2c(&path, file.h2c, file.tls.is_some(), checks);
        let tls = file.tls.map(|part| tls(&path, part, base, checks));
        Some(Listener {
            name: name?,
            address: address?,
            h2c: h2c?,
            tls: present(tls)?,
        })
    });
    all(listeners)
}

fn h2c(path: &str, part: Option<Part<bool>>, tls: bool, checks: &mut Checks) -> Option<bool> {
    let Some(part) = part else {
        return Some(Listener::DEFAULT_H2C);
    };
    let path = join_key(path, "h2c");
    if tls {
        checks.add(
            &path,
            "not with tls, where clients and gateway agree on HTTP/2 by ALPN: remove this key",
        );
    }
    checks.read(&path, part)
}

fn tls(
    path: &str,
    part: Part<ListenerTlsFile>,
    base: &Path,
    checks: &mut Checks,
) -> Option<ListenerTls> {
    let path = join_key(path, "tls");
    let file = checks.read(&path, part)?;
    let certificates_path = join_key(&path, "certificates");
    let certificates = checks
        .read(&certificates_path, file.certificates)
        .and_then(|parts| {
            let pairs = parts.into_iter().enumerate().map(|(index, part)| {
                let path = join_index(&certificates_path, index);
                certificate(&path, part, base, checks)
            });
            all(pairs)
        });
    let clients = file.client_certificates.map(|part| {
        let path = join_key(&path, "client_certificates");
        client_certificates(&path, part, base, checks)
    });
    Some(ListenerTls {
        certificates: certificates?,
        client_certificates: present(clients)?,
    })
}

fn certificate(
    path: &str,
    part: Part<CertificateFile>,
    base: &Path,
    checks: &mut Checks,
) -> Option<CertificateFiles> {
    let file = checks.read(path, part)?;
    let certificate = named_file(
        &join_key(path, "certificate"),
        file.certificate,
        base,
        checks,
    );
    let key = named_file(&join_key(path, "key"), file.key, base, checks);
    Some(CertificateFiles {
        certificate: certificate?,
        key: key?,
    })
}

fn client_certificates(
    path: &str,
    part: Part<ClientCertificatesFile>,
    base: &Path,
    checks: &mut Checks,
) -> Option<ClientCertificates> {
    let file = checks.read(path, part)?;
    let ca = named_file(&join_key(path, "ca"), file.ca, base, checks);
    let mode = checks.read(&join_key(path, "mode"), file.mode);
    Some(ClientCertificates {
        ca: ca?,
        mode: mode?,
    })
}

/// A relative path starts from `base`.
fn named_file(path: &str, part: Part<String>, base: &Path, checks: &mut Checks) -> Option<PathBuf> {
    let file = checks.read(path, part)?;
    Some(base.join(file))
}

/// No two sockets on one address; with port 0 each gets a port of its own.
pub(super) fn check_addresses(
    listeners: Option<&[Listener]>,
    others: [(&str, Option<SocketAddr>); 2],
    checks: &mut Checks,
) {
    let listeners = listeners.unwrap_or_default().iter().enumerate();
    let of_listeners = listeners
        .map(|(index, listener)| (format!("listeners[{index}].address"), listener.address));
    let others = others.into_iter();
    let others = others.filter_map(|(path, address)| Some((path.to_owned(), address?)));
    let mut first: BTreeMap<SocketAddr, String> = BTreeMap::new();
    for (path, address) in of_listeners.chain(others) {
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
