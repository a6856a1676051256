//! Accepts connections, and lets them finish at the end.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::Front;
use super::accept::Acceptor;
use super::crowd::Crowd;
use super::heart::Heart;
use super::listener::{Listener, Side};

/// Serves what stands at the `front` on all `listeners` until `shutdown` is done; then takes no more connections, closes those that wait
/// for a request, lets the requests under way finish within [`Limits::drain`](super::Limits::drain), cuts the rest
/// off, and returns. While clients are taken, the `heart` beats.
pub async fn serve(listeners: Vec<TcpListener>, front: Arc<Front>, heart: Heart, shutdown: impl Future<Output = ()>) {
    let listeners = listeners.into_iter().map(Listener::from).collect();
    serve_on((listeners, Side::Web), front, heart, shutdown).await;
}

/// The same for the API alone, with connections of its own: whoever crowds the pages keeps nobody out here.
pub async fn serve_control(
    listeners: Vec<Listener>,
    front: Arc<Front>,
    heart: Heart,
    shutdown: impl Future<Output = ()>,
) {
    serve_on((listeners, Side::Control), front, heart, shutdown).await;
}

async fn serve_on(
    (listeners, side): (Vec<Listener>, Side),
    front: Arc<Front>,
    mut heart: Heart,
    shutdown: impl Future<Output = ()>,
) {
    announce(&listeners, side, &front);
    let mut shutdown = pin!(shutdown);
    let mut acceptor = Acceptor::new(listeners, side);
    let mut crowd = Crowd::new(front.limits().connections);
    // A client for whom there is no room yet; the ones after it stay in the backlog.
    let mut next = None;
    loop {
        if next.is_some() && !crowd.has_room() {
            crowd.make_room();
        } else if let Some(arrival) = next.take() {
            crowd.add(arrival, &front);
        }
        let somebody_waits = next.is_some();
        tokio::select! {
            () = &mut shutdown => break,
            arrival = acceptor.next(), if !somebody_waits => next = Some(arrival),
            () = crowd.change(somebody_waits) => {}
            () = heart.beat() => {}
        }
    }
    front.start_draining();
    drop(acceptor);
    crowd.drain(front.limits().drain).await;
}

fn announce(listeners: &[Listener], side: Side, front: &Front) {
    let site = front.site();
    for listener in listeners {
        match (listener.shown(site.door(side).scheme()), side) {
            (Ok(address), Side::Web) => {
                tracing::info!(version = site.version, "serving metrics on {address}/metrics");
            }
            (Ok(address), Side::Control) => tracing::info!("taking orders at {address}, in /api/v1"),
            (Err(error), _) => tracing::warn!(%error, "a listener has no address"),
        }
    }
}
