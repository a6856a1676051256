//! Files in `state_dir` that are not what we left there: damaged, of another kind, too long.

use super::control::Lab;
use crate::support::Exporter;

#[test]
fn a_damaged_journal_of_control_is_said_once_and_kept() {
    let mut lab = Lab::start();
    let path = lab.folder.path().join("state/control.journal");
    lab.kill();
    std::fs::write(&path, "garbage\n").unwrap();
    lab.exporter = Exporter::serve(&lab.config);
    let said = lab.exporter.wait_for_log("in the journal of control make no sense");
    for words in ["level=warn", "1 lines (8 bytes)", "state/control.journal.damaged"] {
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(std::fs::read_to_string(path.with_extension("journal.damaged")).unwrap(), "garbage\n");
    lab.restart();
    lab.exporter.page("/metrics");
    assert!(!lab.exporter.log().contains("make no sense"), "{}", lab.exporter.log());
}
