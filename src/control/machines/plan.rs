//! What an order would come to: the guards of nodes are here.

use std::sync::Arc;

use super::super::Acting;
use super::action::{Action, Goal, Means, Way, guard_guests, guard_quorum, way_of_host, way_of_node};
use super::job::Job;
use super::settle::Seen;
use super::{Target, look, votes};
use crate::api::{Code, Error};
use crate::config::Host;
use crate::ids::SshAddress;
use crate::inventory::{ClusterStatus, Member};

/// What it comes to.
pub(super) struct Plan {
    pub(super) way: Way,
    /// Where SSH is spoken.
    pub(super) address: Option<SshAddress>,
    /// As it is, where it is so already.
    pub(super) already: Option<Seen>,
    /// How long a node has been running, in seconds; 0: not known.
    pub(super) uptime: u64,
}

impl Job {
    /// What it would come to, or what stands against it.
    pub(super) async fn plan(&self) -> Result<Plan, Error> {
        match &self.target {
            Target::Host(host) => self.plan_for_host(host).await,
            Target::Node(acting, node) => self.plan_for_node(acting, node).await,
        }
    }

    async fn plan_for_host(&self, host: &Host) -> Result<Plan, Error> {
        let action = self.wish.action;
        let way = way_of_host(action, &host.id, host.power.as_deref(), host.wake)?;
        // That a host takes no connection does not say that it sleeps: only who wakes it looks before.
        let seen = if action == Action::Wake { self.target.observe().await.ok() } else { None };
        let already = seen.filter(|seen| seen.there);
        Ok(Plan { way, address: Some(host.address.clone()), already, uptime: 0 })
    }

    async fn plan_for_node(&self, acting: &Arc<Acting>, node: &str) -> Result<Plan, Error> {
        let action = self.wish.action;
        let means = Means {
            acts: acting.writer.is_some(),
            power: acting.ssh.as_ref().and_then(|ssh| ssh.power.as_deref()),
            wake: acting.wakes.get(node).copied(),
        };
        let way = way_of_node(action, &acting.name, node, means)?;
        let status = match look::status(acting).await {
            Ok(status) => status,
            // Where nobody can be asked, it may be this one that sleeps; its card is known.
            Err(_) if matches!(way, Way::Packet(_)) => {
                return Ok(Plan { way, address: None, already: None, uptime: 0 });
            }
            Err(error) => return Err(error),
        };
        let member = look::member(acting, &status, node)?;
        let already = already(action, member)?;
        let address = address(acting, member);
        if already.is_some() || action == Action::Wake {
            return Ok(Plan { way, address, already, uptime: 0 });
        }
        let uptime = self.guard(acting, node, &status).await?;
        Ok(Plan { way, address, already: None, uptime })
    }

    /// Whether a node may go. How long it has been running, in seconds; 0: not known.
    async fn guard(&self, acting: &Acting, node: &str, status: &ClusterStatus) -> Result<u64, Error> {
        let resources = look::resources(acting).await;
        if !self.wish.allow_running {
            let resources = resources.as_ref().map_err(Clone::clone)?;
            look::sees_all_guests(acting).await?;
            guard_guests(node, &look::running(acting, resources, node)?)?;
        }
        if !self.wish.force_quorum && status.cluster.is_some() {
            let votes = votes::votes(acting.inventory.client(), status).await;
            let votes = votes.map_err(|why| look::unread(acting, "its votes", &why))?;
            guard_quorum(node, &votes, &self.books.keep.leaving.of(&acting.name))?;
        }
        Ok(resources.map_or(0, |resources| look::uptime(&resources, node)))
    }
}

/// As a node is, where it is so already.
fn already(action: Action, member: &Member) -> Result<Option<Seen>, Error> {
    let there = member.online == Some(true);
    let is_already = match action.goal() {
        Goal::Gone => !there,
        Goal::There => there,
        Goal::Again if there => false,
        Goal::Again => {
            let node = &member.name;
            let message = format!("{node} is offline, and what is not there cannot be rebooted; wake it instead");
            return Err(Error::new(Code::PveUnreachable, message));
        }
    };
    Ok(is_already.then(|| look::seen(there, None)))
}

/// Where SSH is spoken with a node.
fn address(acting: &Acting, member: &Member) -> Option<SshAddress> {
    let ssh = acting.ssh.as_ref()?;
    let told = || SshAddress::new(&member.address, ssh.port).ok();
    ssh.addresses.get(&member.name).cloned().or_else(told)
}
