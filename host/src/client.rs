//! The peer of a client's connection.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use http::header::HeaderValue;
use sha2::{Digest, Sha256};

use crate::head::framing_watch::DoubleFraming;
use crate::listener::pulse::Pulse;
use crate::listener::x509::Certificate;
use crate::tunnel::Tunnel;

/// The peer of a connection, in the forms that requests need.
pub struct Client {
    /// Its address.
    pub address: SocketAddr,
    /// The same for `x-forwarded-for`.
    pub forwarded_for: HeaderValue,
    /// `https` when the connection is TLS, else `http`.
    pub scheme: &'static str,
    /// Whether its connection has carried a request with two ends.
    pub double_framing: DoubleFraming,
    /// What its connection is doing.
    pub pulse: Rc<Pulse>,
    /// What TLS tells of it, if it is TLS.
    pub tls: Option<Arc<ClientTls>>,
    /// What the connection becomes when HTTP has ended on it.
    pub tunnel: RefCell<Option<Tunnel>>,
}

/// What a TLS handshake tells of a client.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// The name that it has asked for.
    pub server_name: Option<String>,
    /// Its certificate, which was verified.
    pub certificate: Option<ClientCertificate>,
}

/// A client's certificate, as policies see it.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// SHA-256 of the whole certificate, 64 hexadecimal digits.
    pub sha256: String,
    /// Its subject as RFC 4514 writes it, such as `CN=client,O=Example`.
    pub subject: String,
}

impl ClientTls {
    /// From the name and the certificate (DER) of a handshake.
    pub fn new(server_name: Option<&str>, certificate: Option<&[u8]>) -> Self {
        Self {
            server_name: server_name.map(str::to_owned),
            certificate: certificate.map(ClientCertificate::new),
        }
    }

    /// A documented fact (wit/README.md lists them), by name.
    pub fn attribute(&self, name: &str) -> Option<String> {
        let certificate = self.certificate.as_ref();
        match name {
            "client.certificate.sha256" => Some(certificate?.sha256.clone()),
            "client.certificate.subject" => Some(certificate?.subject.clone()),
            "tls.sni" => self.server_name.clone(),
            _ => None,
        }
    }
}

impl ClientCertificate {
    fn new(der: &[u8]) -> Self {
        let parsed = Certificate::from_der(der);
        Self {
            sha256: HEXLOWER.encode(&Sha256::digest(der)),
            subject: parsed.map_or_else(String::new, |certificate| certificate.subject),
        }
    }
}

impl Client {
    /// The peer at that address, which speaks `scheme`.
    pub fn new(address: SocketAddr, scheme: &'static str) -> Self {
        let ip = address.ip().to_canonical().to_string();
        // An address in text is a valid field value.
        let forwarded_for =
            HeaderValue::try_from(ip).unwrap_or(HeaderValue::from_static("unknown"));
        Self {
            address,
            forwarded_for,
            scheme,
            double_framing: DoubleFraming::default(),
            pulse: Rc::default(),
            tls: None,
            tunnel: RefCell::default(),
        }
    }

    /// The same, with what TLS tells of it.
    pub fn with_tls(self, tls: ClientTls) -> Self {
        Self {
            tls: Some(Arc::new(tls)),
            ..self
        }
    }
}
