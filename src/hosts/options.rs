//! What is left out: node_exporter's defaults, and the network devices of guests, whose figures Proxmox VE has by guest.

use regex_lite::Regex;

/// Left out unless `include` matches; where there is no `include`, left out where `exclude` matches.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only what it matches.
    pub include: Option<Regex>,
    /// Nothing that it matches.
    pub exclude: Option<Regex>,
}

/// What `[collectors.host]` can set. The expressions match anywhere in a name unless they say `^` and `$`, as
/// node_exporter's do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Block devices by name, such as `sda`.
    pub disks: Filter,
    /// Network devices by name.
    pub network_devices: Filter,
    /// File systems by where they are mounted.
    pub mount_points: Filter,
    /// File systems by type.
    pub file_system_types: Filter,
}

const DISKS: &str = r"^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$";
const GUESTS: &str = r"^((tap|veth|fwbr|fwln)\d+i\d+|fwpr\d+p\d+)$";
const MOUNT_POINTS: &str = r"^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)";
const TYPES: &str = "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|\
                     nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$";

impl Filter {
    /// Whether the name is wanted.
    pub fn keeps(&self, name: &str) -> bool {
        self.include.as_ref().is_none_or(|include| include.is_match(name))
            && !self.exclude.as_ref().is_some_and(|exclude| exclude.is_match(name))
    }

    fn without(expression: &str) -> Self {
        Self { include: None, exclude: Some(Regex::new(expression).expect("the expressions above are tested")) }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            disks: Filter::without(DISKS),
            network_devices: Filter::without(GUESTS),
            mount_points: Filter::without(MOUNT_POINTS),
            file_system_types: Filter::without(TYPES),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_leave_out_what_nobody_wants_twice() {
        let options = Options::default();
        for (filter, kept, left_out) in [
            (
                &options.disks,
                ["sda", "nvme0n1", "dm-3", "zd16", "md0", "rbd0"].as_slice(),
                ["sda1", "nvme0n1p3", "loop7", "zram0", "ram0", "fd0"].as_slice(),
            ),
            (
                &options.network_devices,
                &["lo", "eno1", "vmbr0", "vmbr0v5", "bond0", "tailscale0", "veth1a2b3c", "tap0", "eno1.50"],
                &["tap100i0", "veth101i1", "fwbr100i0", "fwln101i0", "fwpr100p0"],
            ),
            (
                &options.mount_points,
                &["/", "/boot/efi", "/rpool", "/run", "/devel"],
                &["/dev", "/sys/fs/cgroup", "/proc"],
            ),
            (
                &options.file_system_types,
                &["ext4", "zfs", "tmpfs", "vfat"],
                &["overlay", "cgroup", "cgroup2", "squashfs"],
            ),
        ] {
            for name in kept {
                assert!(filter.keeps(name), "{name}");
            }
            for name in left_out {
                assert!(!filter.keeps(name), "{name}");
            }
        }
    }

    #[test]
    fn both_ways_count() {
        let only = |include, exclude| Filter { include: Regex::new(include).ok(), exclude: Regex::new(exclude).ok() };
        assert!(only("^sd", "a$").keeps("sdb"));
        assert!(!only("^sd", "a$").keeps("sda") && !only("^sd", "a$").keeps("vdb"));
        assert!(Filter::default().keeps("anything"));
    }
}
