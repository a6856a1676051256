//! `demo --stack`: what Prometheus and Alertmanager think of the files. Docker and Grafana are not asked.

use std::fs;
use std::path::Path;

use crate::programs::{Prometheus, missing, program};
use crate::support::{Exporter, binary, run_to_end};

fn demo(folder: &Path) -> Exporter {
    let mut command = binary();
    command.args(["demo", "--web.listen-address", "127.0.0.1:0", "--stack"]).arg(folder);
    Exporter::start(command, None)
}

fn checked(name: &str, command: &str, path: &Path) {
    let output =
        program(name).arg(command.split(' ').next().unwrap()).args(command.split(' ').skip(1)).arg(path).output();
    let output = output.unwrap_or_else(|error| missing(name, &error));
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", path.display());
}

#[test]
fn the_files_are_as_these_programs_want_them() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("stack");
    let demo = demo(&there);
    let said = demo.wait_for_stdout("Ctrl-C");
    assert!(said.contains(&format!("docker compose -f {}/compose.yaml up", there.display())), "{said}");
    checked("promtool", "check config", &there.join("prometheus.yml"));
    checked("amtool", "check-config", &there.join("alertmanager.yml"));
    // What compose.yaml brings into the containers is there, and what the files name is brought.
    let compose = fs::read_to_string(there.join("compose.yaml")).unwrap();
    let mounts: Vec<&str> = compose.lines().filter_map(|line| line.trim().strip_prefix("- ./")).collect();
    assert_eq!(mounts.len(), 5, "{mounts:?}");
    for mount in &mounts {
        assert!(there.join(mount.split(':').next().unwrap()).exists(), "{mount}");
    }
    let provider = fs::read_to_string(there.join("provisioning/dashboards/pve-sentinel.yml")).unwrap();
    let path = provider.split("path: ").nth(1).unwrap().trim_end().trim_end_matches('}');
    assert!(compose.contains(&format!("- ./dashboards:{path}:ro")) && compose.contains(&format!("{path}/fleet.json")));
}

#[test]
fn a_real_prometheus_finds_all_there_is_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let _demo = demo(folder.path());
    let config = fs::read_to_string(folder.path().join("prometheus.yml")).unwrap();
    // Prometheus takes paths from where its configuration lies, which is another folder here.
    let config = config.replace("[rules/", &format!("[{}/rules/", folder.path().display()));
    let config = config
        .replace("scrape_interval: 15s, evaluation_interval: 15s", "scrape_interval: 1s, evaluation_interval: 1s");
    let mut prometheus = Prometheus::start(&config);
    prometheus.wait_for("count(up{job=\"node\"} == 1)", |hosts| hosts == 3.0);
    prometheus.wait_for("count(up{job=\"pve-sentinel\"} == 1)", |targets| targets == 1.0);
    prometheus.wait_for("cluster:pve_guests_running:count", |guests| guests > 10.0);
}

#[test]
fn files_of_others_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let theirs = folder.path().join("prometheus.yml");
    fs::write(&theirs, "mine").unwrap();
    let ended =
        run_to_end(&["demo", "--web.listen-address", "127.0.0.1:0", "--stack", folder.path().to_str().unwrap()]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("prometheus.yml"), "{ended:?}");
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "mine");
}
