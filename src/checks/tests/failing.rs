//! Servers that break off, never end or say nothing.

use std::future::pending;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{pause, resume};
use tokio_rustls::TlsAcceptor;

use super::super::{Kind, Outcome, Step, Why};
use super::certificates::tls;
use super::{LIMIT, check, request, saying, server};

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
    resume();
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
