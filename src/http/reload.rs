//! `POST /-/reload`: read the configuration again, where the configuration allows it.

use std::sync::Arc;

use http::{Response, StatusCode};
use tokio::sync::{mpsc, oneshot};

use super::body::Body;
use super::{Site, reply};

/// A wish to read the configuration again; whoever does it answers with what is wrong with it, one fault per line.
pub type Reload = oneshot::Sender<Result<(), String>>;

pub(super) async fn page(site: Arc<Site>) -> Response<Body> {
    let refused = |status, text: &str| reply::text(status, format!("{text}\n"));
    let Some(wishes) = site.reloads.clone().filter(|_| site.door.lifecycle) else {
        let text = "reloading over HTTP is off: set enable_lifecycle = true in [web], or send the process SIGHUP";
        return refused(StatusCode::FORBIDDEN, text);
    };
    match ask(&wishes).await {
        Some(Ok(())) => reply::text(StatusCode::OK, "the configuration is in force.\n".to_owned()),
        Some(Err(faults)) => {
            let text = format!("the configuration is refused, the old one goes on:\n{faults}");
            refused(StatusCode::INTERNAL_SERVER_ERROR, &text)
        }
        None => refused(StatusCode::SERVICE_UNAVAILABLE, "the configuration cannot be read now: pve-sentinel stops"),
    }
}

async fn ask(wishes: &mpsc::Sender<Reload>) -> Option<Result<(), String>> {
    let (wish, answer) = oneshot::channel();
    wishes.send(wish).await.ok()?;
    answer.await.ok()
}
