//! Disks, pools, storages and Ceph of a node. Names and rights are checked by the node that is asked.

use super::super::world::World;
use super::nodes::pass_on;
use super::{Answer, Call, Parameters, Reply, audit, check_names, failed, not_implemented, ok, protected};

/// What PVE takes for the name of the node that is asked.
const HERE: &str = "localhost";

/// Answers what stands below `/nodes/N/disks` and `/nodes/N/ceph`, and `/nodes/N/storage` and `/nodes/N/time`.
pub(super) fn of_node(
    world: &World,
    call: &Call<'_>,
    parts: &[&str],
    parameters: &Parameters<'_>,
) -> Result<Answer, Reply> {
    let (now, order) = (call.now, || call.order());
    match parts {
        [node, "disks", "list"] => {
            check_names(parameters, &["include-partitions", "skipsmart", "type"])?;
            audit(call, "/", "Sys.Audit")?;
            pass_on(world, call, node, |node| protected(world.facts().disks(node, now, order())))
        }
        [node, "disks", "smart"] => {
            check_names(parameters, &["disk", "healthonly"])?;
            audit(call, "/", "Sys.Audit")?;
            let disk = parameters.iter().find(|(name, _)| *name == "disk").map_or("", |(_, disk)| disk);
            pass_on(world, call, node, |node| match world.facts().disk_smart((node, disk), now, order()) {
                Some(body) => protected(body),
                None => failed("not a valid block device"),
            })
        }
        [node, "disks", "zfs"] => {
            check_names(parameters, &[])?;
            audit(call, "/", "Sys.Audit")?;
            pass_on(world, call, node, |node| protected(world.facts().zfs_pools(node, now, order())))
        }
        [node, "disks", "zfs", pool] => {
            check_names(parameters, &[])?;
            audit(call, "/", "Sys.Audit")?;
            pass_on(world, call, node, |node| match world.facts().zfs_pool((node, pool), now, order()) {
                Some(body) => protected(body),
                None => failed("command '/sbin/zpool status -P' failed: exit code 1"),
            })
        }
        [node, "disks", "lvmthin"] => {
            check_names(parameters, &[])?;
            audit(call, "/", "Sys.Audit")?;
            pass_on(world, call, node, |node| protected(world.facts().thin_pools(node, now, order())))
        }
        [node, "storage"] => {
            check_names(parameters, &["content", "enabled", "format", "storage", "target"])?;
            let empty = !call.rights.holds("Datastore.Audit");
            let storages =
                |node| if empty { "{\"data\":[]}".to_owned() } else { world.facts().node_storages(node, now, order()) };
            pass_on(world, call, node, |node| protected(storages(node)))
        }
        [node, "time"] => {
            check_names(parameters, &[])?;
            audit(call, &format!("/nodes/{node}"), "Sys.Audit")?;
            pass_on(world, call, node, |_| ok(world.facts().clock(now, order())))
        }
        [node, "ceph", about @ ..] => ceph_of_node(world, call, (node, about), parameters),
        _ => Err(not_implemented(call)),
    }
}

/// Answers what stands below `/nodes/N/ceph`.
fn ceph_of_node(
    world: &World,
    call: &Call<'_>,
    (node, about): (&str, &[&str]),
    parameters: &Parameters<'_>,
) -> Result<Answer, Reply> {
    let (facts, now, order) = (world.facts(), call.now, || call.order());
    let names: &[&str] = if matches!(about, ["pool", _, "status"]) { &["verbose"] } else { &[] };
    let verbose = parameters.iter().any(|(name, value)| *name == "verbose" && *value == "1");
    let told = || match about {
        ["osd"] => facts.ceph_osds(now, order()),
        ["pool"] => facts.ceph_pools(now, order()),
        ["pool", pool, "status"] => facts.ceph_pool((pool, verbose), now, order()),
        _ => None,
    };
    if !matches!(about, ["osd" | "pool"] | ["pool", _, "status"]) {
        return Err(not_implemented(call));
    }
    check_names(parameters, names)?;
    audit(call, "/", "Sys.Audit|Datastore.Audit")?;
    if node == HERE {
        return Ok(ceph(world, told).into());
    }
    pass_on(world, call, node, |_| ceph(world, told))
}

/// `/cluster/ceph/status`
pub(super) fn ceph_status(world: &World, call: &Call<'_>) -> Reply {
    ceph(world, || world.facts().ceph_status(call.now, call.order()))
}

fn ceph(world: &World, told: impl Fn() -> Option<String>) -> Reply {
    if !world.facts().has_ceph() {
        return failed("binary not installed: /usr/bin/ceph-mon");
    }
    told().map_or_else(|| failed("got timeout"), protected)
}
