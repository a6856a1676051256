//! `/api/v1/guests`, `/api/v1/guests/{cluster}/{vmid}`, `/api/v1/discovery`: guests for programs.
//!
//! A list of thousands is made beside the loop, and once for all who ask for the same at the same time.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Serialize;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::docs;
use super::guest::{Filter, Guest};
use super::query::Query;
use super::{Discovery, Shot};
use crate::api::{Code, Error, Reply, Request, Route, handler};
use crate::ids::Scope;

/// What may be asked of the list.
const PARAMETERS: [&str; 6] = ["cluster", "node", "tag", "pool", "status", "type"];

/// For Proxmox VE to answer, where it has to be asked first.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers `/api/v1/guests` and what belongs to it.
struct Desk {
    discovery: Arc<Discovery>,
    /// The list that somebody waits for right now.
    under_way: Mutex<Option<(Key, Weak<Shared>)>>,
}

/// What the same list is made from: the filter, and the state of each cluster.
type Key = (Filter, Vec<(u64, u64)>);

/// A list that is made once; the error is that it could not be written.
type Shared = OnceCell<Result<Bytes, Error>>;

#[derive(Serialize)]
struct List {
    guests: Vec<Guest>,
}

#[derive(Serialize)]
struct One {
    guest: Guest,
}

#[derive(Serialize)]
struct Looked<'a> {
    clusters: Vec<LookedAt<'a>>,
}

#[derive(Serialize)]
struct LookedAt<'a> {
    cluster: &'a str,
    guests: usize,
    read_at: i64,
}

/// The routes, for the table of the API.
pub fn routes(discovery: &Arc<Discovery>) -> Vec<Route> {
    let desk = Arc::new(Desk { discovery: Arc::clone(discovery), under_way: Mutex::default() });
    let (of_list, of_one, again) = (Arc::clone(&desk), Arc::clone(&desk), desk);
    let route = |method, pattern, handler, doc| Route { method, pattern, scope: Scope::Read, handler, doc };
    vec![
        route(
            Method::GET,
            "/api/v1/guests",
            handler(move |request| {
                let desk = Arc::clone(&of_list);
                async move { desk.list(request).await }
            }),
            &docs::LIST,
        ),
        route(
            Method::GET,
            "/api/v1/guests/{cluster}/{vmid}",
            handler(move |request| {
                let desk = Arc::clone(&of_one);
                async move { desk.one(request).await }
            }),
            &docs::ONE,
        ),
        route(
            Method::POST,
            "/api/v1/discovery",
            handler(move |request| {
                let desk = Arc::clone(&again);
                async move { desk.look_again(request).await }
            }),
            &docs::AGAIN,
        ),
    ]
}

impl Desk {
    async fn list(&self, request: Request) -> Reply {
        let asked = Query::parse(&request.query, &PARAMETERS, &self.discovery.names());
        let filter = match asked {
            Ok(Query { filter, .. }) => filter,
            Err(wrong) => return Error::bad_request(wrong).into(),
        };
        let read = self.discovery.read_of(&filter, Instant::now() + PATIENCE).await;
        if let Err(reasons) = read {
            return unread(&reasons);
        }
        match self.listed(filter).await {
            Ok(json) => Reply { status: StatusCode::OK, json, headers: Vec::new() },
            Err(error) => error.into(),
        }
    }

    async fn one(&self, request: Request) -> Reply {
        let (cluster, vmid) = (request.path("cluster"), request.path("vmid"));
        if !self.discovery.names().contains(&cluster) {
            return unknown(format!("there is no cluster {:?} in the configuration", short(cluster)));
        }
        let is_number = !vmid.is_empty() && vmid.bytes().all(|byte| byte.is_ascii_digit());
        let Some(number) = vmid.parse().ok().filter(|_| is_number) else {
            let found = short(vmid);
            return Error::bad_request(format!("expected vmid to be the number of a guest, found {found:?}")).into();
        };
        let filter = Filter { clusters: vec![cluster.to_owned()], vmids: vec![number], ..Filter::default() };
        match self.discovery.guests(&filter, Instant::now() + PATIENCE).await {
            Ok(guests) => match guests.into_iter().next() {
                Some(guest) => Reply::ok(&One { guest }),
                None => unknown(format!("there is no guest {number} in {cluster}, or it is a template")),
            },
            Err(reasons) => unread(&reasons),
        }
    }

    async fn look_again(&self, request: Request) -> Reply {
        if let Err(error) = request.json::<Nothing>() {
            return error.into();
        }
        if let Err(reasons) = self.discovery.look_again(Instant::now() + PATIENCE).await {
            return unread(&reasons);
        }
        let clusters = self.discovery.known().map(|(cluster, guests, read_at)| LookedAt { cluster, guests, read_at });
        Reply::ok(&Looked { clusters: clusters.collect() })
    }

    /// The list as JSON, made now or taken from whoever is making it.
    async fn listed(&self, filter: Filter) -> Result<Bytes, Error> {
        let key = (filter, self.discovery.versions());
        let shared = {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            let same = under_way.as_ref().filter(|(of, _)| *of == key).and_then(|(_, shared)| shared.upgrade());
            same.unwrap_or_else(|| {
                let shared = Arc::new(Shared::new());
                *under_way = Some((key.clone(), Arc::downgrade(&shared)));
                shared
            })
        };
        shared.get_or_init(|| made(self.discovery.shots(&key.0))).await.clone()
    }
}

/// A body without any word.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

async fn made(shots: Vec<Shot>) -> Result<Bytes, Error> {
    let make = move || Reply::ok(&List { guests: shots.iter().flat_map(Shot::guests).collect() });
    match tokio::task::spawn_blocking(make).await {
        Ok(Reply { status: StatusCode::OK, json, .. }) => Ok(json),
        Ok(_) | Err(_) => Err(Error::new(Code::Internal, "the list of guests could not be made")),
    }
}

fn unread(reasons: &[String]) -> Reply {
    Error::new(Code::PveUnreachable, reasons.join("; ")).into()
}

fn unknown(message: String) -> Reply {
    Error::new(Code::NotFound, message).into()
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_routes_are_documented_without_gaps() {
        let routes = routes(&Arc::default());
        assert_eq!(routes.len(), 3);
        assert_eq!(crate::api::gaps(&routes), Vec::<String>::new());
        let names: Vec<&str> = docs::LIST.parameters.iter().map(|parameter| parameter.name).collect();
        assert_eq!(names, PARAMETERS);
    }

    #[tokio::test]
    async fn who_asks_for_the_same_at_once_gets_the_same_list() {
        let desk = Desk { discovery: Arc::default(), under_way: Mutex::default() };
        let (one, other) = tokio::join!(desk.listed(Filter::default()), desk.listed(Filter::default()));
        let (one, other) = (one.expect("a list"), other.expect("a list"));
        assert_eq!((&one[..], one.as_ptr()), (&b"{\"guests\":[]}\n"[..], other.as_ptr()));
        // It is kept for nobody.
        assert!(desk.under_way.lock().expect("whole").as_ref().is_some_and(|(_, shared)| shared.upgrade().is_none()));
    }
}
