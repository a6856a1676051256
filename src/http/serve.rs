//! Accepts connections, and lets them finish at the end.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::Front;
use super::accept::Acceptor;
use super::crowd::Crowd;

/// Serves what stands at the `front` on all `listeners` until `shutdown` is done; then takes no more connections, closes those that wait
/// for a request, lets the requests under way finish within [`Limits::drain`](super::Limits::drain), cuts the rest
/// off, and returns.
pub async fn serve(listeners: Vec<TcpListener>, front: Arc<Front>, shutdown: impl Future<Output = ()>) {
    for listener in &listeners {
        match listener.local_addr() {
            Ok(address) => {
                let (site, scheme) = (front.site(), front.site().door.scheme());
                tracing::info!(version = site.version, "serving metrics on {scheme}://{address}/metrics");
            }
            Err(error) => tracing::warn!(%error, "a listener has no address"),
        }
    }
    let mut shutdown = pin!(shutdown);
    let mut acceptor = Acceptor::new(listeners);
    let mut crowd = Crowd::new(front.limits().connections);
    // A client for whom there is no room yet; the ones after it stay in the backlog.
    let mut next = None;
    loop {
        if next.is_some() && !crowd.has_room() {
            crowd.make_room();
        } else if let Some(stream) = next.take() {
            crowd.add(stream, &front);
        }
        let somebody_waits = next.is_some();
        tokio::select! {
            () = &mut shutdown => break,
            stream = acceptor.next(), if !somebody_waits => next = Some(stream),
            () = crowd.change(somebody_waits) => {}
        }
    }
    front.start_draining();
    drop(acceptor);
    crowd.drain(front.limits().drain).await;
}
