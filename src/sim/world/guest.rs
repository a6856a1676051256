//! A guest at a time: where it is, what PVE says of it, and its figures.

use super::super::json::{Field, List, Value};
use super::super::noise::unit;
use super::cluster::{Cluster, FORGOTTEN_AFTER, SAMPLE, Scene};
use super::plot::{self, MIGRATION, Outage, Part};
use super::population::{Condition, GuestSpec, MIB, POOLS};

/// What is known of a guest.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Guest {
    pub(super) node: usize,
    pub(super) status: &'static str,
    pub(super) lock: Option<&'static str>,
    pub(super) hastate: Option<&'static str>,
    /// `None`: its node has been away for so long that PVE has forgotten.
    pub(super) figures: Option<Figures>,
}

/// The numbers of `/cluster/resources`; all but the sizes are 0 for a stopped guest.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Figures {
    pub(super) cpu: f64,
    pub(super) uptime: u64,
    pub(super) mem: u64,
    pub(super) memhost: u64,
    pub(super) disk: u64,
    pub(super) maxdisk: u64,
    /// In, out, read, written.
    pub(super) counters: [u64; 4],
}

/// Where a guest stands in its story, before its figures are known.
struct Place {
    node: usize,
    life: Life,
    lock: Option<&'static str>,
    hastate: &'static str,
}

/// The state of a guest's process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Life {
    Stopped,
    Running {
        since: i64,
    },
    /// The process exists, but does nothing since `still`.
    Halted {
        since: i64,
        still: i64,
        status: &'static str,
    },
}

impl Cluster {
    /// One guest at a time.
    pub(super) fn guest(&self, spec: &GuestSpec, now: i64) -> Guest {
        let mut place = self.place(spec, now);
        let lost = self.plot.outage_of(place.node, now);
        if place.lock.is_none() && lost.is_none() && self.plot.backup(now) == Some(spec.vmid) {
            place.lock = Some("backup");
        }
        let forgotten = lost.is_some_and(|begin| now - begin >= FORGOTTEN_AFTER);
        // What a lost node last said is repeated until it is forgotten.
        let said = lost.map_or(now, |begin| begin - SAMPLE);
        let busy = place.lock == Some("backup");
        let life = self.restarted(spec.vmid, &place, said);
        if lost.is_none() {
            place.lock = place.lock.or(spec.lock);
        }
        Guest {
            node: place.node,
            status: if forgotten { "unknown" } else { life.status() },
            lock: place.lock,
            hastate: spec.ha.then_some(place.hastate),
            figures: (!forgotten).then(|| self.figures(spec, life, said, busy)),
        }
    }

    /// What a guest does, and what holds it, at any second.
    pub(super) fn life_of(&self, spec: &GuestSpec, now: i64) -> (Life, Option<&'static str>) {
        let place = self.place(spec, now);
        (self.restarted(spec.vmid, &place, now), place.lock.or(spec.lock))
    }

    fn place(&self, spec: &GuestSpec, now: i64) -> Place {
        let step = spec.steps.iter().rev().find(|step| step.at <= now);
        let (life, lock) = step.map_or_else(|| (plain_life(spec), None), |step| (step.life, step.lock));
        let hastate = if matches!(life, Life::Stopped) && step.is_some() { "stopped" } else { "started" };
        let still = Place { node: spec.home, life, lock, hastate };
        match self.plot.part(spec.vmid) {
            Part::Crashes => Place { life: crashing_life(spec, now), ..still },
            Part::Migrates { from, to } => {
                let (legs, arrived) = MIGRATION.over(now);
                let node = if legs % 2 == 0 { from } else { to };
                let since = arrived.unwrap_or(spec.started);
                let lock = MIGRATION.current(now).map(|_| "migrate");
                Place { node, life: Life::Running { since }, lock, ..still }
            }
            // What happened to its node before it came does not concern it.
            Part::None => {
                match self.plot.outage(spec.home, now).filter(|outage| spec.ha && outage.begin > spec.started) {
                    Some(outage) => self.recovered(spec, now, outage),
                    None => still,
                }
            }
        }
    }

    /// A guest that went down with its node comes up again a little after it.
    fn restarted(&self, vmid: u64, place: &Place, said: i64) -> Life {
        let back = self.plot.return_of(place.node, said);
        match (place.life, back) {
            (Life::Running { since } | Life::Halted { since, .. }, Some(back)) if since < back => {
                let since = back + SAMPLE * (1 + (vmid % 5) as i64);
                if said < since { Life::Stopped } else { Life::Running { since } }
            }
            (life, _) => life,
        }
    }

    /// What HA does with a guest since the outage of its node.
    fn recovered(&self, spec: &GuestSpec, now: i64, outage: Outage) -> Place {
        let begin = outage.begin;
        if outage.end.is_some_and(|end| end - begin < plot::RECOVERED_AFTER) {
            // Back before HA acted: no more than a reboot.
            return Place { node: spec.home, life: plain_life(spec), lock: None, hastate: "started" };
        }
        let home = |since: i64, hastate| Place { node: spec.home, life: Life::Running { since }, lock: None, hastate };
        let refuge = self.refuge(spec.home, begin);
        let away = |life, lock, hastate| Place { node: refuge, life, lock, hastate };
        let elapsed = now - begin;
        let since_return = outage.end.map_or(i64::MIN, |back| now - back);
        // Before this outage it ran since it came home from the one before.
        let before = self.plot.return_of(spec.home, begin).map(|back| back + plot::FAILBACK_ENDS);
        let before = before.map_or(spec.started, |home| home.max(spec.started));
        let running = Life::Running { since: begin + plot::RESTARTED_AFTER };
        match (elapsed, since_return) {
            (_, after) if after >= plot::FAILBACK_ENDS => home(now - after + plot::FAILBACK_ENDS, "started"),
            (_, after) if after >= plot::FAILBACK_BEGINS => away(running, Some("migrate"), "migrate"),
            (elapsed, _) if elapsed >= plot::RESTARTED_AFTER => away(running, None, "started"),
            (elapsed, _) if elapsed >= plot::RECOVERED_AFTER => away(Life::Stopped, None, "started"),
            (elapsed, _) if elapsed >= plot::RECOVERING_AFTER => home(before, "recovery"),
            (elapsed, _) if elapsed >= plot::FENCED_AFTER => home(before, "fence"),
            _ => home(before, "started"),
        }
    }

    /// Where the HA guests of a node that was lost at `begin` go: the first of the others that was there then.
    fn refuge(&self, lost: usize, begin: i64) -> usize {
        let mut others = (0..self.nodes.len()).filter(|node| *node != lost);
        others.find(|node| self.plot.outage_of(*node, begin).is_none()).unwrap_or(lost)
    }

    fn figures(&self, spec: &GuestSpec, life: Life, sample: i64, busy: bool) -> Figures {
        let (since, counted_to) = match life {
            Life::Stopped => return Figures { maxdisk: spec.disk, ..Figures::default() },
            Life::Running { since } => (since, sample),
            Life::Halted { since, still, .. } => (since, still),
        };
        let load = spec.load.at(counted_to);
        let noise = unit(self.seed ^ spec.vmid, 40, sample.unsigned_abs());
        let cpu = match life {
            Life::Running { .. } => (load * (0.95 + 0.1 * noise) + if busy { 0.2 } else { 0.0 }).min(1.0),
            _ => 0.0,
        };
        let worked = spec.load.sum(since, counted_to).max(0.0);
        let mem = whole_pages(spec.memory, (spec.filling + 0.4 * load).min(0.97));
        let filesystem = whole_pages(spec.disk, 0.95);
        Figures {
            cpu,
            uptime: u64::try_from(sample - since).unwrap_or(0),
            mem,
            memhost: if spec.container { 0 } else { mem + 64 * MIB + whole_pages(spec.memory, 0.02) },
            disk: if spec.container { whole_pages(filesystem, spec.filling + 0.02 * load) } else { 0 },
            maxdisk: if spec.container { filesystem } else { spec.disk },
            counters: spec.traffic.map(|at_full_load| (worked * at_full_load) as u64),
        }
    }

    /// The guests' entries of `/cluster/resources`.
    pub(super) fn push_guests(&self, scene: &Scene, list: &mut List) {
        for (spec, guest) in self.guests.iter().zip(&scene.guests) {
            let mut fields: Vec<Field<'_>> = Vec::with_capacity(24);
            fields.push(("id", Value::Text(&spec.id)));
            fields.push(("type", Value::Text(if spec.container { "lxc" } else { "qemu" })));
            fields.push(("vmid", Value::Whole(spec.vmid)));
            fields.push(("node", Value::Text(self.node_name(guest.node))));
            fields.push(("status", Value::Text(guest.status)));
            let pool = spec.pool.and_then(|pool| POOLS.get(pool)).copied();
            let tags = Some(spec.tags).filter(|tags| !tags.is_empty());
            let optional = [("pool", pool), ("tags", tags), ("lock", guest.lock), ("hastate", guest.hastate)];
            fields.extend(optional.into_iter().filter_map(|(key, value)| Some((key, Value::Text(value?)))));
            if let Some(figures) = &guest.figures {
                push_figures(&mut fields, spec, figures);
                if !self.old {
                    fields.push(("memhost", Value::Whole(figures.memhost)));
                }
            }
            list.push(fields);
        }
    }
}

fn push_figures<'a>(fields: &mut Vec<Field<'a>>, spec: &'a GuestSpec, figures: &Figures) {
    let [netin, netout, diskread, diskwrite] = figures.counters;
    fields.push(("name", Value::Text(&spec.name)));
    fields.push(("template", Value::Whole(u64::from(spec.condition == Condition::Template))));
    fields.push(("cpu", Value::Real(figures.cpu)));
    fields.push(("maxcpu", Value::Real(spec.cpus)));
    let whole = [
        ("uptime", figures.uptime),
        ("mem", figures.mem),
        ("maxmem", spec.memory),
        ("disk", figures.disk),
        ("maxdisk", figures.maxdisk),
        ("netin", netin),
        ("netout", netout),
        ("diskread", diskread),
        ("diskwrite", diskwrite),
    ];
    fields.extend(whole.into_iter().map(|(key, value)| (key, Value::Whole(value))));
}

impl Life {
    fn status(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Running { .. } => "running",
            Self::Halted { status, .. } => status,
        }
    }
}

fn plain_life(spec: &GuestSpec) -> Life {
    match spec.condition {
        Condition::Running => Life::Running { since: spec.started },
        Condition::Paused => Life::Halted { since: spec.started, still: spec.started + 1800, status: "paused" },
        Condition::Stopped | Condition::Template => Life::Stopped,
    }
}

fn crashing_life(spec: &GuestSpec, sample: i64) -> Life {
    let Some(begin) = plot::CRASH.latest(sample) else { return plain_life(spec) };
    let restart = |begin: i64| plot::CRASH.over(begin).1;
    match sample - begin {
        elapsed if elapsed < plot::CRASH_HANGS => {
            let since = restart(begin).unwrap_or(spec.started);
            Life::Halted { since, still: begin - SAMPLE, status: "internal-error" }
        }
        _ => restart(sample).filter(|restart| *restart > begin).map_or(Life::Stopped, |since| Life::Running { since }),
    }
}

/// A share of a size, in whole pages of memory.
fn whole_pages(size: u64, share: f64) -> u64 {
    (size as f64 * share) as u64 / 4096 * 4096
}
