//! Tasks of the cluster and of nodes; a caller without `Sys.Audit` sees its own.

use super::super::world::{TaskFilter, World, second};
use super::nodes::pass_on;
use super::{Answer, Call, Parameters, Reply};
use super::{check_names, forbidden, invalid, ok, protected};

/// `GET /cluster/tasks`.
pub(super) fn of_cluster(world: &World, call: &Call<'_>) -> Reply {
    ok(world.facts().all_tasks(second(call.now), own_only(call), call.order()))
}

/// `GET /nodes/N/tasks`, and what is below it.
pub(super) fn of_node(
    world: &World,
    call: &Call<'_>,
    node: &str,
    rest: &[&str],
    parameters: &Parameters<'_>,
) -> Result<Answer, Reply> {
    let now = second(call.now);
    match rest {
        [] => {
            let filter = filter(call, parameters)?;
            pass_on(world, call, node, |node| ok(world.facts().node_tasks(node, now, &filter, call.order())))
        }
        [upid, what @ ("status" | "log")] => {
            let names: &[&str] = if *what == "log" { &["limit", "start"] } else { &[] };
            check_names(parameters, names)?;
            let number = |name: &str, default| {
                let given = parameters.iter().find(|(known, _)| *known == name);
                given.map_or(Ok(default), |(_, text)| whole(name, text))
            };
            let lines = (number("start", 0)?, number("limit", 50)?);
            let upid = super::super::accounts::decoded(upid);
            if !upid.starts_with("UPID:") || upid.split(':').count() != 9 {
                return Err(invalid("upid", "unable to parse worker upid"));
            }
            pass_on(world, call, node, |_| {
                let cluster = world.facts();
                let Some(owner) = cluster.task_owner(&upid, now) else { return invalid("upid", "no such task") };
                if own_only(call).is_some_and(|caller| caller != owner) {
                    return forbidden(&format!("/nodes/{node}"), "Sys.Audit");
                }
                let body = match *what {
                    "log" => cluster.task_log(&upid, now, lines),
                    _ => cluster.task_status(&upid, now, call.order()),
                };
                body.map_or_else(|| invalid("upid", "no such task"), protected)
            })
        }
        _ => Err(super::not_implemented(call)),
    }
}

fn own_only<'a>(call: &'a Call<'_>) -> Option<&'a str> {
    if call.rights.holds("Sys.Audit") { None } else { Some(call.caller) }
}

fn filter(call: &Call<'_>, parameters: &Parameters<'_>) -> Result<TaskFilter, Reply> {
    const KNOWN: &[&str] =
        &["errors", "limit", "since", "source", "start", "statusfilter", "typefilter", "until", "userfilter", "vmid"];
    check_names(parameters, KNOWN)?;
    let mut filter =
        TaskFilter { finished: true, limit: 50, by: own_only(call).map(str::to_owned), ..TaskFilter::default() };
    for (name, text) in parameters {
        match *name {
            "errors" => filter.errors = *text == "1",
            "limit" => filter.limit = whole(name, text)?,
            "start" => filter.start = whole(name, text)?,
            "since" => filter.since = Some(whole(name, text)? as u64),
            "until" => filter.until = Some(whole(name, text)? as u64),
            "vmid" => filter.vmid = Some(whole(name, text)? as u64),
            "typefilter" => filter.kind = Some((*text).to_owned()),
            "source" => {
                (filter.running, filter.finished) = match *text {
                    "archive" => (false, true),
                    "active" => (true, false),
                    "all" => (true, true),
                    _ => {
                        return Err(invalid(
                            name,
                            "value does not have a value in the enumeration 'archive, active, all'",
                        ));
                    }
                }
            }
            _ => return Err(super::not_implemented(call)),
        }
    }
    Ok(filter)
}

fn whole(name: &str, text: &str) -> Result<usize, Reply> {
    text.parse().map_err(|_| invalid(name, &format!("type check ('integer') failed - got '{text}'")))
}
