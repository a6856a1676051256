//! `GET /sd/clusters`, `/sd/hosts`, `/sd/guests`: targets for Prometheus' HTTP service discovery.

use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, HeaderValue, VARY};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Response, StatusCode, Version};
use tokio::time::Instant;

use super::body::Body;
use super::{Site, negotiate, packed, query, reply};
use crate::discovery::{Own, Query, Target};

/// What may be asked of `/sd/guests`; of the others, clusters only.
const OF_GUESTS: [&str; 8] = ["cluster", "node", "tag", "pool", "status", "type", "port", "address"];
const OF_OTHERS: [&str; 1] = ["cluster"];

/// Prometheus waits for a list as long as its refresh interval, a minute by default.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Clusters,
    Hosts,
    Guests,
}

pub(super) async fn page(site: Arc<Site>, request: Parts, list: List) -> Response<Body> {
    let known: &[&str] = if list == List::Guests { &OF_GUESTS } else { &OF_OTHERS };
    let pairs = query::pairs(request.uri.query().unwrap_or_default()).map_err(|error| error.to_string());
    let asked = pairs.and_then(|pairs| Query::parse(&pairs, known, &site.discovery.names()));
    let asked = match asked.and_then(|asked| Ok((asked, own(&site, &request)?))) {
        Ok(asked) => asked,
        Err(wrong) => return reply::text(StatusCode::BAD_REQUEST, format!("{wrong}\n")),
    };
    let ((asked, own), deadline) = (asked, Instant::now() + PATIENCE);
    let targets = match list {
        List::Clusters => Ok(site.discovery.cluster_targets(&asked, &own)),
        List::Hosts => site.discovery.host_targets(&asked, &own, deadline).await,
        List::Guests => site.discovery.guest_targets(&asked, deadline).await,
    };
    match targets {
        Ok(targets) => json(&targets, &request.headers).await,
        Err(reasons) => reply::text(StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", reasons.join("\n"))),
    }
}

/// Where we are asked: as the request says.
fn own(site: &Site, request: &Parts) -> Result<Own, String> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let (host, others) = (hosts.next(), hosts.count());
    if others > 0 {
        return Err("there are several Host headers: one becomes the target".to_owned());
    }
    let said = host.and_then(|host| host.to_str().ok());
    let said = said.or(request.uri.authority().map(Authority::as_str));
    let authority: Option<Authority> = said.and_then(|said| said.parse().ok());
    let is_target = |authority: &Authority| {
        // A port that is none leaves the host alone.
        let has_port = authority.port_u16().is_some() || authority.as_str() == authority.host();
        has_port && !authority.as_str().contains('@') && !authority.host().is_empty()
    };
    match authority.filter(is_target) {
        Some(authority) => Ok(Own { host: authority.as_str().to_owned(), tls: site.tls }),
        None if request.version == Version::HTTP_10 => Err("a Host header is needed: it becomes the target".to_owned()),
        None => Err("the Host header is no host with or without a port: it becomes the target".to_owned()),
    }
}

async fn json(targets: &[Target], headers: &HeaderMap) -> Response<Body> {
    let Ok(text) = serde_json::to_vec(targets) else {
        return reply::text(StatusCode::INTERNAL_SERVER_ERROR, "the list cannot be written as JSON\n".to_owned());
    };
    let mut response = packed::json(StatusCode::OK, text.into(), negotiate::gzip(headers)).await;
    response.headers_mut().insert(VARY, HeaderValue::from_static("Host, Accept-Encoding"));
    response
}
