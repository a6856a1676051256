//! One connection: handshake, up to a hundred requests, and pveproxy's reasons to end it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;

use super::counters::{Counted, Credential, Seen};
use super::faults::{self, Fault, Flow};
use super::routes::{self, Answer, Call};
use super::server::{Handshake, Options, Rights, Shared, Token};
use super::source::{Reply, Source};
use super::wire::{self, Request};
use super::workers::{NodeState, Place};

/// TLS, counted.
type Stream<'a> = Counted<'a, TlsStream<TcpStream>>;

/// pveproxy's `keep_alive`.
const MOST_REQUESTS: usize = 100;

/// The first byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// A request with all that is known of it.
struct Asked {
    request: Request,
    /// Below `/api2/json`, without the query.
    path: String,
    credential: Credential,
    place: Place,
    /// The connection ends after this one.
    last: bool,
}

/// Serves one connection to its end.
pub(super) async fn serve(shared: Arc<Shared>, tcp: TcpStream, number: u64) {
    // What goes wrong on a connection is the client's news, not ours.
    let _ = converse(&shared, tcp, number).await;
}

async fn converse(shared: &Shared, mut tcp: TcpStream, number: u64) -> io::Result<()> {
    if shared.is_away() {
        return tcp.set_zero_linger();
    }
    tcp.set_nodelay(true)?;
    let handshake = shared.handshake();
    if handshake == Handshake::Silent || shared.state() == NodeState::Hung {
        return faults::until_closed(&mut tcp).await.map(|_| ());
    }
    let mut first = [0];
    if timeout(shared.options.idle_timeout, tcp.peek(&mut first)).await?? == 0 {
        return Ok(());
    }
    if first != [TLS_HANDSHAKE] {
        return redirect(&mut tcp).await;
    }
    match handshake {
        Handshake::Well | Handshake::Silent => {}
        Handshake::Late(time) => sleep(time).await,
        Handshake::Close => {
            // What is left unread would turn the end into a reset.
            let mut hello = Vec::with_capacity(16 * 1024);
            tcp.read_buf(&mut hello).await?;
            return tcp.shutdown().await;
        }
    }
    let stream = timeout(shared.options.idle_timeout, shared.acceptor.accept(tcp)).await??;
    shared.counters.shake_hands(stream.get_ref().1.handshake_kind());
    exchange(shared, shared.counters.count(stream), number).await
}

async fn exchange(shared: &Shared, mut stream: Stream<'_>, number: u64) -> io::Result<()> {
    let mut buffer = Vec::new();
    for count in 1..=MOST_REQUESTS {
        let reading = wire::read_request(&mut stream, &mut buffer);
        let Some(request) = timeout(shared.options.idle_timeout, reading).await?? else { break };
        let path = request.target.split('?').next().unwrap_or_default();
        let path = routes::api_path(path).unwrap_or(path).to_owned();
        // Whoever sees the request in the log sees it in the load as well.
        let place = shared.workers.enter(shared.worked_by(&path), routes::work(&path));
        let credential = credential(&request, shared);
        let Request { method, target, .. } = &request;
        // A login's body is a password.
        let body =
            if is_login(&request, &path) { String::new() } else { String::from_utf8_lossy(&request.body).into_owned() };
        shared.counters.note(Seen {
            method: method.clone(),
            target: target.clone(),
            body,
            credential,
            connection: number,
        });
        let last = count == MOST_REQUESTS;
        match answer(shared, &mut stream, Asked { request, path, credential, place, last }).await? {
            Flow::KeepAlive => {}
            Flow::Close => break,
            Flow::Reset => return stream.stream.get_ref().0.set_zero_linger(),
            Flow::DieAtNext => {
                // Only the arrival of the next request ends it, so that no client can see it coming.
                buffer.clear();
                stream.read_buf(&mut buffer).await?;
                return stream.stream.get_ref().0.set_zero_linger();
            }
        }
    }
    stream.shutdown().await
}

async fn answer(shared: &Shared, stream: &mut Stream<'_>, asked: Asked) -> io::Result<Flow> {
    let Asked { request, path, credential, mut place, last } = asked;
    let slowness = if let NodeState::Slow(time) = shared.state() { time } else { Duration::ZERO };
    pause(shared.options.latency + slowness).await;
    if shared.is_away() {
        return Ok(Flow::Reset);
    }
    if shared.state() == NodeState::Hung {
        place.keep_busy(shared.options.worker_hang);
        return faults::until_closed(stream).await;
    }
    let (fault, answer) = reply(shared, &request, credential, &path).await;
    let reply = answer.reply;
    pause(answer.after).await;
    match fault {
        // With a 596, pveproxy lost its patience, and not the worker that it waited for.
        Some(Fault::Hang | Fault::Stall { .. } | Fault::Status { code: 596, .. }) => {
            place.keep_busy(shared.options.worker_hang);
        }
        Some(Fault::Drip { .. } | Fault::EndlessHeaders) => {}
        // Done before the client can have the answer and ask the next one.
        _ => drop(place),
    }
    if reply.status == 401 {
        pause(shared.options.unauthorized_delay).await;
    }
    if let Some(fault) = fault {
        return faults::play(stream, fault, &reply).await;
    }
    let keep = reply.status < 400 && !last && !request.close;
    let zipped = if request.accepts_gzip { wire::compressed(&reply.body) } else { None };
    let body = zipped.as_deref().unwrap_or(&reply.body);
    let head = wire::head(&reply, keep, Some(body.len() as u64), zipped.is_some());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    stream.flush().await?;
    Ok(if keep { Flow::KeepAlive } else { Flow::Close })
}

/// What is to be answered, and what spoils it.
async fn reply(shared: &Shared, request: &Request, credential: Credential, path: &str) -> (Option<Fault>, Answer) {
    let rights = match credential {
        _ if request.method == "HEAD" => return (None, Reply::bare(501, "method 'HEAD' not available").into()),
        // Whoever logs in has no rights yet.
        _ if is_login(request, path) => Rights::None,
        Credential::Absent => return (None, Reply::bare(401, "No ticket").into()),
        Credential::Wrong => return (None, Reply::bare(401, "Authentication failed!").into()),
        Credential::Right(_)
            if request.method != "GET" && request.authorization.is_none() && !is_protected(shared, request) =>
        {
            return (None, Reply::bare(401, "Permission denied - invalid csrf token").into());
        }
        Credential::Right(rights) => rights,
    };
    match shared.rules.strike(path) {
        Some(Fault::Status { code, reason, body }) => {
            let answer = Reply::text(code, &reason, &body).into();
            (Some(Fault::Status { code, reason, body }), answer)
        }
        Some(Fault::Slow(time)) => {
            pause(time).await;
            (None, healthy(shared, request, rights))
        }
        fault => (fault, healthy(shared, request, rights)),
    }
}

fn is_login(request: &Request, path: &str) -> bool {
    request.method == "POST" && path == "/access/ticket"
}

fn healthy(shared: &Shared, request: &Request, rights: Rights) -> Answer {
    let caller = known(request, shared).map(|(caller, _)| caller).unwrap_or_default();
    let call = Call {
        caller: &caller,
        body: &request.body,
        method: &request.method,
        target: &request.target,
        rights,
        now: (shared.options.clock)(),
        node: shared.options.node,
        fingerprint: shared.fingerprint,
        away_delay: shared.options.away_delay,
        seed: shared.options.seed,
        answer: shared.next_answer(),
    };
    if is_login(request, routes::api_path(&request.target).unwrap_or_default()) {
        let type_of = request.content_type.as_deref().unwrap_or_default();
        return match type_of.starts_with("application/x-www-form-urlencoded") {
            true => shared.options.accounts.log_in(&request.body, call.now, call.order()).into(),
            false => Reply::bare(506, &format!("upload '{type_of}' not implemented")).into(),
        };
    }
    match &shared.source {
        Source::Recorded(recorded) => recorded.answer(&call).into(),
        Source::World(world) => {
            let mut answer = routes::answer(world, &call);
            answer.reply.date = Some(world.date(shared.options.node, call.now));
            answer
        }
    }
}

/// Even a sleep of nothing may take a millisecond, which benchmarks would see.
async fn pause(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

/// `PVEAPIToken=user@realm!name=secret`, after `PVEAPIToken` PVE takes a blank as well; or a cookie with a ticket.
fn credential(request: &Request, shared: &Shared) -> Credential {
    match (&request.authorization, &request.cookie) {
        (None, None) => Credential::Absent,
        _ => known(request, shared).map_or(Credential::Wrong, |(_, rights)| Credential::Right(rights)),
    }
}

/// Whether a POST with a ticket proves that no web page made it.
fn is_protected(shared: &Shared, request: &Request) -> bool {
    known(request, shared)
        .zip(request.csrf.as_deref())
        .is_some_and(|((name, _), token)| shared.options.accounts.is_protected(&name, token))
}

/// Who asks, and what it may do.
fn known(request: &Request, shared: &Shared) -> Option<(String, Rights)> {
    let Shared { options: Options { tokens, accounts, clock, .. }, .. } = shared;
    match (&request.authorization, &request.cookie) {
        (None, None) => None,
        (None, Some(cookies)) => accounts.known(cookies, clock()),
        (Some(header), _) => {
            let given = header.strip_prefix("PVEAPIToken").and_then(|rest| rest.strip_prefix(['=', ' ']));
            let known = |token: &&Token| given.is_some_and(|given| given == format!("{}={}", token.id, token.secret));
            tokens.iter().find(known).map(|token| (token.id.clone(), token.rights))
        }
    }
}

/// Plain HTTP on the API's port is sent to https.
async fn redirect(tcp: &mut TcpStream) -> io::Result<()> {
    let mut received = vec![0; 4096];
    let length = tcp.read(&mut received).await?;
    let text = String::from_utf8_lossy(&received[..length]).into_owned();
    let host =
        text.lines().find_map(|line| line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("host")));
    let host = host.map_or("localhost", |(_, host)| host);
    let headers = format!("Connection: close\r\nLocation: https://{host}/\r\nContent-Length: 17\r\n");
    let answer = format!("HTTP/1.1 301 Moved Permanently\r\n{headers}\r\nMoved Permanently");
    tcp.write_all(answer.as_bytes()).await?;
    tcp.shutdown().await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::{Duration, Instant};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::super::testing::{AUDITOR, Client, POWERLESS, options, world, world_with};
    use super::super::{Credential, Options, Rights};

    #[tokio::test]
    async fn an_answer_looks_like_pveproxys() {
        let (sim, _) = world().await;
        let mut client = Client::connect(&sim).await;
        let answer = client.get("/version", AUDITOR).await;
        assert_eq!(answer.status_line(), "HTTP/1.1 200 OK");
        assert_eq!(answer.values("Server"), ["pve-api-daemon/3.0"]);
        assert_eq!(answer.values("Content-Type"), ["application/json;charset=UTF-8"]);
        assert_eq!(answer.values("Connection"), ["Keep-Alive"]);
        assert_eq!(answer.json()["data"]["version"], "9.2.11");
    }

    #[tokio::test]
    async fn protected_calls_have_two_connection_headers_and_the_connection_lives_on() {
        let (sim, _) = world().await;
        let mut client = Client::connect(&sim).await;
        assert_eq!(client.get("/cluster/status", AUDITOR).await.values("Connection"), ["close", "Keep-Alive"]);
        assert_eq!(client.get("/nodes", AUDITOR).await.values("Connection"), ["Keep-Alive"]);
        assert_eq!(sim.connections().accepted, 1);
    }

    #[tokio::test]
    async fn refused_credentials_get_a_bare_401_and_the_connection_ends() {
        let (sim, _) = world().await;
        let wrong = "Authorization: PVEAPIToken=monitor@pve!test=bad-secret\r\n";
        let pbs_form = "Authorization: PVEAPIToken=monitor@pve!test:good-secret\r\n";
        let cases = [("", "No ticket"), (wrong, "Authentication failed!"), (pbs_form, "Authentication failed!")];
        for (headers, reason) in cases {
            let mut client = Client::connect(&sim).await;
            let answer = client.get("/nosuchthing", headers).await;
            assert_eq!(answer.status_line(), format!("HTTP/1.1 401 {reason}"));
            assert_eq!(answer.values("Connection"), ["close"]);
            assert!(answer.values("Content-Type").is_empty() && answer.values("Content-Length").is_empty());
            assert!(client.is_closed().await);
        }
        let seen: Vec<Credential> = sim.requests().into_iter().map(|seen| seen.credential).collect();
        assert_eq!(seen, [Credential::Absent, Credential::Wrong, Credential::Wrong]);
    }

    #[tokio::test]
    async fn every_401_is_held_back() {
        let delay = Duration::from_millis(200);
        let (sim, _) = world_with(Options { unauthorized_delay: delay, ..options() }).await;
        let mut client = Client::connect(&sim).await;
        let start = Instant::now();
        assert!(client.get("/version", "").await.status_line().contains(" 401 "));
        assert!(start.elapsed() >= delay);
    }

    #[tokio::test]
    async fn errors_say_in_the_reason_phrase_and_in_the_body_what_is_wrong_and_close() {
        let (sim, _) = world().await;
        let invalid = "Parameter verification failed.";
        let cases = [
            ("/nosuchthing", AUDITOR, 501, "Method 'GET /nosuchthing' not implemented", ""),
            ("/version?foo=1", AUDITOR, 400, invalid, "\n"),
            ("/cluster/resources?type=bogus", AUDITOR, 400, invalid, "\n"),
            ("/cluster/status", POWERLESS, 403, "Permission check failed (/, Sys.Audit)", "\n"),
        ];
        for (path, token, status, reason, end) in cases {
            let mut client = Client::connect(&sim).await;
            let answer = client.get(path, token).await;
            assert_eq!(answer.status_line(), format!("HTTP/1.1 {status} {reason}"));
            assert_eq!(answer.values("Connection"), ["close"]);
            assert_eq!(answer.json()["message"], format!("{reason}{end}"));
            assert!(answer.json()["data"].is_null());
            assert_eq!(answer.json()["errors"].is_object(), status == 400);
            assert!(client.is_closed().await);
        }
    }

    #[tokio::test]
    async fn other_methods_are_not_implemented() {
        let (sim, _) = world().await;
        let mut client = Client::connect(&sim).await;
        client.send("HEAD /api2/json/version", AUDITOR).await;
        assert!(client.head().await.unwrap().starts_with("HTTP/1.1 501 method 'HEAD' not available\r\n"));
        let mut client = Client::connect(&sim).await;
        client.send("POST /api2/json/version", &format!("{AUDITOR}Content-Length: 0\r\n")).await;
        assert!(client.head().await.unwrap().starts_with("HTTP/1.1 501 Method 'POST /version' not implemented\r\n"));
    }

    #[tokio::test]
    async fn a_connection_ends_after_a_hundred_requests() {
        let (sim, _) = world().await;
        let mut client = Client::connect(&sim).await;
        for count in 1..=100 {
            let answer = client.get("/version", AUDITOR).await;
            assert_eq!(answer.values("Connection"), [if count < 100 { "Keep-Alive" } else { "close" }]);
        }
        assert!(client.is_closed().await);
        assert_eq!(sim.requests().len(), 100);
    }

    #[tokio::test]
    async fn an_idle_connection_is_closed() {
        let (sim, _) = world_with(Options { idle_timeout: Duration::from_millis(100), ..options() }).await;
        let mut client = Client::connect(&sim).await;
        client.get("/version", AUDITOR).await;
        let start = Instant::now();
        // An end without TLS' goodbye is an error to rustls; it is an end all the same.
        let ended = client.stream.read_u8().await;
        assert!(ended.is_err());
        assert!(start.elapsed() < Duration::from_secs(4));
    }

    #[tokio::test]
    async fn key_order_changes_and_facts_do_not() {
        let (sim, _) = world().await;
        let mut client = Client::connect(&sim).await;
        let first = client.get("/cluster/resources", AUDITOR).await;
        let second = client.get("/cluster/resources", AUDITOR).await;
        assert_ne!(first.body, second.body);
        assert_eq!(first.body.len(), second.body.len());
    }

    #[tokio::test]
    async fn long_bodies_are_compressed_for_those_who_ask() {
        let (sim, _) = world().await;
        let mut client = Client::connect(&sim).await;
        let asking = format!("{AUDITOR}Accept-Encoding: gzip\r\n");
        assert!(client.get("/version", &asking).await.values("Content-Encoding").is_empty());
        let answer = client.get("/cluster/resources", &asking).await;
        assert_eq!(answer.values("Content-Encoding"), ["gzip"]);
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(answer.body.as_slice()), &mut text).unwrap();
        assert!(text.starts_with("{\"data\":[{"));
    }

    #[tokio::test]
    async fn plain_http_is_sent_to_https() {
        let (sim, _) = world().await;
        let mut tcp = TcpStream::connect(sim.addr()).await.unwrap();
        tcp.write_all(b"GET / HTTP/1.1\r\nHost: pve.example:8006\r\n\r\n").await.unwrap();
        let mut text = String::new();
        tcp.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 301 Moved Permanently\r\n"));
        assert!(text.contains("\r\nLocation: https://pve.example:8006/\r\n"));
        assert_eq!(sim.connections().handshakes, 0);
    }

    #[tokio::test]
    async fn requests_are_logged_without_the_secret() {
        let (sim, _) = world().await;
        let mut client = Client::connect(&sim).await;
        client.get("/cluster/resources?type=node", POWERLESS).await;
        let seen = sim.requests();
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0].method.as_str(), seen[0].connection), ("GET", 1));
        assert_eq!(seen[0].target, "/api2/json/cluster/resources?type=node");
        assert_eq!(seen[0].credential, Credential::Right(Rights::None));
        assert!(!format!("{seen:?}").contains("secret"));
    }

    #[tokio::test]
    async fn the_endpoint_of_a_lost_node_answers_nobody() {
        let (sim, time) = world_with(Options { node: 2, ..options() }).await;
        let mut client = Client::connect(&sim).await;
        assert!(client.get("/version", AUDITOR).await.status_line().ends_with("200 OK"));
        time.store(250, Ordering::Relaxed);
        client.send("GET /api2/json/version", AUDITOR).await;
        assert!(client.head().await.is_err());
        assert!(Client::try_connect(&sim, "localhost").await.is_err());
        time.store(700, Ordering::Relaxed);
        let mut client = Client::connect(&sim).await;
        assert!(client.get("/version", AUDITOR).await.status_line().ends_with("200 OK"));
    }
}
