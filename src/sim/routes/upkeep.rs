//! `/nodes/N/…`: what a node says of its own condition.

use super::super::world::{Cluster, World};
use super::nodes::pass_on;
use super::{Answer, Call, Parameters, Reply, audit, check_names, invalid, ok, protected};

/// Answers a path below `/nodes/N/` that `nodes` knows to be one of these.
pub(super) fn answer(
    world: &World,
    call: &Call<'_>,
    (node, what): (&str, &str),
    parameters: &Parameters<'_>,
) -> Result<Answer, Reply> {
    let known: &[&str] = if what == "rrddata" { &["cf", "timeframe"] } else { &[] };
    check_names(parameters, known)?;
    let privilege = match what {
        "apt/update" => Some("Sys.Modify"),
        "status" | "rrddata" | "services" | "apt/repositories" => Some("Sys.Audit"),
        _ => None,
    };
    if let Some(privilege) = privilege {
        audit(call, &format!("/nodes/{node}"), privilege)?;
    }
    if what == "rrddata" {
        hour(parameters)?;
    }
    pass_on(world, call, node, |node| body(world, call, node, what))
}

fn body(world: &World, call: &Call<'_>, node: usize, what: &str) -> Reply {
    let cluster = world.facts();
    match what {
        "status" => ok(world.node_status(node, call)),
        "rrddata" => ok(cluster.node_graph(node, call)),
        "services" => protected(cluster.services(node, call)),
        "network" => ok(cluster.node_network(node, call)),
        "certificates/info" => ok(cluster.certificates(node, call)),
        "sdn/zones" => protected(cluster.node_zones(node, call)),
        "apt/update" => protected(cluster.pending_updates(node, call)),
        _ => ok(Cluster::repositories(call)),
    }
}

/// Only the last hour is drawn.
fn hour(parameters: &Parameters<'_>) -> Result<(), Reply> {
    match parameters.iter().find(|(name, _)| *name == "timeframe") {
        None => Err(invalid("timeframe", "property is missing and it is not optional")),
        Some((_, "hour")) => Ok(()),
        Some((name, value)) => {
            let list = "'hour'";
            Err(invalid(name, &format!("value '{value}' does not have a value in the enumeration {list}")))
        }
    }
}
