//! TLS to endpoints: whom to trust, under which name, and what to show.
//!
//! Built once for a revision of the config; the files are read then.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use portcullis_config::{ClientCertificate, Protocol, UpstreamTls};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How connections of one upstream are secured.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    server_name: Option<ServerName<'static>>,
    identity: Arc<str>,
}

/// What of an upstream's `tls` can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct TlsProblem {
    /// Below `tls`, as a JSON pointer: `/ca`.
    pub place: &'static str,
    message: String,
}

impl TlsProblem {
    fn new(place: &'static str, message: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
        }
    }
}

impl Tls {
    /// Reads the files and trusts what they say.
    pub fn from_config(config: &UpstreamTls, protocol: Protocol) -> Result<Self, TlsProblem> {
        let mut digest = Sha256::new();
        digest.update(format!("{:?} {}", config.server_name, config.verify));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsProblem::new("", error.to_string()))?;
        let builder = if config.verify {
            builder.with_root_certificates(roots(config.ca.as_deref(), &mut digest)?)
        } else {
            let anyone = Arc::new(AnyCertificate(provider));
            builder.dangerous().with_custom_certificate_verifier(anyone)
        };
        let mut client = match &config.client_certificate {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let (chain, key) = own_certificate(own, &mut digest)?;
                let shown = builder.with_client_auth_cert(chain, key);
                shown.map_err(|error| {
                    let message = format!("the certificate and the key can't be used: {error}");
                    TlsProblem::new("/client_certificate", message)
                })?
            }
        };
        client.alpn_protocols = vec![alpn(protocol).to_vec()];
        Ok(Self {
            connector: Arc::new(client).into(),
            server_name: server_name(config)?,
            identity: format!("{:x?}", digest.finalize()).into(),
        })
    }

    /// Equal when whom to trust and what to show are the same.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// A secured stream to `host`, or to the configured name.
    pub async fn handshake(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).map_err(io::Error::other)?,
        };
        let stream = self.connector.connect(name, stream).await?;
        let (_, connection) = stream.get_ref();
        // One ALPN protocol is offered. Without an answer HTTP/1.1 is meant (RFC 9113 §3.2).
        let offered = self.connector.config().alpn_protocols.first();
        if connection.alpn_protocol().is_none() && offered.is_some_and(|name| name == H2) {
            return Err(io::Error::other("the endpoint does not agree to HTTP/2"));
        }
        Ok(stream)
    }
}

const H2: &[u8] = b"h2";

fn alpn(protocol: Protocol) -> &'static [u8] {
    match protocol {
        Protocol::Http1 => b"http/1.1",
        Protocol::Http2 => H2,
    }
}

fn server_name(config: &UpstreamTls) -> Result<Option<ServerName<'static>>, TlsProblem> {
    let name = config.server_name.clone().map(ServerName::try_from);
    name.transpose()
        .map_err(|error| TlsProblem::new("/server_name", error.to_string()))
}

fn roots(ca: Option<&Path>, digest: &mut Sha256) -> Result<RootCertStore, TlsProblem> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let remedy = "the system trusts no authority: install its ca-certificates, or set ca";
            return Err(TlsProblem::new("", remedy));
        }
        return Ok(roots);
    };
    for certificate in certificates(path, "/ca", digest)? {
        roots
            .add(certificate)
            .map_err(|error| TlsProblem::new("/ca", format!("{}: {error}", path.display())))?;
    }
    Ok(roots)
}

fn own_certificate(
    own: &ClientCertificate,
    digest: &mut Sha256,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsProblem> {
    const KEY: &str = "/client_certificate/key";
    let chain = certificates(&own.certificate, "/client_certificate/certificate", digest)?;
    let pem = read(&own.key, KEY)?;
    digest.update(&pem);
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        let message = format!("{}: no private key in PEM form", own.key.display());
        TlsProblem::new(KEY, message)
    })?;
    Ok((chain, key))
}

fn certificates(
    path: &Path,
    place: &'static str,
    digest: &mut Sha256,
) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    let pem = read(path, place)?;
    digest.update(&pem);
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => {
            let message = format!("{}: no certificate in PEM form", path.display());
            Err(TlsProblem::new(place, message))
        }
    }
}

fn read(path: &Path, place: &'static str) -> Result<Vec<u8>, TlsProblem> {
    fs::read(path).map_err(|error| {
        let message = format!("cannot read the file {}: {error}", path.display());
        TlsProblem::new(place, message)
    })
}

/// For `verify: false`: whoever has a certificate's key is taken for the endpoint.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
