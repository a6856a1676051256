//! Disks and network cards of a guest's configuration: one text each, with options.

/// A disk of a VM, or the root file system or a mount point of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GuestDisk<'a> {
    /// Such as `scsi0`, `rootfs` or `mp1`.
    pub key: &'a str,
    /// Where it is; absent for a directory or device of the node.
    pub storage: Option<&'a str>,
    /// Bytes, as PVE remembers them.
    pub size: Option<u64>,
    /// Whether backups have it.
    pub backup: bool,
    /// Whether it has a thread of its own; absent where there is no such choice.
    pub iothread: Option<bool>,
    /// Whether the guest takes it for a solid state disk; absent where there is no such choice.
    pub ssd: Option<bool>,
    /// Whether what the guest frees is given back to the storage; absent where there is no such choice.
    pub discard: Option<bool>,
}

/// A network card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nic<'a> {
    /// Such as `net0`.
    pub key: &'a str,
    /// Such as `virtio`, of a container `veth`.
    pub model: Option<&'a str>,
    /// What it is plugged into.
    pub bridge: Option<&'a str>,
    /// The tag that its traffic gets.
    pub vlan: Option<&'a str>,
    /// Whether the firewall looks at it.
    pub firewall: bool,
}

/// Keys with a number, and how many there can be.
const DISKS: [(&str, u32); 7] =
    [("scsi", 31), ("virtio", 16), ("sata", 6), ("ide", 4), ("mp", 256), ("efidisk", 1), ("tpmstate", 1)];
const NICS: (&str, u32) = ("net", 32);

/// Whether a key of a configuration is a device's.
pub(super) fn is_device(key: &str) -> bool {
    is_disk(key) || is_one_of(key, NICS)
}

/// A disk, unless it is a CD drive, or nothing.
pub(super) fn disk<'a>(key: &'a str, value: &'a str) -> Option<GuestDisk<'a>> {
    if !is_disk(key) || option(value, "media") == Some("cdrom") {
        return None;
    }
    let first = value.split(',').next().filter(|first| !first.contains('='));
    let volume = first.or(option(value, "file")).or(option(value, "volume"))?.trim();
    if matches!(volume, "" | "none" | "cdrom") {
        return None;
    }
    // Of a container: what is there only to be seen is not saved, and the kernel does the rest.
    let is_mount = key == "rootfs" || key.starts_with("mp");
    let is_fixed = is_mount || key.starts_with("efidisk") || key.starts_with("tpmstate");
    let has_thread = key.starts_with("scsi") || key.starts_with("virtio");
    let flag = |name| option(value, name).and_then(truth);
    Some(GuestDisk {
        key,
        storage: volume
            .split_once(':')
            .map(|(storage, _)| storage)
            .filter(|name| !name.is_empty() && !name.contains('/')),
        size: option(value, "size").and_then(size),
        backup: flag("backup").unwrap_or(!key.starts_with("mp")),
        iothread: has_thread.then(|| flag("iothread").unwrap_or(false)),
        ssd: (!is_fixed && !key.starts_with("virtio")).then(|| flag("ssd").unwrap_or(false)),
        discard: (!is_fixed).then(|| option(value, "discard") == Some("on")),
    })
}

/// What else may be said of a network card.
const OPTIONS: [&str; 18] = [
    "name",
    "hwaddr",
    "macaddr",
    "bridge",
    "tag",
    "trunks",
    "ip",
    "ip6",
    "gw",
    "gw6",
    "firewall",
    "rate",
    "mtu",
    "queues",
    "link_down",
    "host-managed",
    "type",
    "model",
];

/// A network card. Of a VM, the model is the name of the option whose value is the hardware address, wherever it stands.
pub(super) fn nic<'a>(key: &'a str, value: &'a str) -> Option<Nic<'a>> {
    if !is_one_of(key, NICS) {
        return None;
    }
    let mut names = value.split(',').map(|option| option.split_once('=').map_or(option, |(name, _)| name).trim());
    let unnamed = names.find(|name| !name.is_empty() && !OPTIONS.contains(name));
    Some(Nic {
        key,
        model: option(value, "type").or(option(value, "model")).or(unnamed),
        bridge: option(value, "bridge"),
        vlan: option(value, "tag"),
        firewall: option(value, "firewall").and_then(truth).unwrap_or(false),
    })
}

/// Whether a key is that of a disk, such as `scsi0` or `mp1`: as many as a guest can have.
pub fn is_disk(key: &str) -> bool {
    key == "rootfs" || DISKS.into_iter().any(|kind| is_one_of(key, kind))
}

fn is_one_of(key: &str, (name, count): (&str, u32)) -> bool {
    let is_plain =
        |rest: &&str| rest.bytes().all(|byte| byte.is_ascii_digit()) && (*rest == "0" || !rest.starts_with('0'));
    let number = key.strip_prefix(name).filter(is_plain);
    number.and_then(|number| number.parse().ok()).is_some_and(|number: u32| number < count)
}

fn option<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let mut options = value.split(',').filter_map(|option| option.split_once('='));
    options.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
}

fn truth(word: &str) -> Option<bool> {
    match word {
        "1" | "on" | "yes" | "true" => Some(true),
        "0" | "off" | "no" | "false" => Some(false),
        _ => None,
    }
}

/// `32G`, `528K`, `1.5T` or plain bytes.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = match text.strip_suffix(|unit: char| unit.is_ascii_alphabetic()) {
        Some(number) => (number, text.get(number.len()..)?),
        None => (text, ""),
    };
    let factor = match unit {
        "" => 1.0,
        "K" => 1024.0,
        "M" => 1_048_576.0,
        "G" => 1_073_741_824.0,
        "T" => 1_099_511_627_776.0,
        _ => return None,
    };
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    let bytes = number.parse::<f64>().ok()? * factor;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
    (0.0..=LARGEST).contains(&bytes).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GIB: u64 = 1 << 30;

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn disks_are_told_with_their_options() {
        let plain = GuestDisk {
            key: "scsi0",
            storage: Some("local"),
            size: Some(GIB),
            backup: true,
            iothread: Some(false),
            ssd: Some(false),
            discard: Some(false),
        };
        let mount = GuestDisk { iothread: None, ssd: None, discard: None, ..plain };
        for (key, value, expected) in [
            ("scsi0", "local:100/vm-100-disk-0.raw,size=1G", Some(plain)),
            (
                "virtio15",
                "file=ceph:vm-100-disk-1,backup=0,discard=on,iothread=1,size=32G",
                Some(GuestDisk {
                    key: "virtio15",
                    storage: Some("ceph"),
                    size: Some(32 * GIB),
                    backup: false,
                    iothread: Some(true),
                    ssd: None,
                    discard: Some(true),
                }),
            ),
            (
                "sata0",
                "/dev/disk/by-id/ata-1,size=1024K",
                Some(GuestDisk { key: "sata0", storage: None, size: Some(1 << 20), iothread: None, ..plain }),
            ),
            (
                "ide3",
                "a:vm-1-disk-1,cache=none,discard=ignore,serial=a%20b=\"c\",size=1G,ssd=1",
                Some(GuestDisk { key: "ide3", storage: Some("a"), iothread: None, ssd: Some(true), ..plain }),
            ),
            (
                "tpmstate0",
                "b:vm-1-disk-3,size=4M,version=v2.0",
                Some(GuestDisk { key: "tpmstate0", storage: Some("b"), size: Some(4 << 20), ..mount }),
            ),
            (
                "scsi1",
                "/dev/disk/by-path/pci-0000:00:1f.2-ata-1,size=1G",
                Some(GuestDisk { key: "scsi1", storage: None, ..plain }),
            ),
            ("ide2", "local:100/vm-100-cloudinit.qcow2,media=cdrom,size=4M", None),
            ("scsi00", "local:1,size=1G", None),
            ("rootfs0", "local:1,size=1G", None),
            (
                "efidisk0",
                "local:100/vm-100-disk-2.raw,efitype=4m,size=528K",
                Some(GuestDisk { key: "efidisk0", size: Some(528 << 10), ..mount }),
            ),
            (
                "rootfs",
                "data2:200/vm-200-disk-0.raw,size=1G",
                Some(GuestDisk { key: "rootfs", storage: Some("data2"), ..mount }),
            ),
            (
                "mp0",
                "data2:subvol-200-disk-1,mp=/srv,size=2T",
                Some(GuestDisk { key: "mp0", storage: Some("data2"), size: Some(2048 * GIB), backup: false, ..mount }),
            ),
            (
                "mp255",
                "volume=a:b,mp=/srv,backup=1",
                Some(GuestDisk { key: "mp255", storage: Some("a"), size: None, ..mount }),
            ),
            (
                "mp1",
                "/mnt/pictures,mp=/srv",
                Some(GuestDisk { key: "mp1", storage: None, size: None, backup: false, ..mount }),
            ),
            ("ide2", "local:iso/debian.iso,media=cdrom,size=600M", None),
            ("ide2", "none,media=cdrom", None),
            ("ide0", "none", None),
            ("ide0", "", None),
            ("scsi31", "local:1,size=1G", None),
            ("scsihw", "virtio-scsi-single", None),
            ("scsi", "local:1", None),
            ("unused0", "local:1", None),
        ] {
            assert_eq!(disk(key, value), expected, "{key}: {value}");
        }
    }

    #[test]
    fn cards_are_told_with_their_options() {
        let plain = Nic { key: "net0", model: Some("virtio"), bridge: Some("vmbr0"), vlan: None, firewall: false };
        for (key, value, expected) in [
            ("net0", "virtio=BC:24:11:29:44:1D,bridge=vmbr0", Some(plain)),
            (
                "net31",
                "e1000=BC:24:11:29:44:1D,bridge=vmbr1,firewall=1,tag=20",
                Some(Nic {
                    key: "net31",
                    model: Some("e1000"),
                    bridge: Some("vmbr1"),
                    vlan: Some("20"),
                    firewall: true,
                }),
            ),
            ("net0", "model=virtio,macaddr=BC:24:11:29:44:1D,bridge=vmbr0,firewall=0", Some(plain)),
            (
                "net0",
                "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:B1:46:87,ip=manual,type=veth",
                Some(Nic { model: Some("veth"), ..plain }),
            ),
            ("net0", "name=eth0,bridge=vmbr0", Some(Nic { model: None, ..plain })),
            ("net0", "virtio", Some(Nic { bridge: None, ..plain })),
            (
                "net3",
                "bridge=vmbr0,link_down=1,mtu=1,queues=4,rate=12.5,trunks=2;4-9,vmxnet3=BC:24:11:29:44:1D",
                Some(Nic { key: "net3", model: Some("vmxnet3"), ..plain }),
            ),
            ("net00", "virtio,bridge=vmbr0", None),
            ("net32", "virtio,bridge=vmbr0", None),
            ("network", "virtio", None),
        ] {
            assert_eq!(nic(key, value), expected, "{key}: {value}");
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, expected) in [
            ("1G", Some(GIB)),
            ("1.5G", Some(GIB * 3 / 2)),
            ("4096", Some(4096)),
            ("0", Some(0)),
            ("-1G", None),
            ("G", None),
            ("1X", None),
            ("1e400", None),
            ("99999999999T", None),
            ("NaN", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(key in "(scsi|net|mp|rootfs|unused)[0-9]{0,3}", value in "([a-z]{0,4}[=:,]?\\PC{0,3}){0,6}", any in "\\PC{0,8}") {
            let _ = (disk(&key, &value), nic(&key, &value), size(&any), is_device(&any), disk(&any, &value));
        }
    }
}
