//! When the guests of a backup log had their turns. The log has times of the node's own zone, which it does not name; the
//! task has its begin and end as seconds since 1970, and Proxmox Backup Server names snapshots in UTC.

use super::{Attempt, BackupTask};
use crate::pve::{VzdumpGuest, VzdumpLog};

/// Zones differ from UTC by whole quarters of an hour.
const STEP: i64 = 900;
/// Clocks of task and log are read one after the other.
const SLACK: i64 = 60;

/// The turns of a task.
///
/// From the last guest to the first: each ended before the next one began, the last one before the task did. The zone
/// that the begin of the first turn tells is that of all, unless the clocks were changed in that night: then it would put
/// the end of a turn behind the begin of the next.
pub(super) fn placed(log: &VzdumpLog, task: &BackupTask, ended: i64) -> Vec<Attempt> {
    let begun = task.begun;
    let (mut until, mut zone) = (ended, zone(log, begun, ended));
    let mut turns = Vec::with_capacity(log.guests.len());
    for guest in log.guests.iter().rev() {
        if let Some(local) = guest.ended {
            let fits = |zone: &i64| {
                (begun.saturating_sub(SLACK)..=until.saturating_add(SLACK)).contains(&local.saturating_sub(*zone))
            };
            zone = zone.filter(fits).or_else(|| Some(least(local, until)));
        }
        let turn = turn(guest, (begun, until), zone, task.ok);
        until = begin(guest, zone, &turn).clamp(begun.min(until), until);
        turns.push(turn);
    }
    turns.reverse();
    turns
}

/// The zone of the node in that night, as far as one tells all: what Proxmox Backup Server says; else the first guest had
/// its turn when the task began, or the last one when it ended, where it had to wait for another job. In between, scripts
/// of the administrator may run for hours.
fn zone(log: &VzdumpLog, begun: i64, ended: i64) -> Option<i64> {
    let told = |guest: &VzdumpGuest| Some(guest.begun?.saturating_sub(guest.snapshot?));
    if let Some(zone) = log.guests.iter().find_map(told) {
        return Some(zone);
    }
    let first = log.guests.iter().find_map(|guest| guest.begun)?;
    let last = log.guests.iter().rev().find_map(|guest| guest.ended)?;
    let (least, most) = (least(last, ended), most(first, begun));
    (least <= most).then_some(if log.waited { least } else { most })
}

/// The least difference to UTC with which a local time is not after `until`.
fn least(local: i64, until: i64) -> i64 {
    let least = local.saturating_sub(until).saturating_sub(SLACK);
    least.saturating_add(STEP - 1).div_euclid(STEP).saturating_mul(STEP)
}

/// The greatest with which it is not before `since`.
fn most(local: i64, since: i64) -> i64 {
    local.saturating_sub(since).saturating_add(SLACK).div_euclid(STEP).saturating_mul(STEP)
}

fn turn(guest: &VzdumpGuest, (begun, until): (i64, i64), zone: Option<i64>, task_ok: bool) -> Attempt {
    let by_snapshot = guest.snapshot.zip(guest.took).map(|(begin, took)| begin.saturating_add(took));
    let by_clock = guest.ended.zip(zone).map(|(local, zone)| local.saturating_sub(zone));
    Attempt {
        vmid: guest.vmid,
        ended: by_snapshot.or(by_clock).unwrap_or(until).clamp(begun.min(until), until),
        took: guest.took,
        // A turn without an end was cut short with its task; if that went well, so did each turn.
        ok: guest.ok.unwrap_or(task_ok),
        bytes: guest.bytes(),
        transferred: guest.transferred,
    }
}

fn begin(guest: &VzdumpGuest, zone: Option<i64>, turn: &Attempt) -> i64 {
    let by_length = guest.took.map(|took| turn.ended.saturating_sub(took));
    let by_clock = guest.begun.zip(zone).map(|(local, zone)| local.saturating_sub(zone));
    guest.snapshot.or(by_length).or(by_clock).unwrap_or(turn.ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: i64 = 3_600;
    /// 2026-11-20 21:00:00 UTC.
    const BEGUN: i64 = 1_795_208_400;

    /// Turns as the wall clock of a node says: vmid, begin, end, whether it ended well.
    fn log(turns: &[(u64, i64, i64, bool)]) -> VzdumpLog {
        let guest = |(vmid, begin, end, ok): &(u64, i64, i64, bool)| VzdumpGuest {
            vmid: *vmid,
            ok: Some(*ok),
            begun: Some(*begin),
            ended: Some(*end),
            took: ok.then_some(end - begin),
            ..VzdumpGuest::default()
        };
        VzdumpLog { guests: turns.iter().map(guest).collect(), ..VzdumpLog::default() }
    }

    fn task(begun: i64, ended: i64, ok: bool) -> BackupTask {
        BackupTask { upid: "UPID".to_owned(), vmid: None, begun, ended: Some(ended), ok }
    }

    fn ends(log: &VzdumpLog, begun: i64, ended: i64) -> Vec<i64> {
        placed(log, &task(begun, ended, true), ended).iter().map(|attempt| attempt.ended).collect()
    }

    #[test]
    fn the_zone_of_the_node_does_not_matter() {
        for zone in [-10 * HOUR, -3 * HOUR - 1800, 0, HOUR, 5 * HOUR + 2700, 14 * HOUR] {
            let at = BEGUN + zone;
            let log = log(&[
                (100, at + 3, at + 600, true),
                (101, at + 601, at + 660, false),
                (102, at + 660, at + 9 * HOUR, true),
            ]);
            let expected = [BEGUN + 600, BEGUN + 660, BEGUN + 9 * HOUR];
            for after in [0, 2, 700] {
                assert_eq!(ends(&log, BEGUN, BEGUN + 9 * HOUR + after), expected, "{zone} {after}");
            }
        }
    }

    #[test]
    fn a_night_in_which_clocks_are_changed_has_no_hole() {
        // Back by an hour between the first guest and the second, then forward.
        for change in [-HOUR, HOUR] {
            let (before, after) = (BEGUN + 2 * HOUR, BEGUN + 2 * HOUR + change);
            let log = log(&[(100, before + 1, before + 1800, true), (101, after + 1800, after + 2400, true)]);
            let told = ends(&log, BEGUN, BEGUN + 2401);
            assert_eq!(told[1], BEGUN + 2400, "{change}");
            // What the wall clock seems to say is impossible in one case, and too early in the other.
            assert!((BEGUN..=BEGUN + 1800).contains(&told[0]), "{change}: {}", told[0] - BEGUN);
        }
    }

    #[test]
    fn a_backup_server_says_when_it_was() {
        let mut log = log(&[(100, BEGUN + HOUR, BEGUN + HOUR + 60, true), (101, 0, 0, false)]);
        log.guests[0].snapshot = Some(BEGUN + 5);
        log.guests[1] = VzdumpGuest { vmid: 101, ..VzdumpGuest::default() };
        let told = placed(&log, &task(BEGUN, BEGUN + 2 * HOUR, false), BEGUN + 2 * HOUR);
        assert_eq!((told[0].ended, told[0].ok), (BEGUN + 65, true));
        // It was cut short: its end is that of the task.
        assert_eq!((told[1].ended, told[1].ok, told[1].took), (BEGUN + 2 * HOUR, false, None));
        // Of a task that went well, no turn went badly: PVE said its end in words that are not known.
        assert!(placed(&log, &task(BEGUN, BEGUN + 2 * HOUR, true), BEGUN + 2 * HOUR)[1].ok);
        // What was sent to a server tells the zone of what was not.
        log.guests.push(VzdumpGuest {
            vmid: 102,
            ok: Some(true),
            ended: Some(BEGUN + HOUR + 600),
            ..VzdumpGuest::default()
        });
        let told = ends(&log, BEGUN, BEGUN + 2 * HOUR);
        assert_eq!(told[2], BEGUN + HOUR + 600 - (HOUR - 5));
    }

    #[test]
    fn scripts_before_and_after_the_guests_do_not_shift_them() {
        for zone in [-3 * HOUR, 0, 5 * HOUR + 2700] {
            let at = BEGUN + zone;
            // A script of the job goes on for five hours after the last guest.
            let mut log = log(&[(100, at + 3, at + 600, true), (101, at + 601, at + 660, false)]);
            assert_eq!(ends(&log, BEGUN, BEGUN + 5 * HOUR), [BEGUN + 600, BEGUN + 660], "{zone}");
            // It waited for two hours until another job was over.
            for guest in &mut log.guests {
                (guest.begun, guest.ended) = (guest.begun.map(|at| at + 2 * HOUR), guest.ended.map(|at| at + 2 * HOUR));
            }
            log.waited = true;
            let expected = [BEGUN + 2 * HOUR + 600, BEGUN + 2 * HOUR + 660];
            assert_eq!(ends(&log, BEGUN, BEGUN + 2 * HOUR + 670), expected, "{zone}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_outside_of_its_task(
            (begun, lasts) in (any::<i64>(), any::<i64>()),
            guests in prop::collection::vec(
                (any::<Option<i64>>(), any::<Option<i64>>(), any::<Option<i64>>(), any::<Option<i64>>()), 0..6),
            waited in any::<bool>(),
        ) {
            let guest = |(begun, ended, took, snapshot)| VzdumpGuest {
                vmid: 1, ok: Some(true), begun, ended, took, snapshot, ..VzdumpGuest::default()
            };
            let log = VzdumpLog { waited, guests: guests.into_iter().map(guest).collect(), ..VzdumpLog::default() };
            let ended = begun.saturating_add(lasts);
            for attempt in placed(&log, &task(begun, ended, true), ended) {
                prop_assert!((begun.min(ended)..=begun.max(ended)).contains(&attempt.ended));
            }
        }
    }
}
