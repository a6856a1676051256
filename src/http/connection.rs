//! One connection, from its first request to its end.

use std::convert::Infallible;
use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::Watcher;
use tokio::net::TcpStream;
use tokio_io_timeout::TimeoutStream;

use super::phase::{Stream, Track};
use super::{Site, routes};

/// What is buffered per connection; a page comes in chunks of the same size.
const BUFFER: usize = 64 * 1024;

/// Answers requests until the client leaves, or has used up what [`Limits`](super::Limits) gives it.
pub(super) async fn connection(stream: TcpStream, site: Arc<Site>, watcher: Watcher, track: Arc<Track>) {
    let limits = site.limits;
    // Without it the last piece of a page can wait for an acknowledgement that the client delays.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.write_timeout));
    let stream = Stream::new(stream, Arc::clone(&track));
    let requests = Arc::clone(&track);
    let service = service_fn(move |request: Request<Incoming>| {
        let site = Arc::clone(&site);
        let answering = requests.begin();
        // No page wants a body: it is dropped unread, and the connection closed after the answer if it was long.
        let (head, _) = request.into_parts();
        async move { Ok::<_, Infallible>(routes::answer(site, head).await.map(|body| answering.send(body))) }
    });
    // Without a timer of hyper's own: the track bounds heads, too.
    let connection = http1::Builder::new()
        .max_header_size(limits.header_bytes)
        .max_headers(limits.headers)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // What has arrived is read before the connection is judged.
        biased;
        ended = watcher.watch(connection) => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
        }
        why = track.overdue(&limits) => tracing::debug!(why, "closed a connection"),
    }
}
