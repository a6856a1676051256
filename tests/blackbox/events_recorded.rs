//! What a real cluster went through is told as it was: a node is lost, the other gets its quorum back, the node returns.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use pve_sentinel::sim::{Fault, Recorded};
use serde_json::Value;

use super::events::{Fake, config, events};
use super::watch::look;
use crate::support::{Cluster, Exporter, Page, repository};

const TASKS: &str = "/cluster/tasks";

/// The cluster answers as it was recorded at this time; without one, as it does when nothing is wrong.
fn turn_to(cluster: &Cluster, stage: Option<&str>) {
    let sim = &cluster.sims[0];
    let Some(stage) = stage else { return sim.clear_faults() };
    let folder = repository().join("tests/fixtures/pve-9.2-node-lost");
    let mut replies = Recorded::load(&folder, &format!("{stage}_GET_cluster__")).unwrap().0;
    let tasks = replies.remove(&format!("/api2/json{TASKS}")).unwrap();
    for (path, reply) in replies {
        sim.set_fault(path.strip_prefix("/api2/json").unwrap(), Fault::Answer(reply));
    }
    sim.set_fault(TASKS, Fault::Answer(tasks));
}

/// Without its tasks, neither the guests nor the clock of a cluster are looked at: nothing is seen of two times at once.
fn hold(cluster: &Cluster, exporter: &Exporter) {
    let failed = || {
        let page = Page::parse(&exporter.page("/metrics?collect[]=process"));
        let requests = page.samples["pve_sentinel_api_requests_total"].clone().into_iter();
        let failed = requests.filter(|(labels, _)| labels["path"] == TASKS && labels["outcome"] != "ok");
        failed.map(|(_, count)| count).sum::<f64>()
    };
    let (before, started) = (failed(), Instant::now());
    let fault = Fault::Status { code: 500, reason: "not now".to_owned(), body: String::new() };
    cluster.sims[0].set_fault(TASKS, fault);
    while failed() <= before {
        assert!(started.elapsed() < Duration::from_secs(60), "never asked: {}", exporter.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn told(exporter: &Exporter, since: u64) -> (Vec<String>, u64) {
    let answer = events(exporter, &format!("?since={since}"));
    let text = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let events = answer["events"].as_array().unwrap().iter();
    let told = events.map(|event| format!("{} {} {}", text(event, "kind"), text(event, "id"), text(event, "state")));
    (told.collect(), answer["next"].as_u64().unwrap())
}

#[test]
fn the_recorded_loss_of_a_node_is_told_as_it_was() {
    let (cluster, folder, fake) = (Cluster::recorded(), tempfile::tempdir().unwrap(), Fake::start());
    let config = config(folder.path(), &cluster, &format!("{{ url = \"http://{}/prefix\" }}", fake.address));
    let config = config.replace("[events]\n", "[events]\ninterval = \"1s\"\n");
    let (mut exporter, mut next) = (None, 0);
    let stages: [(Option<&str>, &[&str]); 6] = [
        (Some("noquorum_early"), &["quorum_lost cluster/home began", "node_lost node/pve-lab2 began"]),
        (Some("noquorum"), &[]),
        (Some("node2down_quorate"), &["quorum_regained cluster/home occurred", "quorum_lost cluster/home ended"]),
        (Some("node2down_quorate_after_1min"), &[]),
        (Some("node2down_6min"), &["task_failed qemu/101 occurred"]),
        (None, &["node_returned node/pve-lab2 occurred", "node_lost node/pve-lab2 ended"]),
    ];
    for (stage, expected) in stages {
        if let Some(exporter) = &exporter {
            hold(&cluster, exporter);
        }
        turn_to(&cluster, stage);
        let exporter = exporter.get_or_insert_with(|| Exporter::serve(&config));
        look(exporter);
        let (found, last) = told(exporter, next);
        assert_eq!(found, expected, "{stage:?}");
        next = last;
    }
    let names = || {
        let alerts = fake.accepted();
        let name = |alert: &Value| format!("{} {}", alert["labels"]["alertname"], alert["labels"]["id"]);
        alerts.iter().map(name).collect::<BTreeSet<_>>()
    };
    fake.wait("all that is told", |_| names().len() >= 3);
    let expected = ["PVENodeLost node/pve-lab2", "PVEQuorumLost cluster/home", "PVETaskFailed qemu/101"];
    assert_eq!(names().into_iter().map(|name| name.replace('"', "")).collect::<Vec<_>>(), expected);
}
