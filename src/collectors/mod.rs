//! One file per subject: what it reads, what it says. Name of file = name of collector = config key = label value.
//!
//! A collector's file reads: doc with the line to try by hand → `COLLECTOR` → its work (the only await) → `families`
//! (pure) → tests. Adding one is a file and a line in [`ALL`].
//!
//! The fast lane is told anew at each scrape from calls that cost the same for any number of guests. Everything else is
//! in the slow lane: asked in the background because scrapes want it, kept for a while, told with its age. Hosts are asked
//! over SSH at each scrape, or now and then, as these two; services are connected to.

mod allocation;
mod backup;
mod backup_coverage;
mod backup_jobs;
mod backup_volumes;
mod ceph;
mod certificate;
mod cluster;
mod cost;
mod disk;
mod guest;
mod guest_agent;
mod guest_config;
mod guest_pending;
mod guest_status;
mod ha;
mod ha_manager;
pub mod host;
mod host_smart;
mod host_updates;
mod host_zpool;
mod lock;
mod lvm;
mod network;
mod node;
mod node_load;
mod node_packages;
mod node_pressure;
mod node_status;
mod over_ssh;
mod pool;
mod qdevice;
pub mod reference;
mod replication;
mod sdn;
pub mod service;
mod services;
mod shared;
mod slow;
mod snapshot;
mod storage;
mod storage_detail;
mod subscription;
mod tasks;
#[cfg(test)]
mod testing;
mod token_expiry;
mod updates;
mod zfs;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, CollectorKey, Config, KnownCollector, Preset};
use crate::inventory::View;
use crate::metrics::{Desc, Family};
use crate::pve::Error;

pub use cost::{Size, calls_of_all, calls_per_hour, share_of_workers};
pub use over_ssh::{Failure, Heard, HostOptions, OverSsh, filters};
pub use service::{Check, Checked};
pub use slow::{Ask, Asking, Per, Slow, Subject};

/// Every collector there is, in the order of the README's table.
pub const ALL: &[&Collector] = &[
    &guest::COLLECTOR,
    &node::COLLECTOR,
    &storage::COLLECTOR,
    &cluster::COLLECTOR,
    &ha::COLLECTOR,
    &lock::COLLECTOR,
    &pool::COLLECTOR,
    &allocation::COLLECTOR,
    &node_load::COLLECTOR,
    &backup::COLLECTOR,
    &backup_coverage::COLLECTOR,
    &backup_jobs::COLLECTOR,
    &backup_volumes::COLLECTOR,
    &tasks::COLLECTOR,
    &guest_config::COLLECTOR,
    &guest_pending::COLLECTOR,
    &guest_status::COLLECTOR,
    &snapshot::COLLECTOR,
    &node_packages::COLLECTOR,
    &replication::COLLECTOR,
    &subscription::COLLECTOR,
    &qdevice::COLLECTOR,
    &node_status::COLLECTOR,
    &node_pressure::COLLECTOR,
    &services::COLLECTOR,
    &network::COLLECTOR,
    &sdn::COLLECTOR,
    &certificate::COLLECTOR,
    &updates::COLLECTOR,
    &disk::COLLECTOR,
    &zfs::COLLECTOR,
    &lvm::COLLECTOR,
    &storage_detail::COLLECTOR,
    &ceph::COLLECTOR,
    &ha_manager::COLLECTOR,
    &guest_agent::COLLECTOR,
    &token_expiry::COLLECTOR,
    &host::COLLECTOR,
    &host_updates::COLLECTOR,
    &host_smart::COLLECTOR,
    &host_zpool::COLLECTOR,
    &service::COLLECTOR,
];

/// One subject of the page.
pub struct Collector {
    /// Its name, everywhere.
    pub name: &'static str,
    /// What it tells, in a few words.
    pub about: &'static str,
    /// What the token needs so that nothing is missing.
    pub needs: &'static [Need],
    /// The API calls it reads, below `/api2/json`; what stands in braces is filled in per node or guest.
    pub calls: &'static [&'static str],
    /// The families it may bring.
    pub families: &'static [&'static Desc],
    /// The smallest preset that has it; none: it runs only where it is named, because it needs more than `PVEAuditor`, or
    /// something prepared.
    pub preset: Option<Preset>,
    /// What its table of the configuration may hold besides the keys that all of its lane have.
    pub options: &'static [CollectorKey],
    /// How it comes by them.
    pub lane: Lane,
}

/// When a collector asks.
pub enum Lane {
    /// At each scrape; collectors of one round share their calls.
    Fast(for<'a> fn(&'a View) -> Running<'a>),
    /// In the background.
    Slow(Slow),
    /// Of hosts, over SSH.
    Host(OverSsh),
    /// Of services, by connecting to them.
    Services,
}

/// A privilege on a path, as PVE's access control names them.
pub struct Need {
    /// Such as `VM.Audit`.
    pub privilege: &'static str,
    /// What was needed in its place before Proxmox VE 9, if that was another.
    pub before_9: Option<&'static str>,
    /// Such as `/vms`.
    pub path: &'static str,
}

impl Need {
    /// The privilege as a release calls it; where that is not known, as the newest does.
    pub fn privilege_in(&self, major: Option<u32>) -> &'static str {
        match self.before_9 {
            Some(before) if major.is_some_and(|major| major < 9) => before,
            _ => self.privilege,
        }
    }
}

/// A collector at work. It ends by itself: every call of a [`View`] is bounded by the view's deadline.
pub type Running<'a> = Pin<Box<dyn Future<Output = Told> + Send + 'a>>;

/// What a collector has to say; with an error, what could be had in spite of it.
pub struct Told {
    /// May be empty.
    pub families: Vec<Family>,
    /// Why not all of it is there.
    pub error: Option<Error>,
}

impl From<Result<Vec<Family>, Error>> for Told {
    fn from(result: Result<Vec<Family>, Error>) -> Self {
        match result {
            Ok(families) => Self { families, error: None },
            Err(error) => Self { families: Vec::new(), error: Some(error) },
        }
    }
}

/// The usual collector: one call, one pure function of its answer.
async fn tell<T>(call: impl Future<Output = Result<Arc<T>, Error>>, families: impl FnOnce(&T) -> Vec<Family>) -> Told {
    call.await.map(|snapshot| families(&snapshot)).into()
}

impl Collector {
    /// Whether a configuration has it run.
    pub fn is_on(&self, config: &config::Collectors) -> bool {
        config.is_on(self.name, self.preset)
    }

    /// How often it asks, and about what, in a few words such as `1 h, each node`; `ttl` is that of the configuration.
    pub fn asked(&self, ttl: Option<Duration>) -> String {
        let (own, what) = match self.lane {
            Lane::Fast(_) => (None, ""),
            Lane::Host(over_ssh) => (over_ssh.ttl, ", each host"),
            Lane::Services => (None, ", each service"),
            Lane::Slow(slow) => match slow.per {
                Per::Cluster => (Some(slow.ttl), ""),
                Per::Node => (Some(slow.ttl), ", each node"),
                Per::Guest => (Some(slow.ttl), ", each guest"),
                Per::Running => (Some(slow.ttl), ", running guests"),
                Per::RunningVms => (Some(slow.ttl), ", running VMs"),
            },
        };
        let every = own.map(|own| match ttl.unwrap_or(own).as_secs() {
            seconds if seconds % 3600 == 0 => format!("{} h", seconds / 3600),
            seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
            seconds => format!("{seconds} s"),
        });
        every.unwrap_or_else(|| "each scrape".to_owned()) + what
    }

    /// The keys that its table of the configuration may hold besides `enabled`.
    pub fn keys(&self) -> Vec<CollectorKey> {
        let lane: &[CollectorKey] = match &self.lane {
            Lane::Slow(Slow { per: Per::Guest | Per::Running | Per::RunningVms, .. }) => {
                &[CollectorKey::TTL, CollectorKey::MAX_IN_FLIGHT, CollectorKey::SELECT]
            }
            Lane::Slow(_) => &[CollectorKey::TTL, CollectorKey::MAX_IN_FLIGHT],
            Lane::Host(OverSsh { ttl: Some(_), .. }) => &[CollectorKey::TTL],
            _ => &[],
        };
        [lane, self.options].concat()
    }
}

/// The collectors that a configuration leaves on.
pub fn enabled(config: &Config) -> Vec<&'static Collector> {
    ALL.iter().filter(|collector| collector.is_on(&config.collectors)).copied().collect()
}

/// What a configuration may say of each collector.
pub fn known() -> Vec<KnownCollector> {
    let known = |collector: &&Collector| KnownCollector {
        name: collector.name,
        preset: collector.preset,
        keys: collector.keys(),
    };
    ALL.iter().map(known).collect()
}

/// The names of all collectors.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|collector| collector.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Kind;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn names_are_unique_and_fit_for_labels() {
        let names: BTreeSet<&str> = names().into_iter().collect();
        assert_eq!(names.len(), ALL.len());
        for name in names {
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        }
    }

    #[test]
    fn what_is_named_decides_and_then_the_preset() {
        let is_on = |preset, chosen, named: Option<bool>| {
            let mut config = config::Collectors { preset: chosen, ..config::Collectors::default() };
            if let Some(enabled) = named {
                let mut settings = config::CollectorSettings::default();
                settings.enabled = Some(enabled);
                config.settings.insert("guest", Arc::new(settings));
            }
            Collector { preset, ..guest::COLLECTOR }.is_on(&config)
        };
        let [minimal, default, full] = Preset::ALL;
        for (preset, chosen, named, expected) in [
            (Some(default), default, None, true),
            (Some(full), default, None, false),
            (None, default, None, false),
            (Some(default), minimal, None, false),
            (Some(minimal), minimal, None, true),
            (Some(full), full, None, true),
            (None, full, None, false),
            (Some(default), default, Some(false), false),
            (None, default, Some(true), true),
            (Some(full), minimal, Some(true), true),
        ] {
            assert_eq!(is_on(preset, chosen, named), expected, "{preset:?} {chosen:?} {named:?}");
        }
    }

    /// A permit is for one node, so what is asked with it is that node's to answer.
    #[test]
    fn who_asks_a_node_asks_no_other() {
        for collector in ALL {
            let Lane::Slow(slow) = &collector.lane else { continue };
            let of_a_node = |call: &&&str| call.starts_with("/nodes/{node}/");
            let strays = collector.calls.iter().filter(|call| (slow.per != Per::Cluster) != of_a_node(call));
            let strays: Vec<_> = strays.filter(|call| !call.starts_with("/nodes/localhost/")).collect();
            assert!(strays.is_empty(), "{}: {strays:?}", collector.name);
        }
    }

    #[test]
    fn families_keep_the_rules_of_naming() {
        let mut seen: BTreeMap<&str, &Desc> = BTreeMap::new();
        for desc in ALL.iter().flat_map(|collector| collector.families) {
            assert!(desc.name.starts_with("pve_"), "{}", desc.name);
            assert_eq!(desc.name.ends_with("_total"), desc.kind == Kind::Counter, "{}", desc.name);
            assert!(desc.help.ends_with('.') && !desc.help.contains(['\n', '\\']), "{}: {}", desc.name, desc.help);
            let first = seen.entry(desc.name).or_insert(desc);
            assert_eq!(first, desc, "two families of one name");
        }
        for (name, desc) in &seen {
            let twin = format!("{name}_total");
            assert!(desc.kind == Kind::Counter || !seen.contains_key(twin.as_str()), "{name} is twice in OpenMetrics");
        }
    }
}
