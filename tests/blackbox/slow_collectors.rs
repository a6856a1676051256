//! Collectors of the slow lane ask for what they announce and for nothing else, and know absence from failure.

use std::path::Path;
use std::sync::Arc;

use pve_sentinel::collectors::{self, Ask, Collector, Lane, Per, Subject};
use pve_sentinel::config::{self, Config, Env};
use pve_sentinel::inventory::{GuestKind, Inventory};
use pve_sentinel::metrics::{Family, Own};
use pve_sentinel::pve::{Client, Error, Limits, Reason, Roots};
use pve_sentinel::sim::{Certificate, Fault, Source};

use tokio::runtime::Runtime;

use crate::support::{Cluster, recorded, recorded_body};

/// Asks as the lane does.
fn asked(cluster: &Cluster, collector: &Collector) -> Result<Vec<Family>, Error> {
    asked_with(cluster, collector, "")
}

/// The same with a table of `[collectors]`.
pub fn asked_with(cluster: &Cluster, collector: &Collector, table: &str) -> Result<Vec<Family>, Error> {
    asked_in_turn(cluster, &[collector], table).pop().unwrap()
}

/// One after the other, so that each may have learned from those before.
fn asked_in_turn(cluster: &Cluster, collectors: &[&Collector], table: &str) -> Vec<Result<Vec<Family>, Error>> {
    let text = format!("{}\n{table}\n", cluster.config("home"));
    let env = Env::new(&|_| None);
    let config = config::parse(&text, Path::new("home.toml"), &env, &collectors::known()).unwrap().config;
    let own = Arc::new(Own::new("test"));
    let limits = Limits { max_body: 1 << 20 };
    let client = Client::new(&config.clusters[0], limits, &Roots::default(), own).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let inventory = Arc::new(Inventory::new(client));
    let asked = |collector: &&Collector| asked_once(&runtime, &inventory, &config, collector);
    collectors.iter().map(asked).collect()
}

fn asked_once(
    runtime: &Runtime,
    inventory: &Arc<Inventory>,
    config: &Config,
    collector: &Collector,
) -> Result<Vec<Family>, Error> {
    let Lane::Slow(slow) = &collector.lane else { panic!("{} is fast", collector.name) };
    let subject = match slow.per {
        Per::Cluster => Subject::Cluster,
        Per::Node => Subject::Node("pve-lab".into()),
        Per::Guest | Per::Running | Per::RunningVms => {
            Subject::Guest { kind: GuestKind::Qemu, vmid: 100, node: "pve-lab".into() }
        }
    };
    let resources = slow.sees_all.then(|| runtime.block_on(inventory.view().resources()).ok()).flatten();
    let client = inventory.client();
    let place = if slow.per == Per::Cluster { client.entry_node() } else { "pve-lab".to_owned() };
    let permit = client.gate().try_enter(&place, slow.blocks).unwrap();
    let settings = config.collectors.of(collector.name);
    runtime.block_on((slow.fetch)(&Ask::new(inventory, &subject, &permit, &settings, resources.as_deref())))
}

fn slow_ones() -> impl Iterator<Item = &'static Collector> {
    collectors::ALL.iter().copied().filter(|collector| matches!(collector.lane, Lane::Slow(_)))
}

fn named(name: &str) -> &'static Collector {
    slow_ones().find(|collector| collector.name == name).unwrap()
}

fn targets(cluster: &Cluster) -> Vec<String> {
    let seen = cluster.sims[0].requests();
    // Those that want to know all guests are given them.
    let own = seen.iter().filter(|seen| !seen.target.ends_with("/cluster/resources"));
    own.map(|seen| seen.target.trim_start_matches("/api2/json").to_owned()).collect()
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
        if collector.name == "backup_volumes" {
            let volumes = "GET_nodes__pve-lab__storage__pbs__content__content=backup.json";
            cluster.sims[0].set_fault("/nodes/pve-lab/storage/local/content", recorded_body("hand-made", volumes));
        }
        let families = asked(&cluster, collector).unwrap();
        let (calls, told) = match collector.name {
            // The recorded cluster has none of these, and then the rest is of no interest.
            "qdevice" | "sdn" | "zfs" | "lvm" | "ceph" => (1, false),
            // Nor has it backups, or tasks that run.
            "backup" | "tasks" => (1, false),
            // These calls were not recorded.
            "guest_agent" | "token_expiry" => (collector.calls.len(), false),
            // SMART is asked of each disk only where that is wished.
            "disk" => (1, true),
            _ => (collector.calls.len(), true),
        };
        let filled = |call: &&str| {
            call.replace("{node}", "pve-lab")
                .replace("{type}", "qemu")
                .replace("{vmid}", "100")
                .replace("{storage}", "local")
                .replace("{since}", "0")
                .replace("{start}", "0")
        };
        let expected: Vec<String> = collector.calls.iter().take(calls).map(filled).collect();
        assert_eq!(targets(&cluster), expected, "{}", collector.name);
        assert_eq!(samples(&families) > 0, told, "{}", collector.name);
        count += 1;
    }
    assert_eq!(count, slow_ones().count());
}

/// The recorded cluster with what was made by hand in place of what it does not have.
fn completed() -> Cluster {
    let Source::Recorded(mut replies) = recorded("pve-9.2-cluster", "GET_") else { panic!("no recordings") };
    let Source::Recorded(hand_made) = recorded("hand-made", "GET_") else { panic!("nothing made by hand") };
    replies.0.extend(hand_made.0);
    Cluster::start(1, Source::Recorded(replies), Certificate::Good)
}

#[test]
fn disks_pools_and_ceph_are_told_where_they_are() {
    let smart = "[collectors.disk]\nsmart = true";
    for (name, table, expected, told) in [
        ("disk", "", &["/nodes/pve-lab/disks/list"][..], 11),
        (
            "disk",
            smart,
            &[
                "/nodes/pve-lab/disks/list",
                "/nodes/pve-lab/disks/smart?disk=/dev/nvme0n1",
                "/nodes/pve-lab/disks/smart?disk=/dev/sda",
                "/nodes/pve-lab/disks/smart?disk=/dev/sdb",
            ],
            15,
        ),
        (
            "zfs",
            "",
            &[
                "/nodes/pve-lab/disks/zfs",
                "/nodes/pve-lab/time",
                "/nodes/pve-lab/disks/zfs/tank",
                "/nodes/pve-lab/disks/zfs/rpool",
            ],
            24,
        ),
        ("lvm", "", &["/nodes/pve-lab/disks/lvmthin"], 5),
        ("ceph", "", &["/cluster/ceph/status", "/nodes/localhost/ceph/osd", "/nodes/localhost/ceph/pool"], 63),
        (
            "ceph",
            "[collectors.ceph]\nobjects = true",
            &[
                "/cluster/ceph/status",
                "/nodes/localhost/ceph/osd",
                "/nodes/localhost/ceph/pool",
                "/nodes/localhost/ceph/pool/.mgr/status?verbose=1",
                "/nodes/localhost/ceph/pool/vms/status?verbose=1",
            ],
            67,
        ),
    ] {
        let cluster = completed();
        let families = asked_with(&cluster, named(name), table).unwrap();
        assert_eq!(targets(&cluster), expected, "{name}");
        assert_eq!(samples(&families), told, "{name} {table}");
    }
}

#[test]
fn what_one_pool_cannot_tell_hides_nothing_of_the_others() {
    let cluster = completed();
    let words = "command '/sbin/zpool status -P tank' failed: exit code 1";
    cluster.sims[0].set_fault("/nodes/pve-lab/disks/zfs/tank", refusal(500, words));
    let families = asked(&cluster, named("zfs")).unwrap();
    let states = families.iter().find(|family| family.desc.view().name == "pve_zfs_pool_state").unwrap();
    assert_eq!(states.samples.iter().count(), 2, "the list tells of both");
    let scans = families.iter().find(|family| family.desc.view().name == "pve_zfs_pool_scanning").unwrap();
    assert_eq!(scans.samples.iter().count(), 1, "and zpool status of one");
}

#[test]
fn what_endpoints_show_is_told_as_they_show_it() {
    let cluster = Cluster::recorded();
    let families = asked(&cluster, named("certificate")).unwrap();
    let told = lines(&families);
    let shown: Vec<&String> = told.iter().filter(|line| line.starts_with("pve_endpoint_certificate_")).collect();
    let [line] = shown.as_slice() else { panic!("{shown:?}") };
    let address = format!("{{endpoint=\"{}\"}} ", cluster.sims[0].url());
    let (_, end) = line.split_once(&address).unwrap_or_else(|| panic!("{line}"));
    assert!(end.parse::<f64>().unwrap() > 1.8e9, "{line}");
}

#[test]
fn no_zfs_and_no_ceph_are_no_failure() {
    for (name, words) in [
        ("zfs", "zfsutils-linux not installed"),
        ("ceph", "binary not installed: /usr/bin/ceph-mon"),
        ("ceph", "pveceph configuration not initialized"),
    ] {
        let cluster = completed();
        let call = named(name).calls[0].replace("{node}", "pve-lab");
        cluster.sims[0].set_fault(&call, refusal(500, words));
        assert_eq!(asked(&cluster, named(name)), Ok(Vec::new()), "{words}");
        cluster.sims[0].set_fault(&call, refusal(500, "got timeout"));
        assert!(asked(&cluster, named(name)).is_err(), "{name}: another failure is one");
    }
}

/// Which nodes these are is not known yet, so that the second may be the first under another name, and is not asked.
#[test]
fn a_node_without_ceph_does_not_speak_for_one_that_was_not_asked() {
    let source = recorded("pve-9.2-cluster", "GET_");
    let cluster = Cluster::start(2, source, Certificate::Good);
    for sim in &cluster.sims {
        sim.set_fault("/cluster/ceph/status", refusal(500, "binary not installed: /usr/bin/ceph-mon"));
    }
    let error = asked(&cluster, named("ceph")).unwrap_err();
    assert!(matches!(error.reason, Reason::Busy(_)), "{error}");
    assert!(cluster.sims[1].requests().is_empty());
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
fn zones_are_told() {
    let cluster = Cluster::recorded();
    let zones = recorded_body("hand-made", "GET_nodes__pve-lab__sdn__zones.json");
    cluster.sims[0].set_fault("/nodes/pve-lab/sdn/zones", zones);
    let families = asked(&cluster, named("sdn")).unwrap();
    assert_eq!(targets(&cluster), ["/nodes/pve-lab/sdn/zones"]);
    assert_eq!(samples(&families), 4);
}

#[test]
fn what_an_older_release_does_not_have_is_absent() {
    for name in ["node_load", "backup_coverage", "qdevice", "node_pressure", "sdn", "ceph"] {
        let cluster = Cluster::recorded();
        let call = named(name).calls[0].replace("{node}", "pve-lab");
        let path = call.split('?').next().unwrap();
        cluster.sims[0].set_fault(path, refusal(501, &format!("Method 'GET {path}' not implemented")));
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
        let call = collector.calls[0].replace("{node}", "pve-lab").replace("{type}", "qemu").replace("{vmid}", "100");
        let refused = call.split(['?', '{']).next().unwrap().trim_end_matches('/');
        cluster.sims[0].set_fault(refused, refusal(403, "Permission check failed"));
        let error = asked(&cluster, collector).unwrap_err();
        assert_eq!(error.label(), "forbidden", "{}: {error}", collector.name);
    }
}

#[test]
fn what_stands_or_falls_with_the_guests_is_not_asked_without_them() {
    for name in ["backup", "backup_coverage", "backup_jobs", "backup_volumes"] {
        let cluster = Cluster::recorded();
        cluster.sims[0].set_fault("/cluster/resources", refusal(500, "no"));
        let error = asked(&cluster, named(name)).unwrap_err();
        // What was told before stands then, and it is asked again.
        assert!(matches!(error.reason, Reason::Busy(_)), "{name}: {error}");
        assert!(targets(&cluster).is_empty(), "{name}");
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

fn lines(families: &[Family]) -> Vec<String> {
    let line = |family: &Family, labels: &str, value: f64| format!("{}{{{labels}}} {value}", family.desc.view().name);
    families
        .iter()
        .flat_map(|family| family.samples.iter().map(|sample| line(family, sample.labels.as_str(), sample.value)))
        .collect()
}

#[test]
fn an_agent_is_asked_for_all_it_can_tell_and_no_more_once_it_is_silent() {
    const AGENT: &str = "/nodes/pve-lab/qemu/100/agent";
    let cluster = Cluster::recorded();
    for call in ["get-fsinfo", "get-time"] {
        let file = format!("GET_nodes__pve-lab__qemu__100__agent__{call}.json");
        cluster.sims[0].set_fault(&format!("{AGENT}/{call}"), recorded_body("hand-made", &file));
    }
    let told = lines(&asked(&cluster, named("guest_agent")).unwrap());
    assert!(told.contains(&"pve_guest_agent_up{id=\"qemu/100\"} 1".to_owned()), "{told:#?}");
    assert_eq!(told.iter().filter(|line| line.starts_with("pve_guest_filesystem_used_bytes{")).count(), 2);

    for (words, expected) in [
        ("QEMU guest agent is not running", vec!["pve_guest_agent_up{id=\"qemu/100\"} 0"]),
        ("No QEMU guest agent configured", vec![]),
    ] {
        let cluster = Cluster::recorded();
        cluster.sims[0].set_fault(AGENT, refusal(500, words));
        assert_eq!(lines(&asked(&cluster, named("guest_agent")).unwrap()), expected);
        assert_eq!(targets(&cluster), [format!("{AGENT}/get-time")], "{words}");
    }
}

#[test]
fn a_vm_that_is_known_to_have_no_agent_is_not_asked_for_one() {
    const CONFIG: &str = "/nodes/pve-lab/qemu/100/config";
    for (body, expected) in
        [(r#"{"data":{"digest":"9f","agent":"1"}}"#, 3), (r#"{"data":{"digest":"9f","agent":"enabled=0"}}"#, 0)]
    {
        let cluster = Cluster::recorded();
        cluster.sims[0].set_fault(CONFIG, Fault::Body(body.into()));
        for call in ["get-fsinfo", "get-time", "get-osinfo"] {
            let path = format!("/nodes/pve-lab/qemu/100/agent/{call}");
            cluster.sims[0].set_fault(&path, Fault::Body(r#"{"data":{"result":[]}}"#.into()));
        }
        let told = asked_in_turn(&cluster, &[named("guest_config"), named("guest_agent")], "");
        assert!(told.iter().all(Result::is_ok), "{told:?}");
        assert_eq!(targets(&cluster).len(), 1 + expected, "{body}");
    }
}

/// A guest's own doing is no fault of the collector, which tells of thousands of others.
#[test]
fn an_agent_that_talks_nonsense_is_up_and_no_failure() {
    for nonsense in ["5", r#"[1,[],"x"]"#, r#"{"id":[5]}"#, r#""full""#, "null"] {
        let cluster = Cluster::recorded();
        for call in ["get-fsinfo", "get-time", "get-osinfo"] {
            let body = format!(r#"{{"data":{{"result":{nonsense}}}}}"#);
            cluster.sims[0].set_fault(&format!("/nodes/pve-lab/qemu/100/agent/{call}"), Fault::Body(body.into()));
        }
        let told = asked(&cluster, named("guest_agent")).unwrap_or_else(|error| panic!("{nonsense}: {error}"));
        let told = lines(&told);
        assert!(told[0] == "pve_guest_agent_up{id=\"qemu/100\"} 1", "{nonsense}: {told:?}");
        assert!(told.iter().skip(1).all(|line| line.starts_with("pve_guest_clock_offset_seconds")), "{told:?}");
    }
}

#[test]
fn the_ends_of_tokens_are_told() {
    let cluster = Cluster::recorded();
    cluster.sims[0].set_fault("/access/users", recorded_body("hand-made", "GET_access__users__full=1.json"));
    assert_eq!(samples(&asked(&cluster, named("token_expiry")).unwrap()), 3);
}

#[test]
fn a_cluster_without_ha_is_asked_no_more() {
    let cluster = Cluster::recorded();
    let body = r#"{"data":[{"id":"quorum","type":"quorum","node":"pve-lab","quorate":1,"status":"OK"}]}"#;
    cluster.sims[0].set_fault("/cluster/ha/status/current", Fault::Body(body.into()));
    assert_eq!(asked(&cluster, named("ha_manager")), Ok(Vec::new()));
    assert_eq!(targets(&cluster), ["/cluster/ha/status/current"]);
}
