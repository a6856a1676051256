//! `GET /api/v1/tasks`: tasks of everybody, read with the reading credential.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::docs;
use super::ending::Task;
use super::follow;
use super::guests::vmid;
use super::upid::Upid;
use super::{Acting, Control};
use crate::api::{Code, Error, Reply, Request, Route, handler};
use crate::ids::Scope;
use crate::pve::wire::{List, Number, Text};
use crate::pve::{self, Path, Reason};

/// Nobody waits longer for them.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default, Deserialize)]
#[serde(default)]
struct Listed<'a> {
    #[serde(borrow)]
    upid: Text<'a>,
    starttime: Number,
    endtime: Number,
    #[serde(borrow)]
    status: Text<'a>,
}

pub(super) fn routes(control: &Arc<Control>) -> Vec<Route> {
    let (one, many) = (Arc::clone(control), Arc::clone(control));
    let one = move |request: Request| {
        let control = Arc::clone(&one);
        async move { Reply::from(tell_one(&control, &request).await) }
    };
    let many = move |request: Request| {
        let control = Arc::clone(&many);
        async move { Reply::from(tell_many(&control, &request).await) }
    };
    let route = |pattern, handler, doc| Route { method: Method::GET, pattern, scope: Scope::Read, handler, doc };
    vec![
        route("/api/v1/tasks/{cluster}/{upid}", handler(one), &docs::TASK),
        route("/api/v1/tasks", handler(many), &docs::TASKS),
    ]
}

async fn tell_one(control: &Control, request: &Request) -> Result<Reply, Error> {
    let acting = control.cluster(request.path("cluster"))?;
    let unknown = || Error::new(Code::NotFound, format!("there is no such task in {}", acting.name));
    let upid = Upid::parse(request.path("upid")).ok_or_else(unknown)?;
    let told = timeout(PATIENCE, read(acting, &upid)).await;
    let told = told.unwrap_or_else(|_| Err(Some(format!("the node {} did not answer in time", upid.node))));
    let task = told.map_err(|why| why.map_or_else(unknown, |why| Error::new(Code::PveUnreachable, why)))?;
    Ok(Reply::ok(&json!({"task": task.json(&acting.name)})))
}

/// A task with the end of its log; without a reason, there is none.
async fn read(acting: &Acting, upid: &Upid) -> Result<Task, Option<String>> {
    let client = acting.inventory.client();
    let names = [("node", upid.node.as_str()), ("upid", upid.text.as_str())];
    let status = Path::new("/nodes/{node}/tasks/{upid}/status", &names);
    let log = Path::new("/nodes/{node}/tasks/{upid}/log?start=0&limit=500", &names);
    let permit = client.gate().enter(&upid.node, false).await;
    let exit = client.get_node(&status, &permit).await.and_then(|answer| follow::exit(&answer));
    let exit = exit.map_err(|error| match &error.reason {
        // A node that is none, or a task that never was.
        Reason::NotFoundHere(_) | Reason::Status(400 | 500, _) => None,
        _ => Some(error.to_string()),
    })?;
    let log = client.get_node(&log, &permit).await.map(|answer| follow::log(&answer)).unwrap_or_default();
    Ok(Task { upid: upid.clone(), exit, log })
}

async fn tell_many(control: &Control, request: &Request) -> Result<Reply, Error> {
    let wanted = request.query_all("cluster");
    for name in &wanted {
        control.cluster(name).map_err(|error| Error::bad_request(error.message))?;
    }
    let guest = request.query_all("guest").first().map(|text| vmid(text)).transpose()?;
    let running = match request.query_all("running").first() {
        None => None,
        Some(&"true") => Some(true),
        Some(&"false") => Some(false),
        Some(_) => return Err(Error::bad_request("expected running to be true or false")),
    };
    let meant = control.clusters.iter().filter(|acting| wanted.is_empty() || wanted.contains(&acting.name.as_str()));
    let lists = join_all(meant.map(|acting| list(acting, guest, running))).await;
    let mut tasks: Vec<(u64, Value)> = lists.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    tasks.sort_by_key(|(begun, _)| std::cmp::Reverse(*begun));
    let tasks: Vec<Value> = tasks.into_iter().map(|(_, task)| task).collect();
    Ok(Reply::ok(&json!({"tasks": tasks})))
}

/// Tasks of a cluster, with the second in which each began.
async fn list(acting: &Acting, guest: Option<u64>, running: Option<bool>) -> Result<Vec<(u64, Value)>, Error> {
    let failed = |why: String| Error::new(Code::PveUnreachable, format!("the tasks of {}: {why}", acting.name));
    let answer = timeout(PATIENCE, acting.inventory.client().get("/cluster/tasks")).await;
    let answer =
        answer.map_err(|_| failed("no answer in time".to_owned()))?.map_err(|error| failed(error.to_string()))?;
    rows(&answer, &acting.name, guest, running).map_err(|error| failed(error.to_string()))
}

fn rows(
    answer: &pve::Answer,
    cluster: &str,
    guest: Option<u64>,
    running: Option<bool>,
) -> Result<Vec<(u64, Value)>, pve::Error> {
    let List { items, .. } = answer.data::<List<Listed<'_>>>()?;
    let row = |listed: &Listed<'_>| {
        let upid = Upid::parse(listed.upid.filled()?)?;
        let exit = listed.endtime.0.map(|_| listed.status.filled().unwrap_or("unexpected status").to_owned());
        let is_meant = guest.is_none_or(|guest| upid.id == guest.to_string())
            && running.is_none_or(|running| running == exit.is_none());
        let (begun, ended) = (listed.starttime.whole().unwrap_or(upid.begun), listed.endtime.whole());
        let mut told = Task { upid, exit, log: Vec::new() }.json(cluster);
        if let Some(told) = told.as_object_mut() {
            told.remove("log");
            told.insert("started".to_owned(), begun.into());
            told.insert("ended".to_owned(), ended.into());
        }
        is_meant.then_some((begun, told))
    };
    Ok(items.iter().filter_map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pve::testing::recorded;

    #[test]
    fn recorded_tasks_are_told_and_narrowed() {
        let answer = recorded("pve-9.2-cluster/GET_cluster__tasks.json");
        let all = rows(&answer, "home", None, None).unwrap();
        assert!(all.len() > 5, "{all:?}");
        let (_, first) = &all[0];
        for key in ["upid", "cluster", "node", "type", "id", "user", "status", "exit_status", "started", "ended"] {
            assert!(first.get(key).is_some(), "{key}: {first}");
        }
        let id = first["id"].as_str().unwrap_or_default();
        if let Ok(number) = id.parse() {
            let of_guest = rows(&answer, "home", Some(number), None).unwrap();
            assert!(!of_guest.is_empty() && of_guest.iter().all(|(_, task)| task["id"] == first["id"]));
        }
        let running = rows(&answer, "home", None, Some(true)).unwrap();
        let ended = rows(&answer, "home", None, Some(false)).unwrap();
        assert_eq!(running.len() + ended.len(), all.len());
    }
}
