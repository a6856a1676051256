//! Packages that apt would upgrade. Try: `apt-get -s dist-upgrade | grep ^Inst`

use super::Frame;
use super::frame::Gap;
use super::lines::whole;
use super::sink::{Sink, gauge, plain};
use crate::metrics::Desc;

static PENDING: Desc = gauge("pve_host_package_updates_pending", "Packages that apt would upgrade or add.");
static SECURITY: Desc =
    gauge("pve_host_package_security_updates_pending", "Packages that apt would upgrade from a security archive.");
static LISTS: Desc =
    gauge("pve_host_package_lists_timestamp_seconds", "Unix time at which the host last asked its archives for news.");

/// What an answer to `updates` may bring.
pub const FAMILIES: &[&Desc] = &[&PENDING, &SECURITY, &LISTS];

/// `Inst NAME [OLD] (NEW ARCHIVES [ARCH])`
pub(super) fn read(frame: &Frame, sink: &mut Sink) {
    let text = match frame.get("updates") {
        Ok(text) => text,
        // Another package manager, or none.
        Err(Gap::Absent(why)) if why == "no apt-get" => return,
        Err(gap) => return sink.trouble(format!("apt-get: {gap}")),
    };
    let packages = || text.lines().filter(|line| line.starts_with("Inst "));
    let secure = |line: &&str| line.to_ascii_lowercase().contains("security");
    sink.put(&PENDING, &plain(), packages().count() as f64);
    sink.put(&SECURITY, &plain(), packages().filter(secure).count() as f64);
    sink.put(&LISTS, &plain(), text.lines().find_map(|line| line.strip_prefix("lists ")).and_then(whole));
}
