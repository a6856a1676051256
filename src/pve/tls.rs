//! How an endpoint proves who it is: system roots, a CA file, pinned fingerprints, or not at all.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};

use super::certificate;
use crate::config::Tls;
use crate::ids::Fingerprint;

/// The authorities of the system, read when the first cluster needs them and shared by all that do.
#[derive(Default)]
pub struct Roots(OnceLock<Result<Arc<RootCertStore>, String>>);

impl Roots {
    fn get(&self) -> Result<Arc<RootCertStore>, String> {
        self.0.get_or_init(load_system_roots).clone()
    }
}

fn load_system_roots() -> Result<Arc<RootCertStore>, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        return Err("this system has no trusted certificate authorities: install the package ca-certificates, \
                    or name the cluster's own authority in tls.ca_file or its certificate in tls.fingerprints"
            .to_owned());
    }
    Ok(Arc::new(store))
}

/// The TLS side of a cluster's client; fails with a sentence for the administrator.
pub(super) fn client_config(tls: &Tls, roots: &Roots) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let trust = match tls {
        Tls::SystemRoots => Trust::Authorities(verifier(roots.get()?, &provider)?),
        Tls::CaFile { path, pem } => {
            let mut store = RootCertStore::empty();
            for der in CertificateDer::pem_slice_iter(pem) {
                let der = der.map_err(|error| format!("{}: {error}", path.display()))?;
                store.add(der).map_err(|error| {
                    format!("{}: a certificate cannot serve as an authority: {error}", path.display())
                })?;
            }
            Trust::Authorities(verifier(Arc::new(store), &provider)?)
        }
        Tls::Fingerprints(pins) => Trust::Pinned(pins.clone()),
        Tls::Insecure => Trust::Anyone,
    };
    let verifier = Arc::new(Verifier { trust, provider: Arc::clone(&provider) });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(config)
}

fn verifier(roots: Arc<RootCertStore>, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, String> {
    WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
        .build()
        .map_err(|error| format!("the certificate authorities cannot be used: {error}"))
}

/// A refused certificate, found again in the error chain of a failed connection.
#[derive(Debug)]
pub(super) struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

#[derive(Debug)]
enum Trust {
    Authorities(Arc<WebPkiServerVerifier>),
    Pinned(Vec<Fingerprint>),
    Anyone,
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.trust {
            Trust::Anyone => Ok(ServerCertVerified::assertion()),
            // A pin names one certificate; PVE's own are renewed under the same names, so names prove nothing more.
            Trust::Pinned(pins) if pins.contains(&certificate::fingerprint(end_entity)) => {
                Ok(ServerCertVerified::assertion())
            }
            Trust::Pinned(pins) => Err(refuse(end_entity, &not_pinned(pins.len()))),
            Trust::Authorities(inner) => inner
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map_err(|error| refuse(end_entity, &cause(&error, server_name))),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn not_pinned(pins: usize) -> String {
    match pins {
        1 => "it is not the one of tls.fingerprints".to_owned(),
        more => format!("it is none of the {more} of tls.fingerprints"),
    }
}

fn cause(error: &rustls::Error, server_name: &ServerName<'_>) -> String {
    let rustls::Error::InvalidCertificate(fault) = error else {
        return error.to_string();
    };
    match fault {
        CertificateError::UnknownIssuer => "it is signed by an authority that is not trusted here".to_owned(),
        CertificateError::BadSignature => {
            "it is signed by an authority that is not trusted here: one of that name is, but it has another key"
                .to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet".to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("it is not valid for the name {}", server_name.to_str())
        }
        CertificateError::Other(other) if other.0.to_string() == "CaUsedAsEndEntity" => {
            "it is made for an authority, not for a server, so that only its fingerprint can be trusted".to_owned()
        }
        CertificateError::Other(other) => other.0.to_string(),
        other => other.to_string(),
    }
}

fn refuse(der: &[u8], cause: &str) -> rustls::Error {
    let fingerprint = certificate::fingerprint(der);
    rustls::Error::Other(OtherError(Arc::new(Refused(format!(
        "certificate refused, no credential was sent: {cause}; the certificate: {}; \
         to trust exactly this one, compare the fingerprint with `pvenode cert info` on the node, \
         then set tls = {{ fingerprints = [\"{fingerprint}\"] }}; to trust all nodes of its cluster, \
         set tls = {{ ca_file = … }} to a copy of /etc/pve/pve-root-ca.pem",
        certificate::describe(der),
    )))))
}
