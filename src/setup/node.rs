//! A command on a host, as root, bounded in time and size.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::Instant;

use super::error::Error;
use super::quote::Call;
use crate::ssh::{self, Command, Exit, Session};

/// One command: PVE's programs take a second or two to start, and longer on a loaded node.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most that is told of what a command complains about: lines …
const LINES: usize = 3;

/// … and characters.
const MOST: usize = 400;

/// Stands alone on the line after which a command's own output begins: a login shell may have greeted before.
pub(super) const MARK: &str = "@pve-sentinel answer";

/// What is executed; the program comes on its stdin, so that the login shell, whichever it is, sees nothing to read.
const SHELL: &str = "sh -s";

/// A host that commands are run on.
pub struct Node {
    session: Session,
    /// Whether its user needs `sudo`.
    sudo: bool,
}

impl Node {
    pub(super) fn new(session: Session, sudo: bool) -> Self {
        Self { session, sudo }
    }

    /// The command as it will be run there.
    pub fn command(&self, call: &Call) -> Call {
        if self.sudo { call.as_root() } else { call.clone() }
    }

    /// Runs a command and gives what it printed. An exit status other than 0 is an error.
    pub(super) async fn run(&self, call: &Call) -> Result<Vec<u8>, Error> {
        let command = self.command(call).to_string();
        // Whole or not at all: a shell runs nothing of a group of which it has not read the end.
        let program = format!(
            "{{ LC_ALL=C; export LC_ALL; echo '{MARK}'; echo '{MARK}' >&2; {command} </dev/null; exit $?; }}\n"
        );
        let output = ask(&self.session, program).await.map_err(Error::Ssh)?;
        if output.failure().is_some() {
            let why = why(&output);
            let hint = if why.contains("sudo:") {
                "; log in as root, or let this user run pveum and pvesh by sudo without a password"
            } else {
                ""
            };
            return Err(Error::Command { command, why: format!("{why}{hint}") });
        }
        let wrong =
            "expected a mark of ours before the answer, found none; is the login shell there one that runs commands?";
        match after_mark(&output.stdout) {
            Some(answer) => Ok(answer.to_vec()),
            None => Err(Error::Answer { command, wrong: wrong.to_owned() }),
        }
    }

    /// Reads the JSON that a command printed.
    pub(super) fn read<'a, T: Deserialize<'a>>(&self, call: &Call, answer: &'a [u8]) -> Result<T, Error> {
        parse(answer).map_err(|wrong| self.malformed(call, wrong))
    }

    /// An answer that cannot be meant.
    pub(super) fn malformed(&self, call: &Call, wrong: String) -> Error {
        Error::Answer { command: self.command(call).to_string(), wrong }
    }
}

/// Runs a program of our own on a host.
pub(super) async fn ask(session: &Session, program: String) -> Result<Arc<ssh::Output>, ssh::Error> {
    let command = Command { line: SHELL, stdin: Bytes::from(program) };
    session.exec(&command, Instant::now() + PATIENCE).await
}

/// How a command ended that did not end well, in its own words.
pub(super) fn why(output: &ssh::Output) -> String {
    let how = match &output.exit {
        Exit::Status(status) => format!("exit status {status}"),
        Exit::Signal(name) => format!("signal {name}"),
    };
    // Before the mark speaks the login shell.
    let said = String::from_utf8_lossy(after_mark(&output.stderr).unwrap_or(&output.stderr));
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).take(LINES).collect();
    let said: String = lines.join("; ").chars().take(MOST).collect();
    if said.is_empty() { how } else { format!("{how}: {said}") }
}

/// What follows the mark.
pub(super) fn after_mark(stdout: &[u8]) -> Option<&[u8]> {
    let mark = format!("{MARK}\n");
    let at = stdout.windows(mark.len()).position(|window| window == mark.as_bytes())?;
    stdout.get(at + mark.len()..)
}

/// Reads JSON. The error quotes nothing of it, which may be a secret.
fn parse<'a, T: Deserialize<'a>>(answer: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(answer).map_err(|error| {
        let what = if answer.iter().all(u8::is_ascii_whitespace) {
            "nothing"
        } else if error.is_eof() {
            "half of it"
        } else if error.is_syntax() {
            "something else"
        } else {
            "other values"
        };
        format!(
            "expected the JSON of Proxmox VE 8 or 9, found {what} (line {}, column {}; {} bytes in all, not shown)",
            error.line(),
            error.column(),
            answer.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_login_shell_says_before_is_no_answer() {
        assert_eq!(after_mark(b"Welcome\nno end of line@pve-sentinel answer\n[1]\n"), Some(&b"[1]\n"[..]));
        assert_eq!(after_mark(b"@pve-sentinel answer\n"), Some(&b""[..]));
        assert_eq!(after_mark(b"This account is not available.\n"), None);
    }

    #[test]
    fn no_error_quotes_what_was_printed() {
        for (answer, found) in [
            ("", "nothing"),
            ("[{\"value\": 1, \"0b9e", "half of it"),
            ("x0b9e7a52-1111", "something else"),
            ("[\"0b9e7a52\"]", "other values"),
            ("[{}] 0b9e", "something else"),
        ] {
            let wrong = parse::<Vec<std::collections::BTreeMap<String, u8>>>(answer.as_bytes()).unwrap_err();
            assert!(wrong.contains(found) && !wrong.contains("0b9e"), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = after_mark(&bytes);
            let _ = parse::<serde_json::Value>(&bytes);
        }
    }
}
