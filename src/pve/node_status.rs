//! `GET /nodes/{node}/status`: what a node is made of and runs; needs `Sys.Audit` on it.
//!
//! Its `cpu` and `wait` are left alone: each worker of pveproxy works them out between two calls that it happened to
//! get, so that they say 0 or the mean of any span.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::wire::{Entry, Flag, Number, Object, Text};

/// A node as it describes itself. What its release does not tell is absent.
#[derive(Debug, Default)]
pub struct NodeStatus<'a> {
    /// Such as `pve-manager/9.2.11/14a22df35955d97d`.
    pub pveversion: Text<'a>,
    /// The kernel's full description, such as `Linux 6.17.4-2-pve #1 SMP …`.
    pub kversion: Text<'a>,
    /// Since PVE 8.1.
    pub kernel: Kernel<'a>,
    /// Since PVE 8.1.
    pub boot: Boot<'a>,
    /// Its processors.
    pub cpu: Cpu<'a>,
    /// Bytes that a new process could have without swapping; since PVE 9.0.
    pub memory_available: Number,
    /// Bytes that KSM saves.
    pub ksm_shared: Number,
    /// Bytes of the root file system that are left for processes.
    pub rootfs_available: Number,
}

/// The kernel that runs.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Kernel<'a> {
    /// Such as `6.17.4-2-pve`.
    #[serde(borrow)]
    pub release: Text<'a>,
}

/// How the node booted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Boot<'a> {
    /// `efi` or `legacy-bios`.
    #[serde(borrow)]
    pub mode: Text<'a>,
    /// With `efi` only.
    pub secureboot: Flag,
}

/// The node's processors, all sockets together.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Cpu<'a> {
    /// As the first of them calls itself.
    #[serde(borrow)]
    pub model: Text<'a>,
    /// Of all sockets.
    pub cores: Number,
    /// Packages on the board.
    pub sockets: Number,
    /// Logical CPUs that are online.
    pub cpus: Number,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Row<'a> {
    #[serde(borrow)]
    pveversion: Text<'a>,
    #[serde(borrow)]
    kversion: Text<'a>,
    #[serde(borrow, rename = "current-kernel")]
    kernel: Option<Entry<Kernel<'a>>>,
    #[serde(borrow, rename = "boot-info")]
    boot: Option<Entry<Boot<'a>>>,
    #[serde(borrow)]
    cpuinfo: Option<Entry<Cpu<'a>>>,
    memory: Option<Entry<Memory>>,
    ksm: Option<Entry<Ksm>>,
    rootfs: Option<Entry<RootFs>>,
}

#[derive(Default, Debug, Deserialize)]
#[serde(default)]
struct Memory {
    available: Number,
}

#[derive(Default, Debug, Deserialize)]
#[serde(default)]
struct Ksm {
    shared: Number,
}

#[derive(Default, Debug, Deserialize)]
#[serde(default)]
struct RootFs {
    avail: Number,
}

/// The status. An answer without a version is malformed.
pub fn node_status(answer: &Answer) -> Result<NodeStatus<'_>, Error> {
    let Object(row): Object<Row<'_>> = answer.data()?;
    if row.pveversion.filled().is_none() {
        return Err(answer.malformed("it has no pveversion; expected one, such as pve-manager/9.2.11/…".to_owned()));
    }
    Ok(NodeStatus {
        pveversion: row.pveversion,
        kversion: row.kversion,
        kernel: part(row.kernel),
        boot: part(row.boot),
        cpu: part(row.cpuinfo),
        memory_available: part(row.memory).available,
        ksm_shared: part(row.ksm).shared,
        rootfs_available: part(row.rootfs).avail,
    })
}

impl NodeStatus<'_> {
    /// The version of pve-manager, such as `9.2.11`.
    pub fn version(&self) -> Option<&str> {
        self.pveversion.filled()?.split('/').nth(1).filter(|version| !version.is_empty())
    }

    /// The release of the kernel that runs, such as `6.17.4-2-pve`.
    pub fn kernel_release(&self) -> Option<&str> {
        self.kernel.release.filled().or_else(|| self.kversion.filled()?.split_whitespace().nth(1))
    }
}

fn part<T: Default>(entry: Option<Entry<T>>) -> T {
    entry.and_then(|entry| entry.0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_taken_out_of_what_is_around_them() {
        let body = r#"{"data":{"pveversion":"pve-manager/8.0.4/d258a813cfa6b390",
            "kversion":"Linux 6.2.16-3-pve #1 SMP PREEMPT_DYNAMIC"}}"#;
        let answer = Answer::of(body);
        let status = node_status(&answer).expect("a status");
        assert_eq!((status.version(), status.kernel_release()), (Some("8.0.4"), Some("6.2.16-3-pve")));
        let answer = Answer::of(r#"{"data":{"pveversion":"pve-manager","kversion":"Linux","memory":7,"ksm":null}}"#);
        let status = node_status(&answer).expect("a status");
        assert_eq!((status.version(), status.kernel_release(), status.memory_available.0), (None, None, None));
        for body in [r#"{"data":{}}"#, r#"{"data":null}"#, r#"{"data":[{"pveversion":"a/b"}]}"#] {
            assert!(node_status(&Answer::of(body)).is_err(), "{body}");
        }
    }
}
