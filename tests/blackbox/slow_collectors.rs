//! Collectors of the slow lane ask for what they announce and for nothing else, and know absence from failure.

use std::path::Path;
use std::sync::Arc;

use pve_sentinel::collectors::{self, Ask, Collector, Lane, Per, Subject};
use pve_sentinel::config::{self, CollectorSettings, Env};
use pve_sentinel::inventory::{GuestKind, Inventory};
use pve_sentinel::metrics::{Family, Own};
use pve_sentinel::pve::{Client, Error, Limits, Reason, Roots};
use pve_sentinel::sim::{Certificate, Fault, Source};

use crate::support::{Cluster, recorded, recorded_body};

/// Asks as the lane does.
fn asked(cluster: &Cluster, collector: &Collector) -> Result<Vec<Family>, Error> {
    let Lane::Slow(slow) = &collector.lane else { panic!("{} is fast", collector.name) };
    let text = cluster.config("home");
    let config = config::parse(&text, Path::new("home.toml"), &Env::new(&|_| None), &[]).unwrap().config;
    let own = Arc::new(Own::new("test"));
    let limits = Limits { max_body: 1 << 20 };
    let client = Client::new(&config.clusters[0], limits, &Roots::default(), own).unwrap();
    let subject = match slow.per {
        Per::Cluster => Subject::Cluster,
        Per::Node => Subject::Node("pve-lab".into()),
        Per::Guest | Per::Running => Subject::Guest { kind: GuestKind::Qemu, vmid: 100, node: "pve-lab".into() },
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let inventory = Arc::new(Inventory::new(client));
    let resources = slow.sees_all.then(|| runtime.block_on(inventory.view().resources()).unwrap());
    let client = inventory.client();
    let place = if slow.per == Per::Cluster { client.entry_node() } else { "pve-lab".to_owned() };
    let permit = client.gate().try_enter(&place, slow.blocks).unwrap();
    let settings = CollectorSettings::default();
    runtime.block_on((slow.fetch)(&Ask::new(&inventory, &subject, &permit, &settings, resources.as_deref())))
}

fn slow_ones() -> impl Iterator<Item = &'static Collector> {
    collectors::ALL.iter().copied().filter(|collector| matches!(collector.lane, Lane::Slow(_)))
}

fn named(name: &str) -> &'static Collector {
    slow_ones().find(|collector| collector.name == name).unwrap()
}

fn targets(cluster: &Cluster) -> Vec<String> {
    let seen = cluster.sims[0].requests();
    seen.iter().map(|seen| seen.target.trim_start_matches("/api2/json").to_owned()).collect()
}

fn samples(families: &[Family]) -> usize {
    families.iter().map(|family| family.samples.iter().count()).sum()
}

fn refusal(code: u16, reason: &str) -> Fault {
    Fault::Status { code, reason: reason.to_owned(), body: format!("{{\"data\":null,\"message\":\"{reason}\\n\"}}") }
}

#[test]
fn they_ask_what_they_announce() {
    let mut count = 0;
    for collector in slow_ones() {
        let cluster = Cluster::recorded();
        let families = asked(&cluster, collector).unwrap();
        // The recorded cluster has no quorum device, and then its name is of no interest.
        let (calls, told) = if collector.name == "qdevice" { (1, false) } else { (collector.calls.len(), true) };
        let filled = |call: &&str| call.replace("{node}", "pve-lab").replace("{type}/{vmid}", "qemu/100");
        let expected: Vec<String> = collector.calls.iter().take(calls).map(filled).collect();
        assert_eq!(targets(&cluster), expected, "{}", collector.name);
        assert_eq!(samples(&families) > 0, told, "{}", collector.name);
        count += 1;
    }
    assert_eq!(count, 6);
}

#[test]
fn a_quorum_device_is_told_with_the_name_of_its_cluster() {
    let cluster = Cluster::recorded();
    let device = recorded_body("hand-made", "GET_cluster__config__qdevice.json");
    cluster.sims[0].set_fault("/cluster/config/qdevice", device);
    let families = asked(&cluster, named("qdevice")).unwrap();
    assert_eq!(targets(&cluster), ["/cluster/config/qdevice", "/cluster/status"]);
    let first = families[0].samples.iter().next().unwrap();
    assert_eq!(first.labels.as_str(), "id=\"cluster/labcluster\"");
    let own: Vec<Family> = families
        .into_iter()
        .filter(|family| named("qdevice").families.iter().any(|desc| family.desc == (*desc).into()))
        .collect();
    assert_eq!(samples(&own), 2);
}

#[test]
fn what_an_older_release_does_not_have_is_absent() {
    for name in ["node_load", "backup_coverage", "qdevice"] {
        let cluster = Cluster::recorded();
        let call = named(name).calls[0];
        cluster.sims[0].set_fault(call, refusal(501, &format!("Method 'GET {call}' not implemented")));
        assert_eq!(asked(&cluster, named(name)), Ok(Vec::new()), "{name}");
        assert_eq!(targets(&cluster), [call], "{name}");
    }
}

#[test]
fn the_last_sample_of_a_pvestatd_that_died_is_not_told() {
    let Source::Recorded(mut recorded) = recorded("pve-9.2-cluster", "GET_") else { panic!("no recordings") };
    for (date, told) in [("Fri, 20 Nov 2026 21:18:51 GMT", 16), ("Fri, 20 Nov 2026 21:18:55 GMT", 8), ("never", 16)] {
        let reply = recorded.0.get_mut("/api2/json/cluster/metrics/export").unwrap();
        reply.date = Some(date.to_owned());
        let cluster = Cluster::start(1, Source::Recorded(recorded.clone()), Certificate::Good);
        assert_eq!(samples(&asked(&cluster, named("node_load")).unwrap()), told, "{date}");
    }
}

#[test]
fn a_refusal_is_passed_on() {
    for collector in slow_ones() {
        let cluster = Cluster::recorded();
        cluster.sims[0].set_fault("/", refusal(403, "Permission check failed"));
        let error = asked(&cluster, collector).unwrap_err();
        assert_eq!(error.label(), "forbidden", "{}: {error}", collector.name);
    }
}

#[test]
fn a_guest_that_moved_is_not_found_there() {
    let cluster = Cluster::recorded();
    let words = "Configuration file 'nodes/pve-lab/qemu-server/100.conf' does not exist";
    cluster.sims[0].set_fault("/nodes/pve-lab/qemu/100/config", refusal(500, words));
    let error = asked(&cluster, named("guest_config")).unwrap_err();
    assert_eq!(error.reason, Reason::NotFoundHere(words.to_owned()));
}
