//! TLS of one listener: its handshakes, and its files, which are read again when they change.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use portcullis_config::{ClientCertificateMode, ListenerTls};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificate::{self, Certificates, FileError};
use super::ticket_keys::TicketKeys;
use super::tls_files::TlsFiles;
use crate::client::ClientTls;

/// In the order of preference.
const ALPN: [&[u8]; 3] = [b"h2", b"http/1.1", b"http/1.0"];

/// Said explicitly, since another library of the process may install its own as the default.
static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// A listener's TLS.
pub(super) struct Tls {
    listener: String,
    configured: ListenerTls,
    current: ArcSwap<Served>,
    /// Of the files' content that was last looked at, good or bad.
    seen: Mutex<[u8; 32]>,
}

/// What handshakes are made with.
struct Served {
    config: Arc<ServerConfig>,
    /// When each certificate ends, in the order of the config.
    ends: Vec<Option<SystemTime>>,
}

/// What a handshake has agreed on.
pub(super) struct Session {
    pub(super) is_http2: bool,
    pub(super) client: ClientTls,
}

/// Why a handshake has failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    /// No TLS, nothing in common, or no valid certificate of the client's.
    #[error("{0}")]
    Failed(#[from] std::io::Error),
    /// It took too long.
    #[error("not done in time")]
    Timeout,
}

impl HandshakeError {
    /// For the metric.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Failed(_) => "failed",
            Self::Timeout => "timeout",
        }
    }
}

impl Tls {
    /// Reads the files.
    pub(super) fn load(
        listener: &str,
        configured: &ListenerTls,
        tickets: &TicketKeys,
    ) -> Result<Self, FileError> {
        let files = TlsFiles::read(configured);
        let served = served(listener, configured, &files, tickets)?;
        Ok(Self {
            listener: listener.to_owned(),
            configured: configured.clone(),
            current: ArcSwap::from_pointee(served),
            seen: Mutex::new(files.digest()),
        })
    }

    /// Reads the files again; if they have changed and are good, new handshakes are made with them:
    /// `Ok(true)`. Each change is reported once.
    pub(super) fn refresh(&self, tickets: &TicketKeys) -> Result<bool, FileError> {
        let files = TlsFiles::read(&self.configured);
        let digest = files.digest();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == digest {
            return Ok(false);
        }
        *seen = digest;
        let served = served(&self.listener, &self.configured, &files, tickets)?;
        self.current.store(Arc::new(served));
        Ok(true)
    }

    /// The files of the certificates that serve, and when these end.
    pub(super) fn ends(&self) -> Vec<(String, SystemTime)> {
        let served = self.current.load();
        let pairs = self.configured.certificates.iter().zip(&served.ends);
        let known = pairs.filter_map(|(pair, end)| Some((&pair.certificate, (*end)?)));
        known
            .map(|(path, end)| (path.display().to_string(), end))
            .collect()
    }

    /// The handshake with a client, which may take `timeout`.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
        timeout: Duration,
    ) -> Result<(TlsStream<TcpStream>, Session), HandshakeError> {
        let handshake = TlsAcceptor::from(self.current.load().config.clone()).accept(stream);
        let stream = tokio::time::timeout(timeout, handshake)
            .await
            .map_err(|_| HandshakeError::Timeout)??;
        let (_, connection) = stream.get_ref();
        let certificate = connection
            .peer_certificates()
            .and_then(|chain| chain.first());
        let session = Session {
            is_http2: connection.alpn_protocol() == Some(ALPN[0]),
            client: ClientTls::new(connection.server_name(), certificate.map(|der| &**der)),
        };
        Ok((stream, session))
    }
}

fn served(
    listener: &str,
    configured: &ListenerTls,
    files: &TlsFiles,
    tickets: &TicketKeys,
) -> Result<Served, FileError> {
    let mut keys = Vec::new();
    for (index, pair) in files.certificates.iter().enumerate() {
        let place = format!("certificates[{index}]");
        let certificate = pair.certificate.content(&format!("{place}.certificate"))?;
        let key = pair.key.content(&format!("{place}.key"))?;
        keys.push(certificate::certified_key(
            &place,
            certificate,
            key,
            &PROVIDER,
        )?);
    }
    let unusable = |message: String| FileError {
        place: "certificates".to_owned(),
        message,
    };
    let ends = keys.iter().map(|key| certificate::end(key)).collect();
    let certificates =
        Certificates::new(keys).ok_or_else(|| unusable("at least one is needed".to_owned()))?;
    let builder = ServerConfig::builder_with_provider(PROVIDER.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.to_string()))?;
    let builder = match (&configured.client_certificates, &files.client_ca) {
        (Some(clients), Some(ca)) => {
            let ca = ca.content("client_certificates.ca")?;
            builder.with_client_cert_verifier(verifier(ca, clients.mode)?)
        }
        _ => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
    // Tickets alone: what clients keep takes no memory and no lock here.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = tickets
        .of(listener, client_authentication(configured, files))
        .map_err(|error| unusable(error.to_string()))?;
    Ok(Served {
        config: Arc::new(config),
        ends,
    })
}

fn verifier(
    ca: &[u8],
    mode: ClientCertificateMode,
) -> Result<Arc<dyn ClientCertVerifier>, FileError> {
    let place = "client_certificates.ca";
    let wrong = |message: String| FileError {
        place: place.to_owned(),
        message,
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificate::chain(place, ca)? {
        roots
            .add(certificate)
            .map_err(|error| wrong(format!("a certificate in the file can't be used: {error}")))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), PROVIDER.clone());
    let builder = match mode {
        ClientCertificateMode::Optional => builder.allow_unauthenticated(),
        ClientCertificateMode::Required => builder,
    };
    builder.build().map_err(|error| wrong(error.to_string()))
}

/// How clients prove who they are: a ticket of one way is worth nothing in another.
fn client_authentication(configured: &ListenerTls, files: &TlsFiles) -> [u8; 32] {
    let mut digest = Sha256::new();
    if let (Some(clients), Some(ca)) = (&configured.client_certificates, &files.client_ca) {
        digest.update(format!("{:?}", clients.mode));
        ca.add_to(&mut digest);
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use portcullis_config::{CertificateFiles, ClientCertificates};
    use rustls::ClientConfig;
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsConnector;

    use super::*;

    #[tokio::test]
    async fn policies_learn_the_clients_certificate_and_the_name_that_it_asks_for() {
        // One certificate that signs itself serves as everybody's.
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = (directory.path().join("pem"), directory.path().join("key"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let configured = ListenerTls {
            client_certificates: Some(ClientCertificates {
                ca: certificate.clone(),
                mode: ClientCertificateMode::Required,
            }),
            certificates: vec![CertificateFiles { certificate, key }],
        };
        let tls = Tls::load("l", &configured, &TicketKeys::default()).unwrap();

        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let client = ClientConfig::builder_with_provider(PROVIDER.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connect = async {
            let stream = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from("a.test").unwrap();
            let connector = TlsConnector::from(Arc::new(client));
            connector.connect(name, stream).await.unwrap()
        };
        let accept = async {
            let stream = listener.accept().await.unwrap().0;
            tls.accept(stream, Duration::from_secs(10)).await
        };
        let (_stream, accepted) = tokio::join!(connect, accept);
        let (_, session) = accepted.unwrap();
        let attribute = |name| session.client.attribute(name);
        let sha256 = data_encoding::HEXLOWER.encode(&Sha256::digest(made.cert.der()));
        assert_eq!(attribute("client.certificate.sha256"), Some(sha256));
        let subject = "CN=rcgen self signed cert".to_owned();
        assert_eq!(attribute("client.certificate.subject"), Some(subject));
        assert_eq!(attribute("tls.sni").as_deref(), Some("a.test"));
        assert_eq!(attribute("tls"), None);
        assert!(!session.is_http2);
    }
}
