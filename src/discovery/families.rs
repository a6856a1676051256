//! What `/metrics` says of a cluster's guests as they are known.

use std::sync::{Arc, Mutex, PoisonError};

use super::cluster::Cluster;
use crate::ids::Network;
use crate::metrics::{Desc, Family, Kind, Labels, Part, Sample};

static GUESTS: Desc = Desc {
    name: "pve_discovery_guests",
    help: "How many guests of the cluster are known, without templates, from /cluster/resources.",
    kind: Kind::Gauge,
};
static LAST_SUCCESS: Desc = Desc {
    name: "pve_discovery_last_success_timestamp_seconds",
    help: "When the guests of the cluster were last read, since the Unix epoch.",
    kind: Kind::Gauge,
};
static POWER: Desc = Desc {
    name: "pve_guest_power_state_changes_total",
    help: "How often the guest was seen to be switched on or off since it was first seen; a restart is both, from /cluster/resources.",
    kind: Kind::Counter,
};
static ADDRESS: Desc = Desc {
    name: "pve_guest_address_info",
    help: "An address of the guest as it told it, with its interface, its scope and whether it is the primary one.",
    kind: Kind::Gauge,
};

/// The part of one cluster, kept while nothing else is to be told: equal pages are to be the same page.
#[derive(Default)]
pub(super) struct Teller(Mutex<Option<Kept>>);

/// Of which version it is.
type Kept = ((u64, u64), Arc<Part>);

impl Teller {
    /// With the addresses of guests where `addresses` says so.
    pub(super) fn part(&self, cluster: &Cluster, prefer: &[Network], addresses: bool) -> Arc<Part> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (answers, told) = cluster.version();
        let version = (answers, if addresses { told } else { 0 });
        if let Some((_, part)) = kept.as_ref().filter(|(of, _)| *of == version) {
            return Arc::clone(part);
        }
        let mut families = families(cluster);
        if addresses {
            families.push(address_info(cluster, prefer));
        }
        let part = Arc::new(Part { labels: Labels::new(&[("cluster", cluster.name())]), families });
        *kept = Some((version, Arc::clone(&part)));
        part
    }
}

fn families(cluster: &Cluster) -> Vec<Family> {
    let Some(at) = cluster.last_success() else { return Vec::new() };
    let state = cluster.lock();
    let one = |desc: &'static Desc, value: f64| {
        let samples = vec![Sample { labels: Labels::new(&[]), value }];
        Family { desc: desc.into(), samples: samples.into() }
    };
    let power = state.registry.guests().map(|known| Sample {
        labels: Labels::new(&[("id", &known.identity.id())]),
        value: count(known.power_changes),
    });
    let count = u32::try_from(state.registry.guests().len()).unwrap_or(u32::MAX);
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
    let at = at as f64;
    let power = Family { desc: (&POWER).into(), samples: power.collect() };
    vec![one(&GUESTS, count.into()), one(&LAST_SUCCESS, at), power]
}

fn address_info(cluster: &Cluster, prefer: &[Network]) -> Family {
    let state = cluster.lock();
    let samples = state.registry.guests().flat_map(|known| {
        let id = known.identity.id();
        let mut told = std::collections::BTreeSet::new();
        let mut addresses = cluster.addresses_of(known, prefer);
        // A guest may tell the same twice.
        addresses.retain(|address| told.insert((address.address, address.interface.clone())));
        addresses.into_iter().map(move |address| Sample {
            labels: Labels::new(&[
                ("id", &id),
                ("address", &address.address.to_string()),
                ("interface", &address.interface),
                ("scope", address.scope.as_str()),
                ("primary", if address.primary { "1" } else { "0" }),
            ]),
            value: 1.0,
        })
    });
    Family { desc: (&ADDRESS).into(), samples: samples.collect() }
}

#[expect(clippy::cast_precision_loss, reason = "nobody switches that often")]
fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptions_are_in_order() {
        assert_eq!(crate::metrics::faults(&[&GUESTS, &LAST_SUCCESS, &POWER, &ADDRESS]), Vec::<String>::new());
    }
}
