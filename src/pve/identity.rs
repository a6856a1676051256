//! Whether an endpoint belongs to the same cluster: its nodes are compared with those that are known.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::answer::Answer;
use super::error::{Error, one_line};
use super::wire::{List, Text};

/// The names shown at most.
const MOST_NAMES: usize = 12;

/// The names of all nodes of a cluster, lost ones included.
pub(super) type Names = BTreeSet<String>;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Node<'a> {
    #[serde(borrow)]
    node: Text<'a>,
}

/// The names in an answer of `GET /nodes`. A list without any is malformed: a node knows at least itself.
pub(super) fn names(answer: &Answer) -> Result<Names, Error> {
    let list: List<Node<'_>> = answer.data()?;
    let names: Names = list.items.iter().filter_map(|node| node.node.filled()).map(str::to_owned).collect();
    if names.is_empty() {
        return Err(answer.malformed("it names no node; expected at least the one that answers".to_owned()));
    }
    Ok(names)
}

/// What is wrong with an endpoint that has these nodes; `None` if it shares a node with those known.
pub(super) fn fault(known: &Names, found: &Names) -> Option<String> {
    if !known.is_disjoint(found) {
        return None;
    }
    Some(format!(
        "it belongs to another cluster and is not used: expected one of the nodes {}, found {}; \
         give each cluster its own [[clusters]] entry",
        shown(known),
        shown(found)
    ))
}

fn shown(names: &Names) -> String {
    let list: Vec<String> = names.iter().take(MOST_NAMES).map(|name| one_line(name)).collect();
    let more = if names.len() > MOST_NAMES { ", …" } else { "" };
    list.join(", ") + more
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> Names {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn one_common_node_is_enough() {
        assert_eq!(fault(&set(&["pve1", "pve2"]), &set(&["pve2", "pve3"])), None);
        let wrong = fault(&set(&["pve1", "pve2"]), &set(&["other1", "other2"])).expect("a fault");
        assert!(wrong.contains("nodes pve1, pve2, found other1, other2"), "{wrong}");
        let many: Vec<String> = (0..2000).map(|number| format!("node{number}\n")).collect();
        let wrong = fault(&set(&["pve1"]), &many.into_iter().collect()).expect("a fault");
        assert!(wrong.len() < 300 && wrong.contains("…") && !wrong.contains('\n'), "{wrong}");
    }

    #[test]
    fn names_come_from_the_list_of_nodes() {
        let answer =
            Answer::of(r#"{"data":[{"node":"pve1","status":"online"},7,{"node":"pve2"},{"x":1},{"node":""}]}"#);
        assert_eq!(names(&answer), Ok(set(&["pve1", "pve2"])));
        for body in [r#"{"data":[]}"#, r#"{"data":[{"node":null}]}"#, r#"{"data":null}"#, "{}"] {
            assert!(names(&Answer::of(body)).is_err(), "{body}");
        }
    }
}
