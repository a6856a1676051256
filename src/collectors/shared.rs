//! Families whose name the reference exporter shares between nodes, guests and storages, how they are filled, and what
//! else several collectors need.

use super::Subject;
use crate::inventory::{Figure, Usage};
use crate::metrics::{Desc, Family, Kind, Labels, Sample, Samples};
use crate::pve::{Answer, Error, Reason};

pub(super) static UP: Desc = Desc {
    name: "pve_up",
    help: "Whether the node is online, the guest running, the storage available or the cluster quorate, from /cluster/resources and /cluster/status.",
    kind: Kind::Gauge,
};
pub(super) static CPU_RATIO: Desc = Desc {
    name: "pve_cpu_usage_ratio",
    help: "CPU in use as a fraction of pve_cpu_usage_limit, from /cluster/resources.",
    kind: Kind::Gauge,
};
pub(super) static CPU_LIMIT: Desc = Desc {
    name: "pve_cpu_usage_limit",
    help: "Number of CPUs of the node or guest, from /cluster/resources.",
    kind: Kind::Gauge,
};
pub(super) static MEMORY: Desc =
    Desc { name: "pve_memory_usage_bytes", help: "Memory in use, from /cluster/resources.", kind: Kind::Gauge };
pub(super) static MEMORY_SIZE: Desc = Desc {
    name: "pve_memory_size_bytes",
    help: "Memory of the node, or assigned to the guest, from /cluster/resources.",
    kind: Kind::Gauge,
};
pub(super) static DISK: Desc = Desc {
    name: "pve_disk_usage_bytes",
    help: "Disk space in use of the node's or container's root file system or of the storage, from /cluster/resources.",
    kind: Kind::Gauge,
};
pub(super) static DISK_SIZE: Desc = Desc {
    name: "pve_disk_size_bytes",
    help: "Size of the node's root file system, of the guest's boot disk or root file system, or of the storage, from /cluster/resources.",
    kind: Kind::Gauge,
};
pub(super) static UPTIME: Desc = Desc {
    name: "pve_uptime_seconds",
    help: "Time since the start of the node or guest, 0 while a guest is stopped, from /cluster/resources.",
    kind: Kind::Gauge,
};

/// A family under construction.
pub(super) struct Column(Family);

impl Column {
    pub(super) fn new(desc: &'static Desc) -> Self {
        Self(Family { desc: desc.into(), samples: Samples::default() })
    }

    /// Adds a sample where there is a value: what is missing, or was too large to be reckoned with, stays absent.
    pub(super) fn push(&mut self, labels: &Labels, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.0.samples.push(Sample { labels: labels.clone(), value });
        }
    }

    /// Adds an info sample, whose value is always 1.
    pub(super) fn push_info(&mut self, labels: Labels) {
        self.0.samples.push(Sample { labels, value: 1.0 });
    }

    pub(super) fn into_family(self) -> Family {
        self.0
    }
}

/// A truth value as a gauge.
pub(super) fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

/// The `id` of what was asked about.
pub(super) fn id(subject: &Subject) -> String {
    match subject {
        Subject::Cluster => "cluster".to_owned(),
        Subject::Node(node) => format!("node/{node}"),
        Subject::Guest { kind, vmid, .. } => format!("{}/{vmid}", kind.as_str()),
    }
}

/// The answer, or none from a PVE that is too old to know the call.
pub(super) fn if_known(answer: Result<Answer, Error>) -> Result<Option<Answer>, Error> {
    match answer {
        Err(error) if error.is_unknown_call() => Ok(None),
        answer => answer.map(Some),
    }
}

/// The answer, or none where the node says that it has nothing of the kind, or is too old to know it.
pub(super) fn if_there(answer: Result<Answer, Error>) -> Result<Option<Answer>, Error> {
    match if_known(answer) {
        Err(error) if error.is_not_set_up() => Ok(None),
        answer => answer,
    }
}

/// The answer, or none where the node answers that it cannot tell: what others tell stands.
pub(super) fn if_told(answer: Result<Answer, Error>) -> Result<Option<Answer>, Error> {
    match answer {
        Err(Error { reason: Reason::Status(..), .. }) => Ok(None),
        answer => answer.map(Some),
    }
}

/// The node that was asked about; empty where it is no node.
pub(super) fn node_of(subject: &Subject) -> &str {
    if let Subject::Node(node) = subject { node } else { "" }
}

/// The families of [`Usage`], which nodes and guests have in common.
pub(super) const USAGE: [&Desc; 7] = [&CPU_RATIO, &CPU_LIMIT, &MEMORY, &MEMORY_SIZE, &DISK, &DISK_SIZE, &UPTIME];

/// The values for [`USAGE`].
pub(super) fn usage(usage: &Usage) -> [Option<f64>; 7] {
    [usage.cpu_ratio, usage.cpu_limit, usage.memory, usage.memory_size, usage.disk, usage.disk_size, usage.uptime]
        .map(Figure::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absence_is_told_from_failure() {
        let failed = |reason| Err(Error { endpoint: String::new(), path: String::new(), reason });
        let status = |code, words: &str| failed(Reason::Status(code, words.to_owned()));
        for words in ["zfsutils-linux not installed", "pveceph configuration not initialized"] {
            assert!(if_there(status(500, words)).is_ok_and(|answer| answer.is_none()), "{words}");
        }
        assert!(if_there(status(501, "Method not implemented")).is_ok_and(|answer| answer.is_none()));
        assert!(if_there(status(500, "command failed")).is_err());
        assert!(if_there(failed(Reason::Forbidden("not installed".to_owned()))).is_err());
        assert!(if_there(Ok(Answer::of("{}"))).is_ok_and(|answer| answer.is_some()));
        assert!(if_told(status(500, "command failed")).is_ok_and(|answer| answer.is_none()));
        assert!(if_told(failed(Reason::Unreachable("refused".to_owned()))).is_err());
        assert_eq!(node_of(&Subject::Node("a".into())), "a");
    }
}
