//! Files in `state_dir` that are not what we left there: damaged, of another kind, too long.

use std::path::Path;

use super::control::Lab;
use crate::support::{Exporter, Finished, run_to_end, write_private};

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

/// A start with this in the place of a file.
fn refused(name: &str, put: impl FnOnce(&Path)) -> Finished {
    let folder = tempfile::tempdir().unwrap();
    let (state, file) = (folder.path().join("state"), folder.path().join("config.toml"));
    std::fs::create_dir(&state).unwrap();
    put(&state.join(name));
    let config = format!(
        "state_dir = {state:?}\n[[clusters]]\nname = \"home\"\nendpoints = [\"https://127.0.0.1:1\"]\ntoken_id = \
         \"monitor@pve!prometheus\"\ntoken_secret = \"7f1c2f0a-5eec-4e7b-9d43-0123456789ab\"\ntls = {{ \
         insecure_skip_verify = true }}\ncontrol = {{ token_id = \"operator@pve!power\", token_secret = \
         \"0d0e0f10-5eec-4e7b-9d43-0123456789ab\" }}\n[control]\ntokens = [{{ name = \"ops\", sha256 = \"{}\", scopes = \
         [\"power\"] }}]\n[events]\nalertmanagers = [{{ url = \"http://127.0.0.1:1\" }}]\n",
        pve_sentinel::ids::TokenHash::of("x").hex()
    );
    write_private(&file, &config);
    run_to_end(&["serve", "--config.file", file.to_str().unwrap(), "--web.listen-address", "127.0.0.1:0"])
}

#[expect(clippy::disallowed_methods, reason = "the standard library makes no pipes with names")]
fn pipe(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn what_is_no_file_of_ours_ends_the_start_and_is_named() {
    for name in ["lock", "events.journal", "control.journal", "audit.log"] {
        let check = |ended: &Finished, words: &str| {
            assert_eq!(ended.code, Some(1), "{ended:?}");
            for words in [&format!("/state/{name}"), words] {
                assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
            }
        };
        check(&refused(name, pipe), "it is a pipe, no regular file; ");
        check(&refused(name, |path| std::fs::create_dir(path).unwrap()), "it is a folder, no regular file; ");
        let link = |path: &Path| std::os::unix::fs::symlink("/dev/zero", path).unwrap();
        check(&refused(name, link), "it is a device, no regular file; ");
        if name.ends_with(".journal") {
            let long = |path: &Path| std::fs::File::create(path).unwrap().set_len(3 << 30).unwrap();
            check(&refused(name, long), "it is larger than 268435456 bytes; move it away");
        }
    }
}
