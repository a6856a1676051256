//! `GET /nodes/{node}/{qemu|lxc}/{vmid}/status/current`: what a guest does just now; needs `VM.Audit` on it.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::wire::{Named, Number, Object, Text};

/// What is used of it. Nearly all is absent where QEMU does not answer within two seconds, and while a guest is stopped.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct GuestStatus<'a> {
    /// `running` or `stopped`: each guest has one of them.
    #[serde(borrow)]
    pub status: Text<'a>,
    /// The version of the QEMU it runs in, such as `10.0.2`.
    #[serde(borrow, rename = "running-qemu")]
    pub running_qemu: Text<'a>,
    /// The type of machine that QEMU makes for it, such as `pc-i440fx-10.0+pve0`.
    #[serde(borrow, rename = "running-machine")]
    pub running_machine: Text<'a>,
    /// Bytes that its balloon leaves it.
    pub balloon: Number,
    /// Bytes that are free by its own word.
    pub freemem: Number,
    /// Bytes of swap space that a container uses.
    pub swap: Number,
    /// Percent of the last ten seconds in which some of it, or all of it, waited; of a container as texts.
    #[serde(rename = "pressurecpusome")]
    pub cpu_some: Number,
    /// See above.
    #[serde(rename = "pressurecpufull")]
    pub cpu_full: Number,
    /// See above.
    #[serde(rename = "pressureiosome")]
    pub io_some: Number,
    /// See above.
    #[serde(rename = "pressureiofull")]
    pub io_full: Number,
    /// See above.
    #[serde(rename = "pressurememorysome")]
    pub memory_some: Number,
    /// See above.
    #[serde(rename = "pressurememoryfull")]
    pub memory_full: Number,
    /// Of a VM, by the name of the interface on its node, such as `tap100i0`.
    #[serde(borrow)]
    pub nics: Named<'a, NicCounters>,
    /// Of a VM, by the key of the disk, such as `scsi0`.
    #[serde(borrow)]
    pub blockstat: Named<'a, DiskCounters>,
}

/// What went through a network card of a VM since it was plugged in, as the VM sees it.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
pub struct NicCounters {
    /// Bytes received.
    pub netin: Number,
    /// Bytes sent.
    pub netout: Number,
}

/// What a disk of a VM did since QEMU was started.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
pub struct DiskCounters {
    /// Bytes read.
    pub rd_bytes: Number,
    /// Bytes written.
    pub wr_bytes: Number,
    /// Reads that were done.
    pub rd_operations: Number,
    /// Writes that were done.
    pub wr_operations: Number,
    /// Flushes that were done.
    pub flush_operations: Number,
    /// Nanoseconds that reads took.
    pub rd_total_time_ns: Number,
    /// Nanoseconds that writes took.
    pub wr_total_time_ns: Number,
    /// Nanoseconds that flushes took.
    pub flush_total_time_ns: Number,
    /// Reads that failed.
    pub failed_rd_operations: Number,
    /// Writes that failed.
    pub failed_wr_operations: Number,
    /// Flushes that failed.
    pub failed_flush_operations: Number,
}

/// What the guest does. An answer without a status is malformed.
pub fn guest_status(answer: &Answer) -> Result<GuestStatus<'_>, Error> {
    let Object(status): Object<GuestStatus<'_>> = answer.data()?;
    if status.status.filled().is_none() {
        return Err(answer.malformed("it has no status; expected running or stopped".to_owned()));
    }
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::super::testing::recorded;
    use super::*;

    #[test]
    fn devices_have_their_names() {
        let answer = recorded("pve-9.2-cluster/GET_nodes__pve-lab__qemu__103__status__current.json");
        let status = guest_status(&answer).expect("a status");
        let nics: Vec<_> = status.nics.0.iter().map(|(name, nic)| (name.filled(), nic.netin.0)).collect();
        assert_eq!(nics, [(Some("tap103i0"), Some(1146.0))]);
        let disks: Vec<_> = status.blockstat.0.iter().map(|(name, disk)| (name.filled(), disk.rd_bytes.0)).collect();
        assert_eq!(disks, [(Some("scsi0"), Some(67_244_544.0))]);
        assert_eq!(status.running_qemu.filled(), Some("10.0.13"));
    }

    #[test]
    fn what_has_no_names_is_passed_over() {
        for devices in [r#"[1,{"netin":1}]"#, "7", "null", r#""x""#, r#"{"tap7i0":7,"tap7i1":[1]}"#] {
            let answer =
                Answer::of(&format!(r#"{{"data":{{"status":"running","nics":{devices},"blockstat":{devices}}}}}"#));
            let status = guest_status(&answer).unwrap_or_else(|error| panic!("{devices}: {error}"));
            assert!(status.nics.0.is_empty() && status.blockstat.0.is_empty(), "{devices}");
        }
        for body in [r#"{"data":{"cpu":1}}"#, r#"{"data":["running"]}"#, r#"{"data":null}"#] {
            assert!(guest_status(&Answer::of(body)).is_err(), "{body}");
        }
    }
}
