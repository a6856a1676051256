//! Backup jobs, what their workers write down, and the archives that they leave on storages.

use super::super::json;
use super::super::noise::{Shuffle, hash};
use super::cluster::Cluster;
use super::happenings::{number, runs, task};
use super::plot::{BACKUP, BACKUP_TAKES};
use super::population::{GIB, GuestSpec};
use super::settings::date;
use super::tasks::{Numbered, Task};

/// Nodes are in a zone an hour east of UTC, and write their logs accordingly.
const ZONE: i64 = 3_600;
/// In seconds: one that fails does so early.
const FAILS_AFTER: i64 = 12;
/// Archives that are kept of a guest.
const KEPT: usize = 3;

/// The night before the simulation began, the job ran over all its guests.
const NIGHT: i64 = -6 * 3_600;
const DAY: i64 = 86_400;
/// Guests of a node in that night: it has an end.
const MOST_A_NIGHT: usize = 50;

const JOB: &str = "demo-often";
const STORAGE: &str = "backup-nas";

impl Cluster {
    /// One worker on each node that has guests to back up in this run.
    pub(super) fn backups(&self, run: i64, begin: i64, tasks: &mut Vec<Numbered>) {
        let guests = self.plot.backup_run(run);
        for node in 0..self.nodes.len() {
            let turns = guests.iter().zip(0..).filter_map(|(vmid, place)| Some((self.spec(*vmid)?, place)));
            let turns = turns.filter(|(spec, _)| spec.home == node);
            let turns = turns.map(|(spec, place)| (spec, begin + place * BACKUP_TAKES)).collect();
            let worker = task(node, "vzdump", "", (begin, begin + BACKUP.lasts()));
            tasks.extend(self.worker_of(worker, turns).map(|worker| Numbered::new(worker, number(0, run, node))));
        }
    }

    /// The same of the night before: one after the other, all of a node's guests.
    pub(super) fn backups_of_the_night(&self, tasks: &mut Vec<Numbered>) {
        for node in 0..self.nodes.len() {
            let is_its = |spec: &&GuestSpec| {
                spec.home == node && self.plot.is_in_backup_job(spec.vmid) && !self.plot.is_backed_up_in_vain(spec.vmid)
            };
            let guests = self.guests.iter().filter(|_| self.plot.backs_up()).filter(is_its).take(MOST_A_NIGHT);
            let turns: Vec<_> = (0..).map(|place| NIGHT + place * BACKUP_TAKES).zip(guests).collect();
            let ends = turns.last().map_or(NIGHT, |(begin, _)| begin + BACKUP_TAKES + 2);
            let turns = turns.into_iter().map(|(begin, spec)| (spec, begin)).collect();
            let worker = task(node, "vzdump", "", (NIGHT, ends));
            tasks.extend(self.worker_of(worker, turns).map(|worker| Numbered::new(worker, number(3, 0, node))));
        }
    }

    /// With what it writes down; none where there is nothing to do.
    fn worker_of(&self, mut worker: Task, turns: Vec<(&GuestSpec, i64)>) -> Option<Task> {
        if turns.is_empty() {
            return None;
        }
        worker.log.push(format!(
            "INFO: starting new backup job: vzdump --job-id {JOB} --mode snapshot --storage {STORAGE} --quiet 1"
        ));
        for (spec, begin) in turns {
            self.turn(spec, begin, &mut worker);
        }
        let end = if worker.outcome == "OK" { "successfully" } else { "with errors" };
        worker.log.push(format!("INFO: Backup job finished {end}"));
        Some(worker)
    }

    /// What the worker writes down of one guest.
    fn turn(&self, spec: &GuestSpec, begin: i64, worker: &mut Task) {
        let (vmid, kind) = (spec.vmid, if spec.container { "lxc" } else { "qemu" });
        let local = |time: i64| clock(self.begun.saturating_add(time).saturating_add(ZONE));
        let mut say = |text: String| worker.log.push(text);
        say(format!("INFO: Starting Backup of VM {vmid} ({kind})"));
        say(format!("INFO: Backup started at {}", local(begin)));
        if self.plot.is_backed_up_in_vain(vmid) {
            say(format!("ERROR: Backup of VM {vmid} failed - no space left on device"));
            say(format!("INFO: Failed at {}", local(begin + FAILS_AFTER)));
            "job errors".clone_into(&mut worker.outcome);
            return;
        }
        let size = size(self.seed, spec) as f64 / GIB as f64;
        say("INFO: backup mode: snapshot".to_owned());
        say(format!("INFO: creating vzdump archive '/mnt/pve/{STORAGE}/dump/{}'", name(spec, begin, self.begun)));
        if !spec.container {
            let disk = spec.disk / GIB;
            say(format!("INFO: include disk 'scsi0' 'ceph-vm:vm-{vmid}-disk-0' {disk}G"));
            say(format!("INFO: transferred {disk}.00 GiB in {BACKUP_TAKES} seconds"));
        }
        say(format!("INFO: archive file size: {size:.2}GB"));
        say(format!("INFO: Finished Backup of VM {vmid} (00:00:{BACKUP_TAKES})"));
        say(format!("INFO: Backup finished at {}", local(begin + BACKUP_TAKES)));
    }

    /// The body of `GET /cluster/backup`: one job that runs, and one that somebody switched off.
    pub(in super::super) fn backup_jobs(&self, now: i64, mut order: Shuffle) -> String {
        let next = BACKUP.latest(now).map_or_else(|| BACKUP.first(), |latest| latest + BACKUP.every());
        let guests = self.guests.iter().filter(|spec| self.plot.is_in_backup_job(spec.vmid));
        let guests: Vec<String> = guests.map(|spec| spec.vmid.to_string()).collect();
        let jobs = [
            serde_json::json!({
                "id": JOB, "enabled": 1, "type": "vzdump", "schedule": "*:0/5", "vmid": guests.join(","),
                "mode": "snapshot", "storage": STORAGE, "next-run": self.unix(next),
            }),
            serde_json::json!({
                "id": "before-upgrades", "enabled": 0, "type": "vzdump", "schedule": "sat 03:00", "all": 1,
                "mode": "stop", "storage": "local", "exclude": "100",
            }),
        ];
        let jobs = if self.plot.backs_up() { &jobs[..] } else { &[] };
        json::reordered(&serde_json::json!({ "data": jobs }), &mut order)
    }

    /// The body of `GET /nodes/N/storage/S/content?content=backup` for who may see them; none: no such storage there.
    pub(in super::super) fn archives(&self, storage: &str, may: bool, now: i64, mut order: Shuffle) -> Option<String> {
        if !["local", "local-lvm", "ceph-vm", STORAGE].contains(&storage) {
            return None;
        }
        let mut found = Vec::new();
        let guests = self.guests.iter().filter(|spec| self.plot.is_in_backup_job(spec.vmid));
        for spec in guests.filter(|_| may && storage == STORAGE) {
            for begin in self.kept(spec.vmid, now) {
                let mut archive = serde_json::json!({
                    "volid": format!("{STORAGE}:backup/{}", name(spec, begin, self.begun)), "vmid": spec.vmid,
                    "ctime": self.unix(begin), "size": size(self.seed, spec), "content": "backup",
                    "format": if spec.container { "tar.zst" } else { "vma.zst" },
                    "subtype": if spec.container { "lxc" } else { "qemu" }, "notes": spec.name,
                });
                if begin < 0 && spec.vmid.is_multiple_of(5) {
                    archive["protected"] = 1.into();
                }
                found.push(archive);
            }
        }
        Some(json::reordered(&serde_json::json!({ "data": found }), &mut order))
    }

    /// When the archives of a guest were begun; those of the nights before the simulation began, as far as there is room.
    fn kept(&self, vmid: u64, now: i64) -> Vec<i64> {
        let fails = self.plot.is_backed_up_in_vain(vmid);
        let began = runs(BACKUP, now).filter(|_| !fails).filter_map(|(run, begin)| {
            let place = self.plot.backup_run(run).iter().position(|guest| *guest == vmid)?;
            Some(begin + i64::try_from(place).ok()? * BACKUP_TAKES).filter(|begin| begin + BACKUP_TAKES <= now)
        });
        let mut began: Vec<i64> = began.collect();
        began.reverse();
        began.extend((0..).map(|night| NIGHT - night * DAY).take(KEPT));
        began.truncate(KEPT);
        began
    }
}

fn size(seed: u64, spec: &GuestSpec) -> u64 {
    spec.disk / 8 + hash(seed, 97, spec.vmid) % GIB
}

fn name(spec: &GuestSpec, begin: i64, begun: i64) -> String {
    let (kind, ending) = if spec.container { ("lxc", "tar.zst") } else { ("qemu", "vma.zst") };
    let time =
        clock(begun.saturating_add(begin).saturating_add(ZONE)).replace('-', "_").replace(' ', "-").replace(':', "_");
    format!("vzdump-{kind}-{}-{time}.{ending}", spec.vmid)
}

/// `YYYY-MM-DD HH:MM:SS`.
fn clock(unix: i64) -> String {
    let second = unix.rem_euclid(86_400);
    format!("{} {:02}:{:02}:{:02}", date(unix), second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::World;
    use super::*;

    #[test]
    fn a_job_names_its_guests_and_its_next_run() {
        let world = World::new(1, 3, 40);
        let body: Value = serde_json::from_str(&world.facts().backup_jobs(200, Shuffle::new(1, 1))).unwrap();
        let jobs = body["data"].as_array().unwrap();
        let often = jobs.iter().find(|job| job["id"] == JOB).unwrap();
        assert_eq!(often["next-run"], world.facts().unix(350));
        assert!(often["vmid"].as_str().unwrap().split(',').any(|vmid| vmid == "102"));
        let off = jobs.iter().find(|job| job["enabled"] == 0).unwrap();
        assert!(off.get("next-run").is_none());
    }

    #[test]
    fn archives_grow_by_the_runs_and_are_pruned() {
        let world = World::new(1, 3, 40);
        let archives = |now: i64, may: bool| -> Vec<Value> {
            let body = world.facts().archives(STORAGE, may, now, Shuffle::new(1, 1)).unwrap();
            serde_json::from_str::<Value>(&body).unwrap()["data"].as_array().unwrap().clone()
        };
        let newest = |now, vmid: u64| {
            let archives = archives(now, true);
            let of_guest = archives.iter().filter(|archive| archive["vmid"] == vmid);
            assert_eq!(of_guest.clone().count(), KEPT);
            of_guest.map(|archive| archive["ctime"].as_u64().unwrap()).max().unwrap()
        };
        let first = world.facts().plot.backup_run(0)[0];
        assert_eq!(newest(0, first), world.facts().unix(NIGHT));
        assert_eq!(newest(BACKUP.first() + BACKUP_TAKES, first), world.facts().unix(BACKUP.first()));
        // One always fails.
        assert_eq!(newest(9000, 102), world.facts().unix(NIGHT));
        assert!(archives(9000, false).is_empty());
        assert_eq!(world.facts().archives("nowhere", true, 0, Shuffle::new(1, 1)), None);
    }

    #[test]
    fn logs_have_the_nodes_own_time() {
        let world = World::new(1, 3, 40).begun_at(1_795_209_480);
        let cluster = world.facts();
        let mut tasks = Vec::new();
        cluster.backups(0, 50, &mut tasks);
        let text = format!("{tasks:?}");
        assert!(text.contains("INFO: Backup started at 2026-11-20 22:1"), "{text}");
        assert!(text.contains("ERROR: Backup of VM 102 failed - no space left on device"), "{text}");
        assert!(text.contains("--job-id demo-often"), "{text}");
    }
}
