//! What the HA manager says of itself, the nodes and the guests that it manages.

use std::time::{Duration, UNIX_EPOCH};

use super::super::json::{List, Value};
use super::super::noise::Shuffle;
use super::cluster::{Cluster, SAMPLE};

/// The HA of a node is taken for dead when it was silent for so long.
const SILENT: i64 = 30;

impl Cluster {
    /// The body of `GET /cluster/ha/status/current`, asked of a node; where HA manages no guest, no more than the quorum.
    pub(in super::super) fn ha_status(&self, now: i64, local: usize, order: Shuffle) -> String {
        let mut list = List::new(order, 1 << 12);
        let quorate = self.is_quorate(now - now.rem_euclid(SAMPLE));
        list.push([
            ("id", Value::Text("quorum")),
            ("type", Value::Text("quorum")),
            ("node", Value::Text(self.node_name(local))),
            ("quorate", Value::Whole(u64::from(quorate))),
            ("status", Value::Text(if quorate { "OK" } else { "No quorum on node!" })),
        ]);
        if self.guests.iter().any(|spec| spec.ha) {
            self.push_managers(now, &mut list);
            self.push_services(now, &mut list);
        }
        list.finish()
    }

    fn push_managers(&self, now: i64, list: &mut List) {
        let away = |node: usize| self.plot.outage_of(node, now);
        let master = (0..self.nodes.len()).find(|node| away(*node).is_none()).unwrap_or_default();
        let status = format!("{} (active, {})", self.node_name(master), self.written(now));
        list.push([
            ("id", Value::Text("master")),
            ("type", Value::Text("master")),
            ("node", Value::Text(self.node_name(master))),
            ("status", Value::Text(&status)),
            ("timestamp", Value::Whole(self.unix(now))),
        ]);
        if !self.old {
            list.push([
                ("id", Value::Text("fencing")),
                ("type", Value::Text("fencing")),
                ("node", Value::Text(self.node_name(master))),
                ("armed-state", Value::Text("armed")),
                ("status", Value::Text("armed (CRM watchdog active)")),
            ]);
        }
        for node in 0..self.nodes.len() {
            let (name, said) = (self.node_name(node), away(node).map_or(now, |begin| begin - SAMPLE));
            let word = if now - said > SILENT { "old timestamp - dead?" } else { "active" };
            let status = format!("{name} ({word}, watchdog active, {})", self.written(said));
            let id = format!("lrm:{name}");
            list.push([
                ("id", Value::Text(&id)),
                ("type", Value::Text("lrm")),
                ("node", Value::Text(name)),
                ("status", Value::Text(&status)),
                ("timestamp", Value::Whole(self.unix(said))),
            ]);
        }
    }

    fn push_services(&self, now: i64, list: &mut List) {
        for spec in self.guests.iter().filter(|spec| spec.ha) {
            let guest = self.guest(spec, now);
            let (node, state) = (self.node_name(guest.node), guest.hastate.unwrap_or("started"));
            let sid = format!("{}:{}", if spec.container { "ct" } else { "vm" }, spec.vmid);
            let (id, status) = (format!("service:{sid}"), format!("{sid} ({node}, {state})"));
            list.push([
                ("id", Value::Text(&id)),
                ("type", Value::Text("service")),
                ("sid", Value::Text(&sid)),
                ("node", Value::Text(node)),
                ("state", Value::Text(state)),
                ("crm_state", Value::Text(state)),
                ("request_state", Value::Text(if state == "stopped" { "stopped" } else { "started" })),
                ("max_restart", Value::Whole(1)),
                ("max_relocate", Value::Whole(1)),
                ("status", Value::Text(&status)),
            ]);
        }
    }

    /// Such as `Fri Nov 20 21:17:51 2026`.
    fn written(&self, now: i64) -> String {
        const YEAR_9999: u64 = 253_402_300_799;
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(self.unix(now).min(YEAR_9999)));
        let parts: Vec<&str> = date.split([' ', ',']).filter(|part| !part.is_empty()).collect();
        match parts.as_slice() {
            [weekday, day, month, year, time, ..] => format!("{weekday} {month} {day} {time} {year}"),
            _ => date,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::super::World;
    use super::*;

    #[test]
    fn a_lost_node_is_dead_to_ha_and_then_fenced() {
        let world = World::new(1, 3, 40);
        let entries = |now: i64| -> Vec<Json> {
            let body = world.facts().ha_status(now, 0, Shuffle::new(1, 1));
            serde_json::from_str::<Json>(&body).unwrap()["data"].as_array().unwrap().clone()
        };
        let of = |now, id: &str| entries(now).into_iter().find(|entry| entry["id"] == id).unwrap();
        assert_eq!(of(100, "quorum")["quorate"], 1);
        assert_eq!(of(100, "lrm:pve3")["status"], "pve3 (active, watchdog active, Fri Nov 20 21:01:40 2026)");
        assert!(of(290, "lrm:pve3")["status"].as_str().unwrap().starts_with("pve3 (old timestamp - dead?, "));
        let fenced = entries(310).iter().filter(|entry| entry["state"] == "fence" && entry["node"] == "pve3").count();
        assert!(fenced > 0);
        assert!(
            entries(100).iter().filter(|entry| entry["type"] == "service").all(|entry| entry["state"] == "started")
        );
        let alone = World::new(1, 1, 10).facts().ha_status(100, 0, Shuffle::new(1, 1));
        assert_eq!(serde_json::from_str::<Json>(&alone).unwrap()["data"].as_array().unwrap().len(), 1);
    }
}
