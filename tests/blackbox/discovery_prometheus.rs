//! A real Prometheus learns its targets from each list, and scrapes them as they are.

use std::time::Duration;

use pve_sentinel::sim::{GuestKind, World};

use crate::programs::Prometheus;
use crate::support::{Exporter, Machine, Simulated};

#[test]
fn every_list_gives_targets_that_need_no_relabelling() {
    let lab = Simulated::start(World::new(1, 1, 0), 1);
    // A guest by whose name we ourselves are reached: no other is asked.
    lab.world.edit(Duration::ZERO, |edit| assert!(edit.create(150, 0, GuestKind::Qemu, "localhost")));
    let machine = Machine::node();
    let exporter = Exporter::serve(&format!("{}{}", lab.cluster.config("home"), machine.host("nas")));
    let address = exporter.address;
    let mut config = "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n".to_owned();
    let guests = format!("guests?address=name&port={}", address.port());
    for (job, list) in [("clusters", "clusters"), ("hosts", "hosts"), ("guests", guests.as_str())] {
        config.push_str(&format!(
            "- job_name: {job}\n  http_sd_configs: [{{url: 'http://{address}/sd/{list}', refresh_interval: 1s}}]\n"
        ));
    }
    let mut prometheus = Prometheus::start(&config);
    for query in [
        "up{job=\"clusters\",instance=\"home\"}",
        "up{job=\"hosts\",instance=\"nas\"}",
        "up{job=\"guests\",instance=\"home-vm-150\",id=\"qemu/150\",pve_cluster=\"home\"}",
        "pve_guest_info{job=\"clusters\",instance=\"home\",cluster=\"home\",id=\"qemu/150\"}",
        "pve_guest_info{job=\"guests\",instance=\"home-vm-150\",cluster=\"home\",exported_id=\"qemu/150\"}",
        "count(node_load1{job=\"hosts\",instance=\"nas\"})",
        "count(up)",
    ] {
        let wanted = if query == "count(up)" { 3.0 } else { 1.0 };
        prometheus.wait_for(query, |value| value == wanted);
    }
}
