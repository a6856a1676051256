//! Checks over real connections, and what the tests of this room share.

mod certificates;
mod failing;

use std::future::Future;
use std::time::Duration;

use futures_util::future::join_all;
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, pause};

use super::{Checker, Kind, Outcome, Step, Target, Why};
use certificates::{tls, tls_server};

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
            // Unread bytes would turn the end into a reset, which may overtake the words.
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
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
    // Held, so that nobody else comes to listen there.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let port = socket.local_addr().expect("an address").port();
    let outcome = check(port, Kind::Https).await;
    let refused = Why::Refused(format!("127.0.0.1:{port}: connection refused"));
    let down = Outcome { up: Some(false), took: None, status: None, certificate_not_after: None, why: Some(refused) };
    assert_eq!(outcome, down);
    let hostile = Target { host: "127.0.0.1\r\nA: b".into(), port, kind: Kind::Http };
    assert!(matches!(Checker::new().check(&hostile, LIMIT).await.why, Some(Why::Name(_))));
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
    assert_eq!(words.recv().await, Some(super::banner::farewell()));
}

#[tokio::test]
async fn more_than_have_a_turn_at_once_wait_without_losing_time() {
    pause();
    let (limit, checker) = (Duration::from_secs(5), Checker::new());
    // A lookup for which there is never a place hangs without a socket.
    let places: Vec<_> = checker.hold_lookups().await;
    let begun = Instant::now();
    let target = Target { host: "nas.invalid".into(), port: 1, kind: Kind::Tcp };
    let outcomes = join_all((0..200).map(|_| checker.check(&target, limit))).await;
    assert_eq!(begun.elapsed().as_secs(), 10, "two turns");
    assert!(outcomes.iter().all(|outcome| outcome.up.is_none() && outcome.host_answered().is_none()), "{outcomes:?}");
    drop(places);
}

#[tokio::test]
async fn what_was_never_asked_is_not_down() {
    let port = server(async |mut stream| answer(&mut stream, 200).await).await;
    for kind in [Kind::Tcp, Kind::Http] {
        let outcome = Checker::new().check(&target(port, kind), Duration::ZERO).await;
        assert_eq!((outcome.up, outcome.took, outcome.host_answered()), (None, None, None));
        assert!(matches!(outcome.why, Some(Why::NotAsked(_))));
    }
}

#[test]
fn whatever_comes_from_a_host_says_that_it_is_there() {
    let words = String::new;
    for (why, answered) in [
        (None, Some(true)),
        (Some(Why::Refused(words())), Some(true)),
        (Some(Why::Status(500)), Some(true)),
        (Some(Why::Timeout(Step::Answer, LIMIT)), Some(true)),
        (Some(Why::Timeout(Step::Connect, LIMIT)), Some(false)),
        (Some(Why::Connect(words())), Some(false)),
        (Some(Why::Name(words())), Some(false)),
        (Some(Why::NotAsked(words())), None),
    ] {
        let outcome = Outcome { up: None, took: None, status: None, certificate_not_after: None, why };
        assert_eq!(outcome.host_answered(), answered, "{:?}", outcome.why);
    }
}

#[tokio::test]
async fn a_check_can_be_spawned() {
    fn sent<T: Send>(value: T) -> T {
        value
    }
    assert_eq!(sent(Checker::new().check(&target(1, Kind::Tcp), Duration::ZERO)).await.up, None);
}
