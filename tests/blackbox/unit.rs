//! What systemd thinks of the units in `packaging/`. A missing program is a failure.

use std::process::Output;

use crate::programs::{missing, program};
use crate::support::repository;

/// The most that `systemd-analyze security` may find exposed, in tenths; 100 is all.
const EXPOSED: u32 = 15;

const UNITS: [&str; 2] = ["pve-sentinel.service", "pve-sentinel.socket"];

fn analyze(arguments: &[&str]) -> Output {
    let output = program("systemd-analyze").args(arguments).output();
    output.unwrap_or_else(|error| missing("systemd-analyze", &error))
}

#[test]
fn units_have_no_faults() {
    let folder = tempfile::tempdir().unwrap();
    for unit in UNITS {
        let text = std::fs::read_to_string(repository().join("packaging").join(unit)).unwrap();
        // It must be there to be verified.
        let text = text.replace("/usr/bin/pve-sentinel", env!("CARGO_BIN_EXE_pve-sentinel"));
        std::fs::write(folder.path().join(unit), text).unwrap();
    }
    let complaints = |unit: &str| {
        let output = analyze(&["verify", "--man=no", folder.path().join(unit).to_str().unwrap()]);
        let said = String::from_utf8(output.stderr).unwrap();
        // Of the machine's own units it may complain, too.
        said.lines().filter(|line| line.contains("pve-sentinel")).map(|line| format!("{line}\n")).collect::<String>()
    };
    for unit in UNITS {
        assert_eq!(complaints(unit), "");
        let path = folder.path().join(unit);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{text}Misspelt=yes\n")).unwrap();
        assert!(complaints(unit).contains("Misspelt"), "a fault would be seen");
        std::fs::write(&path, text).unwrap();
    }
}

#[test]
fn the_service_can_reach_little() {
    let unit = repository().join("packaging/pve-sentinel.service");
    let threshold = format!("--threshold={EXPOSED}");
    let output = analyze(&["security", "--offline=true", "--no-pager", &threshold, unit.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let output = analyze(&["security", "--offline=true", "--no-pager", "--threshold=1", unit.to_str().unwrap()]);
    assert!(!output.status.success(), "what is exposed would be seen");
}
