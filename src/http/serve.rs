//! Accepts connections, and lets them finish at the end.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::Site;
use super::accept::Acceptor;
use super::crowd::Crowd;

/// Serves `site` on all `listeners` until `shutdown` is done; then takes no more connections, closes those that wait
/// for a request, lets the requests under way finish within [`Limits::drain`](super::Limits::drain), cuts the rest
/// off, and returns.
pub async fn serve(listeners: Vec<TcpListener>, site: Arc<Site>, shutdown: impl Future<Output = ()>) {
    for listener in &listeners {
        match listener.local_addr() {
            Ok(address) => tracing::info!(version = site.version, "serving metrics on http://{address}/metrics"),
            Err(error) => tracing::warn!(%error, "a listener has no address"),
        }
    }
    let mut shutdown = pin!(shutdown);
    let mut acceptor = Acceptor::new(listeners);
    let mut crowd = Crowd::new(site.limits.connections);
    // A client for whom there is no room yet; the ones after it stay in the backlog.
    let mut next = None;
    loop {
        if next.is_some() && !crowd.has_room() {
            crowd.make_room();
        } else if let Some(stream) = next.take() {
            crowd.add(stream, &site);
        }
        let somebody_waits = next.is_some();
        tokio::select! {
            () = &mut shutdown => break,
            stream = acceptor.next(), if !somebody_waits => next = Some(stream),
            () = crowd.change(somebody_waits) => {}
        }
    }
    site.start_draining();
    drop(acceptor);
    crowd.drain(site.limits.drain).await;
}
