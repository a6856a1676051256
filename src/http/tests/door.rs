//! Who may come in.

use std::path::Path;
use std::time::Duration;

use data_encoding::BASE64;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::lifecycle::SCRAPE;
use super::*;
use crate::config::{Secret, Web, WebTls};
use crate::http::Reload;

const SHORT: Duration = Duration::from_millis(200);

/// An authority, and a certificate of its own with a key, in a folder.
struct Pki {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    authority: String,
}

impl Pki {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap().pem();
        let pki = Self { folder: tempfile::tempdir().unwrap(), issuer: Issuer::new(params, key), authority };
        pki.write("ca.pem", &pki.authority);
        pki.renew();
        pki
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn pair(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// Puts a new certificate and key in the place of the old ones.
    fn renew(&self) -> CertificateDer<'static> {
        let (certificate, key) = self.pair();
        self.write("cert.pem", &certificate);
        self.write("key.pem", &key);
        CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()
    }

    fn files(&self, clients: Option<&Path>) -> WebTls {
        let file = |name: &str| self.folder.path().join(name);
        let client_ca_file = clients.map(|folder| folder.join("ca.pem"));
        WebTls { cert_file: file("cert.pem"), key_file: file("key.pem"), client_ca_file }
    }

    async fn connect(&self, server: &Server, own: Option<&Self>) -> std::io::Result<Client<TlsStream<TcpStream>>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(pki) => {
                let (certificate, key) = pki.pair();
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let stream = TcpStream::connect(server.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        Ok(Client { stream, rest: Vec::new() })
    }
}

fn web() -> Web {
    let listen_addresses = Vec::new();
    Web { listen_addresses, tls: None, basic_auth_users: BTreeMap::new(), enable_lifecycle: false }
}

fn with_tls(tls: WebTls) -> Site {
    with_limits(tls, Limits::default())
}

fn with_limits(tls: WebTls, limits: Limits) -> Site {
    site(small(), limits).behind(Door::new(&Web { tls: Some(tls), ..web() }).unwrap())
}

fn with_users(users: &[(&str, &str)]) -> Site {
    let hashed =
        |(name, password): &(&str, &str)| ((*name).to_owned(), Secret::new(bcrypt::hash(password, 4).unwrap()));
    let basic_auth_users = users.iter().map(hashed).collect();
    site(small(), Limits::default()).behind(Door::new(&Web { basic_auth_users, ..web() }).unwrap())
}

fn basic(credentials: &str) -> String {
    format!("Authorization: Basic {}\r\n", BASE64.encode(credentials.as_bytes()))
}

#[tokio::test]
async fn only_users_with_their_password_see_pages() {
    let server = start_site(with_users(&[("prometheus", "p:ass wörd"), ("other", "else")]));
    let mut client = Client::connect(&server).await;
    for _ in 0..2 {
        for good in ["prometheus:p:ass wörd", "other:else"] {
            assert_eq!(client.ask("GET", "/metrics", &basic(good)).await.status, 200, "{good}");
        }
        let lower = basic("other:else").replace("Basic", "bASIC");
        assert_eq!(client.ask("HEAD", "/", &lower).await.status, 200);
        let twice = basic("other:else").repeat(2);
        let other = basic("other:else").replace("Basic", "Bearer");
        let bad = ["prometheus:else", "prometheus:", "nobody:else", ":", "other", "OTHER:else", "other:else "];
        let bad = bad.map(basic).into_iter().chain([
            String::new(),
            twice,
            other,
            "Authorization: Basic\r\n".to_owned(),
            "Authorization: Basic !!\r\n".to_owned(),
        ]);
        for headers in bad {
            for path in ["/metrics", "/", "/-/ready", "/-/reload", "/nowhere"] {
                let reply = client.ask("GET", path, &headers).await;
                assert_eq!(reply.status, 401, "{path} {headers}");
                assert_eq!(reply.header("www-authenticate"), "Basic realm=\"pve-sentinel\", charset=\"UTF-8\"");
            }
        }
        assert_eq!(client.get("/-/healthy").await.status, 200);
    }
}

#[tokio::test]
async fn a_reload_changes_the_users_and_keeps_the_connection() {
    let server = start_site(with_users(&[("a", "1")]));
    let mut client = Client::connect(&server).await;
    assert_eq!(client.ask("GET", "/metrics", &basic("a:1")).await.status, 200);
    server.front.replace(with_users(&[("a", "2")]));
    assert_eq!(client.ask("GET", "/metrics", &basic("a:1")).await.status, 401);
    assert_eq!(client.ask("GET", "/metrics", &basic("a:2")).await.status, 200);
    server.front.replace(site(small(), Limits::default()));
    assert_eq!(client.get("/metrics").await.status, 200);
}

#[tokio::test]
async fn a_flood_of_wrong_passwords_holds_up_no_scrape_after_a_reload() {
    let hash = Secret::new(bcrypt::hash("1", 12).unwrap());
    let users = || {
        let basic_auth_users = BTreeMap::from([("a".to_owned(), hash.clone())]);
        site(small(), Limits::default()).behind(Door::new(&Web { basic_auth_users, ..web() }).unwrap())
    };
    let server = start_site(users());
    let mut scraper = Client::connect(&server).await;
    assert_eq!(scraper.ask("GET", "/metrics", &basic("a:1")).await.status, 200);
    server.front.replace(users());
    let mut flood = Vec::new();
    for _ in 0..6 {
        let mut client = Client::connect(&server).await;
        client.send(&format!("GET /metrics HTTP/1.1\r\nHost: test\r\n{}\r\n", basic("a:2"))).await;
        flood.push(client);
    }
    // Once one of them is refused, the others stand in line.
    assert_eq!(flood.remove(0).reply(false).await.unwrap().status, 401);
    let right = basic("a:1");
    let refused = futures_util::future::join_all(flood.iter_mut().map(|client| client.reply(false)));
    tokio::select! {
        biased;
        _ = refused => panic!("the scrape waited until all wrong passwords were checked"),
        reply = scraper.ask("GET", "/metrics", &right) => assert_eq!(reply.status, 200),
    }
}

#[tokio::test]
async fn pages_come_through_tls_and_connections_are_kept() {
    let pki = Pki::new();
    let server = start_site(with_tls(pki.files(None)));
    let mut client = pki.connect(&server, None).await.unwrap();
    for _ in 0..3 {
        let reply = client.get("/metrics").await;
        assert_eq!(reply.status, 200);
        assert!(reply.text().contains("pve_up"));
    }
    server.stop.send(()).unwrap();
    assert!(client.reply(false).await.is_none(), "an idle connection ends");
    server.task.await.unwrap();
}

#[tokio::test]
async fn a_large_page_comes_whole_through_tls() {
    let pki = Pki::new();
    let door = Door::new(&Web { tls: Some(pki.files(None)), ..web() }).unwrap();
    let server = start_site(site(always(vec![part(50_000)], false), Limits::default()).behind(door));
    let mut client = pki.connect(&server, None).await.unwrap();
    for _ in 0..2 {
        assert!(client.get("/metrics").await.text().ends_with("id=\"qemu/49999\"} 49999\n"));
    }
}

#[tokio::test]
async fn plain_http_is_told_what_to_do() {
    let pki = Pki::new();
    let server = start_site(with_tls(pki.files(None)));
    let mut client = Client::connect(&server).await;
    let reply = client.get("/metrics").await;
    assert_eq!((reply.status, reply.text()), (400, "this port speaks TLS: ask with https://\n"));
    client.end().await;
    for nonsense in ["\0\0\0\0", "\x16\x03\x01\x7f\x7fnonsense", "\x16"] {
        let mut client = Client::connect(&server).await;
        client.send(nonsense).await;
        client.stream.shutdown().await.unwrap();
        let _ = client.stream.read_to_end(&mut Vec::new()).await;
    }
    assert_eq!(pki.connect(&server, None).await.unwrap().get("/metrics").await.status, 200);
}

#[tokio::test]
async fn a_slow_handshake_ends_the_connection_and_keeps_nobody_out() {
    let pki = Pki::new();
    let limits = Limits { first_request_timeout: SHORT, ..Limits::default() };
    let server = start_site(with_limits(pki.files(None), limits));
    for start in ["", "\x16", "\x16\x03\x01\x02\0"] {
        let began = std::time::Instant::now();
        let mut client = Client::connect(&server).await;
        client.send(start).await;
        client.end().await;
        assert!(began.elapsed() >= SHORT, "{start:?}");
    }
    let server = start_site(with_limits(pki.files(None), Limits { connections: 2, ..Limits::default() }));
    let mut slow = Vec::new();
    for _ in 0..10 {
        slow.push(Client::connect(&server).await);
    }
    assert_eq!(pki.connect(&server, None).await.unwrap().get("/metrics").await.status, 200);
}

#[tokio::test]
async fn with_an_authority_of_clients_only_they_come_in() {
    let (pki, clients) = (Pki::new(), Pki::new());
    let server = start_site(with_tls(pki.files(Some(clients.folder.path()))));
    let mut client = pki.connect(&server, Some(&clients)).await.unwrap();
    assert_eq!(client.get("/metrics").await.status, 200);
    for stranger in [None, Some(&pki)] {
        // With TLS 1.3 the client hears of the refusal only when it reads.
        if let Ok(mut client) = pki.connect(&server, stranger).await {
            let _ = client.stream.write_all(SCRAPE.as_bytes()).await;
            assert!(client.reply(false).await.is_none());
        }
    }
}

#[tokio::test]
async fn a_connection_ends_when_the_door_that_let_it_in_is_shut() {
    let (pki, clients, others) = (Pki::new(), Pki::new(), Pki::new());
    let site = |clients: &Pki| with_tls(pki.files(Some(clients.folder.path())));
    let server = start_site(site(&clients));
    let mut client = pki.connect(&server, Some(&clients)).await.unwrap();
    assert_eq!(client.get("/metrics").await.status, 200);
    server.front.replace(site(&clients));
    assert_eq!(client.get("/metrics").await.header("connection"), "", "the same authority");
    server.front.replace(site(&others));
    assert_eq!(client.get("/metrics").await.header("connection"), "close");
    assert!(client.reply(false).await.is_none());
    let mut client = pki.connect(&server, Some(&others)).await.unwrap();
    assert_eq!(client.get("/metrics").await.status, 200);

    let server = start(small(), Limits::default());
    let mut plain = Client::connect(&server).await;
    assert_eq!(plain.get("/metrics").await.status, 200);
    server.front.replace(with_tls(pki.files(None)));
    assert_eq!(plain.get("/metrics").await.header("connection"), "close");
    plain.end().await;
}

#[tokio::test]
async fn a_wish_to_reload_is_passed_on_where_it_is_allowed() {
    let server = start(small(), Limits::default());
    let mut client = Client::connect(&server).await;
    let reply = client.ask("POST", "/-/reload", "").await;
    assert_eq!((reply.status, reply.text().contains("enable_lifecycle")), (403, true), "nobody reads it again");

    let (wishes, mut heard) = mpsc::channel::<Reload>(1);
    let open = Door::new(&Web { enable_lifecycle: true, ..web() }).unwrap();
    server.front.replace(site(small(), Limits::default()).behind(open).reloading(wishes.clone()));
    let answers = tokio::spawn(async move {
        for answer in [Ok(()), Err("x.toml:1: wrong\nx.toml:2: too".to_owned())] {
            heard.recv().await.unwrap().send(answer).unwrap();
        }
    });
    assert_eq!(client.ask("POST", "/-/reload", "").await.status, 200);
    let reply = client.ask("POST", "/-/reload", "").await;
    assert_eq!((reply.status, reply.text().ends_with("x.toml:1: wrong\nx.toml:2: too\n")), (500, true));
    answers.await.unwrap();
    assert_eq!(client.ask("POST", "/-/reload", "").await.status, 503, "whoever read it is gone");
    let reply = client.get("/-/reload").await;
    assert_eq!((reply.status, reply.header("allow")), (405, "POST"));

    server.front.replace(site(small(), Limits::default()).reloading(wishes));
    assert_eq!(client.ask("POST", "/-/reload", "").await.status, 403, "the configuration does not allow it");
}

#[tokio::test]
async fn bodies_are_bounded_in_length_and_time() {
    let limits = Limits { first_request_timeout: SHORT, idle_timeout: SHORT, ..Limits::default() };
    let server = start(small(), limits);
    let mut client = Client::connect(&server).await;
    client.send("POST /-/reload HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc").await;
    assert_eq!(client.reply(false).await.unwrap().status, 403);
    let long = format!("POST /-/reload HTTP/1.1\r\nHost: test\r\nContent-Length: 5000\r\n\r\n{}", "x".repeat(5000));
    client.send(&long).await;
    assert_eq!(client.reply(false).await.unwrap().status, 413);
    for slow in ["Content-Length: 3\r\n\r\nab", "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n"] {
        let mut client = Client::connect(&server).await;
        client.send(&format!("POST /-/reload HTTP/1.1\r\nHost: test\r\n{slow}")).await;
        client.end().await;
    }
}
