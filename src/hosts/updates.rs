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
    sink.put(&PENDING, &plain(), packages().count() as f64);
    sink.put(&SECURITY, &plain(), packages().filter(|line| is_secure(line)).count() as f64);
    sink.put(&LISTS, &plain(), text.lines().find_map(|line| line.strip_prefix("lists ")).and_then(whole));
}

/// Whether an archive of `Inst openssl [3.5.1-1] (3.5.1-1+deb13u1 Debian-Security:13/stable-security [amd64])` is one for
/// security: the package may be called so, too.
fn is_secure(line: &str) -> bool {
    let told = line.split_once('(').and_then(|(_, told)| told.split_once(')'));
    let archives = told.and_then(|(told, _)| told.split_once(' '));
    archives.is_some_and(|(_, archives)| archives.to_ascii_lowercase().contains("security"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_for_security_and_not_names() {
        for (line, expected) in [
            ("Inst openssl [3.5.1-1] (3.5.1-1+deb13u1 Debian-Security:13/stable-security [amd64])", true),
            ("Inst libssl3t64 [1] (2 Debian:13.2/stable, Debian-Security:13/stable-security [amd64]) []", true),
            ("Inst bash [1] (2 Ubuntu:22.04/jammy-updates, Ubuntu:22.04/jammy-security [amd64])", true),
            ("Inst libapache2-mod-security2 [2.9.11-1] (2.9.12-1 Debian:13.2/stable [amd64])", false),
            ("Inst tzdata [1] (2-0+security1 Debian:13.2/stable-updates [all])", false),
            ("Inst pve-manager [9.1.1] (9.2.11 Proxmox:13/stable [all])", false),
            ("Inst security", false),
        ] {
            assert_eq!(is_secure(line), expected, "{line}");
        }
    }
}
