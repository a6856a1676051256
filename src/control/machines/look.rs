//! What nodes and hosts are now: nodes by the reading credential, hosts by whether they take a connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::Acting;
use super::Target;
use super::settle::Seen;
use crate::api::{Code, Error};
use crate::config::Host;
use crate::inventory::{ClusterStatus, Member, Resources};
use crate::names::lookup;
use crate::pve::{self, Reason};

/// The reading credential is waited for so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// A host takes a connection within this, or is not there.
const CONNECTS: Duration = Duration::from_secs(2);

impl Target {
    /// What it is now.
    pub(super) async fn observe(&self) -> Result<Seen, String> {
        match self {
            Self::Host(host) => Ok(of_host(host).await),
            Self::Node(acting, node) => of_node(acting, node).await,
        }
    }
}

/// `/cluster/status`, asked now.
pub(super) async fn status(acting: &Acting) -> Result<Arc<ClusterStatus>, Error> {
    let view = acting.inventory.view();
    let read = timeout(PATIENCE, view.status()).await.map_err(|_| unread(acting, "its nodes", "no answer in time"))?;
    read.map_err(|error| unread(acting, "its nodes", &error.to_string()))
}

/// `/cluster/resources`, asked now.
pub(super) async fn resources(acting: &Acting) -> Result<Arc<Resources>, Error> {
    let view = acting.inventory.view();
    let read =
        timeout(PATIENCE, view.resources()).await.map_err(|_| unread(acting, "its guests", "no answer in time"))?;
    read.map_err(|error| unread(acting, "its guests", &error.to_string()))
}

pub(super) fn unread(acting: &Acting, what: &str, why: &str) -> Error {
    let message = format!("{}: {what} could not be read, and nothing was sent: {why}", acting.name);
    Error::new(Code::PveUnreachable, message)
}

/// The guests that run on a node, by number; those too of which nobody knows whether they do, as where its `pvestatd` hangs.
pub(super) fn running(acting: &Acting, resources: &Resources, node: &str) -> Result<Vec<u64>, Error> {
    if !resources.tells_of_guests() {
        return Err(unread(acting, "its guests", "the reading credential may not see them (VM.Audit on /vms)"));
    }
    let here = resources.guests.iter().filter(|guest| &*guest.node == node && guest.identity.template != Some(true));
    Ok(here.filter(|guest| guest.status.as_deref() != Some("stopped")).map(|guest| guest.identity.vmid).collect())
}

/// Fails where the reading credential may not see every guest: those it does not see may run.
pub(super) async fn sees_all_guests(acting: &Acting) -> Result<(), Error> {
    let told = timeout(PATIENCE, acting.inventory.client().get("/access/permissions")).await;
    let told = told.map_err(|_| unread(acting, "the rights of its reading credential", "no answer in time"))?;
    let held = told.and_then(|answer| pve::permissions(&answer));
    let held = held.map_err(|error| unread(acting, "the rights of its reading credential", &error.to_string()))?;
    if held.held("VM.Audit", "/vms") == pve::Held::Wholly {
        return Ok(());
    }
    let why =
        "the reading credential may not see all of them (VM.Audit on /vms); grant it, or say \"allow_running\": true";
    Err(unread(acting, "its guests", why))
}

/// How long a node has been running, in seconds; 0 where that is not told.
pub(super) fn uptime(resources: &Resources, node: &str) -> u64 {
    let uptime = resources.nodes.iter().find(|entry| entry.name == node).and_then(|entry| entry.usage.uptime.get());
    let seconds = uptime.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.map_or(0, |seconds| seconds.as_secs())
}

/// A node of a cluster.
pub(super) fn member<'s>(acting: &Acting, status: &'s ClusterStatus, node: &str) -> Result<&'s Member, Error> {
    status.members.iter().find(|member| member.name == node).ok_or_else(|| {
        let shown: String = node.chars().filter(|c| !c.is_control()).take(64).collect();
        let known: Vec<&str> = status.members.iter().map(|member| member.name.as_str()).collect();
        let message = format!("there is no node {shown:?} in {}; there are {}", acting.name, known.join(", "));
        Error::new(Code::NotFound, message)
    })
}

pub(super) fn seen(there: bool, uptime: Option<u64>) -> Seen {
    Seen { there, word: if there { "online" } else { "offline" }, uptime }
}

async fn of_node(acting: &Acting, node: &str) -> Result<Seen, String> {
    let view = acting.inventory.view();
    let (status, resources) = match timeout(PATIENCE, async { tokio::join!(view.status(), view.resources()) }).await {
        Ok(read) => read,
        Err(_) if is_only_way(acting, node) => return Ok(seen(false, None)),
        Err(_) => return Err("its state is not known: no answer in time".to_owned()),
    };
    match status {
        Ok(status) => {
            let member = status.members.iter().find(|member| member.name == node);
            let there = member.is_some_and(|member| member.online == Some(true));
            let uptime = resources.ok().map(|resources| uptime(&resources, node)).filter(|uptime| *uptime > 0);
            Ok(seen(there, uptime))
        }
        Err(error)
            if is_only_way(acting, node)
                && matches!(error.reason, Reason::Unreachable(_) | Reason::Broken(_) | Reason::Timeout(_)) =>
        {
            Ok(seen(false, None))
        }
        Err(error) => Err(format!("its state is not known: {error}")),
    }
}

/// Whether nobody but the node itself can be asked: where it does not answer, it is gone.
pub(super) fn is_only_way(acting: &Acting, node: &str) -> bool {
    acting.inventory.client().endpoints().iter().all(|endpoint| endpoint.node.as_deref() == Some(node))
}

async fn of_host(host: &Host) -> Seen {
    let over_ssh = (host.ssh.is_some() || host.power.is_some()).then_some(host.address.port());
    let ports = over_ssh.into_iter().chain(host.services.iter().map(|service| service.port));
    for port in ports {
        let connecting = async { TcpStream::connect(&*lookup(host.address.host(), port).await?).await };
        if matches!(timeout(CONNECTS, connecting).await, Ok(Ok(_))) {
            return Seen { there: true, word: "up", uptime: None };
        }
    }
    Seen { there: false, word: "down", uptime: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uptime_of_a_node_is_whole_or_nothing() {
        let told = Resources::read(
            r#"{"data":[{"type":"node","node":"a","status":"online","uptime":12.7},{"type":"node","node":"b","status":"offline","uptime":9}]}"#,
        );
        assert_eq!((uptime(&told, "a"), uptime(&told, "b"), uptime(&told, "c")), (12, 0, 0));
    }
}
