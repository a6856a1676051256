//! Long answers are written once per sample of pvestatd, so that a benchmark measures its client and not us.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::super::noise::Shuffle;
use super::super::server::{Rights, lock};
use super::cluster::{Cluster, Kind, Scene};

/// In so many orders of keys each page is written; answers take turns.
const VARIANTS: u64 = 4;

/// An answer that grows with the number of guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Page {
    /// `GET /cluster/resources`, all or of one type.
    Resources(Option<Kind>),
    /// `GET /cluster/metrics/export` of all nodes that are there.
    Export,
}

/// What has been written of the latest sample.
#[derive(Default)]
pub(super) struct Pages(Mutex<Written>);

#[derive(Default)]
struct Written {
    /// The sample, and how often the cluster had been edited.
    of: (i64, u64),
    scene: Option<Arc<Scene>>,
    bodies: Vec<((Page, Rights, u64), Bytes)>,
}

impl Pages {
    /// The whole cluster at a sample.
    pub(super) fn scene(&self, cluster: &Cluster, now: i64) -> Arc<Scene> {
        lock(&self.0).scene(cluster, now)
    }

    /// The body of a page; the `answer`'s number says in which order of keys.
    pub(super) fn body(&self, cluster: &Cluster, now: i64, page: (Page, Rights), answer: u64) -> Bytes {
        let mut written = lock(&self.0);
        let scene = written.scene(cluster, now);
        let (page, rights) = page;
        let key = (page, rights, answer % VARIANTS);
        if let Some((_, body)) = written.bodies.iter().find(|(known, _)| *known == key) {
            return body.clone();
        }
        let order = Shuffle::new(cluster.seed, now.unsigned_abs().wrapping_mul(VARIANTS) + key.2);
        let body = Bytes::from(match page {
            Page::Resources(kind) => cluster.resources(&scene, kind, rights, order),
            Page::Export => {
                let all: Vec<usize> = (0..cluster.nodes.len()).collect();
                cluster.export(&scene, &all, order)
            }
        });
        written.bodies.push((key, body.clone()));
        body
    }
}

impl Written {
    fn scene(&mut self, cluster: &Cluster, now: i64) -> Arc<Scene> {
        if self.of != (now, cluster.edits) {
            *self = Self { of: (now, cluster.edits), ..Self::default() };
        }
        Arc::clone(self.scene.get_or_insert_with(|| Arc::new(cluster.scene(now))))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use serde_json::Value;

    use super::super::World;
    use super::super::cluster::tick;
    use super::*;

    fn body(world: &World, now: u64, page: Page, answer: u64) -> Bytes {
        let now = tick(Duration::from_secs(now));
        world.pages.body(&world.facts(), now, (page, Rights::Auditor), answer)
    }

    /// The entries, whatever the order of their keys and of the lists inside them.
    fn entries(body: &Bytes) -> Vec<String> {
        let body: Value = serde_json::from_slice(body).unwrap();
        let rows = body["data"].as_array().or(body["data"]["data"].as_array()).unwrap().clone();
        let text = |mut row: Value| {
            if let Some(content) = row.get("content").and_then(Value::as_str) {
                let sorted: BTreeSet<&str> = content.split(',').collect();
                row["content"] = sorted.into_iter().collect::<Vec<_>>().join(",").into();
            }
            row.to_string()
        };
        rows.into_iter().map(text).collect()
    }

    #[test]
    fn a_page_is_written_once_per_sample_and_order() {
        let world = World::new(1, 3, 40);
        for page in [Page::Resources(None), Page::Resources(Some(Kind::Guest)), Page::Export] {
            let first = body(&world, 20, page, 0);
            assert_eq!(first.as_ptr(), body(&world, 29, page, VARIANTS).as_ptr());
            let orders: BTreeSet<Bytes> = (0..2 * VARIANTS).map(|answer| body(&world, 20, page, answer)).collect();
            assert_eq!(orders.len() as u64, VARIANTS);
            assert!(orders.iter().all(|other| entries(other) == entries(&first)));
            let next = body(&world, 30, page, 0);
            assert_ne!(entries(&next), entries(&first), "the data move");
            assert_eq!(entries(&body(&world, 20, page, 0)), entries(&first), "whatever was asked in between");
        }
    }

    #[test]
    fn an_edit_is_seen_at_once() {
        let world = World::new(1, 3, 40);
        let has = |name: &str| String::from_utf8_lossy(&body(&world, 0, Page::Resources(None), 0)).contains(name);
        assert!(!has("renamed"));
        world.edit(Duration::ZERO, |edit| edit.rename(100, "renamed"));
        assert!(has("renamed"));
    }

    #[test]
    fn nothing_moves_between_samples() {
        let world = World::new(1, 3, 40);
        for now in (0..1500).step_by(10) {
            let at = |now| entries(&Bytes::from(world.resources(Duration::from_secs(now))));
            assert_eq!(at(now), at(now + 9), "{now}");
        }
    }
}
