//! What hosts are asked now and then: never before the quick question, never two at once, and only where it is wanted.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pve_sentinel::sim::{SshFault, SshReply};

use crate::support::{Cluster, Exporter, Machine, Page, recorded_host};

const SUCCESS: &str = "pve_scrape_collector_success";
const AGE: &str = "pve_scrape_collector_age_seconds";
const ALL: &str = "[collectors]\nhost_smart = true\nhost_zpool = { enabled = true }\n";

/// A machine, and the questions that it was asked.
fn machine() -> (Machine, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let heard = Arc::clone(&asked);
    let machine = Machine::answering(move |line| {
        let mode = line.strip_prefix("sh -s -- ").unwrap_or(line);
        heard.lock().unwrap().push(mode.to_owned());
        let name = match mode {
            "smart" => "disks.smart",
            "zpool" => "pools.zpool",
            "updates" => "debian.updates",
            _ => "pve-node.probe",
        };
        SshReply { stdout: recorded_host(name), ..SshReply::default() }
    });
    (machine, asked)
}

fn serve(cluster: &Cluster, machine: &Machine, more: &str) -> Exporter {
    Exporter::serve(&format!("{}{}{more}", cluster.config("home"), machine.host("nas")))
}

/// The page as soon as these collectors have spoken on it.
fn told(exporter: &Exporter, path: &str, collectors: &[&str]) -> Page {
    let started = Instant::now();
    loop {
        let page = Page::parse(&exporter.page(path));
        if collectors.iter().all(|name| page.value(SUCCESS, &[("collector", name)]).is_some()) {
            return page;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{}", exporter.log());
        std::thread::yield_now();
    }
}

#[test]
fn what_takes_long_comes_with_a_later_scrape_and_is_kept() {
    let (cluster, (machine, asked)) = (Cluster::recorded(), machine());
    let exporter = serve(&cluster, &machine, ALL);
    let first = Page::parse(&exporter.page("/metrics"));
    assert_eq!(first.value("pve_host_ssh_up", &[("host", "nas")]), Some(1.0));
    let names = ["host_updates", "host_smart", "host_zpool"];
    let page = told(&exporter, "/metrics", &names);
    for name in names {
        let labels = [("collector", name), ("host", "nas")];
        assert_eq!(page.value(SUCCESS, &labels), Some(1.0), "{name}");
        assert!(page.value(AGE, &labels).is_some_and(|age| age < 60.0), "{name}");
    }
    for (family, labels) in [
        ("pve_host_package_updates_pending", &[("host", "nas")][..]),
        ("pve_host_disk_smart_healthy", &[("host", "nas"), ("device", "sda")]),
        ("pve_host_zpool_data_errors", &[("host", "nas"), ("zpool", "rpool")]),
    ] {
        assert!(page.value(family, labels).is_some(), "{family}");
    }
    let section = |name| page.value("node_scrape_collector_success", &[("collector", name), ("host", "nas")]);
    // One of the recorded disks cannot be asked.
    assert_eq!((section("updates"), section("smart"), section("zpool")), (Some(1.0), Some(0.0), Some(1.0)));

    // The host's own page has the same, without asking again.
    let own = Page::parse(&exporter.page("/host?target=nas"));
    assert_eq!(own.value("pve_host_package_updates_pending", &[]), Some(3.0));
    assert!(own.value(AGE, &[("collector", "host_zpool")]).is_some());
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked[0], "probe", "{asked:?}");
    for mode in ["updates", "smart", "zpool"] {
        assert_eq!(asked.iter().filter(|asked| *asked == mode).count(), 1, "{asked:?}");
    }
    assert_eq!(machine.sim.seen().connections, 1, "all of it on one connection");
    assert_eq!(exporter.log().matches("the host does not tell everything").count(), 1, "{}", exporter.log());
}

#[test]
fn nobody_is_asked_for_what_the_configuration_does_not_name() {
    let (cluster, (machine, asked)) = (Cluster::recorded(), machine());
    let exporter = serve(&cluster, &machine, "[collectors]\n");
    told(&exporter, "/metrics", &["host_updates"]);
    assert_eq!(exporter.get("/metrics?collect[]=host_smart").status, 400);
    let off = serve(&cluster, &machine, "[collectors]\nhost_updates = false\n");
    off.page("/metrics");
    let modes = asked.lock().unwrap().iter().filter(|mode| *mode != "probe").cloned().collect::<Vec<_>>();
    assert_eq!(modes, ["updates"]);

    // Alone, it needs no probe.
    let before = asked.lock().unwrap().len();
    let page = told(&serve(&cluster, &machine, ALL), "/metrics?collect[]=host_zpool", &["host_zpool"]);
    assert!(page.samples.contains_key("pve_host_zpool_data_errors") && !page.samples.contains_key("node_load1"));
    assert_eq!(asked.lock().unwrap()[before..], ["zpool"]);
}

#[test]
fn a_slow_question_that_hangs_delays_no_page_and_no_other_is_asked_meanwhile() {
    let (cluster, (machine, asked)) = (Cluster::recorded(), machine());
    let exporter = serve(&cluster, &machine, ALL);
    machine.set_fault(SshFault::HangInCommand);
    let hung = Page::parse(&exporter.page("/metrics?collect[]=host_smart&collect[]=host_zpool"));
    assert!(!hung.samples.contains_key(SUCCESS), "nothing was answered");
    let started = Instant::now();
    while machine.sim.seen().hung == 0 {
        assert!(started.elapsed() < Duration::from_secs(60), "{}", exporter.log());
        exporter.page("/metrics?collect[]=host_smart&collect[]=host_zpool");
    }
    machine.set_fault(SshFault::None);
    for _ in 0..3 {
        let page = Page::parse(&exporter.page("/metrics?collect[]=host&collect[]=host_smart&collect[]=host_zpool"));
        assert_eq!(page.value("pve_host_ssh_up", &[("host", "nas")]), Some(1.0), "{}", exporter.log());
    }
    assert_eq!(*asked.lock().unwrap(), ["probe", "probe", "probe"], "the second question waits for the first");
    assert_eq!(machine.sim.seen().commands, 4);
}

#[test]
fn a_host_that_does_not_answer_is_asked_nothing_more() {
    let (cluster, (machine, asked)) = (Cluster::recorded(), machine());
    machine.set_fault(SshFault::RefuseCommand);
    let exporter = serve(&cluster, &machine, ALL);
    for _ in 0..3 {
        let page = Page::parse(&exporter.page("/metrics"));
        assert_eq!(page.value(SUCCESS, &[("collector", "host"), ("host", "nas")]), Some(0.0));
        assert_eq!(page.value(SUCCESS, &[("collector", "host_smart"), ("host", "nas")]), None);
    }
    assert_eq!(machine.sim.seen().commands, 3, "the three probes");
    machine.set_fault(SshFault::None);
    told(&exporter, "/metrics", &["host_updates", "host_smart", "host_zpool"]);
    assert_eq!(asked.lock().unwrap()[0], "probe");
}
