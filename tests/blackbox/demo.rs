//! `demo`: the same page from a living, simulated cluster, without any setup.

use crate::support::{Exporter, Page, binary, write_private};

fn demo(arguments: &[&str]) -> Exporter {
    let mut command = binary();
    command.args(["demo", "--web.listen-address", "127.0.0.1:0"]).args(arguments);
    Exporter::start(command, None)
}

#[test]
fn a_demo_needs_nothing_and_says_what_to_do() {
    let demo = demo(&[]);
    let said = demo.wait_for_stdout("Ctrl-C");
    for words in
        [format!("http://{}/metrics", demo.address), format!("targets: ['{}']", demo.address), "scrape_configs:".into()]
    {
        assert!(said.contains(&words), "{words}:\n{said}");
    }
    let page = Page::parse(&demo.page("/metrics"));
    assert!(page.samples["pve_scrape_collector_success"].values().all(|value| *value == 1.0));
    assert_eq!(page.samples["pve_node_info"].len(), 3);
    assert_eq!(page.samples["pve_guest_info"].len(), 40);
    let kinds = |kind| page.samples["pve_guest_info"].keys().filter(|labels| labels["type"] == kind).count();
    assert!(kinds("qemu") > 0 && kinds("lxc") > 0);
    assert!(page.samples["pve_guest_info"].keys().any(|labels| labels["template"] == "1"));
    // The nodes are hosts, and tell all that is asked.
    let first = &page.samples["node_cpu_seconds_total"];
    assert!(
        page.samples["pve_host_ssh_up"].len() == 3 && page.samples["pve_host_ssh_up"].values().all(|up| *up == 1.0)
    );
    let sections = &page.samples["node_scrape_collector_success"];
    let silent: Vec<_> = sections.iter().filter(|(_, success)| **success == 0.0).collect();
    assert!(silent.is_empty(), "{silent:?}\n{}", demo.log());
    for family in [
        "node_load1",
        "node_memory_MemAvailable_bytes",
        "node_filesystem_avail_bytes",
        "node_hwmon_temp_celsius",
        "node_network_receive_bytes_total",
        "node_disk_written_bytes_total",
        "node_uname_info",
        "node_pressure_cpu_waiting_seconds_total",
    ] {
        assert!(page.samples.contains_key(family), "{family}");
    }
    let host = Page::parse(&demo.page("/host?target=demo-pve1"));
    for (labels, seconds) in &host.samples["node_cpu_seconds_total"] {
        let before = first.iter().find(|(known, _)| {
            known["host"] == "demo-pve1" && labels.iter().all(|(name, value)| known.get(name) == Some(value))
        });
        assert!(before.is_some_and(|(_, before)| before <= seconds), "{labels:?}");
    }
    for family in ["pve_storage_info", "pve_pool_member_info", "pve_ha_state", "pve_cluster_info"] {
        assert!(page.samples.contains_key(family), "{family}");
    }
}

#[test]
fn what_takes_long_is_told_of_the_nodes_too() {
    let demo = demo(&["--nodes", "2"]);
    let started = std::time::Instant::now();
    let families = ["pve_host_package_updates_pending", "pve_host_disk_temperature_celsius", "pve_host_zpool_scanning"];
    loop {
        let page = Page::parse(&demo.page("/metrics"));
        if families.iter().all(|family| page.samples.get(*family).is_some_and(|series| series.len() == 2)) {
            break;
        }
        assert!(started.elapsed().as_secs() < 60, "{}", demo.log());
        std::thread::yield_now();
    }
    assert!(!demo.log().contains("does not tell"), "{}", demo.log());
}

#[test]
fn the_size_is_an_argument() {
    let demo = demo(&["--nodes", "1", "--guests", "5", "--seed", "3"]);
    let page = Page::parse(&demo.page("/metrics"));
    assert_eq!((page.samples["pve_node_info"].len(), page.samples["pve_guest_info"].len()), (1, 5));
    assert!(!page.samples.contains_key("pve_cluster_info"), "a stand-alone node");
}

/// The configuration that it prints is a real one: another exporter serves the same cluster with it.
#[test]
fn the_printed_configuration_works() {
    let demo = demo(&[]);
    let said = demo.wait_for_stdout("Ctrl-C");
    let start = said.find("[[clusters]]").expect("a configuration");
    let config: String =
        said[start..].lines().take_while(|line| !line.trim().is_empty()).map(|line| format!("{line}\n")).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    write_private(&file, &config);
    let mut command = binary();
    command.arg("serve").arg("--config.file").arg(&file).args(["--web.listen-address", "127.0.0.1:0"]);
    let second = Exporter::start(command, Some(folder));
    let names = |exporter: &Exporter| {
        Page::parse(&exporter.page("/metrics")).samples["pve_guest_info"]
            .keys()
            .map(|labels| labels["name"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&demo), names(&second));
}

#[test]
fn a_demo_tells_an_alertmanager_and_leaves_nothing_behind() {
    let mut demo = demo(&["--alertmanager", "http://127.0.0.1:1/am"]);
    let said = demo.wait_for_stdout("Ctrl-C");
    assert!(said.contains("[events]\nalertmanagers = [{ url = \"http://127.0.0.1:1/am\" }]"), "{said}");
    let folder = said.split("state_dir = \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
    assert!(std::path::Path::new(&folder).join("events.journal").exists(), "{folder}");
    demo.terminate();
    assert!(demo.wait().success());
    assert!(!std::path::Path::new(&folder).exists(), "{folder}");
}
