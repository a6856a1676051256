//! Listeners that the service manager holds for us, so that clients wait in them while we are started anew.

use std::net::{SocketAddr, TcpListener as Held};

use listenfd::ListenFd;
use tokio::net::TcpListener;

/// What was handed over, in its order; empty where nothing was.
pub struct Sockets(Vec<Held>);

/// Takes what the environment says (`LISTEN_FDS`, `LISTEN_PID`). Fails with a sentence for the administrator. To be
/// called once, before there are threads: it changes the environment.
pub fn handed_over() -> Result<Sockets, String> {
    let mut found = ListenFd::from_env();
    let mut sockets = Vec::with_capacity(found.len());
    for index in 0..found.len() {
        let socket = found.take_tcp_listener(index).and_then(|socket| {
            if let Some(socket) = &socket {
                socket.set_nonblocking(true)?;
            }
            Ok(socket)
        });
        let socket = socket.map_err(|error| {
            let number = index + 1;
            format!(
                "expected TCP sockets from the service manager (LISTEN_FDS), found that number {number} is none: {error}; \
                 name ports of TCP with ListenStream= in the socket unit"
            )
        })?;
        sockets.extend(socket);
    }
    Ok(Sockets(sockets))
}

impl Sockets {
    /// Where they listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// Listens on them. Must run on the runtime.
    pub fn listen(self) -> Result<Vec<TcpListener>, String> {
        let listen = |socket| {
            TcpListener::from_std(socket).map_err(|error| format!("a socket of the service manager is no use: {error}"))
        };
        self.0.into_iter().map(listen).collect()
    }
}
