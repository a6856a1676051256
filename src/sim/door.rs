//! The listener of an endpoint, which can be shut and opened again at the same port.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};

use super::connection;
use super::server::Shared;

/// As many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// The way in; closed for good when dropped.
pub(super) struct Door(Mutex<Leaf>);

enum Leaf {
    /// The task that accepts connections; they live and die with it.
    Open(JoinHandle<()>),
    /// Bound and not listening: the kernel refuses connections, and gives the port to nobody who asks for any.
    Shut(TcpSocket),
    Removed,
}

impl Door {
    /// Lets connections in.
    pub(super) fn open(listener: TcpListener, shared: Arc<Shared>) -> Self {
        Self(Mutex::new(Leaf::Open(tokio::spawn(accept(listener, shared)))))
    }

    /// Drops all connections and refuses new ones, unless that is so already.
    pub(super) async fn shut(&self, addr: SocketAddr) -> io::Result<()> {
        let mut leaf = self.0.lock().await;
        if let Leaf::Open(task) = &mut *leaf {
            end(task).await;
            *leaf = Leaf::Removed;
            let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // Connections of before may still be saying goodbye at this port.
            socket.set_reuseaddr(true)?;
            socket.bind(addr)?;
            *leaf = Leaf::Shut(socket);
        }
        Ok(())
    }

    /// Lets connections in again, unless that is so already or the door was removed.
    pub(super) async fn reopen(&self, shared: &Arc<Shared>) -> io::Result<()> {
        let mut leaf = self.0.lock().await;
        *leaf = match std::mem::replace(&mut *leaf, Leaf::Removed) {
            Leaf::Shut(socket) => Leaf::Open(tokio::spawn(accept(socket.listen(BACKLOG)?, Arc::clone(shared)))),
            other => other,
        };
        Ok(())
    }

    /// Drops all connections and gives the port up.
    pub(super) async fn remove(&mut self) {
        if let Leaf::Open(task) = self.0.get_mut() {
            end(task).await;
        }
        *self.0.get_mut() = Leaf::Removed;
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Leaf::Open(task) = self.0.get_mut() {
            task.abort();
        }
    }
}

async fn end(task: &mut JoinHandle<()>) {
    task.abort();
    // The error only says that it was aborted, which is what we wanted.
    let _ = task.await;
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and all its connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A failed accept concerns that one client only.
                let Ok((tcp, _)) = accepted else { continue };
                let number = shared.counters.accept();
                connections.spawn(connection::serve(Arc::clone(&shared), tcp, number));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::super::testing::{AUDITOR, Client, endpoints, options, until, world};
    use super::super::{Fault, Handshake, NodeState, Options, Sim, World};

    const SUBSCRIPTION: &str = "/nodes/pve2/subscription";

    /// The first two nodes, and a connection to the first.
    async fn pair() -> (Vec<Sim>, Client) {
        let options = Options { idle_timeout: Duration::from_secs(86_400), ..options() };
        let sims = endpoints(&Arc::new(World::new(1, 3, 40)), 2, &options).await;
        let client = Client::connect(&sims[0]).await;
        (sims, client)
    }

    #[tokio::test]
    async fn a_dead_endpoint_refuses_and_returns_at_the_same_port() {
        let (sims, mut other) = pair().await;
        let dying = &sims[1];
        let mut old = Client::connect(dying).await;
        for _ in 0..2 {
            dying.set_node_state(NodeState::Dead).await.unwrap();
            assert!(old.stream.read_u8().await.is_err());
            let refused = TcpStream::connect(dying.addr()).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            assert_eq!(other.get(SUBSCRIPTION, AUDITOR).await.status_line(), "HTTP/1.1 595 Connection refused");
            dying.set_node_state(NodeState::Well).await.unwrap();
            old = Client::connect(dying).await;
            assert_eq!(old.get("/version", AUDITOR).await.status_line(), "HTTP/1.1 200 OK");
            other = Client::connect(&sims[0]).await;
            assert_eq!(other.get(SUBSCRIPTION, AUDITOR).await.status_line(), "HTTP/1.1 200 OK");
        }
    }

    #[tokio::test]
    async fn a_stopped_endpoint_cannot_be_revived() {
        let (mut sim, _) = world().await;
        sim.set_node_state(NodeState::Dead).await.unwrap();
        sim.stop().await;
        sim.set_node_state(NodeState::Well).await.unwrap();
        assert!(TcpStream::connect(sim.addr()).await.is_err());
        TcpListener::bind(sim.addr()).await.unwrap();
    }

    #[tokio::test]
    async fn a_hung_endpoint_accepts_and_says_nothing() {
        let (sims, mut other) = pair().await;
        let hung = &sims[1];
        let mut old = Client::connect(hung).await;
        hung.set_node_state(NodeState::Hung).await.unwrap();
        old.send("GET /api2/json/version", AUDITOR).await;
        let mut new = TcpStream::connect(hung.addr()).await.unwrap();
        until(|| hung.requests().len() == 1 && hung.connections().accepted == 2).await;
        tokio::time::pause();
        let (start, hour) = (tokio::time::Instant::now(), Duration::from_secs(3600));
        assert_eq!(other.get(SUBSCRIPTION, AUDITOR).await.status_line(), "HTTP/1.1 596 Connection timed out");
        assert!(start.elapsed() >= Duration::from_secs(30));
        assert!(tokio::time::timeout(hour, old.head()).await.is_err());
        assert!(tokio::time::timeout(hour, new.read_u8()).await.is_err());
        tokio::time::resume();
        hung.set_node_state(NodeState::Well).await.unwrap();
        let mut again = Client::connect(hung).await;
        assert_eq!(again.get("/version", AUDITOR).await.status_line(), "HTTP/1.1 200 OK");
    }

    #[tokio::test]
    async fn a_slow_endpoint_is_late_with_everything() {
        let (sims, mut client) = pair().await;
        let late = Duration::from_secs(20);
        sims[0].set_node_state(NodeState::Slow(late)).await.unwrap();
        tokio::time::pause();
        for path in ["/version", "/cluster/resources", "/nodes/pve1/subscription"] {
            let start = tokio::time::Instant::now();
            assert_eq!(client.get(path, AUDITOR).await.status_line(), "HTTP/1.1 200 OK");
            assert!(start.elapsed() >= late, "{path}");
        }
        sims[0].set_node_state(NodeState::Well).await.unwrap();
        let start = tokio::time::Instant::now();
        client.get("/version", AUDITOR).await;
        assert!(start.elapsed() < late || start.elapsed() == Duration::ZERO);
    }

    #[tokio::test]
    async fn handshakes_go_wrong_as_asked() {
        let (sims, _client) = pair().await;
        let sim = &sims[0];
        until(|| sim.connections().handshakes == 1).await;
        sim.set_handshake(Handshake::Close);
        assert_eq!(Client::try_connect(sim, "localhost").await.err().unwrap().kind(), ErrorKind::UnexpectedEof);
        sim.set_handshake(Handshake::Silent);
        tokio::time::pause();
        let waiting = tokio::time::timeout(Duration::from_secs(3600), Client::try_connect(sim, "localhost"));
        assert!(waiting.await.is_err());
        assert_eq!(sim.connections().handshakes, 1);
        sim.set_handshake(Handshake::Late(Duration::from_secs(600)));
        let start = tokio::time::Instant::now();
        let mut client = Client::connect(sim).await;
        assert!(start.elapsed() >= Duration::from_secs(600));
        assert_eq!(client.get("/version", AUDITOR).await.status_line(), "HTTP/1.1 200 OK");
    }

    #[tokio::test]
    async fn the_load_is_counted_by_node_and_abandoned_calls_with_it() {
        let (sims, _) = pair().await;
        sims[0].set_fault("", Fault::Hang);
        let mut clients = Vec::new();
        for path in ["/nodes/pve2/subscription", "/nodes/pve2/replication", "/nodes/nope/x", "/cluster/resources"] {
            let mut client = Client::connect(&sims[0]).await;
            client.send(&format!("GET /api2/json{path}?x=1"), AUDITOR).await;
            clients.push(client);
        }
        until(|| sims[0].requests().len() == 4).await;
        drop(clients);
        let mut direct = Client::connect(&sims[1]).await;
        direct.get(SUBSCRIPTION, AUDITOR).await;
        let load = sims[1].load();
        assert_eq!(load.keys().collect::<Vec<_>>(), ["pve1", "pve2", "pve3"]);
        assert_eq!((load["pve2"].open, load["pve2"].most, load["pve2"].fast_most), (2, 3, 0));
        assert_eq!((load["pve1"].open, load["pve1"].fast_open, load["pve1"].fast_most), (1, 1, 1));
        sims[0].reset_load();
        assert_eq!((sims[0].load()["pve2"].open, sims[0].load()["pve2"].most), (2, 2));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_call_after_the_other_is_never_two_at_once() {
        let (sims, mut first) = pair().await;
        let mut second = Client::connect(&sims[0]).await;
        for _ in 0..90 {
            assert_eq!(first.get("/nodes/pve1/subscription", AUDITOR).await.status_line(), "HTTP/1.1 200 OK");
            assert_eq!(second.get("/nodes/pve1/subscription", AUDITOR).await.status_line(), "HTTP/1.1 200 OK");
        }
        assert_eq!((sims[0].load()["pve1"].open, sims[0].load()["pve1"].most), (0, 1));
    }

    #[tokio::test]
    async fn an_abandoned_call_ends_with_its_worker() {
        let options = Options { worker_hang: Duration::ZERO, ..options() };
        let sims = endpoints(&Arc::new(World::new(1, 3, 40)), 1, &options).await;
        for fault in [Fault::Hang, Fault::Stall { after_bytes: 10 }] {
            sims[0].set_fault("/nodes/pve1", fault);
            let mut client = Client::connect(&sims[0]).await;
            client.send("GET /api2/json/nodes/pve1/subscription", AUDITOR).await;
            until(|| sims[0].load()["pve1"].open == 1).await;
            drop(client);
            until(|| sims[0].load()["pve1"].open == 0).await;
        }
        assert_eq!(sims[0].load()["pve1"].most, 1);
    }
}
