//! `reboot`: whether a newer kernel waits for a reboot. Try: `ls /run/reboot-required /boot/vmlinuz-*; uname -r`

use std::cmp::Ordering;

use super::lines::Probe;
use super::sink::{Sink, gauge, plain};
use crate::metrics::Desc;

static REQUIRED: Desc = gauge(
    "pve_host_reboot_required",
    "Whether the host asks for a reboot, or would boot a newer kernel of the kind that runs.",
);

/// Absent where it cannot be told: no flag, and the kernel that runs is none of those in /boot.
pub(super) fn read(probe: &Probe, sink: &mut Sink) {
    if let Err(gap) = probe.section("facts") {
        return sink.trouble(format!("facts: {gap}"));
    }
    let flagged = probe.facts("reboot_required").next().is_some();
    let running = probe.value("/proc/sys/kernel/osrelease").unwrap_or_default();
    let newer = newer_waits(running, probe.facts("kernel"), probe.facts("pinned").next());
    let value = if flagged { Some(true) } else { newer };
    sink.put(&REQUIRED, &plain(), value.map(|required| f64::from(u8::from(required))));
}

/// Whether another kernel would be booted: the pinned one, else the newest of the same flavour.
fn newer_waits<'a>(running: &str, mut installed: impl Iterator<Item = &'a str>, pinned: Option<&str>) -> Option<bool> {
    if let Some(pinned) = pinned {
        return Some(pinned != running);
    }
    let (mut known, mut newer) = (false, false);
    installed.by_ref().filter(|kernel| flavour(kernel) == flavour(running)).for_each(|kernel| {
        known |= kernel == running;
        newer |= compare(kernel, running) == Ordering::Greater;
    });
    known.then_some(newer)
}

/// `pve` of `6.8.12-4-pve`: kernels of different flavours do not follow one another.
fn flavour(kernel: &str) -> &str {
    let word = kernel.rsplit('-').next().unwrap_or_default();
    if word.starts_with(|c: char| c.is_ascii_digit()) { "" } else { word }
}

/// Numbers by their value, all else as text.
fn compare(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| -> Vec<(Option<u64>, String)> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        words.map(|word| (word.parse().ok(), word.to_owned())).collect()
    };
    parts(a).cmp(&parts(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_kernel_of_the_same_flavour_waits() {
        let (old, new) = ("6.8.12-4-pve", "6.8.12-10-pve");
        for (running, installed, pinned, expected) in [
            (old, [old, new].as_slice(), None, Some(true)),
            (new, &[old, new], None, Some(false)),
            (old, &[old, "6.12.9-1-amd64"], None, Some(false)),
            (old, &[old, new], Some(old), Some(false)),
            (new, &[old, new], Some(old), Some(true)),
            (old, &[new], None, None),
            ("6.1.0", &[], None, None),
            ("6.1.0", &["6.1.0", "6.2.0"], None, Some(true)),
            (old, &[old, "6.11.0-1-pve"], None, Some(true)),
            (old, &[old, "6.8.4-1-pve"], None, Some(false)),
        ] {
            assert_eq!(newer_waits(running, installed.iter().copied(), pinned), expected, "{running} {installed:?}");
        }
    }
}
