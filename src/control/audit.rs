//! What is written down of each decision: a line of the log, and a line of a file that is safe on disk before anything is
//! done.
//!
//! The file is opened for each line: whoever moves it away, as logrotate does, finds the next line in a new one.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use serde::Serialize;

use super::lines;

/// The file of decisions.
pub(super) struct Audit {
    path: PathBuf,
    /// One line at a time.
    turn: Mutex<()>,
}

/// One line. Nothing in it is a secret.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Entry {
    /// Seconds since 1970.
    pub(super) time: f64,
    /// `intent` before something is sent, `decision` at the end.
    pub(super) event: &'static str,
    /// The id of the request.
    pub(super) request: String,
    /// The name of the token.
    pub(super) token: String,
    /// Where the request came from.
    pub(super) client: Option<String>,
    pub(super) action: &'static str,
    pub(super) cluster: String,
    /// Empty where no guest is meant.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) vmid: String,
    pub(super) node: Option<String>,
    /// The id of a host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<String>,
    pub(super) dry_run: bool,
    pub(super) upid: Option<String>,
    /// `done`, `unchanged`, `dry_run`, or the code of an error.
    pub(super) outcome: &'static str,
    /// In words, where there are any.
    pub(super) message: Option<String>,
    pub(super) duration_seconds: f64,
}

impl Audit {
    /// Makes sure that the file can be written, and by nobody else. Fails with a sentence that names key and path.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let what = |error: io::Error| {
            let path = path.display();
            let advice = match error.kind() {
                io::ErrorKind::PermissionDenied => format!("if it belongs to another user: chown USER: {path}"),
                _ => "name another one".to_owned(),
            };
            format!("audit_file {path} cannot be written: {error}; without it nothing may be switched; {advice}")
        };
        let file = lines::open(path).map_err(what)?;
        file.set_permissions(Permissions::from_mode(0o600)).map_err(what)?;
        Ok(Self { path: path.to_owned(), turn: Mutex::default() })
    }

    /// Writes a line; it is on disk when this returns.
    pub(super) fn write(&self, entry: &impl Serialize) -> io::Result<()> {
        let line = serde_json::to_vec(entry)?;
        let _turn = self.turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        lines::append(&self.path, line)
    }
}

impl Entry {
    /// The line of the log.
    pub(super) fn log(&self) {
        let Self { event, request, token, action, cluster, vmid, dry_run, outcome, .. } = self;
        let (client, node, upid) = (self.client.as_deref(), self.node.as_deref(), self.upid.as_deref());
        let (vmid, host) = ((!vmid.is_empty()).then_some(vmid), self.host.as_deref());
        let duration = Duration::try_from_secs_f64(self.duration_seconds).unwrap_or_default();
        tracing::info!(
            event,
            id = request,
            user = token,
            client,
            action,
            cluster,
            vmid,
            node,
            host,
            dry_run,
            upid,
            outcome,
            why = self.message.as_deref(),
            ?duration,
            "decided on an action"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(request: &str) -> Entry {
        Entry {
            time: 1_790_000_000.5,
            event: "intent",
            request: request.to_owned(),
            token: "ops".to_owned(),
            client: None,
            action: "start",
            cluster: "home".to_owned(),
            vmid: "100".to_owned(),
            node: None,
            host: None,
            dry_run: false,
            upid: None,
            outcome: "done",
            message: Some("a \"quoted\"\nline".to_owned()),
            duration_seconds: 0.25,
        }
    }

    #[test]
    fn lines_are_added_also_after_the_file_was_moved_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let audit = Audit::open(&path).unwrap();
        audit.write(&entry("a")).unwrap();
        audit.write(&entry("b")).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(text.starts_with("{\"time\":1790000000.5,\"event\":\"intent\",\"request\":\"a\","), "{text}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::rename(&path, folder.path().join("audit.log.1")).unwrap();
        audit.write(&entry("c")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none/audit.log");
        let wrong = Audit::open(&path).err().unwrap();
        assert!(wrong.starts_with("audit_file ") && wrong.contains("none/audit.log cannot be written"), "{wrong}");
    }
}
