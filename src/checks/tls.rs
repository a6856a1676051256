//! A handshake that looks at the certificate and judges nothing. There is nothing to protect: what follows carries no
//! secret, and nothing that comes back is believed but that something came.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::why::{self, Why};

/// When the certificate of one handshake runs out, in seconds since 1970; kept although the handshake fails later, as
/// with a server that wants a certificate of ours.
pub(super) type NotAfter = Arc<OnceLock<i64>>;

/// What all handshakes share.
#[derive(Debug, Clone)]
pub(super) struct Handshakes {
    config: ClientConfig,
}

impl Handshakes {
    pub(super) fn new() -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let observer = Arc::new(Observer { not_after: NotAfter::default(), provider: Arc::clone(&provider) });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has cipher suites of both versions")
            .dangerous()
            .with_custom_certificate_verifier(observer)
            .with_no_client_auth();
        // A resumed session shows no certificate: one that was renewed would not be seen.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { config }
    }

    /// Shakes hands; tells the certificate's end through `not_after` as soon as it is seen.
    ///
    /// # Errors
    /// [`Why::Tls`], never for the certificate.
    pub(super) async fn shake(
        &self,
        name: ServerName<'static>,
        stream: TcpStream,
        not_after: &NotAfter,
    ) -> Result<TlsStream<TcpStream>, Why> {
        let mut config = self.config.clone();
        let provider = Arc::clone(config.crypto_provider());
        let observer = Observer { not_after: Arc::clone(not_after), provider };
        config.dangerous().set_certificate_verifier(Arc::new(observer));
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| failed(&error))
    }
}

fn failed(error: &io::Error) -> Why {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidMessage(_)) => Why::Tls("no TLS is spoken there".to_owned()),
        _ => why::of(error, Why::Tls),
    }
}

fn not_after(der: &[u8]) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

#[derive(Debug)]
struct Observer {
    not_after: NotAfter,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Observer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(seconds) = not_after(end_entity) {
            self.not_after.get_or_init(|| seconds);
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_panic(at in 0..600_usize, byte: u8, bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            not_after(&bytes);
            let mut der = rcgen::generate_simple_self_signed(Vec::new()).expect("a certificate").cert.der().to_vec();
            if let Some(place) = der.get_mut(at) {
                *place = byte;
            }
            not_after(&der);
        }
    }
}
