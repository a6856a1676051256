//! What scrapes know, as answers of the API: `/api/v1/clusters`, `/api/v1/nodes`, `/api/v1/hosts`. Nothing is asked for
//! their sake, so that they cost Proxmox VE nothing.

mod clusters;
mod hosts;
mod nodes;

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::api::{Doc, Error, Parameter, Place, Reply, Request, Route, handler};
use crate::ids::Scope;
use crate::scrape::{KnownCluster, Past, Scraper};

/// The routes; `now` is the time since 1970.
pub(super) fn routes(scraper: &Arc<Scraper>, now: fn() -> Duration) -> Vec<Route> {
    let route = |pattern, doc: &'static Doc, tell: fn(&Scraper, &Request, Clock) -> Result<Reply, Error>| {
        let scraper = Arc::clone(scraper);
        let answer = move |request: Request| {
            let clock = Clock { now: now(), instant: Instant::now() };
            std::future::ready(Reply::from(tell(&scraper, &request, clock)))
        };
        Route { method: Method::GET, pattern, scope: Scope::Read, handler: handler(answer), doc }
    };
    vec![
        route("/api/v1/clusters", &clusters::DOC, |scraper, request, clock| {
            clusters::reply(&scraper.known_clusters(), request, clock)
        }),
        route("/api/v1/nodes", &nodes::DOC, |scraper, request, clock| {
            nodes::reply(&scraper.known_clusters(), request, clock)
        }),
        route("/api/v1/hosts", &hosts::DOC, |scraper, request, clock| {
            hosts::reply(&scraper.known_hosts(), &scraper.cluster_names(), request, clock)
        }),
    ]
}

/// One moment on both clocks.
#[derive(Clone, Copy)]
struct Clock {
    /// Since 1970.
    now: Duration,
    instant: Instant,
}

/// What scrapes came to, in JSON.
#[derive(Debug, Serialize)]
struct PastJson {
    last_success: Option<u64>,
    last_failure: Option<u64>,
    last_error: Option<String>,
}

impl Clock {
    /// A moment of the past in seconds since 1970.
    fn seconds(self, at: Instant) -> u64 {
        self.now.saturating_sub(self.instant.saturating_duration_since(at)).as_secs()
    }

    fn past(self, past: &Past) -> PastJson {
        PastJson {
            last_success: past.last_success.map(|at| self.seconds(at)),
            last_failure: past.last_failure.as_ref().map(|(at, _)| self.seconds(*at)),
            last_error: past.last_failure.as_ref().map(|(_, error)| error.clone()),
        }
    }
}

const CLUSTER: Parameter = Parameter {
    name: "cluster",
    place: Place::Repeatable,
    about: "Only those of these clusters, by their configured names.",
    schema: || json!({"type": "string"}),
};

/// The schema of a list under a name, whose entries always have these properties.
fn list(name: &str, properties: &Value) -> Value {
    let required: Vec<&String> = properties.as_object().into_iter().flat_map(|properties| properties.keys()).collect();
    let items = json!({"type": "object", "required": required, "properties": properties});
    json!({"type": "object", "required": [name], "properties": {name: {"type": "array", "items": items}}})
}

/// The schemas of [`PastJson`] beside those of `more`.
fn with_past(more: Value) -> Value {
    let mut properties = json!({
        "last_success": {"type": ["integer", "null"], "description": "When it last answered, in seconds since 1970."},
        "last_failure": {"type": ["integer", "null"], "description": "When something was last wrong, in seconds since 1970."},
        "last_error": {"type": ["string", "null"], "description": "What was wrong then."},
    });
    if let (Value::Object(properties), Value::Object(more)) = (&mut properties, more) {
        properties.extend(more);
    }
    properties
}

/// Refuses names of clusters that there are not.
fn wanted<'a>(request: &'a Request, known: &[String]) -> Result<Vec<&'a str>, Error> {
    let wanted = request.query_all("cluster");
    match wanted.iter().find(|name| known.iter().all(|known| known != *name)) {
        None => Ok(wanted),
        Some(name) => {
            let shown: String = name.chars().take(64).collect();
            Err(Error::bad_request(format!("unknown cluster {shown:?}; known: {}", known.join(", "))))
        }
    }
}

/// Refuses words that are none of those that a parameter knows.
fn words<'a>(request: &'a Request, parameter: &str, known: &[&str]) -> Result<Vec<&'a str>, Error> {
    let wanted = request.query_all(parameter);
    if wanted.iter().any(|word| !known.contains(word)) {
        return Err(Error::bad_request(format!("expected {parameter} to be one of {}", known.join(", "))));
    }
    Ok(wanted)
}

/// Whether a list of wishes, where none means all, has one.
fn is_in(wanted: &[&str], word: &str) -> bool {
    wanted.is_empty() || wanted.contains(&word)
}

fn names_of(clusters: &[KnownCluster]) -> Vec<String> {
    clusters.iter().map(|cluster| cluster.name.clone()).collect()
}

#[cfg(test)]
mod tests;
