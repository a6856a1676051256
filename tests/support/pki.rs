//! Certificates for the exporter's own port, and a client that speaks TLS.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::http;
use super::write_private;

/// A connection through TLS.
pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// An authority whose files lie in a folder: `ca.pem`, and what [`Pki::renew`] writes.
pub struct Pki {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    authority: CertificateDer<'static>,
}

impl Pki {
    /// A new authority, with certificates `web` for servers and `client` for clients.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // No two of one name: clients look for an authority by its name.
        params.distinguished_name.push(DnType::CommonName, folder.path().display().to_string());
        let authority = params.self_signed(&key).expect("a certificate");
        write_private(&folder.path().join("ca.pem"), &authority.pem());
        let authority = authority.der().clone();
        let pki = Self { folder, issuer: Issuer::new(params, key), authority };
        pki.renew("web");
        pki.renew("client");
        pki
    }

    /// The path of a file, for a configuration.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a new certificate and its key in the place of `NAME.pem` and `NAME.key`.
    pub fn renew(&self, name: &str) -> CertificateDer<'static> {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        write_private(&self.path(&format!("{name}.pem")), &certificate.pem());
        write_private(&self.path(&format!("{name}.key")), &key.serialize_pem());
        certificate.der().clone()
    }

    /// `tls = …` of `[web]`; `clients` is the authority of clients' certificates.
    pub fn web(&self, clients: Option<&Self>) -> String {
        let path = |name: &str| self.path(name).display().to_string();
        let clients = clients.map(|pki| format!(", client_ca_file = \"{}\"", pki.path("ca.pem").display()));
        let (cert, key) = (path("web.pem"), path("web.key"));
        format!("tls = {{ cert_file = \"{cert}\", key_file = \"{key}\"{} }}\n", clients.unwrap_or_default())
    }

    /// Connects and shakes hands, with the certificate `client` of another authority where one is given.
    pub fn connect(&self, address: SocketAddr, own: Option<&Self>) -> std::io::Result<TlsStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(pki) => {
                let chain = vec![CertificateDer::from_pem_file(pki.path("client.pem")).expect("a certificate")];
                let key = PrivateKeyDer::from_pem_file(pki.path("client.key")).expect("a key");
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
        };
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = ClientConnection::new(Arc::new(config), name).map_err(std::io::Error::other)?;
        let mut stream = StreamOwned::new(connection, http::connect(address));
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }
}

/// The certificate that the server showed.
pub fn shown(stream: &TlsStream) -> CertificateDer<'static> {
    let chain = stream.conn.peer_certificates().expect("certificates");
    chain.first().expect("a certificate").clone().into_owned()
}
