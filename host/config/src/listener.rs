//! The validated listeners.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A socket that accepts requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Unique among the listeners; labels its metrics and logs.
    pub name: String,
    /// Port 0: one that the system picks.
    pub address: SocketAddr,
    /// Whether clients may speak HTTP/2 without TLS by prior knowledge (RFC 9113 §3.3). Default: yes;
    /// without meaning where there is TLS, which agrees on HTTP/2 by ALPN.
    pub h2c: bool,
    /// `None`: requests come in the clear.
    pub tls: Option<ListenerTls>,
}

impl Listener {
    /// Of [`Listener::h2c`].
    pub const DEFAULT_H2C: bool = true;
}

/// How a listener proves who it is, and what it asks of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// At least one. A client gets the first whose names fit the one that it asks for, and the first of
    /// all if none does or it asks for none.
    pub certificates: Vec<CertificateFiles>,
    /// `None`: clients are not asked for a certificate.
    pub client_certificates: Option<ClientCertificates>,
}

/// A certificate with its key. The files are read by the gateway, which reads them again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM: the certificate, then those that lead to the one that clients trust.
    pub certificate: PathBuf,
    /// PEM: its private key, PKCS #8, PKCS #1 or SEC1, not encrypted.
    pub key: PathBuf,
}

/// Certificates of clients (mutual TLS).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// PEM: the certificates that clients' ones must lead to.
    pub ca: PathBuf,
    /// What becomes of a client that has none.
    pub mode: ClientCertificateMode,
}

/// What becomes of a client without a certificate. One that is not valid ends the handshake in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCertificateMode {
    /// It is served.
    Optional,
    /// Its handshake fails.
    Required,
}
