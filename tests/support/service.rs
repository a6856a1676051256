//! Services for the binary under test to check.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A service on a port of 127.0.0.1, until the test ends.
pub struct Service {
    pub port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    connections: AtomicUsize,
    status: AtomicU16,
    /// Whether answers are held back.
    held: Mutex<bool>,
    let_go: Condvar,
}

impl Service {
    /// Takes connections and says nothing.
    pub fn silent() -> Self {
        Self::start(|stream, _| {
            let _ = (&stream).read(&mut [0; 64]);
        })
    }

    /// What an SSH server says first.
    pub fn ssh() -> Self {
        Self::start(|mut stream, _| {
            let _ = stream.write_all(b"SSH-2.0-test\r\n");
            let _ = stream.read_to_end(&mut Vec::new());
        })
    }

    /// HTTP with the status 200, until another is [set](Self::set_status).
    pub fn http() -> Self {
        Self::start(answer)
    }

    /// The same over TLS, with a certificate that nobody signed and that ended with the year 2001.
    pub fn https() -> Self {
        let config = expired();
        Self::start(move |stream, state| {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
            answer(StreamOwned::new(connection, stream), state);
        })
    }

    fn start(serve: impl Fn(TcpStream, &State) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(State { status: AtomicU16::new(200), ..State::default() });
        let (seen, serve) = (Arc::clone(&state), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                seen.connections.fetch_add(1, Ordering::Relaxed);
                let (seen, serve) = (Arc::clone(&seen), Arc::clone(&serve));
                std::thread::spawn(move || {
                    seen.wait();
                    serve(stream, &seen);
                });
            }
        });
        Self { port, state }
    }

    /// What HTTP answers from now on.
    pub fn set_status(&self, status: u16) {
        self.state.status.store(status, Ordering::Relaxed);
    }

    /// Holds back all words from now on, or says them.
    pub fn hold(&self, held: bool) {
        *self.state.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
        self.state.let_go.notify_all();
    }

    /// How many came so far.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }
}

impl State {
    fn wait(&self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.let_go.wait_while(held, |held| *held));
    }
}

fn answer(mut stream: impl Read + Write, state: &State) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let status = state.status.load(Ordering::Relaxed);
    let _ = stream
        .write_all(format!("HTTP/1.1 {status} Words\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes());
    let _ = stream.flush();
}

fn expired() -> Arc<ServerConfig> {
    let mut params = CertificateParams::new(vec!["elsewhere.invalid".to_owned()]).expect("a name");
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate").der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    Arc::new(config.expect("a configuration"))
}

/// A port that is taken, and refuses connections as long as this lives.
pub struct Refusing {
    pub port: u16,
    _socket: tokio::net::TcpSocket,
}

impl Refusing {
    pub fn new() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        Self { port: socket.local_addr().expect("an address").port(), _socket: socket }
    }
}

/// A port where a connection neither comes about nor is refused: nobody takes those that wait, and no more can wait.
pub struct BlackHole {
    pub port: u16,
    _listener: tokio::net::TcpListener,
    _waiting: Vec<TcpStream>,
    _runtime: tokio::runtime::Runtime,
}

impl BlackHole {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let entered = runtime.enter();
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let listener = socket.listen(1).expect("a listener");
        let address: SocketAddr = listener.local_addr().expect("an address");
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            waiting.push(stream);
            assert!(waiting.len() < 100, "the backlog has no end");
        }
        drop(entered);
        Self { port: address.port(), _listener: listener, _waiting: waiting, _runtime: runtime }
    }
}
