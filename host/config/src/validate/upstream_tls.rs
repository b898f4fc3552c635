//! How connections to `https://` endpoints are secured.

use std::path::{Path, PathBuf};

use super::{Checks, present};
use crate::address::{self, Scheme};
use crate::file::{ClientCertificateFile, UpstreamTlsFile};
use crate::part::Part;
use crate::path::join_key;
use crate::upstream::{ClientCertificate, UpstreamTls};

/// `Some(None)` for endpoints without TLS; defaults where the file says nothing.
pub(super) fn tls(
    path: &str,
    part: Option<Part<UpstreamTlsFile>>,
    scheme: Option<Scheme>,
    base: &Path,
    checks: &mut Checks,
) -> Option<Option<UpstreamTls>> {
    let Some(part) = part else {
        return Some((scheme? == Scheme::Https).then(UpstreamTls::default));
    };
    let file = checks.read(path, part)?;
    if scheme == Some(Scheme::Http) {
        checks.add(
            path,
            "the endpoints are http://: write https://, or remove tls",
        );
    }
    let at = |key: &str| join_key(path, key);
    let ca = file.ca.map(|part| file_path(&at("ca"), part, base, checks));
    let server_name = file
        .server_name
        .map(|part| checks.text(&at("server_name"), part, address::server_name));
    let client_certificate = file
        .client_certificate
        .map(|part| client_certificate(&at("client_certificate"), part, base, checks));
    let verify = checks.read(&at("verify"), file.verify);
    Some(Some(UpstreamTls {
        ca: present(ca)?,
        server_name: present(server_name)?,
        client_certificate: present(client_certificate)?,
        verify: verify?,
    }))
}

pub(super) fn client_certificate(
    path: &str,
    part: Part<ClientCertificateFile>,
    base: &Path,
    checks: &mut Checks,
) -> Option<ClientCertificate> {
    let file = checks.read(path, part)?;
    let certificate = file_path(
        &join_key(path, "certificate"),
        file.certificate,
        base,
        checks,
    );
    let key = file_path(&join_key(path, "key"), file.key, base, checks);
    Some(ClientCertificate {
        certificate: certificate?,
        key: key?,
    })
}

/// The file is read when the config is compiled.
pub(super) fn file_path(
    path: &str,
    part: Part<String>,
    base: &Path,
    checks: &mut Checks,
) -> Option<PathBuf> {
    checks.read(path, part).map(|text| base.join(text))
}
