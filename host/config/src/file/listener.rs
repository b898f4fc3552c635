//! The file format of listeners.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::listener::ClientCertificateMode;
use crate::part::{Name, Part};

/// A socket that accepts requests.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Listener")]
pub(crate) struct ListenerFile {
    /// Unique among the listeners.
    pub(crate) name: Part<Name>,
    /// IP address and port; 0.0.0.0 or [::] for all interfaces.
    #[schemars(example = "0.0.0.0:8080", regex(pattern = ":[0-9]{1,5}$"))]
    pub(crate) address: Part<String>,
    /// Whether clients may speak HTTP/2 without TLS by prior knowledge: true if left out. Not with tls,
    /// where clients and gateway agree on HTTP/2 by ALPN.
    pub(crate) h2c: Option<Part<bool>>,
    /// Makes it https; plain http if left out.
    pub(crate) tls: Option<Part<ListenerTlsFile>>,
}

/// How a listener proves who it is, and what it asks of clients.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "ListenerTls")]
pub(crate) struct ListenerTlsFile {
    /// Chosen by the name that the client asks for; the first is for all others. Read again when the files change.
    #[schemars(length(min = 1))]
    pub(crate) certificates: Part<Vec<Part<CertificateFile>>>,
    /// Asks clients for certificates; they are not asked if left out.
    pub(crate) client_certificates: Option<Part<ClientCertificatesFile>>,
}

/// A certificate with its key.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Certificate")]
pub(crate) struct CertificateFile {
    /// PEM file with the certificate and the intermediate ones, relative to the config file.
    #[schemars(length(min = 1), example = "certificates/example.com.pem")]
    pub(crate) certificate: Part<String>,
    /// PEM file with its private key, relative to the config file.
    #[schemars(length(min = 1), example = "certificates/example.com.key")]
    pub(crate) key: Part<String>,
}

/// Certificates of clients.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "ClientCertificates")]
pub(crate) struct ClientCertificatesFile {
    /// PEM file with the certificates that clients' ones must lead to, relative to the config file.
    #[schemars(length(min = 1), example = "certificates/clients-ca.pem")]
    pub(crate) ca: Part<String>,
    /// Whether clients without a certificate are refused or served.
    pub(crate) mode: Part<ClientCertificateMode>,
}
