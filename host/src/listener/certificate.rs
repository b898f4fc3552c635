//! Certificates with their keys: read from PEM, checked, and chosen by the name that a client asks for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::x509::Certificate;

/// What is wrong with a file that a listener's `tls` names.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {message}")]
pub(super) struct FileError {
    /// Where it is named, such as `certificates[0].key`.
    pub(super) place: String,
    /// What is wrong, and what helps.
    pub(super) message: String,
}

/// The certificates of a listener.
#[derive(Debug)]
pub(super) struct Certificates {
    first: Arc<CertifiedKey>,
    /// By whole names, in lower case.
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what follows the `*.` of names.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
}

impl Certificates {
    /// Those certificates, at least one; of two with the same name the first counts.
    pub(super) fn new(keys: Vec<Arc<CertifiedKey>>) -> Option<Self> {
        let mut certificates = Self {
            first: keys.first()?.clone(),
            exact: HashMap::new(),
            wildcard: HashMap::new(),
        };
        for key in keys {
            for name in names(&key.cert) {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut certificates.wildcard, parent.to_owned()),
                    None => (&mut certificates.exact, name),
                };
                names.entry(name).or_insert_with(|| key.clone());
            }
        }
        Some(certificates)
    }

    fn find(&self, name: &str) -> &Arc<CertifiedKey> {
        let name = name.to_ascii_lowercase();
        // RFC 9525 §6.3: the asterisk stands for one label.
        let by_parent = || self.wildcard.get(name.split_once('.')?.1);
        self.exact
            .get(&name)
            .or_else(by_parent)
            .unwrap_or(&self.first)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let found = hello
            .server_name()
            .map_or(&self.first, |name| self.find(name));
        Some(found.clone())
    }
}

/// The names of a chain's first certificate.
fn names(chain: &[CertificateDer<'_>]) -> Vec<String> {
    let first = chain.first().and_then(|der| Certificate::from_der(der));
    first.map_or_else(Vec::new, |certificate| certificate.dns_names)
}

/// Two files' content as a certificate with its key; `place` is that of the pair.
pub(super) fn certified_key(
    place: &str,
    certificate: &[u8],
    key: &[u8],
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, FileError> {
    let certificate_place = format!("{place}.certificate");
    let chain = chain(&certificate_place, certificate)?;
    let wrong = |part: &str, message: String| FileError {
        place: format!("{place}.{part}"),
        message,
    };
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
        wrong(
            "key",
            format!("no private key in the file, which should be PEM and not encrypted ({error})"),
        )
    })?;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|error| wrong("key", format!("the private key can't be used: {error}")))?;
    let key = CertifiedKey::new(chain, key);
    match key.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(Error::InconsistentKeys(_)) => {
            return Err(wrong(
                "key",
                "the key is not that of the certificate".to_owned(),
            ));
        }
        Err(error) => return Err(wrong("certificate", format!("it can't be used: {error}"))),
    }
    warn_of_dates(&certificate_place, &key);
    Ok(Arc::new(key))
}

/// The certificates in a PEM file: at least one.
pub(super) fn chain(place: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let wrong = |message: String| FileError {
        place: place.to_owned(),
        message,
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|error| wrong(format!("the file is not PEM: {error}")))?;
    if chain.is_empty() {
        return Err(wrong(
            "no certificate in the file, which should be PEM (-----BEGIN CERTIFICATE-----)"
                .to_owned(),
        ));
    }
    for der in &chain {
        if Certificate::from_der(der).is_none() {
            return Err(wrong("a certificate in the file is not one".to_owned()));
        }
    }
    Ok(chain)
}

/// Clients will say so, too; but the operator should hear it first.
fn warn_of_dates(place: &str, key: &CertifiedKey) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    let first = key.cert.first().and_then(|der| Certificate::from_der(der));
    if let Some(complaint) = first.and_then(|certificate| out_of_date(&certificate, now)) {
        tracing::warn!("tls.{place}: {complaint}");
    }
}

/// When the chain's first certificate ends.
pub(super) fn end(key: &CertifiedKey) -> Option<SystemTime> {
    let first = Certificate::from_der(key.cert.first()?)?;
    let seconds = u64::try_from(first.not_after).unwrap_or_default();
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// What is wrong with a certificate's dates at `now`, in seconds since 1970.
fn out_of_date(certificate: &Certificate, now: i64) -> Option<&'static str> {
    if now > certificate.not_after {
        Some("the certificate has expired")
    } else if now < certificate.not_before {
        Some("the certificate is not valid yet")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certified(names: &[&str]) -> Arc<CertifiedKey> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        certified_key("certificates[0]", pem.as_bytes(), key.as_bytes(), &provider).unwrap()
    }

    #[test]
    fn the_certificate_is_the_one_whose_name_fits() {
        let keys = [
            certified(&["a.test", "*.a.test"]),
            certified(&["www.a.test", "B.test"]),
        ];
        let certificates = Certificates::new(keys.to_vec()).unwrap();
        let table = [
            ("a.test", 0),
            ("x.a.test", 0),
            ("www.a.test", 1),
            ("WWW.A.test", 1),
            ("b.test", 1),
            ("x.y.a.test", 0),
            ("other", 0),
        ];
        for (name, expected) in table {
            let found = certificates.find(name);
            assert!(Arc::ptr_eq(found, &keys[expected]), "{name}");
        }
    }

    #[test]
    fn what_is_no_pair_is_named() {
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let other_key = other.signing_key.serialize_pem();
        let cut = &pem[..pem.len() / 2];
        let table = [
            (
                pem.as_str(),
                other_key.as_str(),
                "certificates[0].key: the key is not that of the certificate",
            ),
            (
                pem.as_str(),
                "",
                "certificates[0].key: no private key in the file",
            ),
            (
                pem.as_str(),
                pem.as_str(),
                "certificates[0].key: no private key in the file",
            ),
            (
                "",
                key.as_str(),
                "certificates[0].certificate: no certificate in the file",
            ),
            (cut, key.as_str(), "certificates[0].certificate: "),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                key.as_str(),
                "certificates[0].certificate: a certificate in the file is not one",
            ),
        ];
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        for (pem, key, problem) in table {
            let error = certified_key("certificates[0]", pem.as_bytes(), key.as_bytes(), &provider);
            let error = error.unwrap_err().to_string();
            assert!(error.starts_with(problem), "{error}");
        }
    }

    #[test]
    fn dates_are_judged() {
        let key = certified(&["a.test"]);
        // rcgen's certificates are valid from 1975 to 4096.
        let certificate = Certificate::from_der(&key.cert[0]).unwrap();
        let table = [
            (0, Some("the certificate is not valid yet")),
            (1_800_000_000, None),
            (100_000_000_000, Some("the certificate has expired")),
        ];
        for (now, expected) in table {
            assert_eq!(out_of_date(&certificate, now), expected, "{now}");
        }
    }
}
