//! The probe as shells of this machine run it: what it tells, what it does not do, and what is made of odd answers.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pve_sentinel::hosts::{self, Frame, Options};
use pve_sentinel::ssh::PROBE;

use crate::support::{probe, repository, run};

/// The names of the families of an answer to `probe`.
fn families(answer: &[u8]) -> BTreeSet<String> {
    let frame = Frame::read(answer).expect("a frame");
    assert!(frame.is_whole());
    let told = hosts::probe(&frame, None, &Options::default()).expect("an answer to probe");
    assert_eq!(told.troubles, []);
    told.families.iter().map(|family| family.desc.view().name.to_owned()).collect()
}

fn begins(answer: &[u8], mode: &str) -> bool {
    answer.starts_with(format!("\n@pve-sentinel 1 begin {mode}\n").as_bytes())
        && answer.ends_with(format!("\n@pve-sentinel 1 end {mode}\n").as_bytes())
}

#[test]
fn a_shell_answers() {
    let families = families(&probe(&["sh"], "probe"));
    for family in
        ["node_cpu_seconds_total", "node_memory_MemTotal_bytes", "node_filesystem_size_bytes", "node_uname_info"]
    {
        assert!(families.contains(family), "{family}");
    }
    assert!(begins(&probe(&["sh"], "zpool"), "zpool") && begins(&probe(&["sh"], "smart"), "smart"));
}

#[cfg(feature = "external-programs")]
#[test]
fn every_common_shell_answers_the_same() {
    let expected = families(&probe(&["sh"], "probe"));
    let applets = tempfile::tempdir().unwrap();
    for applet in String::from_utf8(run(&["busybox"], "", &["--list"], &[])).unwrap().lines() {
        std::os::unix::fs::symlink("/usr/bin/busybox", applets.path().join(applet)).unwrap();
    }
    for shell in [["dash"].as_slice(), &["bash"], &["bash", "--posix"], &["busybox", "sh"]] {
        assert_eq!(families(&probe(shell, "probe")), expected, "{shell:?}");
    }
    // With BusyBox' own grep, stat, date and timeout, as on a NAS; there is no perl there.
    let path = applets.path().to_str().unwrap();
    let only = PROBE.replace("PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin", "PATH=$PATH");
    assert_ne!(only, PROBE);
    let answer = run(&[&format!("{path}/sh")], &only, &["-s", "--", "probe"], &[("PATH", path)]);
    let timex = |family: &String| !family.starts_with("node_timex_");
    assert_eq!(families(&answer), expected.iter().filter(|family| timex(family)).cloned().collect());
    assert!(Frame::read(&answer).unwrap().gaps().eq([("timex", "no perl")]));
    // Without stat and timeout, df tells the sizes, though not the number of files.
    for applet in ["stat", "timeout"] {
        fs::remove_file(applets.path().join(applet)).unwrap();
    }
    let answer = run(&[&format!("{path}/sh")], &only, &["-s", "--", "probe"], &[("PATH", path)]);
    let files = |family: &String| !family.starts_with("node_filesystem_files");
    assert_eq!(families(&answer), expected.into_iter().filter(timex).filter(files).collect());
}

#[test]
fn an_installed_probe_knows_whole_words_only() {
    let answered = |command: &str| {
        let answer = run(&["sh"], PROBE, &["-s"], &[("SSH_ORIGINAL_COMMAND", command)]);
        let modes = ["probe", "smart", "zpool"].into_iter().filter(|mode| begins(&answer, mode)).collect::<Vec<_>>();
        assert_eq!(modes.len(), 1, "{command:?}");
        modes[0]
    };
    assert_eq!(answered("sh -s -- smart"), "smart");
    assert_eq!(answered("sh -s -- zpool"), "zpool");
    for command in
        ["sh -s -- probe", "", "id", "sh -s -- zpool; id", "sh -s -- zpool ", " sh -s -- zpool", "zpool", "*", "$(id)"]
    {
        assert_eq!(answered(command), "probe", "{command:?}");
    }
    // What comes as an argument does not count there.
    let answer = run(&["sh"], PROBE, &["-s", "--", "smart"], &[("SSH_ORIGINAL_COMMAND", "sh -s -- zpool")]);
    assert!(begins(&answer, "zpool"));
}

#[test]
fn the_probe_writes_nothing_and_reads_no_stdin() {
    for (number, line) in PROBE.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#')) {
        for (at, _) in line.match_indices('>') {
            let target = &line[at + 1..];
            assert!(target.starts_with("/dev/null") || target.starts_with("&1"), "line {}: {line}", number + 1);
        }
    }
    // What follows the program on its stdin is left alone.
    let answer = run(&["sh"], &format!("{PROBE}echo more\n"), &["-s", "--", "probe"], &[]);
    assert!(answer.ends_with(b"\n@pve-sentinel 1 end probe\nmore\n"));
}

#[test]
fn a_probe_that_was_cut_off_on_its_way_does_nothing() {
    let ends: Vec<usize> = PROBE.match_indices('\n').map(|(at, _)| at).collect();
    let last = ends.len() - 1;
    for end in &ends[..last] {
        let (part, _) = PROBE.split_at(*end);
        // A shell complains of an unfinished function; that is all it does.
        let answer = run(&["sh", "-c", "sh -s -- probe 2>/dev/null; true"], part, &[], &[]);
        assert!(answer.is_empty(), "{end}: {}", String::from_utf8_lossy(&answer));
    }
}

#[test]
fn whatever_a_login_shell_prints_around_the_answer() {
    let script = |before: &str, after: &str| format!("{before}\nsh -s -- probe <<'PROBE'\n{PROBE}PROBE\n{after}\n");
    let expected = families(&probe(&["sh"], "probe"));
    for (before, after) in [
        ("echo 'Welcome to pve1'; printf 'no line feed'", "echo logout"),
        ("printf '%% setenv: Too many arguments.\\n%% '", ":"),
        ("yes 'this is noise' | head -c 10485760", ":"),
        (
            "printf '\\377\\376\\0'; export LANG=de_DE.UTF-8 LC_ALL=de_DE.UTF-8 IFS=x CDPATH=/tmp GREP_OPTIONS=-v 2>&1",
            "yes | head -c 10485760",
        ),
        ("cd /; set -a; umask 777", ":"),
    ] {
        let answer = run(&["sh"], &script(before, after), &[], &[]);
        assert_eq!(families(&answer), expected, "{before}");
    }
}

/// The probe with other folders in the place of the kernel's.
fn probe_of(tree: &Path) -> String {
    let mut script = PROBE.replace("PATH=$PATH:/usr/sbin", "PATH=$PATH:/none");
    for folder in ["/proc/", "/sys/", "/etc/", "/boot/", "/run/", "/usr/lib/"] {
        let away = format!("{}{folder}", tree.display());
        // Not those that are part of a longer path, such as /usr/lib/ or /var/run/.
        script = script
            .replace(&format!(" {folder}"), &format!(" {away}"))
            .replace(&format!("<{folder}"), &format!("<{away}"));
        script = script
            .replace(&format!("'{folder}"), &format!("'{away}"))
            .replace(&format!("={folder}"), &format!("={away}"));
        script = script.replace(&format!("#{folder}"), &format!("#{away}"));
    }
    script
}

/// Files as they stand in a recorded answer: path, and lines.
fn recorded() -> Vec<(String, Vec<String>)> {
    let answer = fs::read_to_string(repository().join("tests/fixtures/hosts/pve-node.probe")).expect("a fixture");
    let mut files: Vec<(String, Vec<String>)> = Vec::new();
    for line in answer.lines().filter(|line| line.starts_with('/') && !line.starts_with("/dev/")) {
        let at = match line
            .find("/energy_uj:")
            .or_else(|| line.find("/name:"))
            .or_else(|| line.find("/state:"))
            .or_else(|| line.find("/io:"))
        {
            Some(at)
                if line.starts_with("/sys/class/powercap")
                    || line.starts_with("/proc/spl") && !line.contains("objset") =>
            {
                at
            }
            _ => 0,
        };
        let colon = match line.find(":E:") {
            Some(colon) => colon,
            None => at + line[at..].find(':').expect("a colon"),
        };
        let (path, text) = (line[..colon].to_owned(), line[colon + 1..].to_owned());
        match files.last_mut() {
            Some((last, lines)) if *last == path => lines.push(text),
            _ => files.push((path, vec![text])),
        }
    }
    assert!(files.len() > 100);
    files
}

#[test]
fn everything_that_a_large_host_has_is_found() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path().canonicalize().unwrap();
    let inside = |path: &str| root.join(path.trim_start_matches('/'));
    let write = |path: &str, text: &str| {
        fs::create_dir_all(inside(path).parent().unwrap()).unwrap();
        fs::write(inside(path), text).unwrap();
    };
    for (path, lines) in recorded() {
        write(&path, &(lines.join("\n") + "\n"));
    }
    // A device for the chip to hang on, a guest's network device, kernels, a pin, a mount point with a blank.
    fs::create_dir_all(inside("/sys/devices/platform/coretemp.0")).unwrap();
    std::os::unix::fs::symlink(inside("/sys/devices/platform/coretemp.0"), inside("/sys/class/hwmon/hwmon0/device"))
        .unwrap();
    write("/sys/class/net/tap100i0/mtu", "1500\n");
    write("/sys/class/net/fwpr100p0/mtu", "1500\n");
    for kernel in ["6.8.12-4-pve", "6.8.12-10-pve"] {
        write(&format!("/boot/vmlinuz-{kernel}"), "");
    }
    write("/etc/kernel/proxmox-boot-pin", "6.8.12-4-pve\n");
    write("/run/reboot-required", "");
    write(
        "/proc/self/mounts",
        &format!("/dev/sda1 {}/with\\040blank ext4 rw 0 0\nnas:/x {0}/nfs nfs4 rw 0 0\n", root.display()),
    );
    fs::create_dir_all(inside("/with blank")).unwrap();

    let answer = run(&["sh"], &probe_of(&root), &["-s", "--", "probe"], &[]);
    let answer = String::from_utf8(answer).unwrap().replace(root.to_str().unwrap(), "");
    let told: BTreeSet<&str> = answer.lines().collect();
    for (path, lines) in recorded() {
        for line in lines {
            let line = format!("{path}:{line}");
            assert!(told.contains(line.as_str()), "{line}");
        }
    }
    for line in [
        "hwmon0 device /sys/devices/platform/coretemp.0",
        "hwmon1 itself /sys/class/hwmon/hwmon1",
        "reboot_required /run/reboot-required",
        "kernel 6.8.12-10-pve",
        "pinned 6.8.12-4-pve",
        "/dev/sda1 /with\\040blank ext4 rw 0 0",
    ] {
        assert!(told.contains(line), "{line}:\n{answer}");
    }
    assert!(answer.lines().any(|line| line.ends_with(" /with blank")), "the size of the mount point");
    assert!(!answer.contains("tap100i0/") && !answer.contains("fwpr100p0/") && !answer.contains("nfs4"));
    // And it reads back as what was recorded, but for what comes from programs.
    let frame = Frame::read(answer.as_bytes()).unwrap();
    let read = hosts::probe(&frame, None, &Options::default()).unwrap();
    assert_eq!(read.troubles, []);
    let names: BTreeSet<&str> = read.families.iter().map(|family| family.desc.view().name).collect();
    for name in [
        "node_hwmon_temp_celsius",
        "node_md_disks",
        "node_zfs_zpool_dataset_reads",
        "node_rapl_core_joules_total",
        "node_edac_csrow_correctable_errors_total",
    ] {
        assert!(names.contains(name), "{name}");
    }
}

#[test]
fn a_dead_disk_and_a_sick_sensor_cost_their_own_sections_only() {
    let folder = tempfile::tempdir().unwrap();
    let program = |name: &str, text: &str| {
        use std::os::unix::fs::PermissionsExt;
        let file = folder.path().join(name);
        fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    };
    program("stat", "exec sleep 600");
    program(
        "grep",
        "case \"$*\" in */hwmon/*) echo /sys/class/thermal/thermal_zone0/temp:4; exec sleep 600 ;; esac; exec /bin/grep \"$@\"",
    );
    let impatient = PROBE.replace("KILL 5", "KILL 0.1");
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let answer = run(&["sh"], &impatient, &["-s", "--", "probe"], &[("PATH", &path)]);
    let frame = Frame::read(&answer).unwrap();
    let gaps: Vec<_> = frame.gaps().filter(|(name, _)| *name != "timex").collect();
    let cut = "the answer was cut off in it";
    assert_eq!(gaps, [("statfs", "a file system did not answer within 5 s"), ("sensors", cut)]);
    let told = hosts::probe(&frame, None, &Options::default()).unwrap();
    let failed: Vec<&str> = told.troubles.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(failed, ["filesystem", "hwmon", "thermal_zone"]);
    assert!(frame.is_whole());
}

#[test]
fn smartctl_and_zpool_are_asked_and_may_refuse() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path().canonicalize().unwrap();
    for disk in ["sda", "sdb", "nvme0n1", "dm-0", "zd0"] {
        fs::create_dir_all(root.join("sys/block").join(disk)).unwrap();
    }
    for disk in ["sda", "sdb", "nvme0n1"] {
        fs::create_dir_all(root.join("sys/block").join(disk).join("device")).unwrap();
    }
    fs::create_dir_all(root.join("bin")).unwrap();
    let program = |name: &str, text: &str| {
        use std::os::unix::fs::PermissionsExt;
        fs::write(root.join("bin").join(name), format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(root.join("bin").join(name), fs::Permissions::from_mode(0o755)).unwrap();
    };
    let path = format!("{}/bin:/usr/bin:/bin", root.display());
    let ask = |mode: &str| {
        let answer = run(&["sh"], &probe_of(&root), &["-s", "--", mode], &[("PATH", &path)]);
        Frame::read(&answer).expect("a frame")
    };
    let gaps = |frame: &Frame| frame.gaps().map(|(name, why)| format!("{name}: {why}")).collect::<Vec<_>>();

    program("sudo", "shift; exec \"$@\"");
    program("smartctl", "echo \"{\\\"model_name\\\":\\\"$*\\\"}\"; exit 4");
    let told = hosts::smart(&ask("smart")).unwrap();
    let models: Vec<String> = told.families[0].samples.iter().map(|sample| sample.labels.as_str().to_owned()).collect();
    assert_eq!(models.len(), 3, "{models:?}");
    assert!(models[0].starts_with("device=\"sda\",model=\"--json=c -n standby -i -H -A /dev/sda\","), "{models:?}");

    program("sudo", "echo x >>\"$0.log\"; echo 'sudo: a password is required' >&2; exit 1");
    assert_eq!(gaps(&ask("smart")), ["smart: sudo: a password is required"]);
    assert_eq!(fs::read_to_string(root.join("bin/sudo.log")).unwrap(), "x\n", "asked once, not for each disk");

    program(
        "zpool",
        "[ \"$*\" = 'status -p' ] && [ \"$TZ\" = UTC0 ] || exit 9\necho '  pool: rpool'; echo '  scan: none requested'",
    );
    let told = hosts::zpool(&ask("zpool")).unwrap();
    assert!(told.troubles.is_empty() && !told.families.is_empty());
    program("zpool", "echo 'Permission denied the ZFS utilities must be run as root.'; exit 1");
    assert_eq!(gaps(&ask("zpool")), ["zpool: sudo: a password is required"]);
}
