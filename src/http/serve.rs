//! Accepts connections, bounds what they may use up, and lets them finish at the end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio_io_timeout::TimeoutStream;

use super::{Site, routes};

/// The wait after an error that concerns the listener, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What is buffered per connection; a page comes in chunks of the same size.
const BUFFER: usize = 64 * 1024;

/// Serves `site` on all `listeners` until `shutdown` is done; then takes no more connections, lets the requests
/// under way finish within [`Limits::drain`](super::Limits::drain), cuts the rest off, and returns.
pub async fn serve(listeners: Vec<TcpListener>, site: Arc<Site>, shutdown: impl Future<Output = ()>) {
    for listener in &listeners {
        match listener.local_addr() {
            Ok(address) => tracing::info!(version = site.version, "serving metrics on http://{address}/metrics"),
            Err(error) => tracing::warn!(%error, "a listener has no address"),
        }
    }
    let mut shutdown = pin!(shutdown);
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(site.limits.connections));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            (stream, permit) = next_connection(&listeners, &permits) => {
                let connection = connection(stream, Arc::clone(&site), graceful.watcher());
                connections.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Some(ended) = connections.join_next() => report(ended),
        }
    }
    site.start_draining();
    drop(listeners);
    drain(graceful, connections, site.limits.drain).await;
}

async fn drain(graceful: GracefulShutdown, mut connections: JoinSet<()>, limit: Duration) {
    let in_time = tokio::time::timeout(limit, graceful.shutdown()).await.is_ok();
    while let Some(ended) = connections.try_join_next() {
        report(ended);
    }
    if !in_time {
        let limit_seconds = limit.as_secs_f64();
        tracing::error!(connections = connections.len(), limit_seconds, "cutting off requests that did not finish");
    }
    connections.shutdown().await;
}

/// Waits for room, then for a client.
async fn next_connection(
    listeners: &[TcpListener],
    permits: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    let permit = Arc::clone(permits).acquire_owned().await.ok();
    loop {
        match accept(listeners).await {
            Ok(stream) => return (stream, permit),
            // The client gave up while it waited in the backlog.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn accept(listeners: &[TcpListener]) -> io::Result<TcpStream> {
    poll_fn(|cx| {
        for listener in listeners {
            if let Poll::Ready(accepted) = listener.poll_accept(cx) {
                return Poll::Ready(accepted.map(|(stream, _)| stream));
            }
        }
        Poll::Pending
    })
    .await
}

async fn connection(stream: TcpStream, site: Arc<Site>, watcher: Watcher) {
    let limits = site.limits;
    // Without it the last piece of a page can wait for an acknowledgement that the client delays.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.write_timeout));
    let service = service_fn(move |request: Request<Incoming>| {
        let site = Arc::clone(&site);
        // No page wants a body: it is dropped unread, and the connection closed after the answer if it was long.
        let (head, _) = request.into_parts();
        async move { Ok::<_, Infallible>(routes::answer(site, head).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Runs from the end of the answer before, so that it bounds idle connections too.
        .header_read_timeout(limits.header_timeout)
        .max_header_size(limits.header_bytes)
        .max_headers(limits.headers)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a request ended in a panic; its connection is closed");
    }
}
