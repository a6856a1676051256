//! What can go wrong with an answer, on demand.

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::sleep;

use super::server::lock;
use super::source::Reply;
use super::wire;

/// A way for an answer to fail. All but `Status` and `Body` spoil the answer that would otherwise have been given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Another status with its reason phrase; an empty body has no `Content-Type`. A 401 is held back as all of them are.
    Status {
        /// 400 …, or pveproxy's own 595 to 599.
        code: u16,
        /// The reason phrase.
        reason: String,
        /// Typed as JSON if it begins with a brace, else as HTML.
        body: String,
    },
    /// Nothing is answered, and the connection stays open.
    Hang,
    /// The head and so many bytes of the body, then silence.
    Stall {
        /// Of the body.
        after_bytes: usize,
    },
    /// The head at once, the body at a trickle.
    Drip {
        /// At least 1.
        bytes_per_second: u32,
    },
    /// The TCP connection is reset instead of an answer.
    Reset,
    /// Half the body that was announced, then a clean end of the connection.
    Truncate,
    /// Status 200, typed as JSON, with these bytes.
    Body(Bytes),
    /// Valid JSON of exactly this length, nearly all of it blanks; without `Content-Length`, so that only counting helps.
    BigBody {
        /// At least 11; `u64::MAX` never ends.
        bytes: u64,
    },
    /// A good answer that promises `Keep-Alive`; the next request on the connection meets a reset.
    CloseKeepAlive,
}

/// What becomes of the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    KeepAlive,
    Close,
    Reset,
    DieAtNext,
}

/// Which faults are set for which paths.
#[derive(Default)]
pub(super) struct Rules(Mutex<Vec<(String, Fault)>>);

impl Rules {
    /// Sets or replaces the fault of a prefix.
    pub(super) fn set(&self, prefix: &str, fault: Fault) {
        let mut rules = lock(&self.0);
        rules.retain(|(known, _)| known != prefix);
        rules.push((prefix.to_owned(), fault));
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }

    /// The fault with the longest prefix of the path.
    pub(super) fn find(&self, path: &str) -> Option<Fault> {
        let rules = lock(&self.0);
        let matching = rules.iter().filter(|(prefix, _)| path.starts_with(prefix.as_str()));
        matching.max_by_key(|(prefix, _)| prefix.len()).map(|(_, fault)| fault.clone())
    }
}

/// Gives `reply` the way the fault has it.
pub(super) async fn play<S>(stream: &mut S, fault: Fault, reply: &Reply) -> io::Result<Flow>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let length = Some(reply.body.len() as u64);
    match fault {
        Fault::Reset => return Ok(Flow::Reset),
        Fault::Hang => return until_closed(stream).await,
        Fault::Status { .. } => send(stream, &wire::head(reply, false, length, false), &reply.body).await?,
        Fault::Body(body) => {
            let head = wire::head(&Reply::json(200, "OK", ""), false, Some(body.len() as u64), false);
            send(stream, &head, &body).await?;
        }
        Fault::Truncate => {
            let half = &reply.body[..reply.body.len() / 2];
            send(stream, &wire::head(reply, false, length, false), half).await?;
        }
        Fault::Stall { after_bytes } => {
            let part = &reply.body[..after_bytes.min(reply.body.len())];
            send(stream, &wire::head(reply, true, length, false), part).await?;
            return until_closed(stream).await;
        }
        Fault::Drip { bytes_per_second } => {
            send(stream, &wire::head(reply, false, length, false), &[]).await?;
            drip(stream, &reply.body, bytes_per_second.max(1)).await?;
        }
        Fault::BigBody { bytes } => {
            send(stream, &wire::head(&Reply::json(200, "OK", ""), false, None, false), &[]).await?;
            blanks(stream, bytes).await?;
        }
        Fault::CloseKeepAlive => {
            send(stream, &wire::head(reply, true, length, false), &reply.body).await?;
            return Ok(Flow::DieAtNext);
        }
    }
    Ok(Flow::Close)
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, head: &str, body: &[u8]) -> io::Result<()> {
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    stream.flush().await
}

/// Waits for the client to lose patience.
async fn until_closed<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Flow> {
    let mut ignored = [0; 256];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(Flow::Close)
}

/// Sixteen times a second, or byte by byte where that is too fast.
async fn drip<S: AsyncWrite + Unpin>(stream: &mut S, body: &[u8], bytes_per_second: u32) -> io::Result<()> {
    let portion = (bytes_per_second / 16).max(1);
    for part in body.chunks(portion as usize) {
        sleep(Duration::from_secs(1) * portion / bytes_per_second).await;
        stream.write_all(part).await?;
        stream.flush().await?;
    }
    Ok(())
}

async fn blanks<S: AsyncWrite + Unpin>(stream: &mut S, bytes: u64) -> io::Result<()> {
    const START: &[u8] = b"{\"data\":[]";
    const END: &[u8] = b"}";
    let chunk = [b' '; 16 * 1024];
    stream.write_all(START).await?;
    let mut left = bytes.saturating_sub((START.len() + END.len()) as u64);
    while left > 0 {
        let size = left.min(chunk.len() as u64);
        stream.write_all(&chunk[..size as usize]).await?;
        left -= size;
    }
    stream.write_all(END).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;
    use std::time::Instant;

    use super::super::testing::{AUDITOR, Client, length, world};
    use super::super::{Credential, Sim};
    use super::*;

    async fn with(fault: Fault) -> (Sim, Client) {
        let (sim, _) = world().await;
        sim.set_fault("/cluster/resources", fault);
        let mut client = Client::connect(&sim).await;
        client.send("GET /api2/json/cluster/resources", AUDITOR).await;
        (sim, client)
    }

    /// The client has nothing to read, although the sim had the time to serve another one meanwhile.
    async fn is_silent(sim: &Sim, client: &mut Client) -> bool {
        assert_eq!(Client::connect(sim).await.get("/version", AUDITOR).await.status_line(), "HTTP/1.1 200 OK");
        assert_eq!(sim.requests()[0].target, "/api2/json/cluster/resources");
        let mut byte = [0];
        let mut read = Box::pin(client.stream.read(&mut byte));
        poll_fn(|context| Poll::Ready(read.as_mut().poll(context).is_pending())).await
    }

    #[tokio::test]
    async fn a_status_has_its_reason_and_a_body_typed_by_its_look() {
        let cases = [
            (595, "No route to host", "", None),
            (500, "oops", "<html>", Some("text/html")),
            (403, "no", "{}", Some("application/json;charset=UTF-8")),
        ];
        for (code, reason, body, content_type) in cases {
            let status = Fault::Status { code, reason: reason.to_owned(), body: body.to_owned() };
            let (_sim, mut client) = with(status).await;
            let answer = client.answer().await.unwrap();
            assert_eq!(answer.status_line(), format!("HTTP/1.1 {code} {reason}"));
            assert_eq!(answer.values("Content-Type").first().copied(), content_type);
            assert_eq!(answer.body, body.as_bytes());
            assert!(client.is_closed().await);
        }
    }

    #[tokio::test]
    async fn a_hang_answers_nothing() {
        let (sim, mut client) = with(Fault::Hang).await;
        assert!(is_silent(&sim, &mut client).await);
    }

    #[tokio::test]
    async fn a_stall_stops_in_the_body() {
        let (sim, mut client) = with(Fault::Stall { after_bytes: 100 }).await;
        assert!(length(&client.head().await.unwrap()).unwrap() > 100);
        assert_eq!(client.body(100).await.len(), 100);
        assert!(is_silent(&sim, &mut client).await);
    }

    #[tokio::test]
    async fn a_drip_takes_its_time() {
        let (sim, _) = world().await;
        sim.set_fault("/version", Fault::Drip { bytes_per_second: 400 });
        let mut client = Client::connect(&sim).await;
        client.send("GET /api2/json/version", AUDITOR).await;
        let expected = length(&client.head().await.unwrap()).unwrap();
        let start = Instant::now();
        assert_eq!(client.body(expected).await.len(), expected);
        assert!(start.elapsed() >= Duration::from_secs(1) * u32::try_from(expected).unwrap() / 400);
        assert!(client.is_closed().await);
    }

    #[tokio::test]
    async fn a_reset_is_a_reset() {
        let (_sim, mut client) = with(Fault::Reset).await;
        assert_eq!(client.head().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_truncated_body_is_shorter_than_announced() {
        let (_sim, mut client) = with(Fault::Truncate).await;
        let announced = length(&client.head().await.unwrap()).unwrap();
        assert_eq!(client.body(announced).await.len(), announced / 2);
        assert!(client.is_closed().await);
    }

    #[tokio::test]
    async fn a_body_is_sent_as_it_is() {
        let (_sim, mut client) = with(Fault::Body(Bytes::from_static(b"\xff["))).await;
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status_line(), "HTTP/1.1 200 OK");
        assert_eq!(answer.body, b"\xff[");
    }

    #[tokio::test]
    async fn a_big_body_is_valid_json_without_a_length() {
        let (_sim, mut client) = with(Fault::BigBody { bytes: 1_000_000 }).await;
        assert_eq!(length(&client.head().await.unwrap()), None);
        let body = client.body(usize::MAX).await;
        assert_eq!(body.len(), 1_000_000);
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap(), serde_json::json!({ "data": [] }));
    }

    #[tokio::test]
    async fn a_kept_connection_dies_at_the_next_request() {
        let (sim, mut client) = with(Fault::CloseKeepAlive).await;
        assert_eq!(client.answer().await.unwrap().values("Connection"), ["Keep-Alive"]);
        client.send("GET /api2/json/version", AUDITOR).await;
        assert_eq!(client.head().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(sim.requests().len(), 1);
    }

    #[tokio::test]
    async fn the_longest_prefix_decides_until_faults_are_cleared() {
        let (sim, _) = world().await;
        let status = |code| Fault::Status { code, reason: "x".to_owned(), body: String::new() };
        sim.set_fault("", status(500));
        sim.set_fault("/cluster/", status(501));
        sim.set_fault("/cluster/status", status(595));
        sim.set_fault("/cluster/status", status(596));
        for (path, code) in [("/version", 500), ("/cluster/resources?type=vm", 501), ("/cluster/status", 596)] {
            let answer = Client::connect(&sim).await.get(path, AUDITOR).await;
            assert_eq!(answer.status_line(), format!("HTTP/1.1 {code} x"));
        }
        let answer = Client::connect(&sim).await.get("/version", "").await;
        assert_eq!(answer.status_line(), "HTTP/1.1 401 No ticket");
        sim.clear_faults();
        assert_eq!(Client::connect(&sim).await.get("/version", AUDITOR).await.status_line(), "HTTP/1.1 200 OK");
        assert_eq!(sim.requests().last().unwrap().credential, Credential::Right(super::super::Rights::Auditor));
    }
}
