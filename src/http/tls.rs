//! TLS of our own listeners. The certificate files are looked at again when clients come, at most every few seconds.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::SingleCertAndKey;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::door::Way;
use super::wire::{Encrypted, Plain};
use crate::config::WebTls;

/// How long after a look at the files the next one is due.
const PAUSE: Duration = Duration::from_secs(2);

/// For those who speak HTTP here.
const WRONG_PORT: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 40\r\nConnection: close\r\n\r\nthis port speaks TLS: ask with https://\n";

/// Greets clients with the certificate that there is now.
pub(super) struct Tls {
    files: WebTls,
    current: RwLock<Current>,
    /// Held by whoever looks at the files.
    watch: Arc<Mutex<Watch>>,
}

#[derive(Clone)]
struct Current {
    config: Arc<ServerConfig>,
    way: Way,
}

struct Watch {
    looked: Instant,
    stamps: Vec<Stamp>,
    /// What was wrong when it was last logged.
    trouble: Option<String>,
}

/// What tells one state of a file from another: device, inode, size, times of modification and change; none: no file.
type Stamp = Option<[i128; 5]>;

impl Tls {
    /// Reads the files. The error is a sentence that names the file and what is wrong with it.
    pub(super) fn new(files: WebTls) -> Result<Self, String> {
        // Before they are read: what changes in between is seen at the next look.
        let stamps = stamps(&files);
        let current = RwLock::new(Current::read(&files)?);
        let watch = Arc::new(Mutex::new(Watch { looked: Instant::now(), stamps, trouble: None }));
        Ok(Self { files, current, watch })
    }

    /// By which way clients come in now.
    pub(super) fn way(&self) -> Way {
        self.current().way
    }

    /// Shakes hands with a client. The time that takes is bounded by who calls.
    pub(super) async fn greet(self: &Arc<Self>, stream: Plain) -> io::Result<(Encrypted, Way)> {
        self.refresh().await;
        let Current { config, way } = self.current();
        Ok((TlsAcceptor::from(config).accept(stream).await?, way))
    }

    fn current(&self) -> Current {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn refresh(self: &Arc<Self>) {
        // Where somebody looks already, or a disk does not answer, nobody else waits.
        let Ok(mut watch) = Arc::clone(&self.watch).try_lock_owned() else { return };
        if watch.looked.elapsed() < PAUSE {
            return;
        }
        let tls = Arc::clone(self);
        let _ = tokio::task::spawn_blocking(move || tls.look(&mut watch)).await;
    }

    fn look(&self, watch: &mut Watch) {
        let stamps = stamps(&self.files);
        watch.looked = Instant::now();
        if stamps == watch.stamps {
            return;
        }
        watch.stamps = stamps;
        let cert_file = self.files.cert_file.display();
        match Current::read(&self.files) {
            Ok(current) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
                watch.trouble = None;
                tracing::info!(%cert_file, "the certificate files have changed; new connections get what they say now");
            }
            Err(error) => {
                if watch.trouble.as_ref() != Some(&error) {
                    tracing::warn!(%cert_file, error, "the changed certificate files are no use; the old ones stay");
                    watch.trouble = Some(error);
                }
            }
        }
    }
}

impl Current {
    fn read(files: &WebTls) -> Result<Self, String> {
        let identity = files.read()?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
        let (builder, way) = match identity.clients {
            None => (builder.with_no_client_auth(), Way::Tls),
            Some(clients) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(clients.roots.into(), provider).build();
                let verifier = verifier.map_err(|error| format!("client_ca_file cannot be used: {error}"))?;
                (builder.with_client_cert_verifier(verifier), Way::Certificate(clients.pem.into()))
            }
        };
        let resolver = SingleCertAndKey::from(identity.certified);
        let mut config = builder.with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), way })
    }
}

/// Whether the client begins as HTTP does; it is told then what is wrong.
pub(super) async fn speaks_http(stream: &mut TcpStream) -> io::Result<bool> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 || !first[0].is_ascii_alphabetic() {
        return Ok(false);
    }
    // Bytes that nobody read would turn the end of the connection into a reset, which takes the answer with it.
    let mut request = [0; 4096];
    let _ = stream.try_read(&mut request);
    stream.write_all(WRONG_PORT.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(true)
}

fn stamps(files: &WebTls) -> Vec<Stamp> {
    let paths = [Some(&files.cert_file), Some(&files.key_file), files.client_ca_file.as_ref()];
    paths.into_iter().flatten().map(|path| stamp(path)).collect()
}

fn stamp(path: &Path) -> Stamp {
    let found = fs::metadata(path).ok()?;
    let time = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    Some([
        i128::from(found.dev()),
        i128::from(found.ino()),
        i128::from(found.size()),
        time(found.mtime(), found.mtime_nsec()),
        time(found.ctime(), found.ctime_nsec()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["x".to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[tokio::test(start_paused = true)]
    async fn changed_files_are_taken_if_they_are_of_use() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| std::fs::write(file(name), text).unwrap();
        let (first, second, authority) = (pair(), pair(), pair().0);
        write("cert.pem", &first.0);
        write("key.pem", &first.1);
        write("ca.pem", &authority);
        let files =
            WebTls { cert_file: file("cert.pem"), key_file: file("key.pem"), client_ca_file: Some(file("ca.pem")) };
        let tls = Arc::new(Tls::new(files).unwrap());
        let state = || Arc::as_ptr(&tls.current().config);
        let trouble = || tls.watch.try_lock().unwrap().trouble.clone();
        let first_state = state();

        write("cert.pem", &second.0);
        tls.refresh().await;
        assert_eq!((state(), trouble()), (first_state, None), "nobody looks so soon");
        tokio::time::advance(PAUSE).await;
        tls.refresh().await;
        let said = trouble().unwrap();
        assert!(said.contains("key.pem") && said.contains("cert.pem") && state() == first_state, "{said}");

        write("key.pem", &second.1);
        tokio::time::advance(PAUSE).await;
        tls.refresh().await;
        let second_state = state();
        assert!(second_state != first_state && trouble().is_none());

        std::fs::remove_file(file("ca.pem")).unwrap();
        tokio::time::advance(PAUSE).await;
        tls.refresh().await;
        assert!(trouble().unwrap().contains("ca.pem") && state() == second_state);

        write("ca.pem", &pair().0);
        tokio::time::advance(PAUSE).await;
        let way = tls.way();
        tls.refresh().await;
        assert!(trouble().is_none() && tls.way() != way, "other clients than before");

        let last = state();
        tokio::time::advance(PAUSE).await;
        tls.refresh().await;
        assert_eq!(state(), last, "files that did not change are not read");
    }
}
