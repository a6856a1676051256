//! What one line of the journal says.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::finding::Finding;

/// One line. Times are seconds since 1970 on our own clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::events) enum Record {
    /// The first one.
    Format {
        /// Of this many kinds of journals, which one.
        version: u32,
    },
    /// Something happened.
    Found {
        /// Findings are counted from 1 on.
        number: u64,
        /// When it was found.
        at: i64,
        /// What it is.
        #[serde(with = "shared")]
        finding: Arc<Finding>,
    },
    /// What the watcher of a cluster must know again after a restart; the last one of each name counts.
    State {
        /// The configured name.
        cluster: String,
        /// Which part of it.
        name: String,
        /// Anything; empty: there is none any more.
        text: String,
    },
    /// An Alertmanager is told of what is found from here on.
    Member {
        /// Its URL.
        alertmanager: String,
        /// The number of the first finding that it is told of.
        from: u64,
    },
    /// An Alertmanager has taken findings.
    Delivered {
        /// Its URL.
        alertmanager: String,
        /// When.
        at: i64,
        /// Their numbers.
        numbers: Vec<u64>,
    },
}

/// serde's own support of `Arc` is a feature of its own that copies nothing else; three lines do.
mod shared {
    use super::{Arc, Deserialize, Finding, Serialize};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(finding: &Arc<Finding>, to: S) -> Result<S::Ok, S::Error> {
        finding.as_ref().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<Finding>, D::Error> {
        Finding::deserialize(from).map(Arc::new)
    }
}
