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

/// The part of a crash in which the process still exists.
pub(super) const CRASH_HANGS: i64 = 20;
/// From the loss of a node on: its guests are fenced, recovered elsewhere, and running there.
pub(super) const FENCED_AFTER: i64 = 60;
pub(super) const RECOVERED_AFTER: i64 = 130;
pub(super) const RESTARTED_AFTER: i64 = 150;
/// From the return of a node on: its HA guests are locked for their way home, and are there.
pub(super) const FAILBACK_BEGINS: i64 = 240;
pub(super) const FAILBACK_ENDS: i64 = 270;

/// Guests in one run of the backup job, and how long each of them takes; one more fails early.
const BACKUPS_PER_RUN: i64 = 3;
const BACKUP_TAKES: i64 = 40;

/// Who plays which part.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plot {
    /// Which node goes away.
    lost_node: Option<usize>,
    /// Where the HA guests of the lost node go meanwhile.
    pub(super) refuge: usize,
    migrates: Option<Migrant>,
    crashes: Option<usize>,
    /// In turn, three a run.
    backed_up: Vec<usize>,
    /// The last of each run.
    fails_to_back_up: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Migrant {
    guest: usize,
    from: usize,
    to: usize,
}

/// A guest's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Story {
    Plain,
    /// Goes down with its node.
    Lost,
    /// The same, but HA takes it elsewhere.
    Recovered,
    Migrates {
        from: usize,
        to: usize,
    },
    Crashes,
}

impl Cycle {
    /// When the latest of them began, if one has.
    pub(super) fn latest(self, now: i64) -> Option<i64> {
        (now >= self.first).then(|| now - (now - self.first).rem_euclid(self.every))
    }

    /// When the one that is going on began.
    pub(super) fn current(self, now: i64) -> Option<i64> {
        self.latest(now).filter(|begin| now < begin + self.lasts)
    }

    /// How many are over, and when the latest of those ended.
    pub(super) fn over(self, now: i64) -> (i64, Option<i64>) {
        let count = self.begun(now - self.lasts);
        (count, self.latest(now - self.lasts).map(|begin| begin + self.lasts))
    }

    fn begun(self, now: i64) -> i64 {
        if now < self.first { 0 } else { (now - self.first) / self.every + 1 }
    }
}

impl Plot {
    /// Gives the parts to the guests that the population holds ready for them, as far as there are.
    pub(super) fn new(nodes: usize, guests: &[GuestSpec]) -> Self {
        let lost_node = (nodes >= 3).then(|| nodes - 1);
        let running = |index: &usize| guests.get(*index).is_some_and(|guest| guest.condition == Condition::Running);
        let crashes = Some(0).filter(running).filter(|_| nodes > 1);
        let migrates = Some(1).filter(running).filter(|_| nodes > 1).map(|guest| Migrant { guest, from: 0, to: 1 });
        let fails_to_back_up = Some(2).filter(running);
        let staying = |index: &usize| running(index) && Some(guests[*index].home) != lost_node && !guests[*index].ha;
        let backed_up = (3..guests.len()).filter(staying).collect();
        Self { lost_node, refuge: 0, migrates, crashes, backed_up, fails_to_back_up }
    }

    /// A guest's part.
    pub(super) fn story(&self, index: usize, spec: &GuestSpec) -> Story {
        match self.migrates {
            Some(migrant) if migrant.guest == index => return Story::Migrates { from: migrant.from, to: migrant.to },
            _ if self.crashes == Some(index) => return Story::Crashes,
            _ => {}
        }
        match (Some(spec.home) == self.lost_node, spec.ha) {
            (false, _) => Story::Plain,
            (true, false) => Story::Lost,
            (true, true) => Story::Recovered,
        }
    }

    /// Since when a node has been away.
    pub(super) fn outage_of(&self, node: usize, now: i64) -> Option<i64> {
        OUTAGE.current(now).filter(|_| self.lost_node == Some(node))
    }

    /// When a node was last started again during the simulation.
    pub(super) fn return_of(&self, node: usize, now: i64) -> Option<i64> {
        OUTAGE.over(now).1.filter(|_| self.lost_node == Some(node))
    }

    /// Which guest is being backed up.
    pub(super) fn backup(&self, now: i64) -> Option<usize> {
        let begin = BACKUP.current(now)?;
        let place = (now - begin) / BACKUP_TAKES;
        if place >= BACKUPS_PER_RUN {
            return self.fails_to_back_up;
        }
        let turn = (BACKUP.begun(now) - 1) * BACKUPS_PER_RUN + place;
        let count = i64::try_from(self.backed_up.len()).ok().filter(|count| *count > 0)?;
        self.backed_up.get(usize::try_from(turn % count).ok()?).copied()
    }

    /// How many backups have been stored since the start: the failed ones are not among them.
    pub(super) fn backups_stored(&self, now: i64) -> i64 {
        if self.backed_up.is_empty() {
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
        assert_eq!(plot.backup(failing), Some(2));
        assert_eq!(plot.backups_stored(failing), 3);
        assert_eq!(plot.backup(BACKUP.first + BACKUP.lasts), None);
        assert_eq!(plot.backups_stored(BACKUP.first + BACKUP.every), 3);
        assert_eq!(plot.backups_stored(BACKUP.first + BACKUP.every + BACKUP_TAKES), 4);
        assert_eq!(plot.backups_stored(0), 0);
    }
}
