//! The files of a binding's TLS, as they were when it was set up.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use deadpool_redis::redis::{ClientTlsConfig, TlsCertificates};
use portcullis_config::{ClientCertificate, RedisTls};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::connector::BindingProblem;

/// Whom to trust, and what to show, as PEM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct TlsFiles {
    authorities: Option<Vec<u8>>,
    own: Option<(Vec<u8>, Vec<u8>)>,
}

impl TlsFiles {
    /// Reads them, and sees that they can be used; nothing without TLS.
    pub(super) fn read(config: Option<&RedisTls>) -> Result<Self, BindingProblem> {
        let Some(config) = config else {
            return Ok(Self::default());
        };
        // The library takes the process' default, and would have to guess if two were compiled in. An error
        // says that there is one already.
        let _ = aws_lc_rs::default_provider().install_default();
        let authorities = config.ca.as_deref().map(|path| {
            let pem = read("/tls/ca", path)?;
            certificates("/tls/ca", path, &pem).map(|_| pem)
        });
        let own = config.client_certificate.as_ref().map(own_certificate);
        Ok(Self {
            authorities: authorities.transpose()?,
            own: own.transpose()?,
        })
    }

    /// As the library takes them.
    pub(super) fn certificates(&self) -> TlsCertificates {
        let own = self.own.clone();
        TlsCertificates {
            client_tls: own.map(|(client_cert, client_key)| ClientTlsConfig {
                client_cert,
                client_key,
            }),
            root_cert: self.authorities.clone(),
        }
    }
}

fn own_certificate(files: &ClientCertificate) -> Result<(Vec<u8>, Vec<u8>), BindingProblem> {
    const PLACE: &str = "/tls/client_certificate";
    let certificate = read(PLACE, &files.certificate)?;
    let key = read(PLACE, &files.key)?;
    let chain = certificates(PLACE, &files.certificate, &certificate)?;
    let unusable = |error: &dyn std::fmt::Display| {
        let message = format!("the certificate and the key can't be used: {error}");
        BindingProblem::new(PLACE, message)
    };
    let parsed = PrivateKeyDer::from_pem_slice(&key).map_err(|error| unusable(&error))?;
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .with_root_certificates(RootCertStore::empty());
    let used = builder.with_client_auth_cert(chain, parsed);
    used.map_err(|error| unusable(&error))?;
    Ok((certificate, key))
}

/// At least one.
fn certificates(
    place: &'static str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, BindingProblem> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => {
            let message = format!("{} holds no certificate in PEM", path.display());
            Err(BindingProblem::new(place, message))
        }
        Err(error) => {
            let message = format!("{} is not PEM: {error}", path.display());
            Err(BindingProblem::new(place, message))
        }
    }
}

fn read(place: &'static str, path: &Path) -> Result<Vec<u8>, BindingProblem> {
    fs::read(path).map_err(|error| {
        let message = format!("cannot read the file {}: {error}", path.display());
        BindingProblem::new(place, message)
    })
}
