//! Checks over real connections, and what the tests of this room share.

use std::future::{Future, pending};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{Acceptor, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, pause};
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use super::{Checker, Kind, Outcome, Step, Target, Why};

/// Long enough for the slowest machine; nothing waits for it but on a paused clock.
const LIMIT: Duration = Duration::from_mins(1);

/// Feeds `bytes` to a reader, at most `size` at a time.
pub(super) fn in_pieces<T>(bytes: &[u8], size: usize, read: impl AsyncFnOnce(&mut DuplexStream) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let (mut ours, mut theirs) = duplex(size);
        let write = async move {
            // A reader that has enough goes away.
            let _ = theirs.write_all(bytes).await;
        };
        let read = async move { read(&mut ours).await };
        futures_util::future::join(read, write).await.0
    })
}

/// One of the words that a parser looks for.
pub(super) fn said(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec())
}

/// Serves every connection to the port that it returns.
async fn server<F: Future<Output = ()> + Send>(serve: impl Fn(TcpStream) -> F + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let serve = serve.clone();
            tokio::spawn(async move { serve(stream).await });
        }
    });
    port
}

/// A server that says `words`, once a request has come if it waits for one, and then closes.
async fn saying(words: String, waits: bool) -> u16 {
    server(move |mut stream| {
        let words = words.clone();
        async move {
            if waits {
                request(&mut stream).await;
            }
            let _ = stream.write_all(words.as_bytes()).await;
        }
    })
    .await
}

/// Reads a request's head.
async fn request<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).expect("ASCII")
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, status: u16) {
    request(stream).await;
    let head = format!("HTTP/1.1 {status} Some words\r\nServer: test\r\n\r\nbody");
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn target(port: u16, kind: Kind) -> Target {
    Target { host: "127.0.0.1".into(), port, kind }
}

async fn check(port: u16, kind: Kind) -> Outcome {
    Checker::new().check(&target(port, kind), LIMIT).await
}

fn certificate(years: (i32, i32)) -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::new(vec!["elsewhere.invalid".into()]).expect("a name");
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    (params, KeyPair::generate().expect("a key"))
}

/// A server with a self-signed certificate, valid in these years.
fn tls(years: (i32, i32)) -> Arc<ServerConfig> {
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

async fn tls_server(config: Arc<ServerConfig>, status: u16) -> u16 {
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
async fn every_kind_is_up_where_its_service_answers() {
    let ssh = saying("welcome\r\nSSH-2.0-test\r\n".into(), false).await;
    let http = server(async |mut stream| answer(&mut stream, 200).await).await;
    let https = tls_server(tls((2020, 2040)), 204).await;
    for (port, kind, status) in
        [(ssh, Kind::Tcp, None), (ssh, Kind::Ssh, None), (http, Kind::Http, Some(200)), (https, Kind::Https, Some(204))]
    {
        let outcome = check(port, kind).await;
        assert_eq!((outcome.up, outcome.status, outcome.why), (Some(true), status, None), "{kind:?}");
        assert!(outcome.took.is_some_and(|took| took < LIMIT), "{kind:?}");
        assert_eq!(outcome.certificate_not_after.is_some(), kind == Kind::Https, "{kind:?}");
        assert_eq!(Kind::parse(kind.as_str()), Some(kind));
    }
    assert_eq!(Kind::parse("HTTP"), None);
}

#[tokio::test]
async fn a_status_below_500_is_an_answer() {
    for (status, up) in
        [(200, true), (301, true), (401, true), (403, true), (404, true), (499, true), (500, false), (503, false)]
    {
        let port = server(move |mut stream| async move { answer(&mut stream, status).await }).await;
        let outcome = check(port, Kind::Http).await;
        assert_eq!((outcome.up, outcome.status), (Some(up), Some(status)));
        assert!(outcome.took.is_some());
        assert_eq!(outcome.why, (!up).then_some(Why::Status(status)));
    }
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

#[tokio::test]
async fn ipv6_addresses_are_reached_with_and_without_brackets() {
    let listener = TcpListener::bind("[::1]:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    for host in ["::1", "[::1]"] {
        let target = Target { host: host.into(), port, kind: Kind::Tcp };
        assert_eq!(Checker::new().check(&target, LIMIT).await.up, Some(true), "{host}");
    }
}

#[tokio::test]
async fn where_nobody_listens_is_down_and_no_name_is_never_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let outcome = check(port, Kind::Https).await;
    let refused = Why::Connect(format!("127.0.0.1:{port}: connection refused"));
    let down = Outcome { up: Some(false), took: None, status: None, certificate_not_after: None, why: Some(refused) };
    assert_eq!(outcome, down);
    let hostile = Target { host: "127.0.0.1\r\nA: b".into(), port, kind: Kind::Http };
    assert!(matches!(Checker::new().check(&hostile, LIMIT).await.why, Some(Why::Name(_))));
}

#[tokio::test]
async fn servers_that_break_off_are_down_with_the_reason() {
    let resets = server(async |mut stream: TcpStream| {
        request(&mut stream).await;
        stream.set_zero_linger().expect("a socket");
    })
    .await;
    let half_closes = server(async |mut stream: TcpStream| {
        stream.shutdown().await.expect("a connection");
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let cut = saying("HTTP/1.1 200 OK\r\nServer: x".into(), true).await;
    let plain = saying("HTTP/1.1 200 OK\r\n\r\n".into(), false).await;
    for (port, kind, reason) in [
        (resets, Kind::Http, "answer: the other side broke the connection off"),
        (
            half_closes,
            Kind::Ssh,
            "answer: the other side closed the connection where a line was expected, found nothing more",
        ),
        (
            half_closes,
            Kind::Http,
            "answer: the other side closed the connection where a line was expected, found nothing more",
        ),
        (half_closes, Kind::Https, "TLS handshake: the other side closed the connection too early"),
        (
            cut,
            Kind::Http,
            "answer: the other side closed the connection where a line was expected, found \"Server: x\"",
        ),
        (plain, Kind::Https, "TLS handshake: no TLS is spoken there"),
        (
            plain,
            Kind::Ssh,
            "answer: the other side closed the connection where a line was expected, found nothing more",
        ),
    ] {
        let outcome = check(port, kind).await;
        assert_eq!((outcome.up, outcome.took), (Some(false), None), "{kind:?} {reason}");
        assert_eq!(outcome.why.expect("a reason").to_string(), reason, "{kind:?}");
    }
}

#[tokio::test]
async fn servers_that_never_end_are_left_at_the_bound() {
    let endless = |start: &'static str, line: &'static str| {
        server(async move |mut stream: TcpStream| {
            let _ = stream.write_all(start.as_bytes()).await;
            while stream.write_all(line.as_bytes()).await.is_ok() {}
        })
    };
    let headers = endless("HTTP/1.1 200 OK\r\n", "A: b\r\n").await;
    let noise = endless("", "noise").await;
    for (port, kind, bytes) in [(headers, Kind::Http, 16384), (noise, Kind::Http, 16384), (noise, Kind::Ssh, 8192)] {
        let why = Why::Answer(format!("expected its end within {bytes} bytes, found none"));
        assert_eq!(check(port, kind).await.why, Some(why), "{kind:?}");
    }
    // What comes after an answer does not delay it for long.
    let body = endless("HTTP/1.1 200 OK\r\n\r\n", "body").await;
    assert_eq!(check(body, Kind::Http).await.up, Some(true));
}

/// Lets `limit` run out on a check of a server, once this has read what it waits for and said so.
async fn starve(port: u16, kind: Kind, reached: &mut mpsc::UnboundedReceiver<()>) -> Outcome {
    let checking = tokio::spawn(async move { check(port, kind).await });
    reached.recv().await.expect("the server is reached");
    pause();
    let outcome = checking.await.expect("no panic");
    tokio::time::resume();
    outcome
}

#[tokio::test]
async fn silent_servers_are_down_when_the_time_is_over() {
    let (reached, mut wait) = mpsc::unbounded_channel();
    let accepting = reached.clone();
    let silent = server(move |mut stream| {
        let reached = accepting.clone();
        async move {
            reached.send(()).expect("a reader");
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    })
    .await;
    for (kind, step) in [(Kind::Ssh, Step::Answer), (Kind::Http, Step::Answer), (Kind::Https, Step::Tls)] {
        let outcome = starve(silent, kind, &mut wait).await;
        assert_eq!((outcome.up, outcome.took), (Some(false), None));
        assert_eq!(outcome.why, Some(Why::Timeout(step, LIMIT)), "{kind:?}");
    }
    let acceptor = TlsAcceptor::from(tls((2020, 2040)));
    let shakes_hands = server(move |stream| {
        let (reached, acceptor) = (reached.clone(), acceptor.clone());
        async move {
            let mut stream = acceptor.accept(stream).await.expect("a handshake");
            request(&mut stream).await;
            reached.send(()).expect("a reader");
            pending::<()>().await;
        }
    })
    .await;
    let outcome = starve(shakes_hands, Kind::Https, &mut wait).await;
    assert_eq!(outcome.why, Some(Why::Timeout(Step::Answer, LIMIT)));
    assert_eq!(outcome.certificate_not_after, Some(2_208_988_800));
}

#[tokio::test]
async fn the_answer_counts_though_the_server_never_closes() {
    let stays = server(async |mut stream: TcpStream| {
        let _ = stream.write_all(b"SSH-2.0-x\r\nHTTP/1.1 200 OK\r\n\r\n").await;
        pending::<()>().await;
    })
    .await;
    let begun = Instant::now();
    let outcome = check(stays, Kind::Ssh).await;
    assert_eq!(outcome.up, Some(true));
    assert!(outcome.took.is_some_and(|took| took < begun.elapsed()));
}

#[tokio::test]
async fn an_ssh_server_is_left_with_a_goodbye() {
    let (heard, mut words) = mpsc::unbounded_channel();
    let port = server(move |mut stream| {
        let heard = heard.clone();
        async move {
            let _ = stream.write_all(b"SSH-2.0-x\r\nand a first packet").await;
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.expect("an orderly end");
            heard.send(all).expect("a reader");
        }
    })
    .await;
    assert_eq!(check(port, Kind::Ssh).await.up, Some(true));
    assert_eq!(words.recv().await, Some(super::ssh::farewell()));
}

#[tokio::test]
async fn many_are_checked_in_their_order() {
    let http = server(async |mut stream| answer(&mut stream, 200).await).await;
    let failing = server(async |mut stream| answer(&mut stream, 502).await).await;
    let targets: Vec<Target> =
        (0..30).map(|index| target(if index % 3 == 0 { failing } else { http }, Kind::Http)).collect();
    let outcomes = Checker::new().check_all(&targets, Instant::now() + LIMIT, 7).await;
    let statuses: Vec<_> = outcomes.iter().map(|outcome| outcome.status).collect();
    let expected: Vec<_> = (0..30).map(|index| Some(if index % 3 == 0 { 502 } else { 200 })).collect();
    assert_eq!(statuses, expected);
}

#[tokio::test]
async fn what_was_never_asked_is_not_down() {
    let port = server(async |_| panic!("nothing is asked")).await;
    let targets = [target(port, Kind::Tcp), target(port, Kind::Http)];
    for outcome in Checker::new().check_all(&targets, Instant::now(), 2).await {
        assert_eq!((outcome.up, outcome.took), (None, None));
        assert!(matches!(outcome.why, Some(Why::NotAsked(_))));
    }
}

#[tokio::test]
async fn a_check_can_be_spawned() {
    fn sent<T: Send>(value: T) -> T {
        value
    }
    let targets = [target(1, Kind::Tcp)];
    let checker = Checker::new();
    assert_eq!(sent(checker.check_all(&targets, Instant::now(), 1)).await.len(), 1);
}
