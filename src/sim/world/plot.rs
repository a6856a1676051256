//! What happens in the simulated cluster, and when: all of it comes round again.

use super::population::{Condition, GuestSpec};

/// Something that begins at `first`, then `every` so many seconds, and takes so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cycle {
    first: i64,
    every: i64,
    lasts: i64,
}

/// A node is away. While it is, two others still have the quorum.
pub(super) const OUTAGE: Cycle = Cycle { first: 240, every: 1200, lasts: 360 };
/// A guest is locked for its migration, and lives elsewhere when that is over.
pub(super) const MIGRATION: Cycle = Cycle { first: 100, every: 300, lasts: 30 };
/// A guest's QEMU is in `internal-error`, then stopped, then started again by HA.
pub(super) const CRASH: Cycle = Cycle { first: 150, every: 420, lasts: 50 };
/// The backup job runs.
pub(super) const BACKUP: Cycle = Cycle { first: 50, every: 300, lasts: 140 };

/// A service of the unlucky node is dead, a slave of its bond is gone, and its zone of the software-defined network does not
/// work.
pub(super) const SERVICE_DEAD: Cycle = Cycle { first: 400, every: 1800, lasts: 1200 };
pub(super) const SLAVE_GONE: Cycle = Cycle { first: 600, every: 1800, lasts: 900 };
pub(super) const ZONE_ERROR: Cycle = Cycle { first: 700, every: 3600, lasts: 900 };

/// The part of a crash in which the process still exists.
pub(super) const CRASH_HANGS: i64 = 20;
/// From the loss of a node on: its guests are fenced, given another node, there, and running there.
pub(super) const FENCED_AFTER: i64 = 60;
pub(super) const RECOVERING_AFTER: i64 = 120;
pub(super) const RECOVERED_AFTER: i64 = 130;
pub(super) const RESTARTED_AFTER: i64 = 150;
/// From the return of a node on: its HA guests are locked for their way home, and are there.
pub(super) const FAILBACK_BEGINS: i64 = 240;
pub(super) const FAILBACK_ENDS: i64 = 270;

/// Guests in one run of the backup job, and how long each of them takes; one more fails early.
const BACKUPS_PER_RUN: i64 = 3;
pub(super) const BACKUP_TAKES: i64 = 40;

/// Who plays which part, by VMID.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plot {
    /// Which node goes away and returns by itself.
    lost_node: Option<usize>,
    /// Losses of nodes by edit, in the order of their beginnings.
    losses: Vec<(usize, Outage)>,
    migrates: Option<Migrant>,
    crashes: Option<u64>,
    /// The guests of the backup job: three a run, in turn.
    backed_up: Vec<u64>,
    /// The last of each run.
    fails_to_back_up: Option<u64>,
    /// Whether the backup job ever runs.
    backs_up: bool,
    /// Whether parts of nodes fail now and then.
    wears_out: bool,
}

/// A node is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outage {
    pub(super) begin: i64,
    /// `None`: it still is.
    pub(super) end: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Migrant {
    vmid: u64,
    from: usize,
    to: usize,
}

/// A guest's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Lives as it was configured.
    None,
    Migrates {
        from: usize,
        to: usize,
    },
    Crashes,
}

impl Cycle {
    /// In seconds: when first, how often, how long.
    pub(super) const fn new(first: i64, every: i64, lasts: i64) -> Self {
        Self { first, every, lasts }
    }

    /// When the latest of them began, if one has.
    pub(super) fn latest(self, now: i64) -> Option<i64> {
        (now >= self.first).then(|| now - (now - self.first).rem_euclid(self.every))
    }

    /// When the one that is going on began.
    pub(super) fn current(self, now: i64) -> Option<i64> {
        self.latest(now).filter(|begin| now < begin + self.lasts)
    }

    /// When the first of them begins.
    pub(super) fn first(self) -> i64 {
        self.first
    }

    /// From the beginning of one to that of the next.
    pub(super) fn every(self) -> i64 {
        self.every
    }

    /// From the beginning of one to its end.
    pub(super) fn lasts(self) -> i64 {
        self.lasts
    }

    /// How many are over, and when the latest of those ended.
    pub(super) fn over(self, now: i64) -> (i64, Option<i64>) {
        let count = self.begun(now - self.lasts);
        (count, self.latest(now - self.lasts).map(|begin| begin + self.lasts))
    }

    /// How many have begun.
    pub(super) fn begun(self, now: i64) -> i64 {
        if now < self.first { 0 } else { (now - self.first) / self.every + 1 }
    }
}

impl Plot {
    /// Gives the parts to the guests that the population holds ready for them, as far as there are.
    pub(super) fn new(nodes: usize, guests: &[GuestSpec]) -> Self {
        let lost_node = (nodes >= 3).then(|| nodes - 1);
        let running = |index: usize| {
            guests.get(index).filter(|guest| guest.condition == Condition::Running).map(|guest| guest.vmid)
        };
        let staying =
            |guest: &&GuestSpec| guest.condition == Condition::Running && Some(guest.home) != lost_node && !guest.ha;
        Self {
            lost_node,
            losses: Vec::new(),
            crashes: running(0).filter(|_| nodes > 1),
            migrates: running(1).filter(|_| nodes > 1).map(|vmid| Migrant { vmid, from: 0, to: 1 }),
            fails_to_back_up: running(2),
            backed_up: guests.iter().skip(3).filter(staying).map(|guest| guest.vmid).collect(),
            backs_up: true,
            wears_out: true,
        }
    }

    /// Nothing happens any more but by edit.
    pub(super) fn end(&mut self) {
        (self.lost_node, self.migrates, self.crashes) = (None, None, None);
        (self.backs_up, self.wears_out) = (false, false);
    }

    /// A guest has no part any more.
    pub(super) fn dismiss(&mut self, vmid: u64) {
        self.migrates = self.migrates.filter(|migrant| migrant.vmid != vmid);
        self.crashes = self.crashes.filter(|crashing| *crashing != vmid);
    }

    /// A guest is no longer there for the backup job.
    pub(super) fn forget_backups_of(&mut self, vmid: u64) {
        self.backed_up.retain(|known| *known != vmid);
        self.fails_to_back_up = self.fails_to_back_up.filter(|known| *known != vmid);
    }

    /// A node goes away; answers whether it was there.
    pub(super) fn lose(&mut self, node: usize, now: i64) -> bool {
        let there = self.outage_of(node, now).is_none();
        if there {
            self.losses.push((node, Outage { begin: now, end: None }));
        }
        there
    }

    /// A node that is there goes away at a moment, and returns at another or not by itself.
    pub(super) fn leave(&mut self, node: usize, begin: i64, end: Option<i64>) {
        self.losses.push((node, Outage { begin, end }));
    }

    /// A node that went away by edit is there again; answers whether there was such a one.
    pub(super) fn bring_back(&mut self, node: usize, now: i64) -> bool {
        let mut losses = self.losses.iter_mut().rev();
        let lost = losses.find(|(lost, outage)| *lost == node && outage.end.is_none());
        lost.is_some_and(|(_, outage)| outage.end.replace(now).is_none())
    }

    /// A guest's part.
    pub(super) fn part(&self, vmid: u64) -> Part {
        match self.migrates {
            Some(migrant) if migrant.vmid == vmid => Part::Migrates { from: migrant.from, to: migrant.to },
            _ if self.crashes == Some(vmid) => Part::Crashes,
            _ => Part::None,
        }
    }

    /// The latest outage of a node that has begun.
    pub(super) fn outage(&self, node: usize, now: i64) -> Option<Outage> {
        let by_edit = self.losses.iter().rev().find(|(lost, outage)| *lost == node && outage.begin <= now);
        let by_edit = by_edit.map(|(_, outage)| Outage { end: outage.end.filter(|end| *end <= now), ..*outage });
        let begin = OUTAGE.latest(now).filter(|_| self.lost_node == Some(node));
        let by_itself = begin.map(|begin| Outage { begin, end: Some(begin + OUTAGE.lasts).filter(|end| *end <= now) });
        [by_edit, by_itself].into_iter().flatten().max_by_key(|outage| (outage.end.is_none(), outage.begin))
    }

    /// Since when a node has been away.
    pub(super) fn outage_of(&self, node: usize, now: i64) -> Option<i64> {
        self.outage(node, now).filter(|outage| outage.end.is_none()).map(|outage| outage.begin)
    }

    /// When a node was last started again during the simulation.
    pub(super) fn return_of(&self, node: usize, now: i64) -> Option<i64> {
        let ends = self.losses.iter().filter(|(lost, _)| *lost == node).filter_map(|(_, outage)| outage.end);
        let by_edit = ends.filter(|end| *end <= now).max();
        by_edit.max(OUTAGE.over(now).1.filter(|_| self.lost_node == Some(node)))
    }

    /// Which guest is being backed up.
    pub(super) fn backup(&self, now: i64) -> Option<u64> {
        let begin = BACKUP.current(now).filter(|_| self.backs_up)?;
        let place = (now - begin) / BACKUP_TAKES;
        if place >= BACKUPS_PER_RUN {
            return self.fails_to_back_up;
        }
        self.backed_up_at((BACKUP.begun(now) - 1) * BACKUPS_PER_RUN + place)
    }

    fn backed_up_at(&self, turn: i64) -> Option<u64> {
        let count = i64::try_from(self.backed_up.len()).ok().filter(|count| *count > 0)?;
        self.backed_up.get(usize::try_from(turn % count).ok()?).copied()
    }

    /// The guests of a run of the backup job, counted from 0; none where it never runs.
    pub(super) fn backup_run(&self, run: i64) -> Vec<u64> {
        let turns = (run * BACKUPS_PER_RUN..(run + 1) * BACKUPS_PER_RUN).filter(|_| self.backs_up);
        let fails = self.fails_to_back_up.filter(|_| self.backs_up);
        turns.filter_map(|turn| self.backed_up_at(turn)).chain(fails).collect()
    }

    /// Whether the backup of a guest fails.
    pub(super) fn is_backed_up_in_vain(&self, vmid: u64) -> bool {
        self.fails_to_back_up == Some(vmid)
    }

    /// Whether parts of nodes fail now and then.
    pub(super) fn wears_out(&self) -> bool {
        self.wears_out
    }

    /// Whether the backup job is on.
    pub(super) fn backs_up(&self) -> bool {
        self.backs_up
    }

    /// Whether the backup job is to back a guest up, be it in vain.
    pub(super) fn is_in_backup_job(&self, vmid: u64) -> bool {
        self.fails_to_back_up == Some(vmid) || self.backed_up.binary_search(&vmid).is_ok()
    }

    /// How many backups have been stored since the start: the failed ones are not among them.
    pub(super) fn backups_stored(&self, now: i64) -> i64 {
        if self.backed_up.is_empty() || !self.backs_up {
            return 0;
        }
        let runs = BACKUP.begun(now);
        let of_this_run = BACKUP.latest(now).map_or(0, |begin| ((now - begin) / BACKUP_TAKES).min(BACKUPS_PER_RUN));
        (runs - 1).max(0) * BACKUPS_PER_RUN + of_this_run
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_come_round() {
        let cycle = Cycle { first: 100, every: 50, lasts: 20 };
        assert_eq!((cycle.latest(99), cycle.current(99), cycle.over(99)), (None, None, (0, None)));
        assert_eq!((cycle.latest(100), cycle.current(119), cycle.over(119)), (Some(100), Some(100), (0, None)));
        assert_eq!((cycle.current(120), cycle.over(120)), (None, (1, Some(120))));
        assert_eq!((cycle.latest(151), cycle.current(151), cycle.over(151)), (Some(150), Some(150), (1, Some(120))));
    }

    #[test]
    fn a_failed_backup_stores_nothing() {
        let guests = super::super::population::guests(1, 3, 40);
        let plot = Plot::new(3, &guests);
        let failing = BACKUP.first + BACKUPS_PER_RUN * BACKUP_TAKES;
        assert_eq!(plot.backup(failing), Some(102));
        assert_eq!(plot.backups_stored(failing), 3);
        assert_eq!(plot.backup(BACKUP.first + BACKUP.lasts), None);
        assert_eq!(plot.backups_stored(BACKUP.first + BACKUP.every), 3);
        assert_eq!(plot.backups_stored(BACKUP.first + BACKUP.every + BACKUP_TAKES), 4);
        assert_eq!(plot.backups_stored(0), 0);
    }

    #[test]
    fn nodes_are_lost_and_brought_back_by_edit_beside_the_plots_own_outages() {
        let mut plot = Plot::new(3, &[]);
        assert!(plot.lose(0, 1000) && !plot.lose(0, 1010) && !plot.bring_back(1, 1010));
        assert_eq!(
            (plot.outage_of(0, 990), plot.outage_of(0, 5000), plot.outage_of(1, 5000)),
            (None, Some(1000), None)
        );
        assert!(plot.bring_back(0, 1100) && !plot.bring_back(0, 1100));
        assert_eq!((plot.outage_of(0, 1090), plot.outage_of(0, 1100)), (Some(1000), None));
        assert_eq!((plot.return_of(0, 1090), plot.return_of(0, 1100)), (None, Some(1100)));
        assert!(plot.lose(2, 700));
        assert_eq!(plot.outage(2, 300), Some(Outage { begin: 240, end: None }));
        assert_eq!(plot.outage(2, 699), Some(Outage { begin: 240, end: Some(600) }));
        assert_eq!((plot.outage_of(2, 700), plot.return_of(2, 700)), (Some(700), Some(600)));
        plot.end();
        assert_eq!((plot.outage_of(2, 300), plot.outage_of(2, 700)), (None, Some(700)));
    }
}
