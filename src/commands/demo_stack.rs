//! `pve-sentinel demo --stack`: the files with which Prometheus, Alertmanager and Grafana show the demo.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};

/// What was written the last time, as `sha256sum` has it: only that is replaced.
const LIST: &str = "written-by-pve-sentinel.sha256";

/// Files that are the same for every demo: where they go, and their text.
const BUNDLED: &[(&str, &str)] = &[
    ("rules/RUNBOOK.md", include_str!("../../alerts/RUNBOOK.md")),
    ("rules/backup.rules.yml", include_str!("../../alerts/backup.rules.yml")),
    ("rules/cluster.rules.yml", include_str!("../../alerts/cluster.rules.yml")),
    ("rules/exporter.rules.yml", include_str!("../../alerts/exporter.rules.yml")),
    ("rules/guest.rules.yml", include_str!("../../alerts/guest.rules.yml")),
    ("rules/host.rules.yml", include_str!("../../alerts/host.rules.yml")),
    ("rules/node.rules.yml", include_str!("../../alerts/node.rules.yml")),
    ("rules/recording.rules.yml", include_str!("../../alerts/recording.rules.yml")),
    ("rules/replication.rules.yml", include_str!("../../alerts/replication.rules.yml")),
    ("rules/storage.rules.yml", include_str!("../../alerts/storage.rules.yml")),
    ("rules/subscription.rules.yml", include_str!("../../alerts/subscription.rules.yml")),
    ("rules/agent.rules.yml", include_str!("../../alerts/agent.rules.yml")),
    ("rules/allocation.rules.yml", include_str!("../../alerts/allocation.rules.yml")),
    ("rules/ceph.rules.yml", include_str!("../../alerts/ceph.rules.yml")),
    ("rules/configuration.rules.yml", include_str!("../../alerts/configuration.rules.yml")),
    ("rules/disk.rules.yml", include_str!("../../alerts/disk.rules.yml")),
    ("rules/ha.rules.yml", include_str!("../../alerts/ha.rules.yml")),
    ("rules/snapshot.rules.yml", include_str!("../../alerts/snapshot.rules.yml")),
    ("rules/task.rules.yml", include_str!("../../alerts/task.rules.yml")),
    ("rules/token.rules.yml", include_str!("../../alerts/token.rules.yml")),
    ("rules/upkeep.rules.yml", include_str!("../../alerts/upkeep.rules.yml")),
    ("dashboards/backup.json", include_str!("../../dashboards/backup.json")),
    ("dashboards/ceph.json", include_str!("../../dashboards/ceph.json")),
    ("dashboards/cluster.json", include_str!("../../dashboards/cluster.json")),
    ("dashboards/exporter.json", include_str!("../../dashboards/exporter.json")),
    ("dashboards/fleet.json", include_str!("../../dashboards/fleet.json")),
    ("dashboards/guest.json", include_str!("../../dashboards/guest.json")),
    ("dashboards/hosts.json", include_str!("../../dashboards/hosts.json")),
    ("dashboards/node.json", include_str!("../../dashboards/node.json")),
    ("dashboards/storage.json", include_str!("../../dashboards/storage.json")),
    ("provisioning/datasources/prometheus.yml", include_str!("stack/datasource.yml")),
    ("provisioning/dashboards/pve-sentinel.yml", include_str!("stack/dashboards.yml")),
];

const COMPOSE: &str = include_str!("stack/compose.yaml");
const PROMETHEUS: &str = include_str!("stack/prometheus.yml");
const ALERTMANAGER: &str = include_str!("../../alerts/alertmanager.example.yml");

/// Writes all files into the folder, for a demo that listens there. Fails with a sentence for people, and before anything is
/// written, where a file would be replaced that is not as it was written here.
pub(super) fn write(folder: &Path, address: SocketAddr) -> Result<(), String> {
    let files = files(address)?;
    fs::create_dir_all(folder)
        .map_err(|error| format!("{}: {error}; name a folder that can be made", folder.display()))?;
    let known = read(&folder.join(LIST))?.unwrap_or_default();
    for (name, _) in &files {
        let path = folder.join(name);
        let Some(there) = read(&path)? else { continue };
        if !known.lines().any(|line| line == listed(name, &there)) {
            return Err(format!(
                "{}: this file is not one that was written here, or was changed since, and is not replaced; move it away, or name another folder with --stack",
                path.display()
            ));
        }
    }
    let list: String = files.iter().map(|(name, text)| listed(name, text) + "\n").collect();
    // First what is about to be there, so that a run that is cut short can be done again.
    let both: String = known.lines().filter(|line| !list.contains(line)).map(|line| format!("{line}\n")).collect();
    put(folder, LIST, &(list.clone() + &both))?;
    for (name, text) in &files {
        put(folder, name, text)?;
    }
    put(folder, LIST, &list)
}

/// Every file: its name in the folder, and its text.
fn files(address: SocketAddr) -> Result<Vec<(&'static str, String)>, String> {
    // Who listens everywhere is reached on the machine itself.
    let mut reached = address;
    if address.ip().is_unspecified() {
        reached.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { [0, 0, 0, 0, 0, 0, 0, 1].into() });
    }
    let mut files: Vec<(&str, String)> = BUNDLED.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
    files.push(("prometheus.yml", PROMETHEUS.replace("DEMO", &reached.to_string())));
    files.push(("compose.yaml", COMPOSE.replace("DEMO", &address.to_string())));
    // Its routes as they are; but nobody is written to.
    let (routes, receivers) =
        ALERTMANAGER.split_once("\nreceivers:\n").ok_or("the bundled alertmanager.example.yml has no receivers")?;
    let names = receivers.lines().filter(|line| line.starts_with("  - name: "));
    let silent: String = names.map(|name| format!("{name}\n")).collect();
    files.push(("alertmanager.yml", format!("{routes}\n# Nobody is told of the demo's alerts.\nreceivers:\n{silent}")));
    Ok(files)
}

/// A line of the list, as `sha256sum` writes it.
fn listed(name: &str, text: &str) -> String {
    let digest: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{digest}  {name}")
}

fn read(path: &Path) -> Result<Option<String>, String> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}; move it away, or name another folder with --stack", path.display())),
    }
}

/// Writes one file that everybody may read: the programs in the containers are other users.
fn put(folder: &Path, name: &str, text: &str) -> Result<(), String> {
    let path = folder.join(name);
    let fault = |error: std::io::Error| format!("{}: {error}", path.display());
    for parent in path.ancestors().skip(1).take_while(|parent| *parent != folder) {
        fs::create_dir_all(parent).map_err(fault)?;
        fs::set_permissions(parent, Permissions::from_mode(0o755)).map_err(fault)?;
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(fault(error)),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(fault)?;
    file.set_permissions(Permissions::from_mode(0o644)).and_then(|()| file.write_all(text.as_bytes())).map_err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMO: &str = "127.0.0.1:9221";

    fn here() -> SocketAddr {
        DEMO.parse().unwrap()
    }

    #[test]
    fn all_rules_and_dashboards_are_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let names: Vec<&str> = BUNDLED.iter().map(|(name, _)| *name).collect();
        for (folder, ending, to) in [("alerts", ".rules.yml", "rules"), ("dashboards", ".json", "dashboards")] {
            let mut found = 0;
            for entry in fs::read_dir(root.join(folder)).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                found += usize::from(name.ends_with(ending));
                assert!(!name.ends_with(ending) || names.contains(&format!("{to}/{name}").as_str()), "{name}");
            }
            assert!(found >= 8, "{folder}");
        }
    }

    #[test]
    fn it_can_be_written_again_for_another_address() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), here()).unwrap();
        write(folder.path(), "0.0.0.0:1234".parse().unwrap()).unwrap();
        let text = fs::read_to_string(folder.path().join("prometheus.yml")).unwrap();
        assert!(text.contains("127.0.0.1:1234") && !text.contains("DEMO"), "{text}");
        let compose = fs::read_to_string(folder.path().join("compose.yaml")).unwrap();
        assert!(compose.contains("--web.listen-address=0.0.0.0:1234',") && !compose.contains("DEMO"), "{compose}");
        let mode = fs::metadata(folder.path().join("prometheus.yml")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        let alertmanager = fs::read_to_string(folder.path().join("alertmanager.yml")).unwrap();
        assert!(alertmanager.contains("  - name: pager\n") && !alertmanager.contains("_configs"), "{alertmanager}");
    }

    #[test]
    fn what_others_wrote_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let theirs = folder.path().join("compose.yaml");
        fs::write(&theirs, "mine").unwrap();
        let error = write(folder.path(), here()).unwrap_err();
        assert!(error.contains("compose.yaml") && error.contains("--stack"), "{error}");
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "mine");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something was written");
    }

    #[test]
    fn what_was_changed_since_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), here()).unwrap();
        fs::write(folder.path().join("rules/node.rules.yml"), "groups: []\n").unwrap();
        let error = write(folder.path(), here()).unwrap_err();
        assert!(error.contains("node.rules.yml"), "{error}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(write(&file, here()).unwrap_err().contains(&file.display().to_string()));
    }
}
