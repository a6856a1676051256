//! Snapshots of guests, and changes that wait for their next start.

use std::time::Duration;

use super::super::json::{Field, List, Value};
use super::super::noise::{Shuffle, hash};
use super::cluster::{Cluster, tick};
use super::guest::Life;
use super::population::{Condition, GuestSpec};
use super::settings::Texts;

/// In seconds: where snapshots are made by a plan, so often; and so many are kept.
const PLAN: i64 = 1_200;
const KEPT: i64 = 3;

/// In seconds: so long ago somebody made a snapshot before an upgrade, and forgot it.
const FORGOTTEN: i64 = 9 * 86_400;

/// In seconds: within so long from the start on, somebody changes something that waits.
const CHANGES: u64 = 3_600;

/// Name, when it was made, whether it has the memory, and what was not ended.
type Made = (String, i64, bool, Option<&'static str>);

impl Cluster {
    /// The body of `GET /nodes/N/{qemu|lxc}/ID/snapshot`; `None` where there is no such guest of this kind on the node.
    pub(in super::super) fn snapshots(
        &self,
        (node, container, vmid): (usize, bool, u64),
        now: Duration,
        order: Shuffle,
    ) -> Option<String> {
        let spec = self.spec(vmid).filter(|spec| spec.container == container)?;
        let guest = self.guest(spec, tick(now));
        if guest.node != node {
            return None;
        }
        let made = self.made(spec, tick(now));
        let mut list = List::new(order, 256 + made.len() * 128);
        let mut parent: Option<&str> = None;
        for (name, at, memory, unfinished) in &made {
            let mut fields: Vec<Field<'_>> = vec![
                ("name", Value::Text(name)),
                ("snaptime", Value::Whole(self.unix(*at))),
                ("description", Value::Text("")),
            ];
            if !container {
                fields.push(("vmstate", Value::Whole(u64::from(*memory))));
            }
            fields.extend(parent.map(|parent| ("parent", Value::Text(parent))));
            fields.extend(unfinished.map(|what| ("snapstate", Value::Text(what))));
            list.push(fields);
            parent = Some(name.as_str());
        }
        let texts = Texts::new(self, spec);
        let running = !matches!(guest.status, "stopped" | "unknown");
        let mut fields: Vec<Field<'_>> = vec![
            ("name", Value::Text("current")),
            ("description", Value::Text("You are here!")),
            ("digest", Value::Text(texts.digest())),
            ("running", Value::Whole(u64::from(running))),
        ];
        fields.extend(parent.map(|parent| ("parent", Value::Text(parent))));
        list.push(fields);
        Some(list.finish())
    }

    fn made(&self, spec: &GuestSpec, now: i64) -> Vec<Made> {
        let mut made = Vec::new();
        let draw = |subject: u64| hash(self.seed, subject, spec.vmid);
        if spec.condition == Condition::Template {
            return made;
        }
        if draw(74).is_multiple_of(11) {
            made.push(("before-upgrade".to_owned(), -FORGOTTEN, !spec.container, None));
        }
        if draw(75).is_multiple_of(97) {
            made.push(("stuck".to_owned(), -FORGOTTEN / 3, false, Some("delete")));
        }
        if draw(76).is_multiple_of(3) {
            let latest = now.div_euclid(PLAN);
            let planned =
                (latest - KEPT + 1..=latest).map(|run| (format!("auto{}", run + 1_000_000), run * PLAN, false, None));
            made.extend(planned);
        }
        made
    }

    /// The body of `GET /nodes/N/{qemu|lxc}/ID/pending`; `None` where there is no such guest of this kind on the node.
    pub(in super::super) fn pending(
        &self,
        (node, container, vmid): (usize, bool, u64),
        now: Duration,
        order: Shuffle,
    ) -> Option<String> {
        let spec = self.spec(vmid).filter(|spec| spec.container == container)?;
        let guest = self.guest(spec, tick(now));
        if guest.node != node {
            return None;
        }
        let texts = Texts::new(self, spec);
        let waits = self.is_changed(spec, tick(now));
        let mut list = List::new(order, 2048);
        for (key, value) in self.settings(spec, &guest, &texts) {
            let mut fields = vec![("key", Value::Text(key)), ("value", value)];
            match key {
                "memory" if waits => fields.push(("pending", Value::Text("16384"))),
                "net0" if waits && !container => fields.push(("delete", Value::Whole(1))),
                _ => {}
            }
            list.push(fields);
        }
        Some(list.finish())
    }

    /// Whether somebody changed a guest that has been running since before.
    fn is_changed(&self, spec: &GuestSpec, now: i64) -> bool {
        let draw = hash(self.seed, 77, spec.vmid);
        let changed = (draw / 6 % CHANGES) as i64;
        match self.life_of(spec, now).0 {
            Life::Running { since } => draw.is_multiple_of(6) && since < changed && changed <= now,
            _ => false,
        }
    }
}
