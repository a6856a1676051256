//! Certificates of every kind, and what is asked for in the handshake.

use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{Acceptor, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use super::super::{Checker, Kind, Target, Why};
use super::{LIMIT, answer, check, request, server, target};

fn certificate(years: (i32, i32)) -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::new(vec!["elsewhere.invalid".into()]).expect("a name");
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    (params, KeyPair::generate().expect("a key"))
}

/// A server with a self-signed certificate, valid in these years.
pub(super) fn tls(years: (i32, i32)) -> Arc<ServerConfig> {
    let (params, key) = certificate(years);
    let certificate = params.self_signed(&key).expect("a certificate").der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    Arc::new(config.expect("a configuration"))
}

/// The same, of one TLS version, that wants a certificate of ours.
fn demanding(version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (params, key) = certificate((2020, 2040));
    let certificate = params.self_signed(&key).expect("a certificate").der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("an authority");
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_client_cert_verifier(clients.expect("a verifier"))
        .with_single_cert(vec![certificate], key);
    Arc::new(config.expect("a configuration"))
}

pub(super) async fn tls_server(config: Arc<ServerConfig>, status: u16) -> u16 {
    let acceptor = TlsAcceptor::from(config);
    server(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                answer(&mut stream, status).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn certificates_are_looked_at_and_not_judged() {
    for (years, not_after) in [
        ((1999, 2001), 978_307_200),
        ((2020, 2040), 2_208_988_800),
        ((2090, 2100), 4_102_444_800),
        ((1960, 1965), -157_766_400),
    ] {
        let port = tls_server(tls(years), 200).await;
        let outcome = check(port, Kind::Https).await;
        assert_eq!((outcome.up, outcome.certificate_not_after), (Some(true), Some(not_after)));
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_seen_by_the_same_checker() {
    let config = Arc::new(Mutex::new(tls((2020, 2030))));
    let shown = Arc::clone(&config);
    let port = server(move |stream| {
        let acceptor = TlsAcceptor::from(Arc::clone(&shown.lock().expect("no panic")));
        async move {
            answer(&mut acceptor.accept(stream).await.expect("a handshake"), 200).await;
        }
    })
    .await;
    let checker = Checker::new();
    let first = checker.check(&target(port, Kind::Https), LIMIT).await.certificate_not_after;
    *config.lock().expect("no panic") = tls((2020, 2031));
    let second = checker.check(&target(port, Kind::Https), LIMIT).await.certificate_not_after;
    assert_eq!((first, second), (Some(1_893_456_000), Some(1_924_992_000)));
}

#[tokio::test]
async fn a_certificate_is_told_though_the_server_wants_one_of_ours() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let outcome = check(tls_server(demanding(version), 200).await, Kind::Https).await;
        assert_eq!((outcome.up, outcome.certificate_not_after), (Some(false), Some(2_208_988_800)), "{version:?}");
        assert!(matches!(outcome.why, Some(Why::Tls(_) | Why::Answer(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn only_names_are_asked_for_in_the_handshake() {
    let (seen, mut names) = mpsc::unbounded_channel();
    let config = tls((2020, 2040));
    let port = server(move |stream| {
        let (seen, config) = (seen.clone(), Arc::clone(&config));
        async move {
            let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await.expect("a hello");
            let name = start.client_hello().server_name().map(str::to_owned);
            let mut stream = start.into_stream(config).await.expect("a handshake");
            seen.send((name, request(&mut stream).await)).expect("a reader");
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        }
    })
    .await;
    for (host, sni) in [("localhost", Some("localhost")), ("127.0.0.1", None)] {
        let target = Target { host: host.into(), port, kind: Kind::Https };
        assert_eq!(Checker::new().check(&target, LIMIT).await.up, Some(true));
        let (name, head) = names.recv().await.expect("a request");
        assert_eq!(name.as_deref(), sni);
        assert!(head.starts_with(&format!("GET / HTTP/1.1\r\nHost: {host}:{port}\r\n")), "{head}");
        assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
        let lower = head.to_lowercase();
        assert!(!lower.contains("authorization") && !lower.contains("cookie"), "{head}");
    }
}
