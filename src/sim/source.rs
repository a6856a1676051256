//! Where the answers come from: a simulated world, or the recordings of a real one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use bytes::Bytes;
use serde::Deserialize;

use super::json;
use super::routes::{self, Call};
use super::workers::Workers;
use super::world::World;

/// PVE's type of JSON answers.
const JSON: &str = "application/json;charset=UTF-8";

/// Where an endpoint's answers come from.
#[derive(Clone)]
pub enum Source {
    /// Always the same answers, whatever the time and the caller's rights.
    Recorded(Recorded),
    /// A living cluster; its endpoints share it.
    World(Arc<World>),
}

/// Answers by path and query (`/api2/json/cluster/resources?type=vm`); what is not in it is answered 501.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recorded(pub BTreeMap<String, Reply>);

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Such as 200 or 595.
    pub status: u16,
    /// The reason phrase.
    pub reason: String,
    /// Answered by pvedaemon on pveproxy's behalf: its `Connection: close` is passed on beside `Keep-Alive`.
    pub protected: bool,
    /// Absent where PVE sends neither type nor length.
    pub content_type: Option<String>,
    /// What the `Date` header says; absent: there is none. A world says its own time.
    pub date: Option<String>,
    /// JSON is sent with its keys in another order each time.
    pub body: Bytes,
}

/// A recording as it lies on disk.
#[derive(Deserialize)]
struct File {
    method: String,
    path: String,
    status: u16,
    reason: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    body: Option<serde_json::Value>,
    body_text: Option<String>,
}

impl Source {
    /// The name of the cluster, for its certificates.
    pub(super) fn cluster(&self) -> &str {
        match self {
            Self::Recorded(_) => "recorded",
            Self::World(world) => world.cluster(),
        }
    }

    /// The name of a node, for its certificate.
    pub(super) fn node_name(&self, node: usize) -> String {
        match self {
            Self::Recorded(_) => format!("node{node}"),
            Self::World(world) => world.node_name(node).to_owned(),
        }
    }

    /// How busy its nodes are: shared by the endpoints of one world, and of a recording each endpoint's own.
    pub(super) fn workers(&self, node: &str) -> Workers {
        match self {
            Self::Recorded(_) => Workers::new(&[node.to_owned()]),
            Self::World(world) => world.workers().clone(),
        }
    }

    /// Whether there is a node of this name; of a recording, any may be.
    pub(super) fn has_node(&self, name: &str) -> bool {
        match self {
            Self::Recorded(_) => true,
            Self::World(world) => world.node_index(name).is_some(),
        }
    }

    /// Whether a node cannot be reached just now.
    pub(super) fn is_away(&self, node: usize, now: Duration) -> bool {
        match self {
            Self::Recorded(_) => false,
            Self::World(world) => world.is_away(node, now),
        }
    }
}

impl Recorded {
    /// Reads the recorded GETs of a folder whose file names begin with `prefix`, such as `GET_`, `NOACL_GET_` or
    /// `node2down_6min_GET_`. Where two are of the same path, the first by name is taken.
    ///
    /// # Errors
    /// When the folder or a file cannot be read, a file is no recording, or there is none.
    pub fn load(folder: &Path, prefix: &str) -> io::Result<Self> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(prefix) && name.ends_with(".json") {
                files.push(entry.path());
            }
        }
        files.sort();
        let mut replies = BTreeMap::new();
        for path in files {
            let wrong = |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", path.display()));
            let text = fs::read_to_string(&path).map_err(|error| wrong(&error))?;
            let file: File = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
            if file.method == "GET" {
                replies.entry(file.path.clone()).or_insert_with(|| file.into());
            }
        }
        if replies.is_empty() {
            return Err(io::Error::other(format!("{}: no recording {prefix}*.json", folder.display())));
        }
        Ok(Self(replies))
    }

    pub(super) fn answer(&self, call: &Call<'_>) -> Reply {
        let Some(reply) = self.0.get(call.target).filter(|_| call.method == "GET") else {
            return routes::not_implemented(call);
        };
        let mut reply = reply.clone();
        if let Ok(document) = serde_json::from_slice(&reply.body) {
            reply.body = json::reordered(&document, &mut call.order()).into();
        }
        reply
    }
}

impl Reply {
    /// An answer with a JSON body.
    pub fn json(status: u16, reason: &str, body: impl Into<Bytes>) -> Self {
        let content_type = Some(JSON.to_owned());
        Self { status, reason: reason.to_owned(), protected: false, content_type, date: None, body: body.into() }
    }

    /// An answer that says it all in its reason phrase: no body, no type.
    pub fn bare(status: u16, reason: &str) -> Self {
        Self { content_type: None, ..Self::json(status, reason, "") }
    }

    /// An answer typed by its look: nothing, JSON or HTML.
    pub(super) fn text(status: u16, reason: &str, body: &str) -> Self {
        if body.is_empty() {
            return Self::bare(status, reason);
        }
        let mut reply = Self::json(status, reason, body.to_owned());
        if !body.starts_with(['{', '[']) {
            reply.content_type = Some("text/html".to_owned());
        }
        reply
    }
}

impl From<File> for Reply {
    fn from(file: File) -> Self {
        let values = |name: &str| {
            let name = name.to_owned();
            file.headers.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(&name)).map(|(_, value)| value)
        };
        let body = match (&file.body, &file.body_text) {
            (Some(body), _) => body.to_string(),
            (None, text) => text.clone().unwrap_or_default(),
        };
        Self {
            protected: values("connection").count() > 1,
            content_type: values("content-type").next().cloned(),
            date: values("date").next().cloned(),
            status: file.status,
            reason: file.reason,
            body: body.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::start;
    use super::super::testing::{AUDITOR, Client, fixtures, options};
    use super::*;

    #[tokio::test]
    async fn recordings_are_answered_as_they_were() {
        let recorded = Recorded::load(&fixtures("pve-9.2-cluster"), "GET_").unwrap();
        let sim = start(options(), Source::Recorded(recorded.clone())).await.unwrap();
        let mut client = Client::connect(&sim).await;
        for (path, reply) in &recorded.0 {
            let answer = client.get(path.strip_prefix("/api2/json").unwrap(), AUDITOR).await;
            assert_eq!(answer.status_line(), format!("HTTP/1.1 {} {}", reply.status, reply.reason), "{path}");
            let recorded: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(answer.json(), recorded, "{path}");
            if reply.status == 200 {
                assert_eq!(answer.values("Connection").len(), if reply.protected { 2 } else { 1 }, "{path}");
            } else {
                client = Client::connect(&sim).await;
            }
        }
        assert!(recorded.0["/api2/json/cluster/status"].protected && !recorded.0["/api2/json/version"].protected);
        let answer = client.get("/cluster/nonsense", AUDITOR).await;
        assert_eq!(answer.status_line(), "HTTP/1.1 501 Method 'GET /cluster/nonsense' not implemented");
    }

    #[test]
    fn every_set_of_recordings_loads() {
        for prefix in [
            "node2down_6min_",
            "node2down_quorate_GET_",
            "node2down_quorate_after_1min_",
            "noquorum_GET_",
            "noquorum_early_",
        ] {
            let recorded = Recorded::load(&fixtures("pve-9.2-node-lost"), prefix).unwrap();
            let paths: Vec<&str> = recorded.0.keys().map(String::as_str).collect();
            assert!(paths.contains(&"/api2/json/cluster/resources"), "{prefix}");
        }
        let errors = Recorded::load(&fixtures("pve-9.2-cluster"), "ERR_GET_proxy").unwrap();
        let reply = &errors.0["/api2/json/nodes/pve-dead/status"];
        assert_eq!((reply.status, reply.reason.as_str(), &reply.content_type), (595, "No route to host", &None));
    }

    #[test]
    fn the_first_recording_of_a_path_is_taken_and_none_is_an_error() {
        let recorded = Recorded::load(&fixtures("pve-9.2-cluster"), "GET_cluster__resources_").unwrap();
        assert!(recorded.0["/api2/json/cluster/resources"].body.windows(6).any(|bytes| bytes == b"\"lock\""));
        let recorded = Recorded::load(&fixtures("pve-9.2-cluster"), "GET_cluster__resources").unwrap();
        assert!(!recorded.0["/api2/json/cluster/resources"].body.windows(6).any(|bytes| bytes == b"\"lock\""));
        let error = Recorded::load(&fixtures("pve-9.2-cluster"), "NONE_").unwrap_err().to_string();
        assert!(error.ends_with("pve-9.2-cluster: no recording NONE_*.json"), "{error}");
    }
}
