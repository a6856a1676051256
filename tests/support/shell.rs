//! The probe, run by a shell of this machine.

use std::io::Write;
use std::process::{Command, Stdio};

use pve_sentinel::ssh::PROBE;

/// `shell -s -- mode` with the probe on its stdin, as sshd would start it.
pub fn probe(shell: &[&str], mode: &str) -> Vec<u8> {
    run(shell, PROBE, &["-s", "--", mode], &[])
}

/// Any text on the stdin of a shell, and what it printed; complaints of the shell itself are a failure.
#[expect(clippy::disallowed_methods, reason = "the tests start other people's programs")]
pub fn run(shell: &[&str], script: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Vec<u8> {
    let mut child = Command::new(shell[0])
        .args(&shell[1..])
        .args(arguments)
        .env_remove("SSH_ORIGINAL_COMMAND")
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{} cannot be started ({error}): tests/run installs it", shell[0]));
    let mut stdin = child.stdin.take().expect("a stdin");
    let script = script.to_owned();
    // A shell that reads slowly must not keep us from reading what it prints; one that reads no further is no fault.
    let writer = std::thread::spawn(move || stdin.write_all(script.as_bytes()));
    let output = child.wait_with_output().expect("the shell's output");
    let _ = writer.join().expect("the writer");
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaints.is_empty(), "{shell:?} {arguments:?}: {complaints}");
    output.stdout
}
