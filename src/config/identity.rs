//! What proves who we are to those who scrape us, and who they are to us: certificate, key, authorities of clients.
//!
//! The files are read when the configuration is checked, and again while it serves, whenever they change.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, RootCertStore};

use super::{WebTls, files, tls, words};

/// The largest file that is read, in bytes.
const LARGEST: usize = 256 << 10;

/// The files of [`WebTls`] as they were at one moment.
#[derive(Debug)]
pub struct Identity {
    /// The certificate with what links it to its authority, and its key.
    pub certified: Arc<CertifiedKey>,
    /// Who may sign clients' certificates; none: clients need no certificate.
    pub clients: Option<Clients>,
}

/// Authorities of clients' certificates.
#[derive(Debug)]
pub struct Clients {
    /// At least one.
    pub roots: RootCertStore,
    /// The file they are from: the same bytes let the same clients in.
    pub pem: Vec<u8>,
}

/// A key, and who else may read it.
pub(super) struct Key {
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) open_mode: Option<u32>,
}

impl WebTls {
    /// Reads all files anew. The error is a sentence that names the file and what is wrong with it, without its content.
    pub fn read(&self) -> Result<Identity, String> {
        let certified = self.certified(chain(&self.cert_file)?, key(&self.key_file)?.key)?;
        let clients = self.client_ca_file.as_deref().map(clients).transpose()?;
        Ok(Identity { certified: Arc::new(certified), clients })
    }

    /// Puts certificate and key together, if they belong together.
    pub(super) fn certified(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<CertifiedKey, String> {
        let (key_file, cert_file) = (words::path(&self.key_file), words::path(&self.cert_file));
        CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
            Error::InconsistentKeys(_) => {
                format!("expected the key of the certificate in {cert_file}, found another one in {key_file}")
            }
            other => format!("expected a usable key and certificate in {key_file} and {cert_file}, found: {other}"),
        })
    }
}

/// A certificate and what links it to its authority.
pub(super) fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let (bytes, shown) = (read(path, "certificate")?.bytes, words::path(path));
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => {
            Err(format!("expected a certificate in {shown}, found none; one starts with -----BEGIN CERTIFICATE-----"))
        }
        Err(_) => Err(format!("expected a certificate in {shown}, found one that is cut off or no base64")),
    }
}

/// A private key.
pub(super) fn key(path: &Path) -> Result<Key, String> {
    let (content, shown) = (read(path, "private key")?, words::path(path));
    if let Ok(key) = PrivateKeyDer::from_pem_slice(&content.bytes) {
        return Ok(Key { key, open_mode: content.open_mode });
    }
    let found = if tls::contains(&content.bytes, b"ENCRYPTED PRIVATE KEY-----") {
        format!("one that needs a passphrase; take it off: openssl pkey -in {shown} -out key.pem")
    } else if tls::contains(&content.bytes, b"PRIVATE KEY-----") {
        "one that is cut off or no base64".to_owned()
    } else {
        "none; one starts with -----BEGIN PRIVATE KEY-----".to_owned()
    };
    Err(format!("expected a private key in {shown}, found {found}"))
}

/// Authorities of clients' certificates.
pub(super) fn clients(path: &Path) -> Result<Clients, String> {
    let pem = read(path, "certificate")?.bytes.to_vec();
    let wrong = |wrong: String| format!("expected certificates in {}, found {wrong}", words::path(path));
    tls::certificates(&pem, path).map_err(wrong)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
    Ok(Clients { roots, pem })
}

fn read(path: &Path, what: &str) -> Result<files::Content, String> {
    files::read(path, LARGEST).map_err(|error| {
        let (shown, advice) = (words::path(path), files::advice(&error));
        format!("expected a readable PEM file with a {what}, found that {shown} cannot be read: {error}; {advice}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pair() -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["x".to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn what_is_wrong_is_said_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let ((pem, key), (other_pem, other_key)) = (pair(), pair());
        let read = |pem: &str, key: &str, clients: Option<&str>| {
            let client_ca_file = clients.map(|text| write("clients.pem", text));
            let tls = WebTls { cert_file: write("cert.pem", pem), key_file: write("key.pem", key), client_ca_file };
            tls.read()
        };
        let identity = read(&pem, &key, Some(&format!("{pem}{other_pem}"))).unwrap();
        assert_eq!(identity.clients.unwrap().roots.len(), 2);
        assert!(read(&format!("{pem}{other_pem}"), &key, None).unwrap().clients.is_none());
        let both = format!("{key}{pem}");
        assert!(read(&both, &both, None).is_ok(), "one file may hold both");

        let cut = |text: &str| text[..text.len() / 2].to_owned();
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        for (pem, key, clients, file, wrong) in [
            ("", key.as_str(), None, "cert.pem", "found none"),
            (&cut(&pem), &key, None, "cert.pem", "cut off"),
            (&pem, &pem, None, "key.pem", "found none"),
            (&pem, &cut(&key), None, "key.pem", "cut off"),
            (&pem, encrypted, None, "key.pem", "passphrase"),
            (&pem, &other_key, None, "key.pem", "another one"),
            (&pem, &key, Some(""), "clients.pem", "found none"),
            (&pem, &key, Some(&both), "clients.pem", "a private key"),
        ] {
            let message = read(pem, key, clients).unwrap_err();
            assert!(message.contains(&folder.path().join(file).display().to_string()), "{message}");
            assert!(message.contains(wrong) && !message.contains("AAAA"), "{message}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, text in "-----BEGIN (CERTIFICATE|PRIVATE KEY)-----\n[A-Za-z0-9+/=\n]{0,80}(-----END (CERTIFICATE|PRIVATE KEY)-----)?") {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x");
            for bytes in [bytes, text.into_bytes()] {
                std::fs::write(&path, bytes).unwrap();
                let tls = WebTls { cert_file: path.clone(), key_file: path.clone(), client_ca_file: Some(path.clone()) };
                let _ = (tls.read().is_ok(), key(&path).is_ok(), clients(&path).is_ok());
            }
        }
    }
}
