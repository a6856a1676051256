//! Storage replication: the jobs as they are configured, and how they fare.

use std::time::Duration;

use super::super::json::{self, Field, List, Value};
use super::super::noise::{Shuffle, unit};
use super::super::server::Rights;
use super::cluster::{Cluster, tick};
use super::population::GuestSpec;

/// A job of the guest of this VMID, if it is there.
struct Job {
    vmid: u64,
    /// `None` is every quarter of an hour.
    schedule: Option<&'static str>,
    /// The same in seconds.
    every: u64,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Succeeds,
    Fails,
    /// Has not run so far.
    Waits,
}

const JOBS: [Job; 4] = [
    Job { vmid: 102, schedule: Some("*/5"), every: 300, fate: Fate::Succeeds },
    Job { vmid: 103, schedule: None, every: 900, fate: Fate::Succeeds },
    Job { vmid: 105, schedule: Some("22:30"), every: 86_400, fate: Fate::Waits },
    Job { vmid: 109, schedule: Some("*/15"), every: 900, fate: Fate::Fails },
];

/// A failing job had succeeded until so many seconds before the start.
const FAILING_SINCE: u64 = 9000;

/// One job with what it is about.
struct Row<'a> {
    job: &'static Job,
    spec: &'a GuestSpec,
    id: String,
    source: &'a str,
    target: &'a str,
    error: String,
}

impl Cluster {
    /// The body of `GET /cluster/replication`: no word about how the jobs fare.
    pub(in super::super) fn replication_jobs(&self, now: Duration, rights: Rights, order: Shuffle) -> String {
        let mut list = List::new(order, 1024);
        for row in self.rows(None, now).iter().filter(|_| rights.holds("VM.Audit")) {
            list.push(job_fields(row));
        }
        list.finish()
    }

    /// The body of `GET /nodes/N/replication`: the jobs of the guests on that node, or of one of those.
    pub(in super::super) fn replication_states(
        &self,
        (node, guest): (usize, Option<u64>),
        now: Duration,
        rights: Rights,
        order: Shuffle,
    ) -> String {
        let mut list = List::new(order, 1024);
        let rows = self.rows(Some(node), now);
        let wanted = |row: &&Row<'_>| rights.holds("VM.Audit") && guest.is_none_or(|guest| guest == row.spec.vmid);
        for row in rows.iter().filter(wanted) {
            list.push(self.state_fields(row, now));
        }
        list.finish()
    }

    /// The body of `GET /nodes/N/replication/JOB/status`; `None` where no guest of the node has this job.
    pub(in super::super) fn replication_state(
        &self,
        (node, id): (usize, &str),
        now: Duration,
        order: Shuffle,
    ) -> Option<String> {
        let rows = self.rows(Some(node), now);
        let row = rows.iter().find(|row| row.id == id)?;
        Some(json::object(self.state_fields(row, now), order))
    }

    /// All jobs, or those whose guest is on a node.
    fn rows(&self, node: Option<usize>, now: Duration) -> Vec<Row<'_>> {
        let row = |job: &'static Job| {
            let spec = self.spec(job.vmid).filter(|_| self.nodes.len() > 1)?;
            let home = self.guest(spec, tick(now)).node;
            let source = self.node_name(home);
            let disk = if spec.container { "rootfs" } else { "scsi0" };
            Some(Row {
                job,
                spec,
                id: format!("{}-0", job.vmid),
                source,
                target: self.node_name((home + 1) % self.nodes.len()),
                error: format!("missing replicate feature on volume '{disk}:{0}/vm-{0}-disk-0.raw'", job.vmid),
            })
            .filter(|_| node.is_none_or(|node| node == home))
        };
        JOBS.iter().filter_map(row).collect()
    }

    fn state_fields<'a>(&self, row: &'a Row<'_>, now: Duration) -> Vec<Field<'a>> {
        let (job, now) = (row.job, self.unix(tick(now)));
        let begun = self.unix(0);
        let latest = now - now % job.every;
        let (last_try, last_sync, failures) = match job.fate {
            Fate::Succeeds => (latest, latest, 0),
            Fate::Waits => (0, 0, 0),
            Fate::Fails => {
                let good = begun.saturating_sub(FAILING_SINCE);
                let good = good - good % job.every;
                (latest, good, (latest - good) / job.every)
            }
        };
        let mut fields = job_fields(row);
        fields.push(("vmtype", Value::Text(if row.spec.container { "lxc" } else { "qemu" })));
        fields.push(("last_try", Value::Whole(last_try)));
        fields.push(("last_sync", Value::Whole(last_sync)));
        fields.push(("next_sync", Value::Whole(latest + job.every)));
        fields.push(("fail_count", Value::Whole(failures)));
        if last_try > 0 {
            let millionths = (2.5e6 + 2e6 * unit(self.seed ^ job.vmid, 85, last_try)).round();
            fields.push(("duration", Value::Real(millionths / 1e6)));
        }
        if failures > 0 {
            fields.push(("error", Value::Text(&row.error)));
        }
        fields
    }
}

/// What is configured of a job.
fn job_fields<'a>(row: &'a Row<'_>) -> Vec<Field<'a>> {
    let mut fields = vec![
        ("id", Value::Text(row.id.as_str())),
        ("guest", Value::Whole(row.spec.vmid)),
        ("jobnum", Value::Whole(0)),
        ("source", Value::Text(row.source)),
        ("target", Value::Text(row.target)),
        ("type", Value::Text("local")),
    ];
    fields.extend(row.job.schedule.map(|schedule| ("schedule", Value::Text(schedule))));
    fields
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::super::testing::{recorded, shape};
    use super::super::World;
    use super::*;

    fn data(body: &str) -> Value {
        serde_json::from_str::<Value>(body).unwrap()["data"].take()
    }

    fn states(world: &World, node: usize, now: u64) -> Vec<Value> {
        let order = Shuffle::new(1, 1);
        let body = world.facts().replication_states((node, None), Duration::from_secs(now), Rights::Auditor, order);
        data(&body).as_array().unwrap().clone()
    }

    #[test]
    fn a_failing_job_is_told_as_it_was_recorded() {
        let world = World::new(1, 3, 40);
        let failing = states(&world, 2, 0).into_iter().find(|job| job["id"] == "109-0").unwrap();
        let (_, _, list) = recorded("GET_nodes__pve-lab__replication.json");
        assert_eq!(shape(&failing), shape(&list["data"][0]));
        let (_, _, one) = recorded("GET_nodes__pve-lab__replication__100-0__status.json");
        let state = world.facts().replication_state((2, "109-0"), Duration::ZERO, Shuffle::new(2, 1)).unwrap();
        assert_eq!(shape(&data(&state)), shape(&one["data"]));
        assert_eq!(data(&state), failing);
        let later = &states(&world, 2, 1800).into_iter().find(|job| job["id"] == "109-0").unwrap();
        assert_eq!(later["fail_count"].as_u64(), failing["fail_count"].as_u64().map(|count| count + 2));
        assert_eq!(later["last_sync"], failing["last_sync"]);
    }

    #[test]
    fn the_jobs_are_configured_as_recorded() {
        let world = World::new(1, 3, 40);
        let body = world.facts().replication_jobs(Duration::ZERO, Rights::Auditor, Shuffle::new(1, 1));
        let (_, _, recorded) = recorded("GET_cluster__replication.json");
        let jobs = data(&body);
        let ids: Vec<&str> = jobs.as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["102-0", "103-0", "105-0", "109-0"]);
        assert_eq!(shape(&jobs[0]), shape(&recorded["data"][0]));
        assert!(jobs[1].get("schedule").is_none());
    }

    #[test]
    fn good_jobs_keep_their_schedule_and_one_has_never_run() {
        let world = World::new(1, 3, 40).begun_at(1_000_000);
        let job =
            |id: &str, now| (0..3).flat_map(|node| states(&world, node, now)).find(|job| job["id"] == id).unwrap();
        let good = job("102-0", 700);
        assert_eq!((&good["last_sync"], &good["next_sync"]), (&json!(1_000_500), &json!(1_000_800)));
        assert_eq!((&good["last_try"], &good["fail_count"]), (&good["last_sync"], &json!(0)));
        assert!(good.get("error").is_none() && good["duration"].as_f64() > Some(2.0));
        assert_eq!(job("103-0", 0)["vmtype"], "lxc");
        let waiting = job("105-0", 0);
        assert_eq!((&waiting["last_sync"], &waiting["last_try"]), (&json!(0), &json!(0)));
        assert!(waiting.get("duration").is_none() && waiting.get("error").is_none());
    }

    #[test]
    fn a_job_is_where_its_guest_is_and_gone_with_it() {
        let world = World::new(1, 3, 40);
        let has = |node, now| states(&world, node, now).iter().any(|job| job["id"] == "102-0");
        assert_eq!([0, 1, 2].map(|node| has(node, 0)), [false, true, false]);
        world.edit(Duration::ZERO, |edit| edit.migrate(102, 2));
        assert_eq!([0, 1, 2].map(|node| has(node, 0)), [false, false, true]);
        let moved = states(&world, 2, 0).into_iter().find(|job| job["id"] == "102-0").unwrap();
        assert_eq!((&moved["source"], &moved["target"]), (&json!("pve3"), &json!("pve1")));
        world.edit(Duration::ZERO, |edit| edit.delete(102));
        assert_eq!([0, 1, 2].map(|node| has(node, 0)), [false; 3]);
        assert!(world.facts().replication_state((2, "102-0"), Duration::ZERO, Shuffle::new(1, 1)).is_none());
        assert!(states(&World::new(1, 1, 40), 0, 0).is_empty(), "a node that stands alone has no target");
    }
}
