//! One connection, from its first byte to its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::Watcher;

use super::door::Way;
use super::listener::{Arrival, Side};
use super::phase::{Stream, Track, Tracked};
use super::wire::Wire;
use super::{Front, routes};
use crate::api::Entrance;

/// What is buffered per connection; a page comes in chunks of the same size.
const BUFFER: usize = 64 * 1024;

/// Who is at the other end.
struct Guest {
    client: Option<SocketAddr>,
    side: Side,
    way: Way,
    front: Arc<Front>,
    track: Arc<Track>,
}

/// Answers requests until the client leaves, or has used up what [`Limits`](super::Limits) gives it.
pub(super) async fn connection(arrival: Arrival, front: Arc<Front>, watcher: Watcher, track: Arc<Track>) {
    let (client, limits) = (arrival.address(), *front.limits());
    let talk = talk(arrival, client, front, watcher, Arc::clone(&track));
    tokio::select! {
        // What has arrived is read before the connection is judged.
        biased;
        () = talk => {}
        why = track.overdue(&limits) => tracing::debug!(client = client.map(tracing::field::display), why, "closed a connection"),
    }
}

async fn talk(arrival: Arrival, client: Option<SocketAddr>, front: Arc<Front>, watcher: Watcher, track: Arc<Track>) {
    let limits = *front.limits();
    let shown = client.map(tracing::field::display);
    let Arrival { stream, side } = arrival;
    let (wire, way) = match Wire::open(stream, front.site().door(side), limits.write_timeout).await {
        Ok(Some(opened)) => opened,
        Ok(None) => {
            tracing::debug!(client = shown, "refused plain HTTP where TLS is spoken");
            return;
        }
        Err(error) => {
            tracing::debug!(client = shown, %error, "a connection did not come about");
            return;
        }
    };
    let stream = Stream::new(wire, Arc::clone(&track));
    let guest = Arc::new(Guest { client, side, way, front, track });
    let service = service_fn(move |request: Request<Incoming>| {
        let guest = Arc::clone(&guest);
        async move { Ok::<_, Infallible>(guest.answer(request).await) }
    });
    // Without a timer of hyper's own: the track bounds heads, too.
    let connection = http1::Builder::new()
        .max_header_size(limits.header_bytes)
        .max_headers(limits.headers)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(client = shown, %error, "a connection ended early");
    }
}

impl Guest {
    async fn answer(&self, request: Request<Incoming>) -> Response<Tracked> {
        let site = self.front.site();
        // Until it is known whose request this is, and it is whole, the client counts as one that waits: it may be
        // closed to make room, and its time is bounded.
        let entrance = Entrance { sealed: self.way != Way::Plain, of_control: self.side == Side::Control };
        let visit = routes::admit(&site, request, (self.client, entrance)).await;
        let answering = self.track.begin();
        let stays = self.way == Way::Socket || site.door(self.side).way() == self.way;
        let mut response = routes::answer(site, visit).await;
        if !stays {
            // It came in by a way that is shut by now.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response.map(|body| answering.send(body))
    }
}
