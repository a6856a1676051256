//! Findings for tests.

use std::collections::BTreeMap;

use super::finding::{Finding, Kind, Span};

/// A task that failed.
pub(super) fn failed_task(upid: &str, at: i64) -> Finding {
    Finding {
        key: format!("task/{upid}"),
        kind: Kind::TaskFailed,
        severity: Kind::TaskFailed.severity(),
        cluster: "home".to_owned(),
        id: "qemu/100".to_owned(),
        node: Some("pve1".to_owned()),
        task_type: Some("qmstart".to_owned()),
        span: Span::Occurred { at },
        summary: "Starting web failed".to_owned(),
        description: "no space".to_owned(),
        details: BTreeMap::from([("upid".to_owned(), upid.to_owned())]),
    }
}

/// A node that is lost, or was.
pub(super) fn lost_node(node: &str, span: Span) -> Finding {
    let since = match span {
        Span::Occurred { at } => at,
        Span::Began { since } | Span::Ended { since, .. } => since,
    };
    Finding {
        key: format!("home/node_lost/node/{node}/{since}"),
        kind: Kind::NodeLost,
        severity: Kind::NodeLost.severity(),
        id: format!("node/{node}"),
        node: Some(node.to_owned()),
        task_type: None,
        span,
        details: BTreeMap::new(),
        ..failed_task("", since)
    }
}

/// The same with one more detail.
pub(super) fn with_detail(mut finding: Finding, name: &str, text: &str) -> Finding {
    finding.details.insert(name.to_owned(), text.to_owned());
    finding
}
