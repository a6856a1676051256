//! The server over real sockets: a site with made-up rounds, and a client that writes HTTP by hand.

mod api;
mod door;
mod lifecycle;
mod limits;
mod pages;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Asked, Door, Front, Heart, Limits, Rounds, Site, bind, gzip, serve};
use crate::metrics::{Desc, Family, Format, Kind, Labels, Own, Part, Sample};
use crate::scrape::{Round, UnknownName};

/// No test waits this long, unless it fails.
const PATIENCE: Duration = Duration::from_secs(20);

static UP: Desc = Desc { name: "pve_up", help: "Whether it runs.", kind: Kind::Gauge };
static READ: Desc = Desc { name: "pve_read_bytes_total", help: "Bytes read.", kind: Kind::Counter };

struct Server {
    address: SocketAddr,
    own: Arc<Own>,
    front: Arc<Front>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

fn site(rounds: Rounds, limits: Limits) -> Site {
    Site {
        rounds,
        references: Box::new(|_, _| async { Ok(Vec::new()) }.boxed()),
        hosts: Box::new(|_, _| async { Ok(Vec::new()) }.boxed()),
        clusters: vec!["home".to_owned(), "my lab".to_owned()],
        own: Arc::new(Own::new("0.1.0")),
        compressed: gzip::Pages::new(Duration::from_secs(1)),
        version: "0.1.0".to_owned(),
        limits,
        door: Door::default(),
        control_door: Door::default(),
        desk: crate::api::Desk::default(),
        discovery: Arc::default(),
        tls: false,
        reloads: None,
        draining: Arc::default(),
    }
}

/// Serves on a port of its own until it is stopped or the test ends.
fn start(rounds: Rounds, limits: Limits) -> Server {
    start_site(site(rounds, limits))
}

fn start_site(site: Site) -> Server {
    let own = Arc::clone(&site.own);
    let front = Arc::new(Front::new(site));
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(serve(vec![listener], Arc::clone(&front), Heart::new().0, stopped.map(|_| ())));
    Server { address, own, front, stop, task }
}

/// A round that says the same to all.
fn always(parts: Vec<Arc<Part>>, own_metrics: bool) -> Rounds {
    Box::new(move |_| {
        let parts = parts.clone();
        async move { Ok(Round { parts, own_metrics, discovered: Vec::new() }) }.boxed()
    })
}

fn small() -> Rounds {
    always(vec![part(3)], false)
}

/// Rounds that refuse each cluster but `home`, and keep what they were asked.
fn asking() -> (Rounds, Arc<Mutex<Vec<Asked>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    let rounds: Rounds = Box::new(move |asked| {
        let unknown = asked.clusters.iter().find(|name| *name != "home").cloned();
        kept.lock().unwrap().push(asked);
        let answer = match unknown {
            Some(value) => Err(UnknownName { parameter: "cluster", value, known: vec!["home".to_owned()] }),
            None => Ok(Round { parts: vec![part(1)], own_metrics: false, discovered: Vec::new() }),
        };
        async move { answer }.boxed()
    });
    (rounds, asked)
}

pub(super) fn part(guests: u32) -> Arc<Part> {
    let family = |desc: &'static Desc| Family {
        desc: desc.into(),
        samples: (0..guests)
            .map(|n| Sample { labels: Labels::new(&[("id", &format!("qemu/{n}"))]), value: f64::from(n) })
            .collect(),
    };
    Arc::new(Part { labels: Labels::new(&[("cluster", "home")]), families: vec![family(&UP), family(&READ)] })
}

/// An answer as it came: chunked bodies are put together, compressed ones left as they are.
#[derive(Debug)]
struct Reply {
    status: u16,
    /// Names in lower case; doubled ones joined with a comma.
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

struct Client<S = TcpStream> {
    stream: S,
    /// Read, but not yet used.
    rest: Vec<u8>,
}

impl Client {
    async fn connect(server: &Server) -> Self {
        Self { stream: TcpStream::connect(server.address).await.unwrap(), rest: Vec::new() }
    }

    /// Takes little at a time, so that large answers wait at the server.
    async fn connect_narrow(server: &Server) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self { stream: socket.connect(server.address).await.unwrap(), rest: Vec::new() }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn send(&mut self, request: &str) {
        self.stream.write_all(request.as_bytes()).await.unwrap();
    }

    /// Sends a request with a few more header lines, each ending in a line break, and reads the answer.
    async fn ask(&mut self, method: &str, target: &str, headers: &str) -> Reply {
        self.send(&format!("{method} {target} HTTP/1.1\r\nHost: test\r\n{headers}\r\n")).await;
        self.reply(method == "HEAD").await.unwrap()
    }

    async fn get(&mut self, target: &str) -> Reply {
        self.ask("GET", target, "").await
    }

    /// The next answer; none where the server closed the connection instead.
    async fn reply(&mut self, head_only: bool) -> Option<Reply> {
        tokio::time::timeout(PATIENCE, self.read_reply(head_only)).await.expect("an answer in time")
    }

    /// Waits until the server closes the connection.
    async fn end(&mut self) {
        let mut byte = [0];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut byte)).await.expect("an end in time");
        assert!(matches!(read, Ok(0) | Err(_)), "the server sent {byte:?}");
    }

    async fn read_reply(&mut self, head_only: bool) -> Option<Reply> {
        let head = self.until(b"\r\n\r\n").await?;
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().strip_prefix("HTTP/1.1 ").unwrap();
        let status = status.split(' ').next().unwrap().parse().unwrap();
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            let joined = headers.entry(name.to_lowercase()).or_default();
            joined.push_str(if joined.is_empty() { "" } else { ", " });
            joined.push_str(value);
        }
        let mut reply = Reply { status, headers, body: Vec::new() };
        if head_only {
            return Some(reply);
        }
        if reply.header("transfer-encoding") == "chunked" {
            loop {
                let size = String::from_utf8(self.until(b"\r\n").await?).unwrap();
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                reply.body.extend(self.exactly(size).await?);
                assert_eq!(self.exactly(2).await?, b"\r\n");
                if size == 0 {
                    break;
                }
            }
        } else {
            let length = reply.header("content-length").parse().unwrap();
            reply.body = self.exactly(length).await?;
        }
        Some(reply)
    }

    async fn until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.rest.windows(mark.len()).position(|window| window == mark) {
                return self.exactly(at + mark.len()).await;
            }
            self.more().await?;
        }
    }

    async fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.rest.len() < length {
            self.more().await?;
        }
        let rest = self.rest.split_off(length);
        Some(std::mem::replace(&mut self.rest, rest))
    }

    async fn more(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.rest).await;
        matches!(read, Ok(1..)).then_some(())
    }
}

/// Waits until `done` says so.
async fn until<F: Future<Output = bool>>(what: &str, done: impl Fn() -> F) {
    let wait = async {
        while !done().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}
