//! What a credential that was let in may do, and whether each collector's calls are answered.

use std::collections::BTreeMap;

use tokio::time::timeout;

use super::endpoint::CALL;
use super::line::Lines;
use crate::collectors::{Collector, Lane, Need};
use crate::config::{Cluster, Collectors, Discovery};
use crate::ids::GuestSelection;
use crate::pve::{self, Client, Error, Held, Path, Permissions, Reason};

/// One thing of each kind, to try calls with.
#[derive(Default)]
struct Samples {
    nodes: usize,
    guests: usize,
    node: Option<String>,
    guest: Option<Guest>,
    /// By collector: whether it is to ask about none of the guests.
    idle: Vec<&'static str>,
}

/// Who asks the guest agent for addresses.
const AGENT: Need = Need { privilege: "VM.GuestAgent.Audit", before_9: Some("VM.Monitor"), path: "/vms" };

struct Guest {
    node: String,
    kind: String,
    vmid: u64,
    running: bool,
}

/// Which rights there are; `None`: it could not be asked, which was told.
pub(super) async fn rights(told: &Cluster, client: &Client, lines: &mut Lines<'_>) -> Option<Permissions> {
    let identity = told.credential.identity();
    let held = match ask(client, "/access/permissions").await.and_then(|answer| pve::permissions(&answer)) {
        Ok(held) => held,
        Err(error) => {
            lines.fail("rights", error.to_string(), "");
            return None;
        }
    };
    if !held.is_empty() {
        lines.ok("rights", format!("{identity} has some on {} paths", held.paths()));
        return Some(held);
    }
    let why = match identity.contains('!') {
        true => "none: a token whose privileges are separated has only what both it and its user have",
        false => "none: lists stay empty, which looks like an empty cluster",
    };
    lines.fail("rights", format!("{identity} has {why}"), pve::grant(identity, "VM.Audit", "/"));
    Some(held)
}

/// Tries each collector.
pub(super) async fn collectors(
    told: &Cluster,
    client: &Client,
    (held, major): (&Permissions, Option<u32>),
    (enabled, settings): (&[&'static Collector], &Collectors),
    lines: &mut Lines<'_>,
) {
    let samples = match samples(client, enabled, settings).await {
        Ok(samples) => samples,
        Err(error) => {
            lines.fail("resources", error.to_string(), "");
            return;
        }
    };
    lines.ok("resources", format!("{} nodes, {} guests", samples.nodes, samples.guests));
    let mut tried: BTreeMap<&'static str, Option<Result<(), Error>>> = BTreeMap::new();
    for collector in enabled.iter().filter(|collector| matches!(collector.lane, Lane::Fast(_) | Lane::Slow(_))) {
        let lacking = lacking(told.credential.identity(), collector.needs, (held, major));
        if !lacking.is_empty() {
            let (found, advice): (Vec<String>, Vec<String>) = lacking.into_iter().unzip();
            // Who has nothing at all was told the one command for all of it.
            let advice = if held.is_empty() { String::new() } else { advice.join("\n") };
            lines.fail(collector.name, format!("lacks {}", found.join(" and ")), advice);
            continue;
        }
        let mut failed = None;
        let mut asked = 0;
        for call in collector.calls {
            if !tried.contains_key(call) {
                tried.insert(call, try_call(client, call, &samples).await);
            }
            match tried.get(call) {
                Some(Some(Ok(()))) => asked += 1,
                Some(Some(Err(error))) => failed = failed.or_else(|| Some(error.clone())),
                _ => {}
            }
        }
        let partly = partly(collector.needs, (held, major));
        match failed {
            Some(error) if error.is_unknown_call() => {
                lines.skip(collector.name, "this Proxmox VE is older than what it asks for");
            }
            Some(error) if error.is_not_set_up() => lines.skip(collector.name, "it is not set up there"),
            Some(error) => lines.fail(collector.name, error.to_string(), ""),
            None if samples.idle.contains(&collector.name) => {
                let found = format!("select names none of the {} guests", samples.guests);
                lines.warn(
                    collector.name,
                    found,
                    format!("correct collectors.{}.select, or leave it out", collector.name),
                );
            }
            None if asked == 0 => lines.skip(collector.name, "there is nothing to ask about"),
            None => match partly {
                Some(found) => lines.warn(collector.name, found, "what is elsewhere is left out without a word"),
                None => lines.ok(collector.name, "works"),
            },
        }
    }
}

/// Whether VMs can be asked for their addresses. Containers, and lists without addresses, do without.
pub(super) fn agent(
    told: &Cluster,
    discovery: &Discovery,
    (held, major): (&Permissions, Option<u32>),
    lines: &mut Lines<'_>,
) {
    let Some((found, advice)) = lacking(told.credential.identity(), &[AGENT], (held, major)).into_iter().next() else {
        match partly(&[AGENT], (held, major)) {
            Some(found) => lines.warn("agent", found, "other VMs tell no addresses"),
            None => lines.ok("agent", "works"),
        }
        return;
    };
    let found = format!("lacks {found}: VMs tell no addresses");
    let advice = if held.is_empty() { String::new() } else { advice };
    // Without these, addresses matter only where somebody asks for a list with them.
    if discovery.services.is_empty() && !discovery.address_info {
        lines.warn("agent", found, advice);
    } else {
        lines.fail("agent", found, advice);
    }
}

/// What is lacking, and the command that grants it; one for each privilege.
fn lacking(identity: &str, needs: &[Need], (held, major): (&Permissions, Option<u32>)) -> Vec<(String, String)> {
    let privileges = needs.iter().map(|need| (need.privilege_in(major), need.path));
    let lacking = privileges.filter(|(privilege, path)| held.held(privilege, path) == Held::Nowhere);
    lacking.map(|(privilege, path)| (format!("{privilege} on {path}"), pve::grant(identity, privilege, path))).collect()
}

fn partly(needs: &[Need], (held, major): (&Permissions, Option<u32>)) -> Option<String> {
    needs.iter().find_map(|need| {
        let privilege = need.privilege_in(major);
        match held.held(privilege, need.path) {
            Held::Below(paths) => Some(format!("works, with {privilege} on {paths} paths below {} only", need.path)),
            Held::Wholly | Held::Nowhere => None,
        }
    })
}

async fn ask(client: &Client, path: &'static str) -> Result<pve::Answer, Error> {
    match timeout(CALL, client.get(path)).await {
        Ok(result) => result,
        Err(_) => Err(late(client, path)),
    }
}

fn late(client: &Client, path: &str) -> Error {
    Error { endpoint: client.asked(), path: path.to_owned(), reason: Reason::Timeout(CALL) }
}

/// `None` where there is nothing to ask it about.
async fn try_call(client: &Client, call: &'static str, samples: &Samples) -> Option<Result<(), Error>> {
    let place = client.entry_node();
    // What another answer has to name first.
    let known = ["node", "type", "vmid", "since", "start"];
    if call.split('{').skip(1).any(|rest| rest.split_once('}').is_none_or(|(name, _)| !known.contains(&name))) {
        return None;
    }
    let (path, node) = if call.contains("{vmid}") {
        // Containers have no agent.
        let is_of_its_kind = |guest: &&Guest| !call.contains("/qemu/") || guest.kind == "qemu";
        let guest = samples.guest.as_ref().filter(is_of_its_kind)?;
        let vmid = guest.vmid.to_string();
        let values = [("node", &*guest.node), ("type", &guest.kind), ("vmid", &vmid)];
        (Path::new(call, &values), Some(&guest.node))
    } else if call.contains("{node}") {
        let node = samples.node.as_ref()?;
        (Path::new(call, &[("node", node), ("since", "0"), ("start", "0")]), Some(node))
    } else {
        (Path::from(call), None)
    };
    let asking = async {
        let permit = client.gate().enter(node.unwrap_or(&place), true).await;
        match node {
            Some(_) => client.get_node(&path, &permit).await,
            None => client.get_slow(&path, &permit).await,
        }
    };
    let result = timeout(CALL, asking).await.unwrap_or_else(|_| Err(late(client, path.as_str())));
    Some(result.map(drop))
}

/// The first node that is online, and a guest that is on one, a running one if there is any.
async fn samples(client: &Client, enabled: &[&'static Collector], settings: &Collectors) -> Result<Samples, Error> {
    let answer = ask(client, "/cluster/resources").await?;
    let mut samples = Samples::default();
    let settings = enabled.iter().map(|collector| (collector.name, settings.of(collector.name)));
    let mut choosy: Vec<_> = settings.filter(|(_, settings)| settings.select.is_some()).collect();
    let mut online = Vec::new();
    let mut guests = Vec::new();
    pve::resources(&answer, |entry| {
        let (kind, node) = (entry.kind.filled().unwrap_or_default(), entry.node.filled());
        let Some(node) = node.map(str::to_owned) else { return };
        match kind {
            "node" => {
                samples.nodes += 1;
                if entry.status.filled() == Some("online") {
                    online.push(node);
                }
            }
            "qemu" | "lxc" => {
                samples.guests += 1;
                if let Some(vmid) = entry.vmid.whole() {
                    let running = entry.status.filled() == Some("running");
                    let (tags, pool) = (entry.tags.filled().unwrap_or_default(), entry.pool.filled());
                    let is_named = |select: &GuestSelection| select.has(vmid, tags.split(';'), pool);
                    choosy.retain(|(_, settings)| !settings.select.as_ref().is_some_and(is_named));
                    guests.push(Guest { node, kind: kind.to_owned(), vmid, running });
                }
            }
            _ => {}
        }
    })?;
    samples.idle = choosy.into_iter().filter(|_| samples.guests > 0).map(|(name, _)| name).collect();
    guests.retain(|guest| online.contains(&guest.node));
    guests.sort_by_key(|guest| (!guest.running, guest.vmid));
    samples.guest = guests.into_iter().next();
    online.sort();
    samples.node = online.into_iter().next();
    Ok(samples)
}
