//! Pools: which guest belongs to which, and sums over running guests. Try: `pvesh get /cluster/resources`

use super::shared::Column;
use super::{Collector, Lane, Need, tell};
use crate::config::Preset;
use crate::inventory::{Figure, Resources};
use crate::metrics::{Desc, Family, Kind, Labels, Table};

/// Names of their own, so that sums over guests never count a guest twice.
pub(super) const COLLECTOR: Collector = Collector {
    name: "pool",
    about: "CPU and memory of every pool, and which guests belong to it",
    needs: &[
        Need { privilege: "Pool.Audit", before_9: None, path: "/pool" },
        Need { privilege: "VM.Audit", before_9: None, path: "/vms" },
    ],
    calls: &["/cluster/resources"],
    families: &[&CPU_RATIO, &CPU_LIMIT, &MEMORY, &MEMORY_SIZE, &MEMBER],
    preset: Some(Preset::Minimal),
    options: &[],
    lane: Lane::Fast(|view| Box::pin(tell(view.resources(), families))),
};

static CPU_RATIO: Desc = Desc {
    name: "pve_pool_cpu_usage_ratio",
    help: "CPU in use by the running guests of the pool as a fraction of pve_pool_cpu_usage_limit, from /cluster/resources.",
    kind: Kind::Gauge,
};
static CPU_LIMIT: Desc = Desc {
    name: "pve_pool_cpu_usage_limit",
    help: "Number of CPUs of the running guests of the pool, from /cluster/resources.",
    kind: Kind::Gauge,
};
static MEMORY: Desc = Desc {
    name: "pve_pool_memory_usage_bytes",
    help: "Memory in use by the running guests of the pool, from /cluster/resources.",
    kind: Kind::Gauge,
};
static MEMORY_SIZE: Desc = Desc {
    name: "pve_pool_memory_size_bytes",
    help: "Memory assigned to the running guests of the pool, from /cluster/resources.",
    kind: Kind::Gauge,
};
static MEMBER: Desc = Desc {
    name: "pve_pool_member_info",
    help: "The pool that the guest belongs to, as last known, from /cluster/resources.",
    kind: Kind::Gauge,
};

fn families(resources: &Resources) -> Vec<Family> {
    let mut columns = [&CPU_RATIO, &CPU_LIMIT, &MEMORY, &MEMORY_SIZE].map(Column::new);
    for pool in &resources.pools {
        let labels = Labels::new(&[("id", &format!("pool/{}", pool.name))]);
        let usage = &pool.usage;
        let values = [usage.cpu_ratio, usage.cpu_limit, usage.memory, usage.memory_size].map(Figure::get);
        for (column, value) in columns.iter_mut().zip(values) {
            column.push(&labels, value);
        }
    }
    let mut members = Table::new([&MEMBER], 0);
    for guest in resources.guests.iter() {
        if let Some(pool) = &guest.identity.pool {
            members.push(&[("id", &guest.identity.id()), ("pool", &format!("pool/{pool}"))], [Some(1.0)]);
        }
    }
    columns.into_iter().map(Column::into_family).chain(members.into_families()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::lines;
    use super::*;
    use crate::inventory::{GuestList, Pool, Usage};

    #[test]
    fn a_pool_in_which_nothing_runs_has_no_figures() {
        let pool = |name: &str, memory: Option<f64>| Pool {
            name: name.into(),
            usage: Usage { memory: memory.into(), ..Usage::default() },
        };
        let resources = Resources {
            nodes: Vec::new(),
            guests: GuestList::default(),
            storages: Vec::new(),
            pools: vec![pool("idle", None), pool("prod", Some(3.0))],
        };
        assert_eq!(lines(&families(&resources)), [r#"pve_pool_memory_usage_bytes{id="pool/prod"} 3"#]);
    }
}
