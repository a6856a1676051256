//! What needs a privilege, behind OpenSSH's own sshd: allowed, refused, and not installed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use pve_sentinel::ssh::PROBE;

use crate::sshd::{Sshd, wait_for};
use crate::support::{Cluster, Exporter, Page};

const SUCCESS: &str = "pve_scrape_collector_success";

/// Programs that stand in for those of a host; `programs` and the shell's own tools are all that there is.
fn host(sshd: &Sshd, programs: &[(&str, &str)]) -> String {
    let bin = sshd.path("bin");
    let _ = fs::remove_dir_all(&bin);
    fs::create_dir(&bin).unwrap();
    for tool in ["sh", "grep", "date", "uname", "stat", "timeout", "getconf", "cat"] {
        let found = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(tool)).into_iter().find(|at| at.exists());
        std::os::unix::fs::symlink(found.expect("a tool of every machine"), bin.join(tool)).unwrap();
    }
    for (name, text) in programs {
        fs::write(bin.join(name), format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    for disk in ["sda", "sdb"] {
        fs::create_dir_all(sshd.path("block").join(disk).join("device")).unwrap();
    }
    let disks = format!("{}/", sshd.path("block").display());
    let script = PROBE.replace("PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin", "PATH=$PATH").replace("/sys/block/", &disks);
    fs::write(sshd.path("probe.sh"), script).unwrap();
    format!("command=\"PATH={} sh {}\",restrict ", bin.display(), sshd.path("probe.sh").display())
}

const ALLOWED: &[(&str, &str)] = &[
    ("sudo", "[ \"$1\" = -n ] || exit 9; shift; ALLOWED=yes; export ALLOWED; exec \"$@\""),
    (
        "smartctl",
        "[ \"$ALLOWED\" ] || exit 9\n\
         [ \"${*%/*}\" = '--json=c -n standby -i -H -A /dev' ] || exit 8\n\
         case \"$*\" in\n\
         *sda) echo '{\"model_name\":\"X\",\"serial_number\":\"1\",\"smart_status\":{\"passed\":true}}' ;;\n\
         *) echo '{\"smartctl\":{\"messages\":[{\"string\":\"Device is in STANDBY mode, exit(2)\"}]}}'; exit 2 ;;\n\
         esac",
    ),
    (
        "zpool",
        "[ \"$ALLOWED\" ] || { echo 'Permission denied the ZFS utilities must be run as root.'; exit 1; }\n\
         echo '  pool: rpool'; echo 'errors: No known data errors'",
    ),
    ("apt-get", "echo 'Inst a [1] (2 Debian:13/stable [amd64])'; echo 'Inst b (2 Debian-Security:13/x [amd64])'"),
];

fn serve(cluster: &Cluster, sshd: &Sshd) -> Exporter {
    Exporter::serve(&format!(
        "{}{}[collectors]\nhost_smart = true\nhost_zpool = true\n",
        cluster.config("home"),
        sshd.host(&sshd.line())
    ))
}

/// The page once all was asked, and the figures of a collector: whether it succeeded, and its section.
fn told(exporter: &Exporter) -> Page {
    let mut page = None;
    wait_for("not all was told", || {
        let new = Page::parse(&exporter.page("/metrics"));
        let spoken = |name: &&str| new.value(SUCCESS, &[("collector", name), ("host", "nas")]).is_some();
        let all = ["host_updates", "host_smart", "host_zpool"].iter().all(spoken);
        page = Some(new);
        all
    });
    page.unwrap()
}

fn outcome(page: &Page, mode: &str) -> (Option<f64>, Option<f64>) {
    let section = page.value("node_scrape_collector_success", &[("collector", mode), ("host", "nas")]);
    (page.value(SUCCESS, &[("collector", &format!("host_{mode}")), ("host", "nas")]), section)
}

#[test]
fn what_sudo_allows_is_told_and_a_sleeping_disk_is_left_asleep() {
    let (cluster, sshd) = (Cluster::recorded(), Sshd::start("ed25519", "256"));
    sshd.authorize(&host(&sshd, ALLOWED));
    let exporter = serve(&cluster, &sshd);
    let page = told(&exporter);
    for mode in ["updates", "smart", "zpool"] {
        assert_eq!(outcome(&page, mode), (Some(1.0), Some(1.0)), "{mode}: {}", exporter.log());
    }
    let disk = |family, device| page.value(family, &[("device", device), ("host", "nas")]);
    assert_eq!(disk("pve_host_disk_smart_healthy", "sda"), Some(1.0));
    assert_eq!(disk("pve_host_disk_smart_healthy", "sdb"), None);
    assert_eq!(
        (disk("pve_host_disk_standby", "sda"), disk("pve_host_disk_standby", "sdb")),
        (Some(0.0), Some(1.0)),
        "{}",
        exporter.log()
    );
    assert_eq!(page.value("pve_host_zpool_data_errors", &[("zpool", "rpool")]), Some(0.0));
    assert_eq!(page.value("pve_host_package_updates_pending", &[("host", "nas")]), Some(2.0));
    assert_eq!(page.value("pve_host_package_security_updates_pending", &[("host", "nas")]), Some(1.0));
    assert_eq!(sshd.count("Accepted publickey for"), 1, "{}", sshd.log());
    assert!(!exporter.log().contains("the host does not tell everything"), "{}", exporter.log());
}

#[test]
fn what_sudo_refuses_is_said_once_with_the_line_to_add() {
    let (cluster, sshd) = (Cluster::recorded(), Sshd::start("ed25519", "256"));
    let refused = ("sudo", "echo x >>\"$0.log\"; echo 'sudo: a password is required' >&2; exit 1");
    let programs: Vec<_> = std::iter::once(refused).chain(ALLOWED[1..].iter().copied()).collect();
    sshd.authorize(&host(&sshd, &programs));
    let exporter = serve(&cluster, &sshd);
    let page = told(&exporter);
    for mode in ["smart", "zpool"] {
        assert_eq!(outcome(&page, mode), (Some(1.0), Some(0.0)), "{mode}: {}", exporter.log());
    }
    assert_eq!(outcome(&page, "updates"), (Some(1.0), Some(1.0)));
    assert!(page.samples.keys().all(|name| !name.starts_with("pve_host_disk") && !name.starts_with("pve_host_zpool")));
    assert_eq!(page.value("pve_host_ssh_up", &[("host", "nas")]), Some(1.0));
    for words in [
        "smartctl: sudo: a password is required; add to sudoers there: ",
        " ALL=(root) NOPASSWD: /usr/sbin/smartctl --json=c -n standby -i -H -A /dev/sd[a-z], ",
        " ALL=(root) NOPASSWD: /usr/sbin/zpool status -p",
    ] {
        assert_eq!(exporter.log().matches(words).count(), 1, "{words}: {}", exporter.log());
    }
    let asked = fs::read_to_string(sshd.path("bin").join("sudo.log")).unwrap();
    assert_eq!(asked, "x\nx\n", "one refusal for all disks, and one for zpool");
}

#[test]
fn what_is_not_installed_is_said_once_and_another_package_manager_not_at_all() {
    let (cluster, sshd) = (Cluster::recorded(), Sshd::start("ed25519", "256"));
    sshd.authorize(&host(&sshd, &[]));
    let exporter = serve(&cluster, &sshd);
    let page = told(&exporter);
    for mode in ["smart", "zpool"] {
        assert_eq!(outcome(&page, mode), (Some(1.0), Some(0.0)), "{mode}: {}", exporter.log());
    }
    assert_eq!(outcome(&page, "updates"), (Some(1.0), Some(1.0)));
    assert!(!page.samples.contains_key("pve_host_package_updates_pending"), "not known is not 0");
    for words in ["smart: smartctl: no sudo; add to sudoers there: ", "zpool: zpool status: no zpool"] {
        assert_eq!(exporter.log().matches(words).count(), 1, "{words}: {}", exporter.log());
    }
    assert!(!exporter.log().contains("apt-get"), "{}", exporter.log());
}
