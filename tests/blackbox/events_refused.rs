//! What does not let us in any more is told while it is so: tokens, certificates, keys of hosts.

use pve_sentinel::sim::Fault;
use serde_json::Value;

use super::events::{Fake, config, events};
use super::watch::look;
use crate::support::{Cluster, Exporter, Machine};

/// A recorded cluster, an Alertmanager, and the folder between them.
struct Lab {
    cluster: Cluster,
    folder: tempfile::TempDir,
    fake: Fake,
}

impl Lab {
    fn new() -> Self {
        Self { cluster: Cluster::recorded(), folder: tempfile::tempdir().unwrap(), fake: Fake::start() }
    }

    fn config(&self) -> String {
        let member = format!("{{ url = \"http://{}/prefix\" }}", self.fake.address);
        config(self.folder.path(), &self.cluster, &member).replace("[events]\n", "[events]\ninterval = \"1s\"\n")
    }

    /// Until this was found last, and Alertmanager took the alert.
    fn wait(&self, exporter: &Exporter, kind: &str, state: &str, (alertname, id): (&str, &str)) -> Value {
        let last = || events(exporter, "?since=0")["events"].as_array().unwrap().last().cloned().unwrap_or_default();
        self.fake.wait(kind, |_| (last()["kind"].as_str(), last()["state"].as_str()) == (Some(kind), Some(state)));
        let is_meant = |alert: &Value| alert["labels"]["alertname"] == alertname && alert["labels"]["id"] == id;
        self.fake.wait(alertname, |fake| fake.accepted().iter().any(is_meant));
        last()
    }

    /// Nothing else was told.
    fn assert_alone(&self, exporter: &Exporter, alertname: &str) {
        assert!(self.fake.accepted().iter().all(|alert| alert["labels"]["alertname"] == alertname));
        let found = events(exporter, "?since=0");
        assert_eq!(found["events"].as_array().unwrap().len(), 2, "{found}");
    }
}

#[test]
fn a_token_that_is_rejected_is_told_until_it_is_accepted() {
    let lab = Lab::new();
    let exporter = Exporter::serve(&lab.config());
    look(&exporter);
    let fault = Fault::Status { code: 401, reason: "authentication failure".to_owned(), body: String::new() };
    lab.cluster.sims[0].set_fault("", fault);
    let alert = ("PVETokenRejected", "cluster/home");
    lab.wait(&exporter, "token_rejected", "began", alert);
    lab.cluster.sims[0].clear_faults();
    lab.wait(&exporter, "token_rejected", "ended", alert);
    lab.assert_alone(&exporter, "PVETokenRejected");
}

#[test]
fn a_certificate_that_is_refused_is_told_until_its_pin_is_right() {
    let lab = Lab::new();
    let right = lab.config();
    let pin = lab.cluster.sims[0].fingerprint().to_string();
    let other = if pin.starts_with("00") { "FF" } else { "00" };
    let wrong = right.replace(&pin, &format!("{other}{}", &pin[2..]));
    assert_ne!(wrong, right);
    let exporter = Exporter::serve(&wrong);
    let id = format!("endpoint/{}", lab.cluster.sims[0].url().strip_prefix("https://").unwrap());
    let alert = ("PVECertificateRefused", id.as_str());
    let event = lab.wait(&exporter, "certificate_refused", "began", alert);
    assert!(event["description"].as_str().unwrap().contains("fingerprint"), "{event}");
    exporter.rewrite(&right);
    exporter.hang_up(1);
    lab.wait(&exporter, "certificate_refused", "ended", alert);
    lab.assert_alone(&exporter, "PVECertificateRefused");
}

#[test]
fn a_host_key_that_changed_is_told_until_it_is_known() {
    let (lab, machine, stranger) = (Lab::new(), Machine::node(), Machine::node());
    let port = |machine: &Machine| format!(":{}", machine.sim.address().port());
    let exporter = Exporter::serve(&format!("{}{}", lab.config(), machine.host("nas")));
    look(&exporter);
    machine.know(&stranger.line().replace(&port(&stranger), &port(&machine)));
    exporter.page("/metrics?collect[]=host");
    let alert = ("PVEHostKeyChanged", "host/nas");
    let event = lab.wait(&exporter, "host_key_changed", "began", alert);
    assert!(event["description"].as_str().unwrap().contains("key"), "{event}");
    machine.know(&machine.line());
    // Whoever refused it may rest before it asks again.
    let accepted = || exporter.page("/metrics?collect[]=host").contains("\nnode_load1{");
    lab.fake.wait("the host", |_| accepted());
    lab.wait(&exporter, "host_key_changed", "ended", alert);
    lab.assert_alone(&exporter, "PVEHostKeyChanged");
}

/// SSH tells who a host is when a connection begins, and not again: a kept one goes on, and the next one is refused.
#[test]
fn a_host_that_comes_back_with_another_key_is_told_once() {
    let (lab, mut machine, stranger) = (Lab::new(), Machine::node(), Machine::node());
    let exporter = Exporter::serve(&format!("{}{}", lab.config(), machine.host("nas")));
    let accepted = || exporter.page("/metrics?collect[]=host").contains("\nnode_load1{");
    lab.fake.wait("the host", |_| accepted());
    let connections = machine.sim.seen().connections;
    let port = |machine: &Machine| format!(":{}", machine.sim.address().port());
    machine.know(&stranger.line().replace(&port(&stranger), &port(&machine)));
    for _ in 0..3 {
        assert!(accepted(), "{}", exporter.log());
    }
    assert_eq!(
        (machine.sim.seen().connections, events(&exporter, "?since=0")["events"].clone()),
        (connections, Vec::<Value>::new().into())
    );
    machine.know(&machine.line());
    machine.reinstall();
    lab.fake.wait("a refusal", |_| !accepted());
    let alert = ("PVEHostKeyChanged", "host/nas");
    let event = lab.wait(&exporter, "host_key_changed", "began", alert);
    assert!(event["description"].as_str().unwrap().contains("SHA256:"), "{event}");
    // Refused again and again, it is the same event.
    for _ in 0..3 {
        assert!(!accepted());
    }
    machine.know(&machine.line());
    lab.fake.wait("the host", |_| accepted());
    lab.wait(&exporter, "host_key_changed", "ended", alert);
    lab.assert_alone(&exporter, "PVEHostKeyChanged");
    let ends = || lab.fake.accepted().into_iter().map(|alert| alert["endsAt"].to_string()).collect::<Vec<_>>();
    lab.fake.wait("that it is over", |_| ends().last() < ends().iter().max());
}
